/**
 * Which leases are guarded or traced. All others cost one decrement and one comparison.
 */

/** Far enough off to cost nothing, and still a small integer. */
const NEVER_DUE = 2 ** 30;

export class Sampler {
  /** Counted down by the arena for each lease. At 0, or below, something is due. */
  left: number;
  readonly #guardEvery: number;
  #traceEvery: number;
  #guardIn: number;
  #traceIn: number;
  #step: number;

  constructor(guardEvery: number, traceEvery: number) {
    this.#guardEvery = guardEvery;
    this.#traceEvery = traceEvery;
    this.#guardIn = guardEvery || NEVER_DUE;
    this.#traceIn = traceEvery || NEVER_DUE;
    this.left = this.#step = Math.min(this.#guardIn, this.#traceIn);
  }

  /** What the lease at hand is to be, once `left` is 0. Counts on to the next. */
  next(): { guard: boolean; trace: boolean } {
    this.#guardIn -= this.#step;
    this.#traceIn -= this.#step;
    const due = {
      guard: this.#guardIn <= 0 && this.#guardEvery !== 0,
      trace: this.#traceIn <= 0 && this.#traceEvery !== 0,
    };
    if (this.#guardIn <= 0) this.#guardIn = this.#guardEvery || NEVER_DUE;
    if (this.#traceIn <= 0) this.#traceIn = this.#traceEvery || NEVER_DUE;
    this.left = this.#step = Math.min(this.#guardIn, this.#traceIn);
    return due;
  }

  /** From the lease at hand on, one in `traceEvery` is traced. Guards come as they would have. */
  trace(traceEvery: number): void {
    this.#guardIn -= this.#step - this.left;
    this.#traceEvery = traceEvery;
    this.#traceIn = traceEvery || NEVER_DUE;
    this.left = this.#step = Math.min(this.#guardIn, this.#traceIn);
  }
}
