/**
 * The arena: the options, the cap, the queue of those who wait, and the doors to
 * leases. Which store serves a lease is decided here; how a store works is its own
 * business, and which mode it follows is decided in stores/choose.ts alone.
 */

import { ByteFiller } from "./bytes/filler.js";
import { ByteWriter } from "./bytes/writer.js";
import { type AbortSignalLike, checkSignal, requireLeaseLength, requireOptions } from "./checks.js";
import {
  type ArenaError,
  arenaDisposed,
  arenaExhausted,
  heapExhausted,
  invalidArgument,
  leasesOutstanding,
  neverFits,
  nothingToWaitFor,
} from "./errors.js";
import { type AsyncFillFunction, type FillFunction, leaseCopy, leaseFilled } from "./lease/filled.js";
import type { Lease } from "./lease/lease.js";
import { Scope } from "./lease/scope.js";
import type { LeaseSource } from "./lease/source.js";
import { lend } from "./lease/use.js";
import { memoriesAreFew, resolveModule } from "./memory/abi.js";
import { type Account, AccountTable } from "./memory/account.js";
import { Budget } from "./memory/budget.js";
import { type ArenaOptions, checkTrace, resolveOptions, type Settings, type TraceLevel } from "./options.js";
import { chooseStores, type Stores } from "./stores/choose.js";
import { type Store, WipePolicy } from "./stores/store.js";
import { type RoomRequest, WaitQueue } from "./waiting.js";
import { announce } from "./watch/announce.js";
import { isAnnounced } from "./watch/channels.js";
import { ArenaEventTarget } from "./watch/events.js";
import { Notices } from "./watch/notices.js";
import { Sampler } from "./watch/sampler.js";
import { type ArenaStats, type AuditReport, auditArena, collectStats, countLive } from "./watch/stats.js";
import { Tracer } from "./watch/trace.js";

/** No length is so short: every acquire takes the slow path. */
const NONE = -1;

/** Leases of one length. Made by `arena.pool()`; lives as long as the arena. */
export interface SizeClassPool {
  /** Bytes in each lease. */
  readonly byteLength: number;
  /**
   * A lease of `byteLength` zeroed bytes, exactly as from `arena.acquire`.
   *
   * @throws ArenaError as `arena.acquire` does.
   */
  acquire(): Lease;
}

/**
 * For the adapters: a lease with earlier leases' bytes in it, all of which they
 * overwrite or cut off before anyone sees it. No method, so that nobody else can call
 * it. An arena of another copy of the package gives a zeroed lease.
 */
export let acquireUnzeroed: (arena: Arena, byteLength: number) => Lease;

/** For the adapters: `arena.filler` that waits for room as `arena.acquireAsync` does. */
export let fillerWhenRoom: (
  arena: Arena,
  byteLength: number,
  signal: AbortSignalLike | undefined,
) => Promise<ByteFiller>;

/**
 * Memory under one cap, handed out as leases and taken back. An arena is for one
 * thread, and for code that releases what it acquires.
 *
 * Not worth it for lengths of 64 bytes and less, where a fresh array costs as
 * little, nor for buffers kept for long. Give leases of very different lifetimes
 * separate arenas: a segment is used again only when all its leases are released.
 *
 * Emits `"leak"`, `"dirty"`, `"stray-write"` and `"exhausted"`; see `ArenaEvents`.
 */
