/**
 * Pools of one length. In `"never"` mode a pool keeps released blocks with their
 * views, so that a cycle costs neither a call for the block nor a new view. In
 * the revoking modes there is nothing to keep: a pool is a name for a length.
 */

import type { Countdown } from "./countdown.js";
import type { FreeListSegment, FreeListSegments } from "./free-list.js";
import { type Aftermath, type BlockOwner, Lease, type LeaseOrigin } from "./lease.js";
import type { Ledger, Tally } from "./ledger.js";

/** Leases of one length. Made by `arena.pool()`; lives as long as the arena. */
export interface SizeClassPool {
  /** Bytes in each lease. */
  readonly byteLength: number;
  /**
   * A lease of `byteLength` zeroed bytes, exactly as from `arena.acquire`. In
   * `"never"` mode its `bytes` may be the very object that an earlier lease had.
   *
   * @throws ArenaError as `arena.acquire` does.
   */
  acquire(): Lease;
}

/** What a pool takes the slow way, from its arena. */
export interface PoolHost {
  readonly ledger: Ledger;
  readonly countdown: Countdown;
  /** The whole of `acquire`, but for its check of the length. */
  acquireChecked(byteLength: number): Lease;
}

/** Bytes of released blocks that a pool keeps, within the limits below on their number. */
const KEEP_BYTES = 1024 * 1024;
const KEEP_AT_LEAST = 16;
const KEEP_AT_MOST = 1024;

/** A block that stays with its pool between leases, and the view of it. */
class KeptBlock implements BlockOwner {
  readonly origin: LeaseOrigin = "arena";
  readonly segment: FreeListSegment;
  readonly ptr: number;
  bytes: Uint8Array<ArrayBuffer>;
  private readonly pool: CachedPool;

  constructor(segment: FreeListSegment, ptr: number, bytes: Uint8Array<ArrayBuffer>, pool: CachedPool) {
    this.segment = segment;
    this.ptr = ptr;
    this.bytes = bytes;
    this.pool = pool;
  }

  get memory() {
    return this.segment.memory;
  }

  get tally(): Tally {
    return this.segment.tally;
  }

  get closed(): boolean {
    return this.segment.closed;
  }

  release(_ptr: number, byteLength: number, written: number): Aftermath | undefined {
    if (this.segment.isOutOfUse) return this.segment.endDamaged(this.ptr, byteLength);
    return this.pool.takeBack(this, byteLength, written);
  }
}

/** A pool of `"never"` mode: released blocks stay here, most recently released first. */
export class CachedPool implements SizeClassPool {
  readonly byteLength: number;
  readonly #blockBytes: number;
  readonly #sizeClass: number;
  readonly #host: PoolHost;
  readonly #ledger: Ledger;
  readonly #countdown: Countdown;
  readonly #segments: FreeListSegments;
  readonly #kept: KeptBlock[] = [];
  #keepAtMost = 0;

  constructor(byteLength: number, sizeClass: number, blockBytes: number, host: PoolHost, segments: FreeListSegments) {
    this.byteLength = byteLength;
    this.#blockBytes = blockBytes;
    this.#sizeClass = sizeClass;
    this.#host = host;
    this.#ledger = host.ledger;
    this.#countdown = host.countdown;
    this.#segments = segments;
    segments.keepers.add(this);
    this.keep();
  }

  /** Keeps blocks from now on; not while stale writes are looked for, which a segment does at hand-out. */
  keep(): void {
    const { onDirty } = this.#ledger;
    if (onDirty !== null) this.flush();
    this.#keepAtMost =
      onDirty === null ? Math.min(KEEP_AT_MOST, Math.max(KEEP_AT_LEAST, KEEP_BYTES / this.#blockBytes)) : 0;
  }

  acquire(): Lease {
    if (this.#countdown.left > 1) {
      const block = this.#kept.pop() ?? this.#take();
      if (block !== null) {
        this.#countdown.left--;
        const { byteLength } = this;
        // Whoever holds lease.memory can revoke it.
        if (block.bytes.length !== byteLength) block.bytes = this.#view(block.segment, block.ptr);
        this.#ledger.took(block.segment.tally, byteLength, this.#sizeClass);
        return new Lease(block.bytes, block, block.ptr, byteLength);
      }
    }
    return this.#host.acquireChecked(this.byteLength);
  }

  takeBack(block: KeptBlock, byteLength: number, written: number): Aftermath | undefined {
    const { segment } = block;
    if (this.#kept.length >= this.#keepAtMost || this.#ledger.waiting !== 0) {
      return segment.release(block.ptr, byteLength, written);
    }
    segment.exports.wipe(block.ptr, Math.min(written >>> 0, this.#blockBytes));
    this.#kept.push(block);
    this.#ledger.gaveBack(segment.tally, byteLength);
    return undefined;
  }

  /** Gives every kept block back to its segment; false if there was none. */
  flush(): boolean {
    const kept = this.#kept.splice(0);
    for (const { segment, ptr } of kept) segment.takeBack(ptr, this.byteLength);
    return kept.length > 0;
  }

  /** `segment` is out of use, and with it the blocks of it that are kept. */
  forget(segment: FreeListSegment): void {
    const others = this.#kept.filter((block) => block.segment !== segment);
    this.#kept.splice(0, this.#kept.length, ...others);
  }

  /** The arena has ended: whoever holds the pool does not hold its memory. */
  close(): void {
    this.#kept.length = 0;
  }

  /** How many blocks of `segment` are kept here: live to the module, though nobody's. */
  keptOf(segment: FreeListSegment): number {
    return this.#kept.filter((block) => block.segment === segment).length;
  }

  #take(): KeptBlock | null {
    const taken = this.#segments.acquireBlock(this.#sizeClass);
    if (taken === null) return null;
    const { segment, ptr } = taken;
    return new KeptBlock(segment, ptr, this.#view(segment, ptr), this);
  }

  #view(segment: FreeListSegment, ptr: number): Uint8Array<ArrayBuffer> {
    try {
      return segment.view(ptr, this.byteLength);
    } catch (error) {
      // No memory for the view itself: the block must not be lost with it.
      segment.takeBack(ptr, this.byteLength);
      throw error;
    }
  }
}

/** A pool without blocks of its own. */
export class PlainPool implements SizeClassPool {
  readonly byteLength: number;
  readonly #host: PoolHost;

  constructor(byteLength: number, host: PoolHost) {
    this.byteLength = byteLength;
    this.#host = host;
  }

  acquire(): Lease {
    return this.#host.acquireChecked(this.byteLength);
  }
}
