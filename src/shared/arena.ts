/**
 * The shared arena: the doors, in each thread, to leases of memory that threads share.
 * Owns the queue of those who wait here, the ports of this thread, and what is done when
 * the bell rings: another thread came, died, or wants room.
 */

import { inMicrotask } from "../builtins.js";
import { ByteWriter } from "../bytes/writer.js";
import {
  type AbortSignalLike,
  leaseLengths,
  requireKnown,
  requireLeaseLength,
  requireOptions,
  signalIn,
} from "../checks.js";
import {
  type ArenaError,
  arenaDisposed,
  countOf,
  invalidArgument,
  leasesOutstanding,
  neverFits,
  nothingToWaitFor,
  sharedExhausted,
} from "../errors.js";
import { type AsyncFillFunction, type FillFunction, leaseCopy, leaseFilled } from "../lease/filled.js";
import { Scope } from "../lease/scope.js";
import type { LeaseSource } from "../lease/source.js";
import { lend } from "../lease/use.js";
import type { WaitCounts } from "../options.js";
import { WaitQueue } from "../waiting.js";
import * as abi from "./abi.js";
import { add, holdingOpen, read, woken } from "./access.js";
import { checkPortHandle, createChannel, SharedPort, type SharedPortHandle } from "./port.js";
import { type SharedLease, SharedStore, slabsFor } from "./store.js";
import { DeathWatch } from "./threads.js";

export interface SharedArenaOptions {
  /**
   * The hard cap on the memory that leases lie in, in bytes: 64 KiB to 1 GiB, default
   * 64 MiB. It grows as it is needed, and never shrinks. The book comes on top: up to a
   * sixteenth of it.
   */
  maxBytes?: number | undefined;
}

/** Counters of this thread's part of the arena, and of the whole. All lengths in bytes. */
export interface SharedArenaStats {
  /** Leases that this thread acquired, adopted or received, released, handed over or sent. */
  acquired: number;
  adopted: number;
  released: number;
  handedOver: number;
  /** Leases out in this thread, and bytes in them. */
  liveLeases: number;
  liveBytes: number;
  /** Calls of `acquireAsync` waiting for room in this thread now. */
  waiting: number;
  /** Calls of `acquireAsync` in this thread that had to wait and were served. */
  waited: WaitCounts;
  /** Blocks of all threads: leased, handed over and not adopted, kept by threads for their next leases. */
  blocks: { leased: number; inTransit: number; kept: number };
  /** Threads attached: those whose leases or tokens are still out included. */
  threads: number;
  /** Memory for leases now. */
  reservedBytes: number;
  maxBytes: number;
  /** Memory for bookkeeping, outside the cap. */
  bookBytes: number;
}

/** What an audit found. */
export interface SharedAuditReport {
  /** Whether every invariant holds. */
  ok: boolean;
  /** Slabs of 64 KiB that were walked. */
  slabs: number;
  /** One line for each broken invariant. */
  problems: string[];
}

/** Arenas in which somebody waits. Otherwise those who wait might be all that holds one, and go with it. */
const waitedFor = new Set<SharedArena>();

/**
 * Memory under one cap that threads share, handed out as leases: an `Arena` for several
 * threads. One thread creates it, and the others attach with its handle. A lease stays
 * in its thread until it is released, or handed over: by a token, or through a channel.
 *
 * Nothing is revoked here: a view kept past the end of its lease reads and writes the
 * next owner's bytes, in any thread. `lease.bytes.buffer` shows all of the memory.
 *
 * Worth it for many messages between threads, and for memory. Where a message is little
 * work, one thread alone is faster.
 */
export class SharedArena {
  readonly #handle: abi.SharedArenaHandle;
  readonly #store: SharedStore;
  readonly #queue: WaitQueue<SharedLease>;
  readonly #deaths: DeathWatch;
  #deathsSeen = 0;
  readonly #ports = new Set<SharedPort>();
  #isServing = false;

