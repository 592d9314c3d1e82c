/**
 * A lease: the right to a block, until release. Owns the promise that nobody
 * uses a block through this object after giving it back, and the pins that put
 * off the giving back. Where the block lies and what becomes of it is its
 * owner's business.
 *
 *             release(), no pin
 *   HELD ───────────────────────────▶ RETURNED
 *    │                                    ▲
 *    └── release(), pinned ──▶ ENDED ─────┘ last pin released
 */

import { Bytes, type LinearMemory, WHOLE_BLOCK } from "./abi.js";
import { ArenaError, arenaDisposed, invalidArgument, leaseReleased } from "./errors.js";
import type { Tally } from "./ledger.js";

/**
 * Where a lease's block lies: in the arena's memory, in a memory of its own that
 * dies at release (a guard), or on the JavaScript heap because the cap was reached.
 */
export type LeaseOrigin = "arena" | "guard" | "heap";

/** What a lease needs of the segment, memory or buffer that its block lies in. */
export interface BlockOwner {
  readonly origin: LeaseOrigin;
  readonly memory: LinearMemory | undefined;
  readonly tally: Tally;
  /** The arena was disposed. */
  readonly closed: boolean;
  /** Who acquired and released the lease, as far as that is traced: lines for the end of a message. */
  readonly history?: string | undefined;
  /**
   * Wipes the first `written` bytes and takes the block back. Throws, and changes
   * nothing, if it cannot. Answers what is still to be done once the lease has ended.
   */
  release(ptr: number, byteLength: number, written: number): Aftermath | undefined;
}

/**
 * After a release: an error to throw, because the block's records were damaged
 * (the lease has ended all the same, wiped and counted), or something to call.
 */
export type Aftermath = ArenaError | (() => void);

/** A typed array or `DataView` constructor. */
export interface ViewConstructor<V extends ArrayBufferView> {
  new (buffer: ArrayBuffer, byteOffset: number, length: number): V;
  readonly BYTES_PER_ELEMENT?: number;
}

export interface ReleaseOptions {
  /**
   * Bytes: the caller vouches that only the first this many were touched, and
   * only they are wiped. From 0 to the lease's `byteLength`. With tracing on, a
   * byte changed behind them is found and thrown as `ERR_INVALID_ARGUMENT`.
   */
  written?: number | undefined;
}

const WATCHED = 1;
const A_PIN = 2;

/**
 * The right to a block of memory, until it is released. Made by `arena.acquire`
 * and its relatives. Release it once, on every path: `using`, `try … finally`
 * or `arena.use`.
 */
export class Lease {
  #bytes: Uint8Array<ArrayBuffer> | null;
  #byteLength: number;
  readonly #ptr: number;
  #owner: BlockOwner;
  /** Pins held, in twos; odd once the lease is watched, or a guard. One test at release, where the engine then sees blocks' owners alone. */
  #holds = 0;

  /** @internal */
  constructor(bytes: Uint8Array<ArrayBuffer>, owner: BlockOwner, ptr: number, byteLength: number) {
    this.#bytes = bytes;
    this.#owner = owner;
    this.#ptr = ptr;
    this.#byteLength = byteLength;
  }

  /** @internal Puts `wrap(owner)` in the owner's place, to watch what this lease does. */
  static watch(lease: Lease, wrap: (owner: BlockOwner) => BlockOwner): Lease {
    lease.#owner = wrap(lease.#owner);
    lease.#holds |= WATCHED;
    return lease;
  }

  /**
   * Makes `lease`, which nobody else has seen, one of its first `byteLength` bytes.
   * Not for users: they have this class as a type only.
   */
  static shorten(lease: Lease, byteLength: number): Lease {
    const { bytes } = lease;
    if (byteLength === bytes.length) return lease;
    Lease.watch(lease, (owner) => new ShortenedOwner(owner, bytes.length));
    lease.#bytes = bytes.subarray(0, byteLength);
    lease.#byteLength = byteLength;
    return lease;
  }

