/**
 * Traced leases: where those still out were acquired, and which lease had a byte
 * last. Owns the traces, and the word from the garbage collector on single leases
 * where their memory stays. An untraced lease costs nothing here.
 *
 * T1  A stack is read when somebody asks for it, or after a collection of garbage: one
 *     that is not read may keep its lease, or any other, from being collected. A trace
 *     that only its released lease still knows has no stack that was not read.
 */

import { type Lease, watchLease } from "../lease/lease.js";
import type { BlockOwner, LeaseWatch } from "../lease/owner.js";
import { Link } from "../link.js";
import type { TraceLevel } from "../options.js";
import { ProfileMark } from "./profile.js";
import type { SampleRates } from "./sampler.js";
import { type SiteKind, Sites, type TraceSite } from "./sites.js";
import { type Stack, takeStack, textOf } from "./stack.js";

/** Where memories are never collected, one lease in this many is registered with the collector even with tracing off. */
const REGISTER_EVERY = 1024;

/** Traced leases that ended last: who had a byte, and who does release. */
const ENDED_AT_MOST = 4096;

/** A traced lease. Does not hold it, once its stacks are read. */
export interface Trace {
  /** The memory it lies in. */
  place: object;
  ptr: number;
  byteLength: number;
  /** How many leases it stands for. */
  readonly weight: number;
  /** When it was acquired, by `performance.now()`. */
  readonly since: number;
  /** `undefined` for a lease that is registered without being traced. */
  acquired: Stack | undefined;
  /** Where it was released. */
  released: Stack | undefined;
  /** Released, and still out. */
  isPinned: boolean;
  /** A writer has released it for a longer block: not its caller. */
  wasReplaced?: boolean;
}

/** Where somebody called for whom leases are acquired later. */
export interface CallSite {
  stack: Stack;
}

/** Told of a lease that was collected without a release, where its memory is not. */
export type LostListener = (trace: Trace) => void;

/** The traces of leases that are out, found by their memory: of a thousand that leak, each has its own. */
class LiveTraces {
  readonly #byPlace = new Map<object, Set<Trace>>();

  add(trace: Trace): void {
    const here = this.#byPlace.get(trace.place);
    if (here === undefined) this.#byPlace.set(trace.place, new Set([trace]));
    else here.add(trace);
  }

  delete(trace: Trace): boolean {
    const here = this.#byPlace.get(trace.place);
    if (!here?.delete(trace)) return false;
    if (here.size === 0) this.#byPlace.delete(trace.place);
    return true;
  }