  /**
   * @throws ArenaError `ERR_INVALID_ARGUMENT` for an option out of range,
   *   `ERR_SHARED_MEMORY_UNAVAILABLE` where there is no `SharedArrayBuffer`: the message says
   *   what to set; `ERR_WASM_UNAVAILABLE`; `ERR_ARENA_EXHAUSTED` if the engine has no memory.
   */
  constructor(options?: SharedArenaOptions);
  /** @internal */
  constructor(options: SharedArenaOptions, handle: abi.SharedArenaHandle);
  constructor(options: SharedArenaOptions = {}, handle?: abi.SharedArenaHandle) {
    this.#handle = handle === undefined ? abi.createHandle(abi.checkMaxBytes(options)) : abi.checkHandle(handle);
    const book = new abi.SharedBook(this.#handle, handle === undefined);
    this.#queue = new WaitQueue<SharedLease>({
      take: ({ byteLengths }) => this.#takeAll(byteLengths),
      cannotServe: ({ byteLengths }) => this.#cannotServe(byteLengths),
      liveLeases: () => this.#store.live,
      waited() {},
      wake: () => this.#wake(),
    });
    const source: LeaseSource<SharedLease> = {
      acquireUnzeroed: (byteLength) => this.#acquireUnzeroed(byteLength),
      zero: (bytes, start, end) => book.wipe(bytes.byteOffset + start, end - start),
    };
    this.#store = new SharedStore(book, source, this.#queue);
    this.#deaths = new DeathWatch(book.id, (engine) => this.#ended(engine));
    this.#deaths.hold(book.words, this.#store.entry, () => this.#store.ring());
    const { heard, giveUp } = this.#store;
    SharedArena.#listen(new WeakRef(this), book.words, heard, giveUp);
    this.#lookUp();
  }

  /**
   * This thread's part of an arena that another thread made.
   *
   * @param handle as it came from `arena.handle`, by `postMessage` or `workerData`.
   * @throws ArenaError `ERR_INVALID_ARGUMENT` if it is none, or of another version of
   *   cleanslab; `ERR_LIMIT_EXCEEDED` if 1,023 threads are attached; `ERR_SHARED_MEMORY_UNAVAILABLE`.
   */
  static attach(handle: abi.SharedArenaHandle): SharedArena {
    return new SharedArena({}, abi.checkHandle(handle));
  }

  /** What other threads need to attach. */
  get handle(): abi.SharedArenaHandle {
    return this.#handle;
  }

  /**
   * What `threadEnded` calls this thread: its `threadId` where there is
   * `node:worker_threads`, elsewhere a random number.
   */
  get threadId(): number {
    return this.#store.engine - 1;
  }

  /**
   * A lease of exactly `byteLength` zeroed bytes. Release it once or hand it over, on every path.
   *
   * @param byteLength bytes: a whole number from 0. Longer than 32 KiB takes whole pages of 64 KiB.
   * @throws ArenaError `ERR_INVALID_ARGUMENT`; `ERR_ARENA_EXHAUSTED` if there is no room;
   *   `ERR_ARENA_DISPOSED`; `ERR_THREAD_ENDED` if this thread was declared dead.
   */
  acquire(byteLength: number): SharedLease {
    if (typeof byteLength === "number" && byteLength >>> 0 === byteLength) {
      const lease = this.#store.acquire(byteLength);
      if (lease !== null) return lease;
    }
    return this.#refuse(byteLength);
  }

  /**
   * Like `acquire`, but waits for room, which any thread may make. With several lengths:
   * all of these leases at once or none. First come, first served in each thread; between
   * threads, as it happens. Keeps the process alive while it waits.
   *
   * @param options `signal` gives up waiting: the promise rejects with its reason.
   * @returns a promise that rejects with an ArenaError: `ERR_INVALID_ARGUMENT`;
   *   `ERR_ARENA_EXHAUSTED` if so much can never fit; `ERR_ARENA_DISPOSED`.
   */
  acquireAsync(byteLength: number, options?: { signal?: AbortSignalLike | undefined }): Promise<SharedLease>;
  acquireAsync<const T extends readonly number[]>(
    byteLengths: T,
    options?: { signal?: AbortSignalLike | undefined },
  ): Promise<{ -readonly [K in keyof T]: SharedLease }>;
  async acquireAsync(
    wanted: number | readonly number[],
    options: { signal?: AbortSignalLike | undefined } = {},
  ): Promise<SharedLease | SharedLease[]> {
    const byteLengths = leaseLengths(wanted);
    this.#store.requireUse("acquire");
    const signal = signalIn(options);
    const leases =
      (this.#queue.length === 0 ? this.#takeAll(byteLengths) : null) ?? (await this.#wait(byteLengths, signal));
    return Array.isArray(wanted) ? leases : (leases[0] as SharedLease);
  }

  /**
   * A lease of what `write` writes. `write` gets `byteLength` bytes that are **not
   * zeroed**, and answers how many it wrote from the front, or a promise of that; the
   * lease is exactly that long.
   *
   * @returns the lease, or a promise of it if `write` returned one.
   * @throws ArenaError as `acquire` does; `ERR_INVALID_ARGUMENT` if `write` answers anything but
   *   a whole number from 0 to `byteLength`; what `write` throws. Nothing stays leased then.
   */
  acquireFilled(byteLength: number, write: FillFunction<SharedArrayBuffer>): SharedLease;
  acquireFilled(byteLength: number, write: AsyncFillFunction<SharedArrayBuffer>): Promise<SharedLease>;
  acquireFilled(
    byteLength: number,
    write: (bytes: Uint8Array<SharedArrayBuffer>) => number | PromiseLike<number>,
  ): SharedLease | Promise<SharedLease>;
  // Again, as in `Arena`.
  acquireFilled(byteLength: number, write: FillFunction<SharedArrayBuffer>): SharedLease;
  acquireFilled(
    byteLength: number,
    write: (bytes: Uint8Array<SharedArrayBuffer>) => number | PromiseLike<number>,
  ): SharedLease | Promise<SharedLease> {
    if (typeof write !== "function") throw invalidArgument("write", write, "a function that writes into the bytes");
    return leaseFilled(this.#acquireUnzeroed(byteLength), write);
  }

  /**
   * A lease that holds a copy of `bytes`, which stay the caller's. Nothing is zeroed first.
   *
   * @throws ArenaError as `acquire` does, and `ERR_INVALID_ARGUMENT` if `bytes` is no view.
   */
  copyOf(bytes: ArrayBufferView): SharedLease {
    return leaseCopy(this.#store.source, bytes);
  }

  /**
   * Lends `byteLength` zeroed bytes to `fn`, and takes them back when it returns or
   * throws, or when the promise it returned settles.
   *
   * @returns what `fn` returns: anything but a view of the bytes, which end with the call, or their buffer.
   * @throws ArenaError `ERR_INVALID_ARGUMENT` for those; what `fn` throws, and as `acquire` does.
   */
  use<T>(byteLength: number, fn: (bytes: Uint8Array<SharedArrayBuffer>) => T): T {
    if (typeof fn !== "function") throw invalidArgument("fn", fn, "a function that takes the bytes");
    return lend(this.acquire(byteLength), fn);
  }

  /**
   * Leases that are released together: `using scope = arena.scope()`.
   *
   * @throws ArenaError `ERR_ARENA_DISPOSED`.
   */
  scope(): Scope<SharedLease> {
    this.#store.requireUse("open a scope");
    return new Scope<SharedLease>(this);
  }

  /**
   * A message that grows as it is written: bytes, text and numbers.
   *
   * @param byteLength bytes there is room for before it has to grow. Default 1024.
   * @throws ArenaError as `acquire` does.
   */
  writer(byteLength?: number): ByteWriter<SharedLease> {
    return new ByteWriter(this.#store.source, byteLength);
  }

  /**
   * The lease that was handed over with `token`, with its bytes as they were; yours to
   * release. Of several threads that try, one gets it.
   *
   * @throws ArenaError `ERR_TOKEN_USED` if it was adopted before, or came back;
   *   `ERR_INVALID_ARGUMENT` for what is no token, and, as near to certain as 31 random
   *   bits are, for a token of another arena; `ERR_ARENA_DISPOSED`.
   */
  adopt(token: number): SharedLease {
    this.#store.requireUse("adopt");
    return this.#store.adopt(token);
  }

  /**
   * A channel to another thread: `port1` is this thread's, `port2` is for
   * `arena.open(port2)` in the other. Leases go both ways.
   *
   * @param options `capacity`: messages that may be on their way in each direction, 1 to
   *   65536. Default 64.
   * @throws ArenaError `ERR_INVALID_ARGUMENT`, `ERR_ARENA_DISPOSED`.
   */
  channel(options: { capacity?: number | undefined } = {}): { port1: SharedPort; port2: SharedPortHandle } {
    this.#store.requireUse("make a channel");
    requireOptions(options);
    requireKnown(options, ["capacity"]);
    const port2 = createChannel(this.#handle.id, options.capacity ?? 64);
    return { port1: this.#port(port2, 0), port2 };
  }

  /**
   * The other end of a channel, this thread's from now on.
   *
   * @param handle the `port2` of `arena.channel()`.
   * @throws ArenaError `ERR_PORT_OPENED` if somebody has it already; `ERR_INVALID_ARGUMENT`
   *   if it is none of this arena; `ERR_ARENA_DISPOSED`.
   */
  open(handle: SharedPortHandle): SharedPort {
    this.#store.requireUse("open a port");
    checkPortHandle(handle, this.#handle.id);
    return this.#port(handle, 1);
  }

  /**
   * The thread of that id runs no more, nor does any that it started: what they held is
   * free. Only for threads whose end nobody can see: in Node, workers that were started
   * before this thread had an arena, or by a thread without one; in browsers, workers
   * that ended while they attached. **A thread that still runs must not be declared dead**:
   * its leases would be given to others.
   *
   * @param threadId the worker's `threadId`, read while it ran, or its `arena.threadId`.
   * @returns how many blocks came back.
   * @throws ArenaError `ERR_INVALID_ARGUMENT` for no id, or this thread's own; `ERR_ARENA_DISPOSED`.
   */
  threadEnded(threadId: number): number {
    this.#store.requireUse("declare a thread dead");
    if (!Number.isSafeInteger(threadId) || threadId < 0 || threadId >= 2 ** 31 - 1) {
      const wanted = "a thread's id; that of a worker is -1 once it has ended, so read worker.threadId at its start";
      throw invalidArgument("threadId", threadId, wanted);
    }
    if (threadId === this.threadId)
      throw invalidArgument("threadId", threadId, "another thread's; this one has detach()");
    return this.#ended(threadId + 1);
  }

  /**
   * A promise for the moment when no lease is out in this thread: for a graceful shutdown.
   * What was handed over is not out here any more. Does not keep the process running.
   *
   * @param options `signal` gives up waiting: the promise rejects with its reason.
   */
  async drained(options: { signal?: AbortSignalLike | undefined } = {}): Promise<void> {
    await this.#queue.waitUntilDrained(signalIn(options));
  }

  /** Counters, as a plain object of the caller's own. Walks the whole book: some 5 µs for each MiB. */
  stats(): SharedArenaStats {
    const { exports, data, bookBytes, maxSlabs, words, entries } = this.#store.book;
    const { acquired, adopted, released, handedOver, live, liveBytes } = this.#store;
    return {
      acquired,
      adopted,
      released,
      handedOver,
      liveLeases: live,
      liveBytes,
      waiting: this.#queue.length,
      waited: { ...this.#queue.counts },
      blocks: {
        leased: exports.count(abi.OWNED, 0),
        inTransit: exports.count(abi.IN_TRANSIT, 0),
        kept: exports.count(abi.KEPT, 0),
      },
      threads: entries.filter((entry) => read(words, entry) > 0).length,
      reservedBytes: data.buffer.byteLength,
      maxBytes: maxSlabs * 65536,
      bookBytes,
    };
  }

  /**
   * Walks every word of the book, and compares it with what this thread holds. Exact
   * while no other thread uses the arena; what others are just changing is not reported.
   *
   * @throws ArenaError `ERR_ARENA_DISPOSED`.
   */
  audit(): SharedAuditReport {
    this.#store.requireUse("audit");
    const problems: string[] = [];
    const slabs = this.#store.audit(problems);
    return { ok: problems.length === 0, slabs, problems };
  }

  /**
   * Gives other threads what this one keeps of released blocks.
   *
   * @returns bytes in these blocks. The memory itself does not shrink.
   * @throws ArenaError `ERR_ARENA_DISPOSED`.
   */
  trim(): number {
    this.#store.requireUse("trim");
    const { keptBytes } = this.#store;
    this.#store.yieldMemory();
    return keptBytes;
  }

  /**
   * Ends this thread's part in the arena: closes its ports, and gives back what it keeps.
   * What it has handed over can still be adopted.
   *
   * @throws ArenaError `ERR_LEASES_OUTSTANDING` if a lease is out: nothing has changed then.
   */
  detach(): void {
    const { live, liveBytes, pinned } = this.#store;
    if (live > 0) throw leasesOutstanding(live, liveBytes, pinned, 0, [], true);
    this[Symbol.dispose]();
  }

  /**
   * As `detach`, but leases that are out stay good until they are released: nothing can
   * revoke them. Those who wait are rejected. A second call does nothing.
   */
  [Symbol.dispose](): void {
    if (this.#store.closed) return;
    for (const port of this.#ports) port.close();
    this.#ports.clear();
    this.#queue.close(arenaDisposed("acquire"));
    this.#store.dispose();
    if (!this.#store.isAttached) this.#deaths.leave();
  }

  /** What Node prints. */
  [Symbol.for("nodejs.util.inspect.custom")](): string {
    const { live, liveBytes, book } = this.#store;
    const size = `${book.data.buffer.byteLength} of ${book.maxSlabs * 65536} bytes reserved`;
    return `SharedArena { ${countOf(live)} of ${liveBytes} bytes in thread ${this.threadId}, ${size} }`;
  }

  #acquireUnzeroed(byteLength: number): SharedLease {
    requireLeaseLength(byteLength);
    return this.#store.acquireUnzeroed(byteLength) ?? this.#refuse(byteLength);
  }

  #refuse(byteLength: number): never {
    requireLeaseLength(byteLength);
    const { longest } = this.#store;
    if (byteLength > longest) throw neverFits(byteLength, longest);
    // For the next try: others give back what they keep.
    this.#store.wantRoom();
    throw sharedExhausted(byteLength, longest);
  }

  #port(handle: SharedPortHandle, side: 0 | 1): SharedPort {
    const port = new SharedPort(this.#store, handle, side, () => this.#lookUp());
    for (const each of this.#ports) if (each.closed && each.settle()) this.#ports.delete(each);
    this.#ports.add(port);
    return port;
  }

  /** All of these leases or none of them. */
  #takeAll(byteLengths: readonly number[]): SharedLease[] | null {
    const { longest } = this.#store;
    const total = slabsFor(byteLengths) * abi.SLAB_BYTES;
    if (total > longest) throw neverFits(total, longest);
    return this.#store.acquireAll(byteLengths);
  }

  async #wait(byteLengths: readonly number[], signal: AbortSignalLike | undefined): Promise<SharedLease[]> {
    const waiting = this.#queue.waitForRoom({ byteLengths, isZeroed: true, callSite: undefined }, signal);
    this.#wake();
    waitedFor.add(this);
    try {
      return await holdingOpen(waiting);
    } finally {
      if (this.#queue.length === 0) waitedFor.delete(this);
    }
  }

  /** Why nobody can make room: the engine refuses memory, and no block is out, in any thread. */
  #cannotServe(byteLengths: readonly number[]): ArenaError | undefined {
    const { exports, data } = this.#store.book;
    // All memory is there: whoever had it has given it back just now, and will say so.
    if (data.buffer.byteLength === this.#store.longest) return undefined;
    for (const kind of [abi.OWNED, abi.IN_TRANSIT, abi.KEPT]) if (exports.count(kind, 0) > 0) return undefined;
    const total = byteLengths.reduce((sum, byteLength) => sum + byteLength, 0);
    return nothingToWaitFor(total, data.buffer.byteLength, this.#store.longest);
  }

  /** Serves those who wait, soon. */
  #wake(): void {
    if (this.#isServing) return;
    inMicrotask(() => {
      try {
        this.#queue.serve();
        if (this.#queue.length === 0) return;
        // Then once more: what became free between the two, nobody has told us of.
        this.#store.wantRoom();
        this.#queue.serve();
      } finally {
        // Leases that serving takes and gives back must not schedule it again.
        this.#isServing = false;
      }
    });
    // After: an overflow in between must not leave it set with nothing scheduled.
    this.#isServing = true;
  }

  /** The bell rang. */
  #lookUp(): void {
    // One that was declared dead would take back what it had sent, and lease it again.
    if (this.#store.closed || !this.#store.isAttached) return;
    const { words, entries } = this.#store.book;
    this.#deaths.look(words, entries);
    const deaths = read(words, abi.DEATHS);
    if (deaths !== this.#deathsSeen) for (const port of this.#ports) if (port.settle()) this.#ports.delete(port);
    this.#deathsSeen = deaths;
    if (this.#store.isRoomWanted) this.#store.yieldMemory();
    if (this.#queue.length > 0) this.#wake();
  }

  #ended(ended: number): number {
    if (this.#store.closed) return 0;
    const freed = this.#store.book.exports.threadEnded(ended);
    add(this.#store.book.words, abi.DEATHS, 1);
    this.#store.ring();
    this.#lookUp();
    return freed;
  }

  /** Hears the bell as long as somebody has the arena. After that, once: what it kept is nobody's. */
  static async #listen(
    arena: WeakRef<SharedArena>,
    words: Int32Array,
    heard: number,
    giveUp: () => void,
  ): Promise<void> {
    for (let last = heard; ; ) {
      await woken(words, abi.BELL, last);
      const here = arena.deref();
      if (here === undefined) return giveUp();
      if (here.#store.closed) return;
      last = read(words, abi.BELL);
      if (last === here.#store.heard) continue;
      here.#store.heard = last;
      here.#lookUp();
    }
  }
}
