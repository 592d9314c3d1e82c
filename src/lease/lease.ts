/**
 * A lease: the right to a block, until release. Owns the promise that nobody uses
 * a block through this object after its end, and the pins that put off the block's
 * return. Must not know segments, stores or the arena: only a `BlockOwner`.
 *
 *             release(), no pin
 *   HELD ───────────────────────────▶ RETURNED    #bytes    #owner
 *    │                                    ▲        HELD      view     owner
 *    └── release(), pinned ──▶ ENDED ─────┘        ENDED     null     owner
 *    │                            last pin         RETURNED  null     null
 *    └── surrender ───────▶ RETURNED: the block is on its way to another thread
 *
 * L1  A lease is marked as ended before its block is returned: a stack overflow,
 *     a `vm` timeout or a hook that throws in between loses the block until its
 *     memory is collected, and never returns it twice.
 * L2  A RETURNED lease holds nothing: no memory, no segment, no view.
 */

import { Bytes, isView, lengthOf, setBytes, subarrayOf } from "../builtins.js";
import { isThenable, requireLeaseLength } from "../checks.js";
import {
  type ArenaError,
  arenaDisposed,
  calledFrom,
  invalidArgument,
  leaseDetached,
  leasePinned,
  leaseReleased,
} from "../errors.js";
import type { BlockOwner, LeaseOrigin, LeaseWatch, LinearMemory } from "./owner.js";
import { Pin } from "./pin.js";

/** A typed array or `DataView` constructor. */
export interface ViewConstructor<V extends ArrayBufferView, B extends ArrayBufferLike = ArrayBuffer> {
  new (buffer: B, byteOffset: number, length: number): V;
  readonly BYTES_PER_ELEMENT?: number;
}

/** What few leases have. Its presence sends `release` down the slow path. */
interface Attachments {
  pins: number;
  readonly watches: LeaseWatch[];
}

/** In place of its own, what a lease has whose block is on its way to another thread. */
const SENT: Attachments = { pins: 0, watches: [] };

/** A lease of private or of shared memory. */
export type AnyLease = Lease<ArrayBufferLike>;

/** Follows `lease`, which nobody else has seen, to its end. */
export let watchLease: (lease: Lease, watch: (owner: BlockOwner) => LeaseWatch) => void;
/** Says that the lease's bytes have moved to another lease, and that its release, which follows, is not its caller's. */
export let wasReplaced: (lease: AnyLease) => void;
/** What owns the lease's block. Throws if the lease has ended, or a pin holds the block in place. */
export let movableBlock: <B extends ArrayBufferLike>(lease: Lease<B>, action: string) => BlockOwner<B>;
/** Ends the lease without returning its block: whoever calls this has the block. */
export let surrender: (lease: AnyLease) => void;

/**
 * The right to a block of memory, until it is released. Made by `arena.acquire`
 * and its relatives. Release it once, on every path: `using`, `try … finally`
 * or `arena.use`.
 */
export class Lease<B extends ArrayBufferLike = ArrayBuffer> {
  #bytes: Uint8Array<B> | null;
  #owner: BlockOwner<B> | null;
  #ptr: number;
  #byteLength: number;
  #attachments: Attachments | null = null;

