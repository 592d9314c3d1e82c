/**
 * Traced leases: where those still out were acquired, and which lease had a byte
 * last. Owns the list of traced leases, and the word from the garbage collector on
 * single leases where their memory stays. An untraced lease costs nothing here.
 */

import { type Lease, watchLease } from "../lease/lease.js";
import type { BlockOwner, LeaseWatch } from "../lease/owner.js";
import type { TraceLevel } from "../options.js";
import { Sites, type TraceSite } from "./sites.js";
import { callerFrames } from "./stack.js";

/** Of `"sampled"`: one lease in this many. */
const SAMPLE_EVERY = 128;

/** Where memories are never collected, one lease in this many is registered with the collector even with tracing off. */
const REGISTER_EVERY = 1024;

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
    this.#tracer.move(this.#trace, place, ptr, byteLength);
  }

  ended(owner: BlockOwner): void {
    this.#tracer.end(this.#trace);
    // After the trace: a stray write names this lease among the last.
    if (this.#trace.acquired !== undefined) owner.inspectTrap();
  }
}

/** One for all arenas, and never collected: see memory/account.ts. */
const registry = new FinalizationRegistry<{ trace: Trace; link: WeakRef<TracerLink> }>(({ trace, link }) => {
  link.deref()?.tracer?.lost(trace);
});

/** Stands for a tracer in a `WeakRef`, which keeps its target until the current job ends. */
class TracerLink {
  tracer: Tracer | undefined;

  constructor(tracer: Tracer) {
    this.tracer = tracer;
  }
}

export class Tracer {
  level: TraceLevel;
  readonly #registers: boolean;
  readonly #onLost: LostListener;
  readonly #link = new TracerLink(this);
  readonly #weakLink = new WeakRef(this.#link);
  /** Traced leases that are out, by the memory they lie in. */
  readonly #traces = new Map<object, Set<Trace>>();
  /** Of each memory, the last traced lease that ended at an address; the latest last. */
  readonly #ended = new WeakMap<object, Map<number, Trace>>();
  #waiterCallSite: string | undefined;

  /** @param registers whether the arena holds its memory strongly, so that the collector must look for single leases. */
  constructor(level: TraceLevel, registers: boolean, onLost: LostListener) {
    this.level = level;
    this.#registers = registers;
    this.#onLost = onLost;
  }

  /** One lease in this many is traced; 0 for none. */
  get every(): number {
    if (this.level === "off") return this.#registers ? REGISTER_EVERY : 0;
    return this.level === "all" ? 1 : SAMPLE_EVERY;
  }

  /** The traced leases that are still out, by call site, most bytes first. */
  get sites(): readonly TraceSite[] {
    return group([...this.#traces.values()].flatMap((traces) => [...traces]));
  }

  /** Remembers where `lease` was acquired. Runs the caller's `Error.prepareStackTrace`: last of all. */
  watch(lease: Lease): void {
    const acquired = this.#waiterCallSite ?? this.callSite();
    watchLease(lease, (owner) => {
      const { byteLength, byteOffset: ptr } = lease;
      const trace: Trace = { place: owner.place, ptr, byteLength, acquired };
      this.#add(trace);
      if (this.#registers) registry.register(lease, { trace, link: this.#weakLink }, trace);
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
    return group([...(this.#traces.get(place) ?? []), ...(this.#ended.get(place)?.values() ?? [])]);
  }

  /** The traced leases of a memory that was collected, by call site; they are no longer out. */
  writeOff(place: object): readonly TraceSite[] {
    const lost = this.#traces.get(place) ?? [];
    this.#traces.delete(place);
    return group(lost);
  }

  /** The lease was released. */
  end(trace: Trace): void {
    this.#remove(trace);
    if (this.#registers) registry.unregister(trace);
    if (trace.acquired === undefined) return;
    trace.released = callerFrames();
    const ended = this.#ended.get(trace.place) ?? new Map<number, Trace>();
    this.#ended.set(trace.place, ended);
    ended.delete(trace.ptr);
    ended.set(trace.ptr, trace);
  }

  /** The lease lies elsewhere now, or has another length. */
  move(trace: Trace, place: object, ptr: number, byteLength: number): void {
    this.#remove(trace);
    Object.assign(trace, { place, ptr, byteLength });
    this.#add(trace);
  }

  /** The lease was collected without a release, and its memory was not. */
  lost(trace: Trace): void {
    if (this.#remove(trace)) this.#onLost(trace.place, trace.byteLength, group([trace]));
  }

  /** The arena was disposed: nothing here keeps it. */
  close(): void {
    this.#traces.clear();
    this.#link.tracer = undefined;
  }

  #add(trace: Trace): void {
    const traces = this.#traces.get(trace.place) ?? new Set();
    this.#traces.set(trace.place, traces.add(trace));
  }

  #remove(trace: Trace): boolean {
    const traces = this.#traces.get(trace.place);
    if (traces === undefined || !traces.delete(trace)) return false;
    if (traces.size === 0) this.#traces.delete(trace.place);
    return true;
  }
}

function group(traces: Iterable<Trace>): TraceSite[] {
  const sites = new Sites();
  for (const { acquired, byteLength } of traces) if (acquired !== undefined) sites.add(acquired, 1, byteLength);
  return sites.list();
}
