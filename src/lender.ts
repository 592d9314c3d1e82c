/**
 * From a length to a lease: which store, which leases are guarded and traced, what
 * happens at the cap, and several leases at once. Owns the stores, the cap, the queue
 * and the notices of one arena. How a store works is its own business; which mode it
 * follows is decided in stores/choose.ts alone.
 */

import { fillBytes } from "./builtins.js";
import { type AbortSignalLike, requireLeaseLength } from "./checks.js";
import {
  type ArenaError,
  arenaDisposed,
  arenaExhausted,
  heapExhausted,
  invalidArgument,
  neverFits,
  nothingToWaitFor,
} from "./errors.js";
import type { Lease } from "./lease/lease.js";
import type { LeaseSource } from "./lease/source.js";
import { type Account, AccountTable } from "./memory/account.js";
import { Budget } from "./memory/budget.js";
import type { Settings, TraceLevel } from "./options.js";
import { chooseStores, type Stores } from "./stores/choose.js";
import { type Store, WipePolicy } from "./stores/store.js";
import { type RoomRequest, WaitQueue } from "./waiting.js";
import { isAnnounced } from "./watch/channels.js";
import type { ArenaEventTarget } from "./watch/events.js";
import { Notices } from "./watch/notices.js";
import { type HeapProfile, heapProfile, type ProfileMark } from "./watch/profile.js";
import { type Due, Sampler } from "./watch/sampler.js";
import { type ArenaStats, type AuditReport, auditArena, collectStats, countLive } from "./watch/stats.js";
import { type CallSite, stacksOf, Tracer } from "./watch/trace.js";

/** No length is so short: every acquire takes the slow path. */
const NONE = -1;

export class Lender implements LeaseSource {
  readonly settings: Settings;
  readonly table: AccountTable;
  isDisposed = false;
  readonly #policy: WipePolicy;
  readonly #stores: Stores;
  readonly #short: Store;
  /** Longest lease on the fast path, in bytes. `NONE` while every lease is traced, and after dispose. */
  #longest: number;
  readonly #sampler: Sampler;
  readonly tracer: Tracer;
  readonly #queue: WaitQueue;
  readonly #notices: Notices;
  #dirtyBlocks = 0;
  #strayWrites = 0;
  #missedGuards = 0;
  /** A store holds memory again that leaked leases may lie in, while somebody waits. */
  #mustYield = false;