  static {
    watchLease = (lease, watch) => {
      if (lease.#owner !== null) lease.#attach().watches.push(watch(lease.#owner));
    };
    wasReplaced = (lease) => {
      // One of another copy of the package counts as released.
      if (#attachments in lease) for (const watch of lease.#attachments?.watches ?? []) watch.replaced?.();
    };
    movableBlock = (lease, action) => {
      const owner = lease.#held(action);
      if (lease.#isPinned) throw leasePinned(action);
      return owner;
    };
    surrender = (lease) => {
      lease.#bytes = lease.#owner = null;
      lease.#attachments = SENT;
    };
  }

  /** @internal */
  constructor(bytes: Uint8Array<B>, owner: BlockOwner<B>, ptr: number, byteLength: number) {
    this.#bytes = bytes;
    this.#owner = owner;
    this.#ptr = ptr;
    this.#byteLength = byteLength;
  }

  /**
   * The leased bytes, exactly `byteLength` long, the same object until `resize`.
   * Zero when the lease was acquired, or what its producer wrote. Yours until
   * release. Do not keep them longer, and do not transfer or clone them: `copy()`
   * makes bytes that you may.
   *
   * @throws ArenaError `ERR_LEASE_RELEASED` after release, `ERR_ARENA_DISPOSED`
   *   after the arena was disposed, `ERR_LEASE_DETACHED` if other code revoked the
   *   memory under the lease.
   */
  get bytes(): Uint8Array<B> {
    const bytes = this.#bytes;
    // An empty view looks the same when it is detached.
    if (bytes === null || bytes.length !== this.#byteLength || bytes.length === 0)
      return this.#attachedBytes("read bytes");
    return bytes;
  }

  /** Bytes in the lease. */
  get byteLength(): number {
    return this.#byteLength;
  }

  /** Bytes from the start of `memory` (for a heap lease, of its buffer) to the first leased byte; a multiple of 16. */
  get byteOffset(): number {
    return this.#ptr;
  }

  /**
   * The linear memory that the lease lies in. With `byteOffset` as the pointer,
   * another WebAssembly module can use the bytes. `undefined` for a heap lease. Do
   * not grow it, and do not keep it: its `buffer` shows later leases too.
   *
   * @throws ArenaError `ERR_LEASE_RELEASED` after release, `ERR_ARENA_DISPOSED`.
   */
  get memory(): LinearMemory<B> | undefined {
    const owner = this.#held("read memory");
    if (owner.closed) throw arenaDisposed("read memory");
    return owner.memory;
  }

  /** Whether the lease has ended. */
  get released(): boolean {
    return this.#bytes === null;
  }

  /**
   * Where the block lies.
   *
   * @throws ArenaError `ERR_LEASE_RELEASED` after release.
   */
  get origin(): LeaseOrigin {
    return this.#held("read origin").origin;
  }

  /**
   * What the sender sent with the lease through a channel of `SharedArena`; 0 for other leases.
   *
   * @throws ArenaError `ERR_LEASE_RELEASED` after release.
   */
  get tag(): number {
    return this.#held("read tag").tag ?? 0;
  }

  /**
   * Another view of the same bytes: `view(DataView)`, `view(Float64Array)`.
   * The block is aligned for all of them. Ends with the lease, like `bytes`.
   *
   * @throws ArenaError `ERR_INVALID_ARGUMENT` if `byteLength` is not a whole
   *   number of elements or `View` makes no views, and as `bytes` does.
   */
  view<V extends ArrayBufferView>(View: ViewConstructor<V, B>): V {
    const bytes = this.bytes;
    if (typeof View !== "function") {
      throw invalidArgument("View", View, "DataView or a typed array constructor");
    }
    const elementBytes = View.BYTES_PER_ELEMENT ?? 1;
    if (bytes.length % elementBytes !== 0) {
      throw invalidArgument(
        "View",
        View.name,
        `one whose ${elementBytes}-byte elements divide the lease's ${bytes.length} bytes`,
      );
    }
    let view: V | undefined;
    try {
      view = new View(bytes.buffer, bytes.byteOffset, bytes.length / elementBytes);
    } catch {
      // Said below: no constructor, or not one of views.
    }
    if (!isView(view)) throw invalidArgument("View", View, "DataView or a typed array constructor");
    return view;
  }

  /**
   * The bytes as an array of their own, on the JavaScript heap, which is yours to
   * keep: for `postMessage`, caches, and whatever outlives the lease. Costs a fresh
   * allocation.
   *
   * @throws ArenaError as `bytes` does.
   */
  copy(): Uint8Array<ArrayBuffer> {
    return new Bytes(this.bytes);
  }

  /**
   * Changes the lease to `byteLength` bytes, as `realloc` does: keeps what fits, and
   * zeroes what is new. The block moves where another length of block fits better,
   * so a short read does not hold a long block. `bytes` is a new object afterwards;
   * older views are stale.
   *
   * @throws ArenaError `ERR_INVALID_ARGUMENT`; `ERR_LEASE_PINNED` while a pin is
   *   held; as `bytes`, and as `arena.acquire` when it grows: the lease is then as it was.
   */
  resize(byteLength: number): void {
    const bytes = this.#attachedBytes("resize");
    requireLeaseLength(byteLength);
    if (this.#isPinned) throw leasePinned("resize");
    const owner = this.#held("resize");
    const oldLength = this.#byteLength;
    if (byteLength === oldLength) return;
    const blockBytes = owner.blockBytes(this.#ptr);
    const isShorter = byteLength < oldLength;
    if (byteLength > blockBytes || (isShorter && wastes(byteLength, blockBytes))) {
      if (this.#move(bytes, byteLength, isShorter)) return;
    }
    const resized = owner.view(this.#ptr, byteLength);
    if (!isShorter) owner.source.zero(resized, oldLength, byteLength);
    // First: longer than its owner knows, bytes of it would not be zeroed for the next lease.
    owner.reaches?.(this.#ptr + byteLength);
    owner.account.liveBytes += byteLength - oldLength;
    this.#bytes = resized;
    this.#byteLength = byteLength;
    this.#tellWatches(owner);
  }

  /**
   * Ends the lease. From now on nobody may use any view of its bytes, nor I/O or
   * other WebAssembly code that was given them: see `pin`. The bytes are zero before
   * anyone is given them again; with `wipeOnRelease`, and in `"on-release"` mode,
   * they are zero when this returns, unless pinned.
   *
   * @throws ArenaError `ERR_LEASE_RELEASED` on a second call, `ERR_ARENA_DISPOSED`.
   */
  release(): void {
    const owner = this.#owner;
    if (owner === null || this.#attachments !== null) {
      this.#releaseSlow();
      return;
    }
    // L1
    this.#bytes = null;
    this.#owner = null;
    owner.ended(this.#ptr, this.#byteLength);
  }

  /**
   * Of a lease from `SharedArena`: ends it here, and answers a token, a number that any
   * `postMessage` carries. Whoever calls `arena.adopt(token)` first, in any thread, has the
   * bytes as they are. If nobody will, adopt it back: until then its block stays out.
   *
   * @throws ArenaError `ERR_LEASE_RELEASED`, `ERR_LEASE_PINNED`, and `ERR_INVALID_ARGUMENT` for
   *   a lease of memory that is not shared: the lease is as it was. `ERR_THREAD_ENDED` if
   *   this thread was declared dead.
   */
  handOver(this: Lease<SharedArrayBuffer>): number {
    const owner = movableBlock(this, "hand over");
    if (owner.handOver === undefined) {
      throw invalidArgument(
        "this lease",
        this,
        "one of a SharedArena, of cleanslab/shared: other memory stays in its thread",
      );
    }
    const byteLength = this.#byteLength;
    // L1
    surrender(this);
    return owner.handOver(byteLength);
  }

  /** Releases unless already released. */
  [Symbol.dispose](): void {
    const owner = this.#owner;
    if (this.#bytes === null || owner === null) return;
    if (!owner.closed) this.release();
    else this.#bytes = this.#owner = null;
  }

  /**
   * Keeps the block from being reused while something outside still uses it, past
   * the release of the lease. Take the pin before you release.
   *
   * @throws ArenaError `ERR_LEASE_RELEASED` after release.
   */
  pin(): Pin {
    this.#held("pin");
    const attachments = this.#attach();
    attachments.pins++;
    return new Pin(() => {
      if (--attachments.pins > 0 || this.#bytes !== null) return;
      if (this.#owner !== null) this.#owner.account.pinned--;
      this.#return();
    });
  }

  /**
   * Ends the lease now for you, and returns the block when `promise` settles:
   * `await lease.releaseAfter(fileHandle.write(lease.bytes))`.
   *
   * Only for a promise that settles after the last use of the bytes. The promise of a web
   * stream's `writer.write` may settle before, and other bytes would then be sent: use
   * `writeAndRelease` of cleanslab/web. For Node's streams use that of cleanslab/node.
   *
   * @returns a promise that settles as `promise` does, once the block is returned.
   *   Use it in that promise's place: a rejection comes out of it.
   * @throws ArenaError `ERR_LEASE_RELEASED` if already released, `ERR_INVALID_ARGUMENT` if
   *   `promise` is none, as from a function that takes a callback: the lease is then still yours.
   */
  releaseAfter<T>(promise: PromiseLike<T>): Promise<T> {
    if (!isThenable(promise)) throw invalidArgument("promise", promise, "the promise of whatever still uses the bytes");
    const settled = Promise.resolve(promise);
    this.#held("releaseAfter");
    const pin = this.pin();
    // Quiet on a disposed arena: an error here would leave `promise` to nobody.
    this[Symbol.dispose]();
    return settled.finally(() => pin.release());
  }

  /** What Node prints. */
  [Symbol.for("nodejs.util.inspect.custom")](): string {
    const { origin } = this.#owner ?? { origin: "" };
    const state = this.#bytes === null ? "released" : `${origin}, at ${this.#ptr}`;
    return `Lease { ${this.#byteLength} bytes, ${state} }`;
  }

  get #isPinned(): boolean {
    return this.#attachments !== null && this.#attachments.pins > 0;
  }

  #attach(): Attachments {
    this.#attachments ??= { pins: 0, watches: [] };
    return this.#attachments;
  }

  #releaseSlow(): void {
    if (this.#bytes === null) throw this.#released("release");
    this.#bytes = null;
    if (this.#owner?.closed) {
      this.#owner = null;
      throw arenaDisposed("release");
    }
    if (!this.#isPinned) {
      this.#return();
      return;
    }
    if (this.#owner !== null) this.#owner.account.pinned++;
    for (const watch of this.#attachments?.watches ?? []) watch.pinned();
  }

  /** The block of an ended lease goes back. */
  #return(): void {
    const owner = this.#owner;
    this.#owner = null;
    if (owner === null || owner.closed) return;
    const watches = this.#attachments?.watches ?? [];
    // Traces first: one that outlives its lease would be counted as a leak.
    try {
      for (const watch of watches) watch.ended(owner);
    } finally {
      owner.ended(this.#ptr, this.#byteLength);
    }
  }

  /** To a block of another length. False if there is no room and the old block will do. */
  #move(bytes: Uint8Array<B>, byteLength: number, mayStay: boolean): boolean {
    const owner = this.#held("resize");
    let moved: object;
    try {
      moved = owner.source.acquireUnzeroed(byteLength);
    } catch (error) {
      if (mayStay) return false;
      throw error;
    }
    if (!(#bytes in moved) || moved.#bytes === null) throw new TypeError("cleanslab: the source gave no lease");
    if (this.#owner !== owner || this.#bytes !== bytes || this.#isPinned) {
      // Acquiring ran hooks of `async_hooks`, which used this lease.
      moved.release();
      this.resize(byteLength);
      return true;
    }
    const target = moved.#bytes;
    const kept = Math.min(byteLength, this.#byteLength);
    // Room for the new block may have been made by revoking memories: not this one, whose lease is live.
    // An empty view may be detached: it is not asked.
    if (kept > 0) setBytes(target, kept === this.#byteLength ? bytes : subarrayOf(bytes, 0, kept));
    if (byteLength > kept) owner.source.zero(target, kept, byteLength);
    const oldPtr = this.#ptr;
    const oldLength = this.#byteLength;
    this.#bytes = target;
    this.#owner = moved.#owner;
    this.#ptr = moved.#ptr;
    this.#byteLength = byteLength;
    if (owner.tag !== undefined && moved.#owner !== null) moved.#owner.tag = owner.tag;
    moved.#bytes = moved.#owner = null;
    this.#tellWatches(this.#held("resize"));
    // The moved block's own trace ends: the traces of this lease follow it.
    for (const watch of moved.#attachments?.watches ?? []) watch.ended(owner);
    owner.ended(oldPtr, oldLength);
    return true;
  }

  #tellWatches(owner: BlockOwner<B>): void {
    for (const watch of this.#attachments?.watches ?? []) watch.resized(owner, this.#ptr, this.#byteLength);
  }

  #held(action: string): BlockOwner<B> {
    if (this.#bytes === null || this.#owner === null) throw this.#released(action);
    return this.#owner;
  }

  #released(action: string): ArenaError {
    const history = this.#attachments?.watches.map((watch) => watch.history).join("");
    const error = leaseReleased(action, this.#byteLength, history, this.#attachments === SENT);
    // Most actions are called after the method, or the getter, that is running.
    const entry = Object.getOwnPropertyDescriptor(Lease.prototype, action.replace("read ", ""));
    return calledFrom(error, entry?.get ?? entry?.value);
  }

  #attachedBytes(action: string): Uint8Array<B> {
    const owner = this.#held(action);
    if (owner.closed) throw arenaDisposed(action);
    const bytes = this.#bytes as Uint8Array<B>;
    if (lengthOf(bytes) !== this.#byteLength) throw leaseDetached(action, this.#byteLength);
    if (this.#byteLength > 0 || owner.memory === undefined) return bytes;
    // An empty view has the same length when it is detached. A new one is as good.
    const attached = owner.view(this.#ptr, 0);
    if (attached.buffer !== bytes.buffer) this.#bytes = attached;
    return this.#bytes as Uint8Array<B>;
  }
}

/** Whether `byteLength` bytes would leave at least half of a block, and a kilobyte, unused. */
function wastes(byteLength: number, blockBytes: number): boolean {
  return byteLength <= blockBytes >> 1 && blockBytes - byteLength >= 1024;
}