  in(place: object): readonly Trace[] {
    return [...(this.#byPlace.get(place) ?? [])];
  }

  /** All of them, out of `place`. */
  takeFrom(place: object): readonly Trace[] {
    const taken = this.in(place);
    this.#byPlace.delete(place);
    return taken;
  }

  clear(): void {
    this.#byPlace.clear();
  }

  *[Symbol.iterator](): Iterator<Trace> {
    for (const here of this.#byPlace.values()) yield* here;
  }
}

class LeaseTrace implements LeaseWatch {
  readonly #trace: Trace;
  readonly #tracer: Tracer;

  constructor(trace: Trace, tracer: Tracer) {
    this.#trace = trace;
    this.#tracer = tracer;
  }

  get history(): string {
    const { acquired, released } = stacksOf(this.#trace);
    return `${acquired ? `\nacquired at:\n${acquired}` : ""}${released ? `\nreleased at:\n${released}` : ""}`;
  }

  resized({ account: place }: BlockOwner, ptr: number, byteLength: number): void {
    this.#tracer.moved(this.#trace, place, ptr, byteLength);
  }

  pinned(): void {
    this.#trace.released = takeStack();
    this.#trace.isPinned = true;
  }

  replaced(): void {
    this.#trace.wasReplaced = true;
  }

  ended(owner: BlockOwner): void {
    this.#tracer.end(this.#trace);
    // After the trace: a stray write names this lease among the last.
    if (this.#trace.acquired !== undefined) owner.inspectTrap?.();
  }
}

/**
 * One for all arenas, and never collected: see memory/account.ts. Without a trace: some
 * garbage was collected.
 */
const registry = new FinalizationRegistry<{ trace?: Trace; link: WeakRef<Link<Tracer>> }>(({ trace, link }) => {
  const tracer = link.deref()?.target;
  if (trace === undefined) tracer?.read();
  else tracer?.lost(trace);
});

export class Tracer {
  level: TraceLevel;
  readonly #sampleBytes: number;
  readonly #registers: boolean;
  readonly #onLost: LostListener;
  readonly #link = new Link<Tracer>(this);
  /** Traced leases that are out. */
  readonly #live = new LiveTraces();
  /** Those that ended last, in a circle. */
  readonly #ended: Trace[] = [];
  #endedAt = 0;
  /** Of leaks that were reported, by call site. */
  readonly #leaked = new Sites();
  /** Of these, those that `takeLeakedSites` has not answered yet. */
  #untold = new Sites();
  readonly #marks = new Set<WeakRef<ProfileMark>>();
  /** Whether `read` will be called after the next collection. */
  #isArmed = false;
  /** Those that were not read yet. */
  readonly #callSites = new Set<WeakRef<CallSite>>();
  #earlier: CallSite | undefined;

  /** @param registers whether the arena holds its memory strongly, so that the collector must look for single leases. */
  constructor(level: TraceLevel, sampleBytes: number, registers: boolean, onLost: LostListener) {
    this.level = level;
    this.#sampleBytes = sampleBytes;
    this.#registers = registers;
    this.#onLost = onLost;
  }

  get rates(): SampleRates {
    if (this.level === "sampled") return { traceEvery: 0, sampleBytes: this.#sampleBytes };
    const rarely = this.#registers ? REGISTER_EVERY : 0;
    return { traceEvery: this.level === "all" ? 1 : rarely, sampleBytes: 0 };
  }

  /** The traced leases that are still out, by call site, most bytes first. */
  get sites(): readonly TraceSite[] {
    return this.group(this.#live, "out");
  }

  /** The same leases, when none should be out any more. */
  get overdueSites(): readonly TraceSite[] {
    return this.group(this.#live, "forgotten");
  }

  /** Those that leaked, as far as that was reported. */
  get leakedSites(): readonly TraceSite[] {
    return this.#leaked.list("forgotten");
  }

  /** Those of leaks that were reported since this was asked last. */
  takeLeakedSites(): readonly TraceSite[] {
    const sites = this.#untold.list("forgotten");
    this.#untold = new Sites();
    return sites;
  }

  /** Whether `mark` is one of this arena's. */
  knows(mark: ProfileMark): boolean {
    return this.#heldMarks().includes(mark);
  }

  /** Counts from now on what is acquired, for as long as somebody holds the mark. */
  mark(): ProfileMark {
    const mark = new ProfileMark();
    this.#marks.add(new WeakRef(mark));
    return mark;
  }

  /** Remembers where `lease` was acquired. It stands for `weight` leases like it. */
  watch(lease: Lease, weight: number): void {
    const acquired = this.level === "off" ? undefined : (this.#earlier?.stack ?? takeStack());
    if (acquired !== undefined && this.#marks.size > 0) {
      for (const mark of this.#heldMarks()) mark.add(acquired, weight * lease.byteLength);
    }
    watchLease(lease, ({ account: place }) => {
      const { byteLength, byteOffset: ptr } = lease;
      const since = performance.now();
      const trace: Trace = { place, ptr, byteLength, weight, since, acquired, released: undefined, isPinned: false };
      this.#live.add(trace);
      this.#arm();
      if (this.#registers) registry.register(lease, { trace, link: this.#link.weak }, trace);
      return new LeaseTrace(trace, this);
    });
  }

  /** Where the caller is, for leases that are acquired later; `undefined` with tracing off. */
  callSite(): CallSite | undefined {
    if (this.level === "off") return undefined;
    const site = { stack: takeStack() };
    this.#callSites.add(new WeakRef(site));
    this.#arm();
    return site;
  }

  /** Runs `acquire` for a call that was made earlier, at `callSite`. */
  onBehalfOf<T>(callSite: CallSite | undefined, acquire: () => T): T {
    if (callSite === undefined) return acquire();
    this.#earlier = callSite;
    try {
      return acquire();
    } finally {
      this.#earlier = undefined;
    }
  }

  /** Which traced lease had the byte at `byteOffset` last. */
  lastAt(place: object, byteOffset: number): Trace | undefined {
    for (let back = 1; back <= this.#ended.length; back++) {
      const trace = this.#ended[(this.#endedAt - back + ENDED_AT_MOST) % ENDED_AT_MOST];
      if (trace?.place === place && trace.ptr <= byteOffset && byteOffset < trace.ptr + trace.byteLength) return trace;
    }
    return undefined;
  }

  /** The traced leases of a memory: those still out, and the last at each address. */
  tracesIn(place: object): readonly Trace[] {
    const last = new Map<number, Trace>();
    for (let each = 0; each < this.#ended.length; each++) {
      const trace = this.#ended[(this.#endedAt + each) % this.#ended.length] as Trace;
      if (trace.place === place) last.set(trace.ptr, trace);
    }
    return [...this.#live.in(place), ...last.values()];
  }

  /** The traced leases of a memory that was collected; they are no longer out. */
  writeOff(place: object): readonly Trace[] {
    return this.#live.takeFrom(place);
  }

  /** The lease has another length, and perhaps another block. */
  moved(trace: Trace, place: object, ptr: number, byteLength: number): void {
    const isOut = this.#live.delete(trace);
    Object.assign(trace, { place, ptr, byteLength });
    if (isOut) this.#live.add(trace);
  }

  /** The lease was released. */
  end(trace: Trace): void {
    this.#live.delete(trace);
    if (this.#registers) registry.unregister(trace);
    if (trace.acquired === undefined) return;
    trace.released ??= takeStack();
    trace.isPinned = false;
    const forgotten = this.#ended[this.#endedAt];
    this.#ended[this.#endedAt] = trace;
    this.#endedAt = (this.#endedAt + 1) % ENDED_AT_MOST;
    this.#arm();
    // T1
    if (typeof forgotten?.acquired === "object") forgotten.acquired = undefined;
    if (typeof forgotten?.released === "object") forgotten.released = undefined;
  }

  /** The lease was collected without a release, and its memory was not. */
  lost(trace: Trace): void {
    if (this.#live.delete(trace)) this.#onLost(trace);
  }

  /** The arena was disposed: nothing here keeps it. */
  close(): void {
    this.#live.clear();
    this.#ended.length = 0;
    this.#link.target = undefined;
  }

  /** T1. Runs the caller's `Error.prepareStackTrace`. */
  read(): void {
    this.#isArmed = false;
    for (const trace of [...this.#live, ...this.#ended]) readStacks(trace);
    for (const mark of this.#heldMarks()) mark.sites();
    for (const link of this.#callSites) {
      const site = link.deref();
      if (site !== undefined) site.stack = textOf(site.stack);
    }
    this.#callSites.clear();
  }

  /** Of leases that leaked, for their report. Runs the caller's `Error.prepareStackTrace`. */
  report(leaked: Iterable<Trace>): readonly TraceSite[] {
    return this.group(leaked, "forgotten", this.#leaked, this.#untold);
  }

  /** By call site, most bytes first. Runs the caller's `Error.prepareStackTrace`. */
  group(traces: Iterable<Trace>, kind: SiteKind, ...also: readonly Sites[]): readonly TraceSite[] {
    const now = performance.now();
    const sites = new Sites();
    const released = new Map<string, number>();
    // Copies: the caller's code may acquire and release.
    for (const trace of [...this.#ended]) {
      readStacks(trace);
      const stack = trace.acquired as string;
      if (!trace.wasReplaced) released.set(stack, (released.get(stack) ?? 0) + 1);
    }
    for (const trace of [...traces]) {
      readStacks(trace);
      const { byteLength, weight, since, acquired, isPinned } = trace;
      if (typeof acquired !== "string") continue;
      const share = {
        stack: acquired,
        leases: weight,
        byteLength: weight * byteLength,
        oldestMs: now - since,
        isEstimate: weight !== 1,
        pinned: isPinned ? weight : 0,
        released: released.get(acquired) ?? 0,
      };
      for (const each of [sites, ...also]) each.add(share);
    }
    return sites.list(kind);
  }

  #heldMarks(): ProfileMark[] {
    const held: ProfileMark[] = [];
    for (const link of this.#marks) {
      const mark = link.deref();
      if (mark === undefined) this.#marks.delete(link);
      else held.push(mark);
    }
    return held;
  }

  /** The collector takes something that nobody holds when it takes anything. */
  #arm(): void {
    if (this.#isArmed) return;
    this.#isArmed = true;
    registry.register({}, { link: this.#link.weak });
  }
}

/** Where a lease was acquired and released. Runs the caller's `Error.prepareStackTrace`. */
export function stacksOf(trace: Trace | undefined): { acquired: string | undefined; released: string | undefined } {
  if (trace !== undefined) readStacks(trace);
  return { acquired: trace?.acquired as string | undefined, released: trace?.released as string | undefined };
}

function readStacks(trace: Trace): void {
  if (typeof trace.acquired === "object") trace.acquired = textOf(trace.acquired);
  if (typeof trace.released === "object") trace.released = textOf(trace.released);
}