  /** @param arena the target of events and messages. */
  constructor(settings: Settings, module: object, arena: ArenaEventTarget) {
    this.settings = settings;
    this.#policy = new WipePolicy(settings.wipeOnRelease);
    this.tracer = new Tracer(settings.trace, settings.sampleBytes, settings.revoke === "never", (trace) => {
      const { byteLength, isPinned } = trace;
      const account = trace.place as Account;
      account.live--;
      if (isPinned) account.pinned--;
      account.liveBytes -= byteLength;
      this.table.leakedLeases++;
      this.table.leakedBytes += byteLength;
      this.#notices.leak(1, byteLength, [trace]);
    });
    this.#sampler = new Sampler(settings.guardEvery, this.tracer.rates);
    this.#queue = new WaitQueue({
      take: (request) => this.#takeAll(request),
      cannotServe: (request) => this.#cannotServe(request.byteLengths),
      liveLeases: () => countLive(this.table).liveLeases,
      wake: () => this.#notices.wake(),
      waited: ({ byteLengths }, since, isServed) => settings.timeline?.waited(sumOf(byteLengths), since, isServed),
    });
    this.#notices = new Notices(
      arena,
      () => this.#serve(),
      (leaked) => this.tracer.report(leaked),
    );
    this.table = new AccountTable(
      new Budget(settings.maxBytes),
      {
        collected: (account) => this.#collected(account),
        revoked: ({ reservedBytes }) => this.#notices.tally("revoke", reservedBytes),
      },
      settings.timeline,
    );
    const host = {
      source: this,
      policy: this.#policy,
      roomMade: () => {
        if (this.#queue.waiters > 0) this.#notices.wake();
      },
      held: () => {
        if (this.#queue.waiters === 0) return;
        this.#mustYield = true;
        this.#notices.wake();
      },
      dirty: (account: Account, byteOffset: number) => {
        this.#dirtyBlocks++;
        const last = this.tracer.lastAt(account, byteOffset);
        this.#notices.counted("dirty", () => ({ byteOffset, ...stacksOf(last) }));
      },
      strayWrite: (account: Account, byteOffset: number) => {
        this.#strayWrites++;
        const traces = this.tracer.tracesIn(account);
        this.#notices.counted("stray-write", () => ({ byteOffset, sites: this.tracer.group(traces, "in segment") }));
      },
    };
    this.#stores = chooseStores(settings, this.table, host, module);
    this.#short = this.#stores.short;
    this.#longest = NONE;
    this.#applyTrace();
  }

  acquire(byteLength: number): Lease {
    // Fast path only, so that V8 inlines it.
    if (
      typeof byteLength === "number" &&
      byteLength >>> 0 === byteLength &&
      --this.#sampler.left > 0 &&
      byteLength <= this.#longest &&
      !isAnnounced() &&
      this.#sampler.passes(byteLength)
    ) {
      const lease = this.#short.acquire(byteLength);
      if (lease !== null) return lease;
      this.#sampler.bytesLeft += byteLength;
    }
    return this.#acquireSlow(byteLength, true);
  }

  /** A lease with earlier leases' bytes in it; zero where releases wipe. */
  acquireUnzeroed(byteLength: number): Lease {
    if (
      typeof byteLength === "number" &&
      byteLength >>> 0 === byteLength &&
      --this.#sampler.left > 0 &&
      byteLength <= this.#longest &&
      !isAnnounced() &&
      !this.#policy.wipes &&
      this.#sampler.passes(byteLength)
    ) {
      const lease = this.#short.acquireUnzeroed(byteLength);
      if (lease !== null) return lease;
      this.#sampler.bytesLeft += byteLength;
    }
    return this.#acquireSlow(byteLength, this.#policy.wipes);
  }

  zero(bytes: Uint8Array, start: number, end: number): void {
    fillBytes(bytes, 0, start, end);
  }

  /** A promise for the moment when no lease is out. */
  drained(signal: AbortSignalLike | undefined): Promise<void> {
    // What leaked leases hold must become collectable while somebody waits for them.
    if (countLive(this.table).liveLeases > 0) this.#yieldMemory();
    return this.#queue.waitUntilDrained(signal);
  }

  setTrace(level: TraceLevel): void {
    this.tracer.level = level;
    this.#sampler.set(this.tracer.rates);
    this.#applyTrace();
  }

  /** What is out, or what was acquired since `mark`, by call site. */
  profile(mark: ProfileMark | undefined): HeapProfile {
    if (mark !== undefined) {
      if (!this.tracer.knows(mark)) throw invalidArgument("since", mark, "what mark() of this arena returned");
      return heapProfile(mark.sites(), [], 0);
    }
    const { sites, leakedSites, level } = this.tracer;
    const traced = sites.reduce((sum, { byteLength }) => sum + byteLength, 0);
    // Of samples the sum is an estimate already.
    const untraced = level === "sampled" ? 0 : countLive(this.table).liveBytes - traced;
    return heapProfile(sites, leakedSites, untraced);
  }

  stats(): ArenaStats {
    return collectStats(this.table, this.#stores.all, {
      overflowed: this.#stores.heap.acquired,
      dirtyBlocks: this.#dirtyBlocks,
      strayWrites: this.#strayWrites,
      missedGuards: this.#missedGuards,
      waiting: this.#queue.length,
      waitingBytes: this.#queue.byteLength,
      waitingMs: this.#queue.headMs,
      waited: this.#queue.counts,
      bookBytes: this.isDisposed ? 0 : this.#short.bookBytes,
    });
  }

  audit(): AuditReport {
    return auditArena(this.table, this.#stores.all);
  }

  /** Drops every memory without leases: bytes let go of. */
  trim(): number {
    const { budget } = this.table;
    const before = budget.reservedBytes;
    for (const store of this.#stores.all) store.trim();
    if (this.#queue.waiters > 0) this.#notices.wake();
    return before - budget.reservedBytes;
  }

  /** A second call ends what a stack overflow left of the first. */
  dispose(): void {
    this.isDisposed = true;
    this.#longest = NONE;
    for (const store of this.#stores.all) store.dispose();
    for (const account of [...this.table.accounts]) {
      account.owner?.close();
      // Its owner may be gone without the collector having said so.
      this.table.drop(account);
    }
    this.tracer.close();
    this.table.close();
    this.#notices.close();
    this.#queue.close(arenaDisposed("acquire"));
  }

  #acquireSlow(byteLength: number, isZeroed: boolean): Lease {
    requireLeaseLength(byteLength);
    this.requireUse("acquire");
    const { maxBytes } = this.table.budget;
    if (byteLength > maxBytes) throw neverFits(byteLength, maxBytes);
    const due = this.#sampler.due(byteLength);
    return this.#attempt(byteLength, isZeroed, due) ?? this.#overflow(byteLength, due);
  }

  /** A lease, guarded and traced as is due; `null` if there is no room. */
  #attempt(byteLength: number, isZeroed: boolean, due: Due | undefined): Lease | null {
    this.requireUse("acquire");
    const guard = due?.guard ? (this.#stores.guards?.acquire(byteLength) ?? null) : null;
    if (due?.guard && guard === null && this.#stores.guards !== null) this.#missedGuards++;
    const lease = guard ?? this.#fromStores(byteLength, isZeroed);
    if (lease !== null) this.#observe(lease, due);
    return lease;
  }

  #observe(lease: Lease, due: Due | undefined): void {
    if (isAnnounced()) this.#notices.announce(lease);
    if (due !== undefined && due.weight > 0) this.tracer.watch(lease, due.weight);
  }

  /** From the store for the length, which makes room if it can. */
  #fromStores(byteLength: number, isZeroed: boolean): Lease | null {
    const { short, long, spans } = this.#stores;
    const store = byteLength <= short.longest ? short : long;
    const attempt = (): Lease | null => {
      const lease = isZeroed ? store.acquire(byteLength) : store.acquireUnzeroed(byteLength);
      if (lease !== null || store === short || spans === null || byteLength > spans.longestSpan) return lease;
      return spans.acquireSpan(byteLength, isZeroed);
    };
    return attempt() ?? (this.#yieldMemory() ? attempt() : null);
  }

  /** Room was refused: what no lease needs is given up. */
  #yieldMemory(): boolean {
    let made = false;
    for (const store of this.#stores.all) made = store.yieldMemory() || made;
    return made;
  }

  /** The cap leaves no room. */
  #overflow(byteLength: number, due: Due | undefined): Lease {
    const { reservedBytes, maxBytes } = this.table.budget;
    if (this.settings.onExhausted === "throw") throw arenaExhausted(byteLength, reservedBytes, maxBytes);
    let lease: Lease;
    try {
      lease = this.#stores.heap.acquire(byteLength);
    } catch (cause) {
      throw heapExhausted(byteLength, maxBytes, cause);
    }
    this.#notices.counted("exhausted", () => ({ byteLength, reservedBytes }));
    this.#observe(lease, due);
    return lease;
  }

  acquireAll(wanted: Omit<RoomRequest, "callSite">, signal: AbortSignalLike | undefined): Promise<Lease[]> {
    const { byteLengths } = wanted;
    const { maxBytes } = this.table.budget;
    const total = sumOf(byteLengths);
    const longest = byteLengths.reduce((most, byteLength) => Math.max(most, byteLength), 0);
    if (total > maxBytes || this.#stores.long.bytesFor([longest]) > maxBytes) throw neverFits(total, maxBytes);
    if (this.#queue.length === 0) {
      const leases = this.#takeAll({ ...wanted, callSite: undefined });
      if (leases !== null) return Promise.resolve(leases);
      const error = this.#cannotServe(byteLengths);
      if (error !== undefined) throw error;
    }
    return this.#queue.waitForRoom({ ...wanted, callSite: this.tracer.callSite() }, signal);
  }

  /** All of these leases or, if they do not fit together, none of them. */
  #takeAll(request: RoomRequest, mayTrim = true): Lease[] | null {
    const { byteLengths, isZeroed, callSite } = request;
    if (byteLengths.length > 1 && !this.#mayFit(byteLengths)) {
      // What leaked leases hold must become collectable while somebody waits for it.
      this.#yieldMemory();
      if (!this.#mayFit(byteLengths)) return null;
    }
    return this.tracer.onBehalfOf(callSite as CallSite | undefined, () => {
      const leases: Lease[] = [];
      for (const byteLength of byteLengths) {
        this.#sampler.left--;
        const lease = this.#attempt(byteLength, isZeroed || this.#policy.wipes, this.#sampler.due(byteLength));
        if (lease === null) {
          for (const each of leases) each.release();
          if (leases.length === 0 || !mayTrim) return null;
          // An idle memory longer than planned was taken. Without those, the plan holds.
          this.#stores.long.trim();
          return this.#takeAll(request, false);
        }
        leases.push(lease);
      }
      return leases;
    });
  }

  /** Planned without carving: a plan that fails half way would use up room at each try. */
  #mayFit(byteLengths: readonly number[]): boolean {
    const { short, long } = this.#stores;
    const inShort = byteLengths.filter((byteLength) => byteLength <= short.longest);
    const inLong = byteLengths.filter((byteLength) => byteLength > short.longest);
    return short.bytesFor(inShort) + long.bytesFor(inLong) <= this.table.budget.headroom;
  }

  /** Why nobody can make room, once there was none. */
  #cannotServe(byteLengths: readonly number[]): ArenaError | undefined {
    const { reservedBytes, maxBytes } = this.table.budget;
    if (countLive(this.table).liveLeases > 0) return undefined;
    const total = sumOf(byteLengths);
    return nothingToWaitFor(total, reservedBytes, maxBytes);
  }

  /** Those who wait. What leaked leases hold stays collectable for as long as there are any. */
  #serve(): void {
    this.#queue.serve();
    if (this.#mustYield && this.#queue.waiters > 0) this.#yieldMemory();
    this.#mustYield = false;
  }

  /** The garbage collector took a memory that the arena did not hold. */
  #collected(account: Account): void {
    if (account.live > 0) {
      this.#notices.leak(account.live, account.liveBytes, this.tracer.writeOff(account));
    }
    if (this.#queue.waiters > 0) this.#notices.wake();
  }

  #applyTrace(): void {
    const isAll = this.tracer.level === "all";
    this.#policy.lookForDirty(isAll);
    this.#longest = isAll ? NONE : this.#short.longest;
  }

  requireUse(action: string): void {
    if (this.isDisposed) throw arenaDisposed(action);
  }
}

function sumOf(byteLengths: readonly number[]): number {
  return byteLengths.reduce((sum, byteLength) => sum + byteLength, 0);
}
