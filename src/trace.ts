/**
 * Watching leases: who acquired the ones still out, and whether a caller's
 * `written` was true. Owns the list of watched leases; an unwatched lease costs
 * nothing here.
 */

import type { LinearMemory } from "./abi.js";
import { invalidArgument } from "./errors.js";
import { type BlockOwner, Lease, type LeaseOrigin } from "./lease.js";
import type { Tally } from "./ledger.js";
import type { TraceLevel } from "./options.js";

/** Of `"sampled"`: one lease in this many. */
const SAMPLE_EVERY = 128;

/** Far enough off to cost nothing, and still a small integer. */
const NEVER_DUE = 2 ** 30;

/** Which leases are to be watched or guarded: one decrement for all that are not. */
export class Countdown {
  /** At zero, something is due. */
  left: number;
  readonly #guardEvery: number;
  readonly #traceEvery: number;
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

  /** What the lease at hand is to be; counts on to the next. */
  next(): { guard: boolean; trace: boolean } {
    this.#guardIn -= this.#step;
    this.#traceIn -= this.#step;
    const due = {
      guard: this.#guardIn === 0 && this.#guardEvery !== 0,
      trace: this.#traceIn === 0 && this.#traceEvery !== 0,
    };
    if (this.#guardIn === 0) this.#guardIn = this.#guardEvery || NEVER_DUE;
    if (this.#traceIn === 0) this.#traceIn = this.#traceEvery || NEVER_DUE;
    this.left = this.#step = Math.min(this.#guardIn, this.#traceIn);
    return due;
  }

  /** Everything is due from now on. */
  stop(): void {
    this.left = 1;
  }
}

/** A watched lease that is still out. */
export interface TraceSite {
  /** Bytes in the lease. */
  readonly byteLength: number;
  /** The stack of its `acquire`. */
  readonly stack: string;
}

/** Stands between a watched lease and its owner. */
class WatchedOwner implements BlockOwner {
  readonly #owner: BlockOwner;
  readonly #view: Uint8Array<ArrayBuffer>;
  readonly #forget: () => void;

  constructor(owner: BlockOwner, view: Uint8Array<ArrayBuffer>, forget: () => void) {
    this.#owner = owner;
    this.#view = view;
    this.#forget = forget;
  }

  get tally(): Tally {
    return this.#owner.tally;
  }

  get origin(): LeaseOrigin {
    return this.#owner.origin;
  }

  get memory(): LinearMemory | undefined {
    return this.#owner.memory;
  }

  get closed(): boolean {
    return this.#owner.closed;
  }

  release(ptr: number, byteLength: number, written: number): void {
    const changed = this.#view.subarray(Math.min(written, byteLength)).findIndex((byte) => byte !== 0);
    if (changed >= 0) {
      throw invalidArgument("written", written, `at least ${written + changed + 1}: the byte before it was changed`);
    }
    this.#owner.release(ptr, byteLength, written);
    this.#forget();
  }
}

export class Tracer {
  readonly level: TraceLevel;
  readonly #sites = new Map<TraceSite, Tally>();

  constructor(level: TraceLevel) {
    this.level = level;
  }

  /** One lease in this many is to be watched; 0 for none. */
  get every(): number {
    return this.level === "all" ? 1 : this.level === "sampled" ? SAMPLE_EVERY : 0;
  }

  /** The watched leases that are still out. */
  get sites(): readonly TraceSite[] {
    return [...this.#sites.keys()];
  }

  /** Remembers where `lease` was acquired until it is released. */
  watch(lease: Lease): Lease {
    // Read at once: an unread stack keeps its callers' objects, and so the lease, alive.
    const site: TraceSite = { byteLength: lease.byteLength, stack: callerFrames(new Error().stack) };
    const { bytes } = lease;
    return Lease.watch(lease, (owner) => {
      this.#sites.set(site, owner.tally);
      return new WatchedOwner(owner, bytes, () => this.#sites.delete(site));
    });
  }

  /** The watched leases of a memory that was collected; they are no longer out. */
  writeOff(tally: Tally): readonly TraceSite[] {
    const lost = [...this.#sites].filter(([, each]) => each === tally).map(([site]) => site);
    for (const site of lost) this.#sites.delete(site);
    return lost;
  }

  clear(): void {
    this.#sites.clear();
  }
}

/** The stack without its heading and this library's own frames. */
function callerFrames(stack = ""): string {
  const frames = stack.split("\n").filter((line) => /^\s+at |@/.test(line));
  const first = frames.findIndex((line) => !/\b(?:Tracer|Arena|ClassPool|CachedPool|Scope)\.#?\w+/.test(line));
  return frames.slice(Math.max(first, 0)).join("\n");
}
