/**
 * The arena: the doors to leases, and what is promised at each. What goes on behind
 * them is lender.ts.
 */

import { ByteFiller } from "./bytes/filler.js";
import { ByteWriter } from "./bytes/writer.js";
import { type AbortSignalLike, leaseLengths, requireLeaseLength, signalIn } from "./checks.js";
import { calledFrom, invalidArgument, leasesOutstanding } from "./errors.js";
import { type AsyncFillFunction, type FillFunction, leaseCopy, leaseFilled } from "./lease/filled.js";
import type { AnyLease, Lease } from "./lease/lease.js";
import { Scope, type ScopeSource } from "./lease/scope.js";
import type { LeaseSource } from "./lease/source.js";
import { lend } from "./lease/use.js";
import { Lender } from "./lender.js";
import { memoriesAreFew, resolveModule } from "./memory/abi.js";
import { type ArenaOptions, checkTrace, resolveOptions, type TraceLevel } from "./options.js";
import { ArenaEventTarget } from "./watch/events.js";
import type { HeapProfile, ProfileMark } from "./watch/profile.js";
import type { TraceSite } from "./watch/sites.js";
import { type ArenaStats, type AuditReport, countLive } from "./watch/stats.js";

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

/** What an adapter can lease from: an `Arena`, also of another copy of the package, or a `SharedArena`. */
export type LeaseArena<L extends AnyLease = Lease> = ScopeSource<L>;

/** Where adapters get their leases, in callbacks that their caller has no part in any more. */
export type CallerLeases<L extends AnyLease = Lease> = Pick<LeaseSource<L>, "acquireUnzeroed">;

/**
 * For the adapters: leases of `arena` whose traces name whoever calls the adapter now.
 * `acquireUnzeroed` gives a lease with earlier leases' bytes in it, all of which they
 * overwrite or cut off before anyone sees it. No method, so that nobody else can call it.
 * An arena of another kind, or of another copy of the package, gives a zeroed lease.
 */
export let leasesFor: <L extends AnyLease>(arena: LeaseArena<L>) => CallerLeases<L>;