  /**
   * The leased bytes: zero when the lease was acquired, exactly `byteLength`
   * long, the same object each time. Yours until release; do not keep them
   * longer, and do not transfer or clone them (`copy()` makes bytes that you may).
   *
   * @throws ArenaError `ERR_LEASE_RELEASED` after release, `ERR_ARENA_DISPOSED`
   *   after the arena was disposed, `ERR_ARENA_CORRUPT` if someone else revoked
   *   the memory under the lease.
   */
  get bytes(): Uint8Array<ArrayBuffer> {
    const bytes = this.#bytes;
    // An empty view looks the same when it is detached.
    if (bytes === null || bytes.length !== this.#byteLength || bytes.length === 0) return this.#bytesIfAttached();
    return bytes;
  }

  /** Bytes in the lease: the number that was asked for. */
  get byteLength(): number {
    return this.#byteLength;
  }

  /** Bytes from the start of `memory` (for a heap lease, of its buffer) to the first leased byte; a multiple of 16. */
  get byteOffset(): number {
    return this.#ptr;
  }

  /**
   * The linear memory that the lease lies in, with `byteOffset` the pointer that
   * another WebAssembly module wants; `undefined` for a heap lease. Do not grow
   * it, and do not keep it: its `buffer` shows later leases too.
   */
  get memory(): LinearMemory | undefined {
    return this.#owner.memory;
  }

  /** Whether the lease has ended. */
  get released(): boolean {
    return this.#bytes === null;
  }

  /** Where the block lies. */
  get origin(): LeaseOrigin {
    return this.#owner.origin;
  }

  /**
   * Another view of the same bytes: `view(DataView)`, `view(Float64Array)`.
   * The block is aligned for all of them. Ends with the lease, like `bytes`.
   *
   * @throws ArenaError `ERR_INVALID_ARGUMENT` if `byteLength` is not a whole
   *   number of elements or `View` makes no views, and as `bytes` does.
   */
  view<V extends ArrayBufferView>(View: ViewConstructor<V>): V {
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
    if (!ArrayBuffer.isView(view)) throw invalidArgument("View", View, "DataView or a typed array constructor");
    return view;
  }

  /**
   * The bytes as an array of their own, on the JavaScript heap. It is yours for
   * good: for `postMessage`, caches, and whatever outlives the lease. Costs a
   * fresh allocation.
   *
   * @throws ArenaError as `bytes` does.
   */
  copy(): Uint8Array<ArrayBuffer> {
    return new Bytes(this.bytes);
  }

  /**
   * Ends the lease. When this returns the bytes are zero, and nobody may use any
   * view of them, nor I/O or other WebAssembly code that was given them: see
   * `pin`. With a pin held, the wiping waits until the last pin is released.
   *
   * @throws ArenaError `ERR_LEASE_RELEASED` on a second call, `ERR_INVALID_ARGUMENT`
   *   for a `written` out of range or, with tracing on, untrue (the lease is then
   *   still yours), `ERR_ARENA_DISPOSED`, `ERR_ARENA_CORRUPT` if this release is
   *   the first to find that someone wrote over the segment's bookkeeping: the
   *   lease has then ended like any other.
   */
  release(options?: ReleaseOptions): void {
    // Nothing but what every release takes, and all else in one call: the engine inlines only so many bytes of code.
    if (this.#bytes === null || options !== undefined || this.#holds !== 0) {
      this.#releaseWith(options);
      return;
    }
    const after = this.#owner.release(this.#ptr, this.#byteLength, WHOLE_BLOCK);
    this.#bytes = null;
    if (after !== undefined) bringAbout(after);
  }

  /** Releases unless already released. */
  [Symbol.dispose](): void {
    if (this.#bytes === null) return;
    if (this.#owner.closed) this.#bytes = null;
    else this.release();
  }

  /**
   * Keeps the block from being wiped and reused while something outside still
   * uses it, past the release of the lease. Take the pin before you release.
   *
   * @throws ArenaError `ERR_LEASE_RELEASED` after release.
   */
  pin(): Pin {
    if (this.#bytes === null) throw this.#ended("pin");
    this.#holds += A_PIN;
    return new Pin(() => this.#unpin());
  }

  /**
   * Ends the lease now for you, and wipes and returns the block when `promise`
   * settles: `await lease.releaseAfter(file.write(lease.bytes))`.
   *
   * @returns a promise that settles as `promise` does, once the block is returned.
   *   Use it in that promise's place: a rejection comes out of it.
   * @throws ArenaError `ERR_LEASE_RELEASED` if already released, `ERR_INVALID_ARGUMENT` if
   *   `promise` is none, as from a function that takes a callback: the lease is then still yours.
   */
  releaseAfter<T>(promise: PromiseLike<T>): Promise<T> {
    if (!isThenable(promise)) throw invalidArgument("promise", promise, "the promise of whatever still uses the bytes");
    const settled = Promise.resolve(promise);
    const pin = this.pin();
    this.release();
    return settled.finally(() => pin.release());
  }

  #releaseWith(options: ReleaseOptions | undefined): void {
    if (this.#bytes === null) throw this.#ended("release");
    const written = options === undefined ? WHOLE_BLOCK : this.#checkWritten(options);
    // Options may have a getter, and that may have released the lease.
    if (this.#bytes === null) throw this.#ended("release");
    const after = this.#releaseUnpinned(written);
    this.#bytes = null;
    if (after !== undefined) bringAbout(after);
  }

  #unpin(): void {
    this.#holds -= A_PIN;
    if (this.#bytes !== null || this.#owner.closed) return;
    const after = this.#releaseUnpinned(WHOLE_BLOCK);
    if (after !== undefined) bringAbout(after);
  }

  #releaseUnpinned(written: number): Aftermath | undefined {
    return this.#holds < A_PIN ? this.#owner.release(this.#ptr, this.#byteLength, written) : undefined;
  }

  #checkWritten(options: ReleaseOptions): number {
    if (typeof options !== "object" || options === null)
      throw invalidArgument("options", options, "{ written } or nothing");
    const { written } = options;
    if (written === undefined) return WHOLE_BLOCK;
    if (!Number.isInteger(written) || written < 0 || written > this.#byteLength) {
      throw invalidArgument("written", written, `a whole number of bytes from 0 to ${this.#byteLength}`);
    }
    return written === this.#byteLength ? WHOLE_BLOCK : written;
  }

  #ended(action: string): ArenaError {
    return leaseReleased(action, this.#byteLength, this.#owner.history);
  }

  #bytesIfAttached(): Uint8Array<ArrayBuffer> {
    const bytes = this.#bytes;
    if (bytes === null) throw this.#ended("read bytes");
    if (this.#owner.closed) throw arenaDisposed("read bytes");
    if (bytes.length === this.#byteLength) return bytes;
    throw new ArenaError(
      "ERR_ARENA_CORRUPT",
      `cannot read bytes: the memory under this lease of ${this.#byteLength} bytes was revoked or transferred ` +
        "by other code; release the lease and do not grow lease.memory",
    );
  }
}

export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as { then?: unknown } | null | undefined)?.then === "function";
}

export function bringAbout(after: Aftermath): void {
  if (typeof after !== "function") throw after;
  after();
}

/** Stands between a lease and its owner, and changes nothing. */
export class StandIn implements BlockOwner {
  protected readonly owner: BlockOwner;

  constructor(owner: BlockOwner) {
    this.owner = owner;
  }

  get origin(): LeaseOrigin {
    return this.owner.origin;
  }

  get memory(): LinearMemory | undefined {
    return this.owner.memory;
  }

  get tally(): Tally {
    return this.owner.tally;
  }

  get closed(): boolean {
    return this.owner.closed;
  }

  get history(): string | undefined {
    return this.owner.history;
  }

  release(ptr: number, byteLength: number, written: number): Aftermath | undefined {
    return this.owner.release(ptr, byteLength, written);
  }
}

/** For a shortened lease: the owner knows the block by the length it was acquired with. */
class ShortenedOwner extends StandIn {
  readonly #byteLength: number;

  constructor(owner: BlockOwner, byteLength: number) {
    super(owner);
    this.#byteLength = byteLength;
  }

  override release(ptr: number, _byteLength: number, written: number): Aftermath | undefined {
    return super.release(ptr, this.#byteLength, written);
  }
}

/** Keeps a released block in place until it is released itself. Made by `lease.pin()`. */
export class Pin {
  #drop: (() => void) | null;

  /** @internal */
  constructor(drop: () => void) {
    this.#drop = drop;
  }

  /**
   * Lets go. If the lease has ended and this was its last pin, the block is wiped and returned.
   *
   * @throws ArenaError `ERR_LEASE_RELEASED` on a second call.
   */
  release(): void {
    const drop = this.#drop;
    if (drop === null)
      throw new ArenaError("ERR_LEASE_RELEASED", "this pin was already released; take one pin per use");
    this.#drop = null;
    drop();
  }

  /** Releases unless already released. */
  [Symbol.dispose](): void {
    if (this.#drop !== null) this.release();
  }
}
