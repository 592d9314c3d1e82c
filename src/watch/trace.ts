/**
 * Traced leases: where those still out were acquired, and which lease had a byte
 * last. Owns the list of traced leases, and the word from the garbage collector on
 * single leases where their memory stays. An untraced lease costs nothing here.
 */

import { type Lease, watchLease } from "../lease/lease.js";
import type { BlockOwner, LeaseWatch } from "../lease/owner.js";
import type { TraceLevel } from "../options.js";
import { callerFrames } from "./stack.js";

/** Of `"sampled"`: one lease in this many. */
const SAMPLE_EVERY = 128;

/** Where memories are never collected, one lease in this many is registered with the collector even with tracing off. */
const REGISTER_EVERY = 1024;

/** Leases of one call site. */
export interface TraceSite {
  /** How many. */
  readonly leases: number;
  /** Bytes in them together. */
  readonly byteLength: number;
  /** The stack of their `acquire`, from the caller's frame on. */
  readonly stack: string;
}

/** A traced lease. Does not hold it. */
interface Trace {
  /** The memory it lies in. */
  place: object;
  ptr: number;
  byteLength: number;
  /** `undefined` for a lease that is registered without being traced. */
  readonly acquired: string | undefined;
  released?: string;
}

/** Told of a lease that was collected without a release, where its memory is not. */
export type LostListener = (place: object, byteLength: number, sites: readonly TraceSite[]) => void;

class LeaseTrace implements LeaseWatch {
  readonly #trace: Trace;
  readonly #tracer: Tracer;

  constructor(trace: Trace, tracer: Tracer) {
    this.#trace = trace;
    this.#tracer = tracer;
  }

  get history(): string {
    const { acquired, released } = this.#trace;
    return `${acquired ? `\nacquired\n${acquired}` : ""}${released ? `\nreleased\n${released}` : ""}`;
  }

  resized({ place }: BlockOwner, ptr: number, byteLength: number): void {
    Object.assign(this.#trace, { place, ptr, byteLength });
  }

  ended(owner: BlockOwner): void {
    this.#tracer.end(this.#trace);
    // After the trace: a stray write names this lease among the last.
    if (this.#trace.acquired !== undefined) owner.inspectTrap();
  }
}

export class Tracer {
  level: TraceLevel;
  readonly #registers: boolean;
  readonly #traces = new Set<Trace>();
  /** Of each memory, the last traced lease that ended at an address; the latest last. */
  readonly #ended = new WeakMap<object, Map<number, Trace>>();
  readonly #lost: FinalizationRegistry<Trace>;
  #waiterCallSite: string | undefined;

  /** @param registers whether the arena holds its memory strongly, so that the collector must look for single leases. */
  constructor(level: TraceLevel, registers: boolean, onLost: LostListener) {
    this.level = level;
    this.#registers = registers;
    this.#lost = new FinalizationRegistry((trace) => {
      if (this.#traces.delete(trace)) onLost(trace.place, trace.byteLength, group([trace]));
    });
  }

  /** One lease in this many is traced; 0 for none. */
  get every(): number {
    if (this.level === "off") return this.#registers ? REGISTER_EVERY : 0;
    return this.level === "all" ? 1 : SAMPLE_EVERY;
  }

  /** The traced leases that are still out, by call site, most bytes first. */
  get sites(): readonly TraceSite[] {
    return group(this.#traces);
  }

  /** Remembers where `lease` was acquired. Runs the caller's `Error.prepareStackTrace`: last of all. */
  watch(lease: Lease): void {
    const acquired = this.#waiterCallSite ?? this.callSite();
    watchLease(lease, (owner) => {
      const { byteLength, byteOffset: ptr } = lease;
      const trace: Trace = { place: owner.place, ptr, byteLength, acquired };
      this.#traces.add(trace);
      if (this.#registers) this.#lost.register(lease, trace, trace);
      return new LeaseTrace(trace, this);
    });
  }

  /** The caller's stack; `undefined` with tracing off. */
  callSite(): string | undefined {
    return this.level === "off" ? undefined : callerFrames();
  }

  /** Runs `acquire` for a call that was made earlier, at `callSite`. */
  onBehalfOf<T>(callSite: string | undefined, acquire: () => T): T {
    this.#waiterCallSite = callSite;
    try {
      return acquire();
    } finally {
      this.#waiterCallSite = undefined;
    }
  }

  /** Which traced lease had the byte at `byteOffset` last. */
  lastAt(place: object, byteOffset: number): { acquired: string | undefined; released: string | undefined } {
    let last: Trace | undefined;
    for (const trace of this.#ended.get(place)?.values() ?? []) {
      if (trace.ptr <= byteOffset && byteOffset < trace.ptr + trace.byteLength) last = trace;
    }
    return { acquired: last?.acquired, released: last?.released };
  }

  /** Where the traced leases of a memory were acquired: those still out, and the last at each address. */
  sitesIn(place: object): readonly TraceSite[] {
    const live = [...this.#traces].filter((trace) => trace.place === place);
    return group([...live, ...(this.#ended.get(place)?.values() ?? [])]);
  }

  /** The traced leases of a memory that was collected, by call site; they are no longer out. */
  writeOff(place: object): readonly TraceSite[] {
    const lost = [...this.#traces].filter((trace) => trace.place === place);
    for (const trace of lost) this.#traces.delete(trace);
    return group(lost);
  }

  /** The lease was released. */
  end(trace: Trace): void {
    this.#traces.delete(trace);
    if (this.#registers) this.#lost.unregister(trace);
    if (trace.acquired === undefined) return;
    trace.released = callerFrames();
    const ended = this.#ended.get(trace.place) ?? new Map<number, Trace>();
    this.#ended.set(trace.place, ended);
    ended.delete(trace.ptr);
    ended.set(trace.ptr, trace);
  }

  clear(): void {
    this.#traces.clear();
  }
}

function group(traces: Iterable<Trace>): TraceSite[] {
  const sites = new Map<string, { leases: number; byteLength: number; stack: string }>();
  for (const { acquired: stack, byteLength } of traces) {
    if (stack === undefined) continue;
    const site = sites.get(stack) ?? { leases: 0, byteLength: 0, stack };
    site.leases++;
    site.byteLength += byteLength;
    sites.set(stack, site);
  }
  return [...sites.values()].sort((a, b) => b.byteLength - a.byteLength || b.leases - a.leases);
}