/** For the adapters: such a lease once there is room, as `arena.acquireAsync` waits for it. */
export let leaseWhenRoom: <L extends AnyLease>(
  arena: LeaseArena<L>,
  byteLength: number,
  signal: AbortSignalLike | undefined,
) => Promise<L>;

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
  readonly #lender: Lender;
  /** Leaks that `assertDrained` has told of. */
  #leaksTold = 0;

  static {
    const isOurs = (arena: object): arena is Arena => #lender in arena;
    // An arena of ours lends leases of ours: L is Lease.
    leasesFor = <L extends AnyLease>(arena: LeaseArena<L>): CallerLeases<L> => {
      if (!isOurs(arena)) return { acquireUnzeroed: (byteLength) => arena.acquire(byteLength) };
      const lender = arena.#lender;
      const callSite = lender.tracer.callSite();
      return {
        acquireUnzeroed: (byteLength) =>
          lender.tracer.onBehalfOf(callSite, () => lender.acquireUnzeroed(byteLength)) as AnyLease as L,
      };
    };
    leaseWhenRoom = async <L extends AnyLease>(
      arena: LeaseArena<L>,
      byteLength: number,
      signal: AbortSignalLike | undefined,
    ): Promise<L> => {
      const [lease] = isOurs(arena)
        ? await arena.#lender.acquireAll({ byteLengths: [byteLength], isZeroed: false }, signal)
        : await arena.acquireAsync([byteLength], { signal });
      return lease as AnyLease as L;
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
    this.#lender = new Lender(settings, module, this);
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
    return this.#lender.acquire(byteLength);
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
  acquireAsync<const T extends readonly number[]>(
    byteLengths: T,
    options?: { signal?: AbortSignalLike | undefined },
  ): Promise<{ -readonly [K in keyof T]: Lease }>;
  async acquireAsync(
    wanted: number | readonly number[],
    options: { signal?: AbortSignalLike | undefined } = {},
  ): Promise<Lease | Lease[]> {
    const byteLengths = leaseLengths(wanted);
    this.#lender.requireUse("acquire");
    const signal = signalIn(options);
    const leases = await this.#lender.acquireAll({ byteLengths, isZeroed: true }, signal);
    return Array.isArray(wanted) ? leases : (leases[0] as Lease);
  }

  /**
   * Lends `byteLength` zeroed bytes to `fn` and takes them back whatever happens:
   * when `fn` returns or throws, or when the promise it returned settles.
   *
   * @returns what `fn` returns: anything but a view of the bytes, which end with the call, or their buffer.
   * @throws ArenaError `ERR_INVALID_ARGUMENT` for those: return `bytes.slice()`, or nothing.
   *   What `fn` throws, and as `acquire` does. Should the release fail after
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
  acquireFilled(
    byteLength: number,
    write: (bytes: Uint8Array<ArrayBuffer>) => number | PromiseLike<number>,
  ): Lease | Promise<Lease>;
  // Again: types that only describe a part of an arena are inferred from the last one.
  acquireFilled(byteLength: number, write: FillFunction): Lease;
  acquireFilled(
    byteLength: number,
    write: (bytes: Uint8Array<ArrayBuffer>) => number | PromiseLike<number>,
  ): Lease | Promise<Lease> {
    if (typeof write !== "function") throw invalidArgument("write", write, "a function that writes into the bytes");
    return leaseFilled(this.#lender.acquireUnzeroed(byteLength), write);
  }

  /**
   * A lease that holds a copy of `bytes`, which stay the caller's. Nothing is zeroed first.
   *
   * @throws ArenaError as `acquire` does, and `ERR_INVALID_ARGUMENT` if `bytes` is no view,
   *   or one of a released lease that making room has revoked.
   */
  copyOf(bytes: ArrayBufferView): Lease {
    return leaseCopy(this.#lender, bytes);
  }

  /**
   * The pool of leases of `byteLength` bytes: a name for a length, as fast as `acquire`.
   *
   * @throws ArenaError `ERR_INVALID_ARGUMENT`, `ERR_ARENA_DISPOSED`.
   */
  pool(byteLength: number): SizeClassPool {
    requireLeaseLength(byteLength);
    this.#lender.requireUse("make a pool");
    return { byteLength, acquire: () => this.acquire(byteLength) };
  }

  /**
   * Leases that are released together: `using scope = arena.scope()`.
   *
   * @throws ArenaError `ERR_ARENA_DISPOSED`.
   */
  scope(): Scope {
    this.#lender.requireUse("open a scope");
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
    return new ByteWriter(this.#lender, byteLength);
  }

  /**
   * A message whose length is known beforehand and whose bytes come in pieces. Nothing
   * is zeroed first; the lease is shown once every byte was written.
   *
   * @param byteLength bytes of the whole message.
   * @throws ArenaError as `acquire` does.
   */
  filler(byteLength: number): ByteFiller {
    return new ByteFiller(this.#lender, byteLength);
  }

  /**
   * A promise for the moment when no lease is out: for a graceful shutdown. Does not keep
   * the process running.
   *
   * @param options `signal` gives up waiting: the promise rejects with its reason.
   * @returns a promise that rejects with an ArenaError `ERR_INVALID_ARGUMENT` if `signal` is none.
   */
  async drained(options: { signal?: AbortSignalLike | undefined } = {}): Promise<void> {
    await this.#lender.drained(signalIn(options));
  }

  /**
   * How many leases are watched, of those acquired from now on; those watched
   * already stay so. `"all"` also wipes at release, and looks for writes after it.
   *
   * @throws ArenaError on setting it: `ERR_INVALID_ARGUMENT`, `ERR_ARENA_DISPOSED`.
   */
  get trace(): TraceLevel {
    return this.#lender.tracer.level;
  }

  set trace(level: TraceLevel) {
    this.#lender.requireUse("set trace");
    this.#lender.setTrace(checkTrace(level));
  }

  /**
   * Who holds the arena's memory: the traced leases that are out, by call site, weighted
   * by bytes. Written to a file named `.heapprofile`, `JSON.stringify(arena.profile())`
   * opens in Chrome DevTools, VS Code and speedscope; `writeProfile` of cleanslab/node
   * writes it. Leaves say how old leases are, and of old ones what usually causes a
   * leak; leaks that were reported stand apart. With `trace: "sampled"` the bytes are unbiased estimates,
   * as in the sampling heap profilers of V8 and tcmalloc.
   *
   * @param since instead: what was acquired since that mark, released or not.
   * @returns a plain object of the caller's own.
   * @throws ArenaError `ERR_ARENA_DISPOSED`, `ERR_INVALID_ARGUMENT` if `since` is no mark.
   */
  profile(since?: ProfileMark): HeapProfile {
    this.#lender.requireUse("make a profile");
    return this.#lender.profile(since);
  }

  /**
   * From now on what is acquired is counted by call site, as far as it is traced, until
   * nobody holds the mark: for `arena.profile(mark)`.
   *
   * @throws ArenaError `ERR_ARENA_DISPOSED`.
   */
  mark(): ProfileMark {
    this.#lender.requireUse("set a mark");
    return this.#lender.tracer.mark();
  }

  /**
   * The traced leases that are out, by call site, most bytes first; of those out for more
   * than ten seconds also what usually causes a leak. Empty with `trace: "off"`.
   */
  get sites(): readonly TraceSite[] {
    return this.#lender.tracer.sites;
  }

  /** Counters and states, as a plain object of the caller's own. */
  stats(): ArenaStats {
    return this.#lender.stats();
  }

  /**
   * Walks every invariant of the book, compares it with what the stores hold, and looks
   * at every trap. For tests and for suspicion.
   *
   * @throws ArenaError `ERR_ARENA_DISPOSED`.
   */
  audit(): AuditReport {
    this.#lender.requireUse("audit");
    return this.#lender.audit();
  }

  /**
   * Drops every memory without leases.
   *
   * @returns bytes of linear memory let go of.
   * @throws ArenaError `ERR_ARENA_DISPOSED`.
   */
  trim(): number {
    this.#lender.requireUse("trim");
    return this.#lender.trim();
  }

  /**
   * For the end of a test: throws if a lease is out, at each call until it is released, so
   * give each test an arena of its own; or if one was collected without a release, once.
   * `stats().leakedLeases` has the number of those since the arena was made. Says where
   * the traced ones were acquired, most bytes first.
   *
   * @throws ArenaError `ERR_LEASES_OUTSTANDING`.
   */
  assertDrained(): void {
    const { table, tracer } = this.#lender;
    const { liveLeases, liveBytes, pinnedLeases } = countLive(table);
    const leaked = table.leakedLeases - this.#leaksTold;
    this.#leaksTold += leaked;
    if (liveLeases + leaked === 0) return;
    const sites = [...tracer.overdueSites, ...tracer.takeLeakedSites()].map(
      ({ summary, stack }) => `${summary}\n${stack}`,
    );
    const error = leasesOutstanding(liveLeases, liveBytes, pinnedLeases, leaked, sites, tracer.level === "all");
    throw calledFrom(error, Arena.prototype.assertDrained);
  }

  /**
   * Revokes every view, of live leases too, and lets go of all memory, in every
   * mode. Those who wait are rejected. A second call does nothing.
   */
  [Symbol.dispose](): void {
    this.#lender.dispose();
  }

  /** What Node prints. */
  [Symbol.for("nodejs.util.inspect.custom")](): string {
    const { settings, table, isDisposed } = this.#lender;
    const { reservedBytes, maxBytes } = table.budget;
    const { liveLeases, liveBytes } = countLive(this.#lender.table);
    const state = isDisposed
      ? "disposed"
      : `${liveLeases} leases of ${liveBytes} bytes out, ${reservedBytes} of ${maxBytes} bytes reserved`;
    return `Arena { ${settings.revoke}: ${state} }`;
  }
}
