/**
 * The arena: one cap, one mode, and the ways to leases. Owns the ledger, the
 * queue of those who wait, and which set of memories serves a lease; how those
 * sets work is their own business.
 *
 * A1  Every lease goes through one of three doors: a segment (`#segments`), a
 *     memory of its own (`#dedicated`), or the heap once both are out of room.
 * A2  `#countdown` reaching zero leads to `#acquireDue`: there the arena is found
 *     disposed, and guards and traces begin. All other leases pay one decrement.
 */

import { classCount as classCountOf, requireWebAssembly, sizeClassOf } from "./abi.js";
import { announce, isAnnounced, openChannels, tellWhenAnnounced } from "./channels.js";
import { requireOptions } from "./checks.js";
import { bytesUnder, copyInto } from "./copying.js";
import { Countdown } from "./countdown.js";
import { DedicatedMemories } from "./dedicated.js";
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
import { ArenaEventTarget, dispatch } from "./events.js";
import { FreeListSegments } from "./free-list.js";
import type { Lease } from "./lease.js";
import { Ledger, type Tally } from "./ledger.js";
import { lend } from "./lend.js";
import { type ArenaOptions, checkTrace, resolveOptions, type Settings, type TraceLevel } from "./options.js";
import { acquireFromHeap } from "./overflow.js";
import type { PoolHost, SizeClassPool } from "./pool.js";
import { Pools } from "./pools.js";
import { RevokingSegments } from "./revoking.js";
import { Scope } from "./scope.js";
import { Segment } from "./segment.js";
import { type ArenaStats, type AuditReport, auditMemories, collectStats } from "./stats.js";
import { Tracer, type TraceSite } from "./trace.js";
import { type AbortSignalLike, checkSignal, Waiters } from "./waiters.js";
import { ByteWriter } from "./writer.js";

/** Longest lease that can be asked for, in bytes. */
const MAX_BYTE_LENGTH = 2 ** 32 - 1;

/**
 * Memory under one cap, handed out as leases and taken back. An arena is for one
 * thread, and for code that releases what it acquires.
 *
 * Not worth it for lengths of 64 bytes and less, where a fresh array costs as
 * little, nor for buffers kept for long. Give leases of very different lifetimes
 * arenas of their own: a segment is used again only when all its leases are
 * released.
 *
 * Emits `"leak"`, `"dirty"` and `"exhausted"`; see `ArenaEvents`.
 */
export class Arena extends ArenaEventTarget {
  readonly #settings: Settings;
  readonly #slabShift: number;
  /** Size classes served from segments; 0 where every lease has a memory of its own. */
  readonly #classCount: number;
  readonly #ledger: Ledger;
  readonly #segments: RevokingSegments | FreeListSegments | null;
  /** Of `#segments`: by size class, the segment that served it last. */
  readonly #current: readonly (Segment | undefined)[];
  readonly #dedicated: DedicatedMemories;
  readonly #tracer: Tracer;
  readonly #countdown: Countdown;
  readonly #waiters: Waiters;
  readonly #pools: Pools;
  #disposed = false;