export class Arena extends ArenaEventTarget {
  readonly #settings: Settings;
  readonly #source: LeaseSource = {
    acquire: (byteLength) => this.acquire(byteLength),
    acquireUnzeroed: (byteLength) => this.#acquireUnzeroed(byteLength),
  };
  readonly #policy: WipePolicy;
  readonly #table: AccountTable;
  readonly #stores: Stores;
  readonly #short: Store;
  /** Longest lease on the fast path, in bytes. `NONE` while every lease is traced, and after dispose. */
  #longest: number;
  readonly #sampler: Sampler;
  readonly #tracer: Tracer;
  readonly #queue: WaitQueue;
  readonly #notices: Notices;
  #dirtyBlocks = 0;
  #strayWrites = 0;
  #missedGuards = 0;
  #isDisposed = false;

  static {
    const isOurs = (arena: object): boolean => #source in arena;
    acquireUnzeroed = (arena, byteLength) =>
      isOurs(arena) ? arena.#acquireUnzeroed(byteLength) : arena.acquire(byteLength);
    fillerWhenRoom = async (arena, byteLength, signal) => {
      const waits = { byteLengths: [byteLength], isZeroed: false };
      const leases = isOurs(arena)
        ? await arena.#acquireAll(waits, signal)
        : await arena.acquireAsync([byteLength], { signal });
      const acquired = (): Lease => leases[0] as Lease;
      return new ByteFiller({ acquire: acquired, acquireUnzeroed: acquired }, byteLength);
    };
  }

  /**
   * @throws ArenaError `ERR_INVALID_ARGUMENT` for an option out of range,
   *   `ERR_WASM_UNAVAILABLE` where WebAssembly is missing or forbidden.
   */
  constructor(options?: ArenaOptions) {
    super();
    const settings = resolveOptions(options, memoriesAreFew());
    const module = resolveModule(settings.module);
    this.#settings = settings;
    this.#policy = new WipePolicy(settings.wipeOnRelease);
    this.#tracer = new Tracer(settings.trace, settings.revoke === "never", (place, byteLength, sites) => {
      const account = place as Account;
      account.live--;
      account.liveBytes -= byteLength;
      this.#table.leakedLeases++;
      this.#notices.leak({ leases: 1, byteLength, sites });
    });
    this.#sampler = new Sampler(settings.guardEvery, this.#tracer.every);
    this.#queue = new WaitQueue({
      take: (request) => this.#takeAll(request),
      cannotServe: (request) => this.#cannotServe(request.byteLengths),
      liveLeases: () => countLive(this.#table).liveLeases,
      wake: () => this.#notices.wake(),
    });
    this.#notices = new Notices(this, () => this.#queue.serve());
    this.#table = new AccountTable(new Budget(settings.maxBytes), {
      collected: (account) => this.#collected(account),
      revoked: ({ reservedBytes }) => this.#notices.tally("revoke", reservedBytes),
    });
    const host = {
      source: this.#source,
      policy: this.#policy,
      roomMade: () => {
        if (this.#queue.waiters > 0) this.#notices.wake();
      },
      dirty: (account: Account, byteOffset: number) => {
        this.#dirtyBlocks++;
        this.#notices.counted("dirty", { byteOffset, ...this.#tracer.lastAt(account, byteOffset) });
      },
      strayWrite: (account: Account, byteOffset: number) => {
        this.#strayWrites++;
        this.#notices.counted("stray-write", { byteOffset, sites: this.#tracer.sitesIn(account) });
      },
    };
    this.#stores = chooseStores(settings, this.#table, host, module);
    this.#short = this.#stores.short;
    this.#longest = NONE;
    this.#applyTrace();
  }

  /**
   * A lease of exactly `byteLength` zeroed bytes. Release it once, on every path.
   *
   * @param byteLength bytes: a whole number from 0. Longer than 96 KiB takes a memory
   *   of its own, under the same cap.
   * @throws ArenaError `ERR_INVALID_ARGUMENT`; `ERR_ARENA_EXHAUSTED` if there is
   *   no room and `onExhausted` is `"throw"`, or the heap has none either, or the
   *   length is above `maxBytes`; `ERR_ARENA_DISPOSED`.
   */
  acquire(byteLength: number): Lease {
    // Fast path only, so that V8 inlines it.
    if (
      typeof byteLength === "number" &&
      byteLength >>> 0 === byteLength &&
      --this.#sampler.left > 0 &&
      byteLength <= this.#longest &&
      !isAnnounced()
    ) {
      const lease = this.#short.acquire(byteLength);
      if (lease !== null) return lease;
    }
    return this.#acquireSlow(byteLength, true);
  }

  /**
   * Like `acquire`, but waits for room where `acquire` would overflow or throw. With
   * several lengths: all of these leases at once or none, so that two callers cannot
   * each hold half of what they need. First come, first served; a plain `acquire`
   * does not queue.
   *
   * @param options `signal` gives up waiting: the promise rejects with its reason.
   * @returns a promise that rejects with an ArenaError: `ERR_INVALID_ARGUMENT`,
   *   `ERR_ARENA_EXHAUSTED` if so much can never fit under the cap, or the engine has no
   *   memory for it and no lease is out whose release could make room; `ERR_ARENA_DISPOSED`.
   */
  acquireAsync(byteLength: number, options?: { signal?: AbortSignalLike | undefined }): Promise<Lease>;
  acquireAsync(byteLengths: readonly number[], options?: { signal?: AbortSignalLike | undefined }): Promise<Lease[]>;
  async acquireAsync(
    wanted: number | readonly number[],
    options: { signal?: AbortSignalLike | undefined } = {},
  ): Promise<Lease | Lease[]> {
    const isList = Array.isArray(wanted);
    const byteLengths: readonly number[] = isList ? [...wanted] : [wanted as number];
    for (const byteLength of byteLengths) requireLeaseLength(byteLength);
    this.#requireUse("acquire");
    requireOptions(options);
    const signal = checkSignal(options.signal);
    if (signal?.aborted) throw signal.reason;
    const leases = await this.#acquireAll({ byteLengths, isZeroed: true }, signal);
    return isList ? leases : (leases[0] as Lease);
  }

  /**
   * Lends `byteLength` zeroed bytes to `fn` and takes them back whatever happens:
   * when `fn` returns or throws, or when the promise it returned settles.
   *
   * @returns what `fn` returns.
   * @throws what `fn` throws, and as `acquire` does. Should the release fail after
   *   `fn` did, an `AggregateError` of both.
   */
  use<T>(byteLength: number, fn: (bytes: Uint8Array<ArrayBuffer>) => T): T {
    if (typeof fn !== "function") throw invalidArgument("fn", fn, "a function that takes the bytes");
    return lend(this.acquire(byteLength), fn);
  }

  /**
   * A lease of what `write` writes. `write` gets `byteLength` bytes that are **not
   * zeroed**: earlier leases' bytes may be in them. It writes from the front and
   * answers how many bytes it wrote, or a promise of that; the lease is exactly that
   * long, and yours to release. Nothing is zeroed that is overwritten anyway: what
   * `resize_and_overwrite` is in C++23 and `read_buf` in Rust. With `wipeOnRelease` the
   * bytes are zero.
   *
   * @returns the lease, or a promise of it if `write` returned one.
   * @throws ArenaError as `acquire` does; `ERR_INVALID_ARGUMENT` if `write` answers
   *   anything but a whole number from 0 to `byteLength`; what `write` throws. Nothing
   *   stays leased then.
   */
  acquireFilled(byteLength: number, write: FillFunction): Lease;
  acquireFilled(byteLength: number, write: AsyncFillFunction): Promise<Lease>;
  acquireFilled(byteLength: number, write: FillFunction | AsyncFillFunction): Lease | Promise<Lease> {
    if (typeof write !== "function") throw invalidArgument("write", write, "a function that writes into the bytes");
    return leaseFilled(this.#acquireUnzeroed(byteLength), write);
  }

  /**
   * A lease that holds a copy of `bytes`, which stay the caller's. Nothing is zeroed first.
   *
   * @throws ArenaError as `acquire` does, and `ERR_INVALID_ARGUMENT` if `bytes` is no view,
   *   or one of a released lease that making room has revoked.
   */
  copyOf(bytes: ArrayBufferView): Lease {
    return leaseCopy(this.#source, bytes);
  }

  /**
   * The pool of leases of `byteLength` bytes: a name for a length, as fast as `acquire`.
   *
   * @throws ArenaError `ERR_INVALID_ARGUMENT`, `ERR_ARENA_DISPOSED`.
   */
  pool(byteLength: number): SizeClassPool {
    requireLeaseLength(byteLength);
    this.#requireUse("make a pool");
    return { byteLength, acquire: () => this.acquire(byteLength) };
  }

  /**
   * Leases that are released together: `using scope = arena.scope()`.
   *
   * @throws ArenaError `ERR_ARENA_DISPOSED`.
   */
  scope(): Scope {
    this.#requireUse("open a scope");
    return new Scope(this);
  }

  /**
   * A message that grows as it is written: bytes, text and numbers.
   * `using writer = arena.writer()`.
   *
   * @param byteLength bytes there is room for before it has to grow. Default 1024.
   * @throws ArenaError as `acquire` does.
   */
  writer(byteLength?: number): ByteWriter {
    return new ByteWriter(this.#source, byteLength);
  }

  /**
   * A message whose length is known beforehand and whose bytes come in pieces. Nothing
   * is zeroed first; the lease is shown once every byte was written.
   *
   * @param byteLength bytes of the whole message.
   * @throws ArenaError as `acquire` does.
   */
  filler(byteLength: number): ByteFiller {
    return new ByteFiller(this.#source, byteLength);
  }

  /**
   * A promise for the moment when no lease is out: for a graceful shutdown.
   *
   * @param options `signal` gives up waiting: the promise rejects with its reason.
   * @returns a promise that rejects with an ArenaError `ERR_INVALID_ARGUMENT` if `signal` is none.
   */
  async drained(options: { signal?: AbortSignalLike | undefined } = {}): Promise<void> {
    requireOptions(options);
    await this.#queue.waitUntilDrained(options.signal);
  }

  /**
   * How many leases are watched, of those acquired from now on; those watched
   * already stay so. `"all"` also wipes at release, and looks for writes after it.
   *
   * @throws ArenaError on setting it: `ERR_INVALID_ARGUMENT`, `ERR_ARENA_DISPOSED`.
   */
  get trace(): TraceLevel {
    return this.#tracer.level;
  }

  set trace(level: TraceLevel) {
    this.#requireUse("set trace");
    this.#tracer.level = checkTrace(level);
    this.#sampler.trace(this.#tracer.every);
    this.#applyTrace();
  }

  /** Counters and states, as a plain object of the caller's own. */
  stats(): ArenaStats {
    return collectStats(this.#table, this.#stores.all, {
      overflowed: this.#stores.heap.acquired,
      dirtyBlocks: this.#dirtyBlocks,
      strayWrites: this.#strayWrites,
      missedGuards: this.#missedGuards,
      waiting: this.#queue.length,
      waited: this.#queue.counts,
      bookBytes: this.#isDisposed ? 0 : this.#stores.bookBytes(),
    });
  }

  /**
   * Walks every invariant of the book, compares it with what the stores hold, and looks
   * at every trap. For tests and for suspicion.
   *
   * @throws ArenaError `ERR_ARENA_DISPOSED`.
   */
  audit(): AuditReport {
    this.#requireUse("audit");
    return auditArena(this.#table, this.#stores.all);
  }

  /**
   * Drops every memory without leases.
   *
   * @returns bytes of linear memory let go of.
   * @throws ArenaError `ERR_ARENA_DISPOSED`.
   */
  trim(): number {
    this.#requireUse("trim");
    const { budget } = this.#table;
    const before = budget.reservedBytes;
    for (const store of this.#stores.all) store.trim();
    if (this.#queue.waiters > 0) this.#notices.wake();
    return before - budget.reservedBytes;
  }

  /**
   * For the end of a test: throws if a lease is out, and says where the traced
   * ones were acquired, most bytes first.
   *
   * @throws ArenaError `ERR_LEASES_OUTSTANDING`.
   */
  assertDrained(): void {
    const { liveLeases, liveBytes } = countLive(this.#table);
    if (liveLeases > 0) {
      const sites = this.#tracer.sites.map(
        ({ leases, byteLength, stack }) =>
          `${leases === 1 ? "1 lease" : `${leases} leases`} of ${byteLength} bytes, acquired\n${stack}`,
      );
      throw leasesOutstanding(liveLeases, liveBytes, sites, this.#tracer.level === "all");
    }
  }

  /**
   * Revokes every view, of live leases too, and lets go of all memory, in every
   * mode. Those who wait are rejected. A second call does nothing.
   */
  [Symbol.dispose](): void {
    // No early return: a second call ends what an overflow left of the first.
    this.#isDisposed = true;
    this.#longest = NONE;
    for (const store of this.#stores.all) store.dispose();
    for (const account of [...this.#table.accounts]) {
      account.owner?.close();
      // Its owner may be gone without the collector having said so.
      this.#table.drop(account);
    }
    this.#tracer.clear();
    this.#notices.close();
    this.#queue.close(arenaDisposed("acquire"));
  }

  /** What Node prints. */
  [Symbol.for("nodejs.util.inspect.custom")](): string {
    const { revoke } = this.#settings;
    const { reservedBytes, maxBytes } = this.#table.budget;
    const { liveLeases, liveBytes } = countLive(this.#table);
    const state = this.#isDisposed
      ? "disposed"
      : `${liveLeases} leases of ${liveBytes} bytes out, ${reservedBytes} of ${maxBytes} bytes reserved`;
    return `Arena { ${revoke}: ${state} }`;
  }

  /** A lease with earlier leases' bytes in it; zero where releases wipe. */
  #acquireUnzeroed(byteLength: number): Lease {
    if (
      typeof byteLength === "number" &&
      byteLength >>> 0 === byteLength &&
      --this.#sampler.left > 0 &&
      byteLength <= this.#longest &&
      !isAnnounced() &&
      !this.#policy.wipes
    ) {
      const lease = this.#short.acquireUnzeroed(byteLength);
      if (lease !== null) return lease;
    }
    return this.#acquireSlow(byteLength, this.#policy.wipes);
  }

  #acquireSlow(byteLength: number, isZeroed: boolean): Lease {
    requireLeaseLength(byteLength);
    return this.#attempt(byteLength, isZeroed) ?? this.#overflow(byteLength);
  }

  /** A lease, guarded and traced as is due; `null` if there is no room. */
  #attempt(byteLength: number, isZeroed: boolean): Lease | null {
    this.#requireUse("acquire");
    const due = this.#sampler.left <= 0 ? this.#sampler.next() : undefined;
    const guard = due?.guard ? (this.#stores.guards?.acquire(byteLength) ?? null) : null;
    if (due?.guard && guard === null && this.#stores.guards !== null) this.#missedGuards++;
    const lease = guard ?? this.#fromStores(byteLength, isZeroed);
    if (lease !== null) this.#observe(lease, due?.trace === true);
    return lease;
  }

  /** Last of all: a trace runs the caller's `Error.prepareStackTrace`. */
  #observe(lease: Lease, isTraced: boolean): void {
    if (isAnnounced()) announce(lease, this.#notices);
    if (isTraced) this.#tracer.watch(lease);
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
  #overflow(byteLength: number): Lease {
    const { reservedBytes, maxBytes } = this.#table.budget;
    if (byteLength > maxBytes) throw neverFits(byteLength, maxBytes);
    if (this.#settings.onExhausted === "throw") throw arenaExhausted(byteLength, reservedBytes, maxBytes);
    let lease: Lease;
    try {
      lease = this.#stores.heap.acquire(byteLength);
    } catch (cause) {
      throw heapExhausted(byteLength, maxBytes, cause);
    }
    this.#notices.counted("exhausted", { byteLength, reservedBytes });
    this.#observe(lease, this.#tracer.level === "all");
    return lease;
  }

  #acquireAll(wanted: Omit<RoomRequest, "callSite">, signal: AbortSignalLike | undefined): Promise<Lease[]> {
    const { byteLengths } = wanted;
    const { maxBytes } = this.#table.budget;
    const total = byteLengths.reduce((sum, byteLength) => sum + byteLength, 0);
    const longest = byteLengths.reduce((most, byteLength) => Math.max(most, byteLength), 0);
    if (total > maxBytes || this.#stores.long.bytesFor([longest]) > maxBytes) throw neverFits(total, maxBytes);
    const request = { ...wanted, callSite: this.#tracer.callSite() };
    if (this.#queue.length === 0) {
      const leases = this.#takeAll(request);
      if (leases !== null) return Promise.resolve(leases);
      const error = this.#cannotServe(byteLengths);
      if (error !== undefined) throw error;
    }
    return this.#queue.waitForRoom(request, signal);
  }

  /** All of these leases or, if they do not fit together, none of them. */
  #takeAll(request: RoomRequest, mayTrim = true): Lease[] | null {
    const { byteLengths, isZeroed, callSite } = request;
    if (byteLengths.length > 1 && !this.#mayFit(byteLengths)) {
      // What leaked leases hold must become collectable while somebody waits for it.
      this.#yieldMemory();
      if (!this.#mayFit(byteLengths)) return null;
    }
    return this.#tracer.onBehalfOf(callSite, () => {
      const leases: Lease[] = [];
      for (const byteLength of byteLengths) {
        this.#sampler.left--;
        const lease = this.#attempt(byteLength, isZeroed || this.#policy.wipes);
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
    return short.bytesFor(inShort) + long.bytesFor(inLong) <= this.#table.budget.headroom;
  }

  /** Why nobody can make room, once there was none. */
  #cannotServe(byteLengths: readonly number[]): ArenaError | undefined {
    const { reservedBytes, maxBytes } = this.#table.budget;
    if (countLive(this.#table).liveLeases > 0) return undefined;
    const total = byteLengths.reduce((sum, byteLength) => sum + byteLength, 0);
    return nothingToWaitFor(total, reservedBytes, maxBytes);
  }

  /** The garbage collector took a memory that the arena did not hold. */
  #collected(account: Account): void {
    if (account.live > 0) {
      const sites = this.#tracer.writeOff(account);
      this.#notices.leak({ leases: account.live, byteLength: account.liveBytes, sites });
    }
    if (this.#queue.waiters > 0) this.#notices.wake();
  }

  #applyTrace(): void {
    const isAll = this.#tracer.level === "all";
    this.#policy.lookForDirty(isAll);
    this.#longest = isAll ? NONE : this.#short.longest;
  }

  #requireUse(action: string): void {
    if (this.#isDisposed) throw arenaDisposed(action);
  }
}
