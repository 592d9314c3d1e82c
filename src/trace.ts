/**
 * Watching leases: who acquired the ones still out, who released a block last,
 * and whether a caller's `written` was true. Owns the list of watched leases; an
 * unwatched lease costs nothing here.
 */

import { invalidArgument } from "./errors.js";
import { type Aftermath, type BlockOwner, Lease, StandIn } from "./lease.js";
import type { Tally } from "./ledger.js";
import type { TraceLevel } from "./options.js";
import { callerFrames } from "./stack.js";

/** Of `"sampled"`: one lease in this many. */
const SAMPLE_EVERY = 128;

/** Where only the collector can find a leak, one lease in this many is registered with it even with tracing off. */
const REGISTER_EVERY = 1024;

/** Leases of one call site that are still out, or were never released. */
export interface TraceSite {
  /** How many. */
  readonly leases: number;
  /** Bytes in them together. */
  readonly byteLength: number;
  /** The stack of their `acquire`, from the caller's frame on. */
  readonly stack: string;
}

/** A watched lease. Does not hold it. */
interface Watch {
  readonly tally: Tally;
  readonly ptr: number;
  readonly byteLength: number;
  /** `undefined` for a lease that is registered without being traced. */
  readonly acquired: string | undefined;
  released?: string;
}

/** Stands between a watched lease and its owner. */
class WatchedOwner extends StandIn {
  readonly #view: Uint8Array<ArrayBuffer>;
  readonly #watch: Watch;
  readonly #onEnd: (watch: Watch) => void;

  constructor(owner: BlockOwner, view: Uint8Array<ArrayBuffer>, watch: Watch, onEnd: (watch: Watch) => void) {
    super(owner);
    this.#view = view;
    this.#watch = watch;
    this.#onEnd = onEnd;
  }

  override get history(): string {
    const { acquired, released } = this.#watch;
    return `${acquired ? `\nacquired\n${acquired}` : ""}${released ? `\nreleased\n${released}` : ""}`;
  }

  override release(ptr: number, byteLength: number, written: number): Aftermath | undefined {
    // Length 0 where the view was detached: disposed, which the owner says, or revoked by others.
    const isKnown = this.#watch.acquired !== undefined && byteLength > 0 && this.#view.length === byteLength;
    const changed = isKnown
      ? this.#view.subarray(Math.min(written >>> 0, byteLength)).findIndex((byte) => byte !== 0)
      : -1;
    if (changed >= 0) {
      throw invalidArgument("written", written, `at least ${written + changed + 1}: the byte before it was changed`);
    }
    const after = super.release(ptr, byteLength, written);
    this.#onEnd(this.#watch);
    return after;
  }
}

export class Tracer {
  level: TraceLevel;
  readonly #registers: boolean;
  /** Called for a lease that was collected without a release, where its memory is not. */
  readonly #onLost: (tally: Tally, byteLength: number, sites: readonly TraceSite[]) => void;
  readonly #watches = new Set<Watch>();
  /** Of each memory, the last watched lease that ended at an address; the latest last. */
  readonly #ended = new WeakMap<Tally, Map<number, Watch>>();
  readonly #lost = new FinalizationRegistry<Watch>((watch) => {
    if (this.#watches.delete(watch)) this.#onLost(watch.tally, watch.byteLength, group([watch]));
  });
  #waitingCallSite: string | undefined;

  /** @param registers whether the arena holds its memory for good, so that the collector must look for single leases. */
  constructor(
    level: TraceLevel,
    registers = false,
    onLost: (tally: Tally, byteLength: number, sites: readonly TraceSite[]) => void = () => {},
  ) {
    this.level = level;
    this.#registers = registers;
    this.#onLost = onLost;
  }

  /** One lease in this many is to be watched; 0 for none. */
  get every(): number {
    if (this.level === "off") return this.#registers ? REGISTER_EVERY : 0;
    return this.level === "all" ? 1 : SAMPLE_EVERY;
  }

  /** The watched leases that are still out, by call site, most bytes first. */
  get sites(): readonly TraceSite[] {
    return group(this.#watches);
  }

  /** Remembers where `lease` was acquired, until the lease itself is forgotten. */
  watch(lease: Lease): Lease {
    const acquired = this.#waitingCallSite ?? this.callSite();
    const { bytes, byteLength, byteOffset: ptr } = lease;
    return Lease.watch(lease, (owner) => {
      const watch: Watch = { tally: owner.tally, ptr, byteLength, acquired };
      this.#watches.add(watch);
      if (this.#registers && owner.tally.kind === "segment") this.#lost.register(lease, watch, watch);
      return new WatchedOwner(owner, bytes, watch, this.#end);
    });
  }

  /** The caller's stack; `undefined` with tracing off. */
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

  /** Who had the byte at `byteOffset` last, of those that were watched. */
  lastAt(tally: Tally, byteOffset: number): { acquired: string | undefined; released: string | undefined } {
    let last: Watch | undefined;
    for (const watch of this.#ended.get(tally)?.values() ?? []) {
      if (watch.ptr <= byteOffset && byteOffset < watch.ptr + watch.byteLength) last = watch;
    }
    return { acquired: last?.acquired, released: last?.released };
  }

  /** The watched leases of a memory that was collected, by call site; they are no longer out. */
  writeOff(tally: Tally): readonly TraceSite[] {
    const lost = [...this.#watches].filter((watch) => watch.tally === tally);
    for (const watch of lost) this.#watches.delete(watch);
    return group(lost);
  }

  clear(): void {
    this.#watches.clear();
  }

  readonly #end = (watch: Watch): void => {
    this.#watches.delete(watch);
    if (this.#registers) this.#lost.unregister(watch);
    if (watch.acquired === undefined) return;
    watch.released = callerFrames();
    const ended = this.#ended.get(watch.tally) ?? new Map<number, Watch>();
    this.#ended.set(watch.tally, ended);
    ended.delete(watch.ptr);
    ended.set(watch.ptr, watch);
  };
}

function group(watches: Iterable<Watch>): TraceSite[] {
  const sites = new Map<string, { leases: number; byteLength: number; stack: string }>();
  for (const { acquired: stack, byteLength } of watches) {
    if (stack === undefined) continue;
    const site = sites.get(stack) ?? { leases: 0, byteLength: 0, stack };
    site.leases++;
    site.byteLength += byteLength;
    sites.set(stack, site);
  }
  return [...sites.values()].sort((a, b) => b.byteLength - a.byteLength || b.leases - a.leases);
}
