/**
 * Which leases are to be watched or guarded: one decrement for all that are not.
 */

/** Far enough off to cost nothing, and still a small integer. */
const NEVER_DUE = 2 ** 30;

export class Countdown {
  /** At zero, something is due. */
  left: number;
  readonly #guardEvery: number;
  #traceEvery: number;
  #guardIn: number;
  #traceIn: number;
  #step: number;
  #announced = false;

  constructor(guardEvery: number, traceEvery: number) {
    this.#guardEvery = guardEvery;
    this.#traceEvery = traceEvery;
    this.#guardIn = guardEvery || NEVER_DUE;
    this.#traceIn = traceEvery || NEVER_DUE;
    this.left = this.#step = Math.min(this.#guardIn, this.#traceIn);
  }

  /** What the lease at hand is to be, and how many there were since the last that was due; counts on to the next. */
  next(): { guard: boolean; trace: boolean; leases: number } {
    this.#guardIn -= this.#step;
    this.#traceIn -= this.#step;
    const due = {
      guard: this.#guardIn === 0 && this.#guardEvery !== 0,
      trace: this.#traceIn === 0 && this.#traceEvery !== 0,
      leases: this.#step,
    };
    if (this.#guardIn === 0) this.#guardIn = this.#guardEvery || NEVER_DUE;
    if (this.#traceIn === 0) this.#traceIn = this.#traceEvery || NEVER_DUE;
    this.#goOn();
    return due;
  }

  /** From the lease at hand on, one in `traceEvery` is traced. Guards come as they would have. */
  trace(traceEvery: number): void {
    this.#pause();
    this.#traceEvery = traceEvery;
    this.#traceIn = traceEvery || NEVER_DUE;
    this.#goOn();
  }

  /** Every lease is due as long as this is on. Guards and traces come as they would have. */
  announce(on: boolean): void {
    this.#pause();
    this.#announced = on;
    this.#goOn();
  }

  /** Everything is due from now on. */
  stop(): void {
    this.left = 1;
  }

  #pause(): void {
    this.#guardIn -= this.#step - this.left;
    this.#traceIn -= this.#step - this.left;
  }

  #goOn(): void {
    this.left = this.#step = this.#announced ? 1 : Math.min(this.#guardIn, this.#traceIn);
  }
}