  /**
   * @throws ArenaError `ERR_INVALID_ARGUMENT` for an option out of range,
   *   `ERR_WASM_UNAVAILABLE` where WebAssembly is missing or forbidden.
   */
  constructor(options?: ArenaOptions) {
    super();
    const settings = resolveOptions(options);
    requireWebAssembly();
    openChannels();
    this.#settings = settings;
    this.#slabShift = settings.slabShift;
    this.#classCount = settings.revoke === "on-release" ? 0 : classCountOf(settings.slabShift);
    this.#ledger = new Ledger(settings.maxBytes, this.#slabShift, this.#classCount);
    this.#ledger.arena = this;
    this.#tracer = new Tracer(settings.trace, settings.revoke === "never", (tally, byteLength, sites) => {
      this.#ledger.lose(tally, byteLength);
      this.#reportLeak(1, byteLength, sites);
      // It may have been all that somebody waited for.
      if (this.#ledger.waiting !== 0) this.#waiters.serve();
    });
    this.#countdown = new Countdown(settings.guardEvery, this.#tracer.every);
    tellWhenAnnounced(this.#countdown);
    this.#dedicated = new DedicatedMemories(this.#ledger, settings.revoke);
    this.#segments = this.#createSegments();
    this.#current = this.#segments?.current ?? [];
    this.#waiters = new Waiters((waiting) => {
      this.#ledger.waiting = waiting;
    });
    this.#waiters.acquire = ({ byteLength, callSite }) =>
      this.#tracer.onBehalfOf(callSite, () => this.#tryAcquire(byteLength));
    this.#waiters.hopeless = ({ byteLength }) => this.#hopeless(byteLength);
    this.#ledger.onRoom = () => this.#waiters.serve();
    this.#ledger.onRound = () => {
      this.#segments?.shrink();
      this.#dedicated.shrink();
    };
    this.#ledger.reclaim = (byteLength) => this.#reclaim(byteLength);
    this.#ledger.dropIdle = () => this.#dropIdle();
    this.#ledger.onLeak = (tally) => this.#reportLeak(tally.live, tally.liveBytes, this.#tracer.writeOff(tally));
    this.#pools = this.#createPools();
    this.#watchWrites();
  }

  /**
   * A lease of exactly `byteLength` zeroed bytes. Release it once, on every path.
   *
   * @param byteLength bytes: a whole number from 0. Longer than a segment takes
   *   a memory of its own, under the same cap.
   * @throws ArenaError `ERR_INVALID_ARGUMENT`; `ERR_ARENA_EXHAUSTED` if there is
   *   no room and `onExhausted` is `"throw"`, or the heap has none either;
   *   `ERR_ARENA_DISPOSED`.
   */
  acquire(byteLength: number): Lease {
    // The shortest way first, for the engine to inline whole: nothing is due, and the last segment has room.
    const countdown = this.#countdown;
    if (isLeaseLength(byteLength) && countdown.left > 1) {
      const sizeClass = sizeClassOf(byteLength, this.#slabShift);
      const lease = this.#current[sizeClass]?.tryLease(sizeClass, byteLength);
      if (lease != null) {
        countdown.left--;
        return lease;
      }
    }
    return this.#acquireAnyway(byteLength);
  }

  /**
   * Like `acquire`, but waits for room where `acquire` would overflow or throw.
   * First come, first served; a plain `acquire` does not queue.
   *
   * @param options `signal` gives up waiting: the promise rejects with its reason.
   * @returns a promise that rejects with an ArenaError: `ERR_INVALID_ARGUMENT`,
   *   `ERR_ARENA_EXHAUSTED` if so much can never fit under the cap, or the engine has no
   *   memory for it and no lease is out whose release could make room; `ERR_ARENA_DISPOSED`.
   */
  async acquireAsync(byteLength: number, options: { signal?: AbortSignalLike | undefined } = {}): Promise<Lease> {
    if (!isLeaseLength(byteLength)) throw invalidLength(byteLength);
    this.#requireUse("acquire");
    requireOptions(options);
    const signal = checkSignal(options.signal);
    if (signal?.aborted) throw signal.reason;
    if (!this.#isInClasses(byteLength) && this.#dedicated.reservedFor(byteLength) > this.#settings.maxBytes) {
      throw neverFits(byteLength, this.#settings.maxBytes);
    }
    if (this.#waiters.length === 0) {
      const lease = this.#acquireOrFlush(byteLength);
      if (lease !== null) return lease;
      const hopeless = this.#hopeless(byteLength);
      if (hopeless !== undefined) throw hopeless;
    }
    return this.#waiters.wait({ byteLength, callSite: this.#tracer.callSite() }, signal);
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
   * A lease that holds a copy of `bytes`, which stay the caller's.
   *
   * @throws ArenaError as `acquire` does, and `ERR_INVALID_ARGUMENT` if `bytes` is no view,
   *   or one of a released lease that this very lease revoked.
   */
  copyOf(bytes: ArrayBufferView): Lease {
    const source = bytesUnder(bytes);
    const lease = this.acquire(source.length);
    copyInto(lease, source, 0);
    return lease;
  }

  /**
   * The pool of leases of `byteLength` bytes, the same object for the same length:
   * in `"never"` mode the fastest way to leases, else as fast as `acquire`.
   *
   * @throws ArenaError `ERR_INVALID_ARGUMENT`, `ERR_ARENA_DISPOSED`.
   */
  pool(byteLength: number): SizeClassPool {
    if (!isLeaseLength(byteLength)) throw invalidLength(byteLength);
    this.#requireUse("make a pool");
    return this.#pools.of(byteLength);
  }

  /**
   * Leases that are released together: `using scope = arena.scope()`.
   *
   * @throws ArenaError `ERR_ARENA_DISPOSED`.
   */
  scope(): Scope {
    this.#requireUse("open a scope");
    return new Scope((byteLength) => this.acquire(byteLength));
  }

  /**
   * A message that grows as it is written: bytes, text and numbers.
   * `using writer = arena.writer()`.
   *
   * @param byteLength bytes there is room for before it has to grow. Default 1024.
   * @throws ArenaError as `acquire` does.
   */
  writer(byteLength?: number): ByteWriter {
    return new ByteWriter((each) => this.acquire(each), byteLength);
  }

  /**
   * How many leases are watched, of those acquired from now on; those watched
   * already stay so. Writes after release are looked for as soon as it is not `"off"`.
   *
   * @throws ArenaError on setting it: `ERR_INVALID_ARGUMENT`, `ERR_ARENA_DISPOSED`.
   */
  get trace(): TraceLevel {
    return this.#tracer.level;
  }

  set trace(level: TraceLevel) {
    this.#requireUse("set trace");
    this.#tracer.level = checkTrace(level);
    this.#countdown.trace(this.#tracer.every);
    this.#watchWrites();
    for (const { owner } of this.#ledger.tallies) {
      if (owner instanceof Segment) owner.inspect();
    }
  }

  /** Counters and states, as a plain object of the caller's own. */
  stats(): ArenaStats {
    return collectStats(this.#ledger, this.#slabShift);
  }

  /**
   * Walks every invariant of every segment. Reads all bookkeeping, in `"never"`
   * mode all free memory as well: for tests and for suspicion.
   *
   * @throws ArenaError `ERR_ARENA_DISPOSED`.
   */
  audit(): AuditReport {
    this.#requireUse("audit");
    return auditMemories(this.#ledger, (segment) => this.#pools.keptIn(segment), this.#settings.revoke === "never");
  }

  /**
   * Drops every memory without leases.
   *
   * @returns bytes of linear memory let go of.
   * @throws ArenaError `ERR_ARENA_DISPOSED`.
   */
  trim(): number {
    this.#requireUse("trim");
    const before = this.#ledger.reservedBytes;
    this.#pools.flush();
    this.#segments?.trim();
    this.#dedicated.trim();
    const trimmed = before - this.#ledger.reservedBytes;
    this.#waiters.serve();
    return trimmed;
  }

  /**
   * For the end of a test: throws if a lease is out, and says where the traced
   * ones were acquired, most bytes first.
   *
   * @throws ArenaError `ERR_LEASES_OUTSTANDING`.
   */
  assertDrained(): void {
    const { liveLeases, liveBytes } = this.#ledger;
    if (liveLeases === 0) return;
    throw leasesOutstanding(liveLeases, liveBytes, this.#tracer.sites, this.#tracer.level === "all");
  }

  /**
   * Revokes every view, of live leases too, and lets go of all memory, in every
   * mode. Whoever waits is rejected. A second call does nothing.
   */
  [Symbol.dispose](): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#countdown.stop();
    for (const tally of [...this.#ledger.tallies]) {
      tally.owner?.close();
      this.#ledger.drop(tally);
    }
    this.#segments?.clear();
    this.#dedicated.clear();
    this.#pools.close();
    this.#tracer.clear();
    this.#waiters.rejectAll(arenaDisposed("acquire"));
  }

  #acquireAnyway(byteLength: number): Lease {
    if (!isLeaseLength(byteLength)) throw invalidLength(byteLength);
    return this.#acquireChecked(byteLength);
  }

  #acquireChecked(byteLength: number): Lease {
    return this.#acquireOrFlush(byteLength) ?? this.#overflow(byteLength);
  }

  #acquireOrFlush(byteLength: number): Lease | null {
    const lease = this.#tryAcquire(byteLength);
    if (lease !== null || !this.#pools.flush()) return lease;
    const flushed = this.#acquirePlain(byteLength);
    if (flushed !== null && isAnnounced()) announce(flushed, this);
    return flushed;
  }

  /** Why to wait for `byteLength` bytes is in vain, once there was no room: nobody can make any. */
  #hopeless(byteLength: number): ArenaError | undefined {
    const { liveLeases, reservedBytes, maxBytes } = this.#ledger;
    return liveLeases === 0 ? nothingToWaitFor(byteLength, reservedBytes, maxBytes) : undefined;
  }

  /** Through the door that the length calls for; `null` if there is no room behind it. */
  #tryAcquire(byteLength: number): Lease | null {
    if (--this.#countdown.left === 0) return this.#acquireDue(byteLength);
    return this.#acquirePlain(byteLength);
  }

  #acquirePlain(byteLength: number): Lease | null {
    const sizeClass = sizeClassOf(byteLength, this.#slabShift);
    return this.#segments !== null && sizeClass < this.#classCount
      ? this.#segments.acquire(sizeClass, byteLength)
      : this.#dedicated.acquire(byteLength, "arena");
  }

  /** A lease to be guarded or traced, or the first one after the end. */
  #acquireDue(byteLength: number): Lease | null {
    if (this.#disposed) {
      this.#countdown.stop();
      throw arenaDisposed("acquire");
    }
    const due = this.#countdown.next();
    // Where blocks are not renewed, this is the only place that leases pass without cost.
    if (this.#settings.revoke === "never") this.#ledger.turnOver(due.leases * byteLength);
    const lease = (due.guard ? this.#dedicated.acquire(byteLength, "guard") : null) ?? this.#acquirePlain(byteLength);
    if (lease !== null) {
      if (due.guard && lease.origin !== "guard" && this.#settings.revoke !== "on-release") this.#ledger.missedGuards++;
      if (due.trace) this.#tracer.watch(lease);
      this.#announce(lease);
    }
    return lease;
  }

  /** Last of all: who listens may do anything to the arena. */
  #announce(lease: Lease): void {
    if (isAnnounced()) announce(lease, this, this.#waiters.isServing);
    else this.#countdown.announce(false);
  }

  /** The cap leaves no room. */
  #overflow(byteLength: number): Lease {
    const { reservedBytes, maxBytes } = this.#ledger;
    if (this.#settings.onExhausted === "throw") throw arenaExhausted(byteLength, reservedBytes, maxBytes);
    let lease: Lease;
    try {
      lease = acquireFromHeap(byteLength, this.#ledger, this.#settings.revoke !== "never");
    } catch (cause) {
      throw heapExhausted(byteLength, maxBytes, cause);
    }
    if (this.#ledger.tracesAll) this.#tracer.watch(lease);
    dispatch(this, "exhausted", { byteLength, reservedBytes });
    if (isAnnounced()) announce(lease, this);
    return lease;
  }

  /** Drops idle memories, coldest first, until `byteLength` bytes fit under the cap or none is left. */
  #reclaim(byteLength: number): void {
    while (this.#ledger.reservedBytes + byteLength > this.#ledger.maxBytes) {
      if (!this.#dropIdle()) return;
    }
  }

  #dropIdle(): boolean {
    return this.#dedicated.dropColdest() || (this.#segments?.dropColdest() ?? false);
  }

  #createSegments(): RevokingSegments | FreeListSegments | null {
    const { revoke, slabShift } = this.#settings;
    if (revoke === "on-release") return null;
    const Segments = revoke === "never" ? FreeListSegments : RevokingSegments;
    return new Segments(this.#ledger, slabShift, this.#classCount);
  }

  #createPools(): Pools {
    const host: PoolHost = {
      ledger: this.#ledger,
      countdown: this.#countdown,
      acquireChecked: (byteLength) => this.#acquireChecked(byteLength),
    };
    return new Pools(host, this.#segments, this.#slabShift, this.#classCount);
  }

  #reportLeak(leases: number, byteLength: number, sites: readonly TraceSite[]): void {
    dispatch(this, "leak", { leases, byteLength, sites });
  }

  #watchWrites(): void {
    const { level } = this.#tracer;
    this.#ledger.tracesAll = level === "all";
    this.#ledger.onDirty = level === "off" ? null : (tally, byteOffset) => this.#foundDirty(tally, byteOffset);
    this.#pools.keep();
  }

  #foundDirty(tally: Tally, byteOffset: number): void {
    this.#ledger.dirtyBlocks++;
    const sites = this.#tracer.lastAt(tally, byteOffset);
    // Not now: the block is taken but not yet leased, and a listener may do anything to the arena.
    Promise.resolve().then(() => dispatch(this, "dirty", { byteOffset, ...sites }));
  }

  #isInClasses(byteLength: number): boolean {
    return sizeClassOf(byteLength, this.#slabShift) < this.#classCount;
  }

  #requireUse(action: string): void {
    if (this.#disposed) throw arenaDisposed(action);
  }
}

function isLeaseLength(byteLength: number): boolean {
  return typeof byteLength === "number" && byteLength >>> 0 === byteLength;
}

function invalidLength(byteLength: unknown): ArenaError {
  return invalidArgument("byteLength", byteLength, `a whole number of bytes from 0 to ${MAX_BYTE_LENGTH}`);
}
