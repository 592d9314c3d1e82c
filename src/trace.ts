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
    // Length 0 where the view was detached: disposed, which the owner says, or revoked by others. No bytes, no lie.
    const nothingToSee = byteLength === 0 || this.#view.length < byteLength;
    const changed = nothingToSee
      ? -1
      : this.#view.subarray(Math.min(written, byteLength)).findIndex((byte) => byte !== 0);
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
  #waitingCallSite: string | undefined;

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
    const site: TraceSite = { byteLength: lease.byteLength, stack: this.#waitingCallSite ?? callerFrames() };
    const { bytes } = lease;
    return Lease.watch(lease, (owner) => {
      this.#sites.set(site, owner.tally);
      return new WatchedOwner(owner, bytes, () => this.#sites.delete(site));
    });
  }

  /** The caller's stack, to be kept by who waits for a lease; `undefined` with tracing off. */
  callSite(): string | undefined {
    return this.level === "off" ? undefined : callerFrames();
  }

  /** Runs `acquire` for somebody who asked earlier, at `callSite`. */
  onBehalfOf(callSite: string | undefined, acquire: () => Lease | null): Lease | null {
    this.#waitingCallSite = callSite;
    try {
      return acquire();
    } finally {
      this.#waitingCallSite = undefined;
    }
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

/** Frames that the library itself may add to a stack. */
const OWN_FRAMES = 12;

/** Where a frame of any engine says that it lies: everything before `:line:column`. */
const FRAME_LOCATION = /^\s*at (?:.*? \((.*):\d+:\d+\)|(?:async )?(.*):\d+:\d+)$|@(.*):\d+:\d+$/;

/**
 * The stack from the caller's frame on. Read at once, because an unread stack
 * keeps its callers' objects, and so the lease, alive. The library's own frames
 * are known by lying where this file does; bundled into the caller's file they
 * cannot be told apart, and stay.
 */
function callerFrames(): string {
  const stack: unknown = readStack(); // Error.prepareStackTrace may make it anything
  if (typeof stack !== "string") return "";
  const frames = stack.split("\n").filter((line) => FRAME_LOCATION.test(line));
  const folders = frames.map(folderOf);
  const first = folders.findIndex((folder) => folder !== folders[0]);
  return frames.slice(Math.max(first, 0)).join("\n");
}

function readStack(): string {
  const limits = Error as { stackTraceLimit?: number };
  const { stackTraceLimit } = limits;
  try {
    if (stackTraceLimit !== undefined) limits.stackTraceLimit = stackTraceLimit + OWN_FRAMES;
    return new Error().stack ?? "";
  } catch {
    return new Error().stack ?? ""; // frozen intrinsics: as deep as they let us
  } finally {
    if (stackTraceLimit !== undefined && limits.stackTraceLimit !== stackTraceLimit) {
      limits.stackTraceLimit = stackTraceLimit;
    }
  }
}

function folderOf(frame: string): string | undefined {
  const [, inParentheses, bare, behindAt] = FRAME_LOCATION.exec(frame) ?? [];
  return (inParentheses ?? bare ?? behindAt)?.replace(/[^/\\]*$/, "");
}
