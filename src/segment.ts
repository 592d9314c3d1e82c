/**
 * One segment: a memory of 64 slabs, the instance of the module that manages
 * it, and the making of leases on its blocks. What becomes of a released block
 * is decided by the two kinds of segment, in src/revoking.ts and src/free-list.ts.
 *
 * | from    | to      | when                                            | by               |
 * |---------|---------|-------------------------------------------------|------------------|
 * | (new)   | active  | room is needed, and the cap has some            | segment set      |
 * | active  | active  | no room, no lease live: revoked, reset in place | revoking set     |
 * | active  | retired | no room, leases live; no longer held            | revoking set     |
 * | retired | drained | the last lease is released; held again          | revoking segment |
 * | drained | active  | room is needed; revoked and reset first         | revoking set     |
 * | drained | dropped | trim, or idle for long                          | segment set      |
 * | retired | (gone)  | unreachable: its leases leaked                  | the collector    |
 * | active  | dropped | trim, or the cap is needed: no lease live       | segment set      |
 * | any     | corrupt | bookkeeping damaged, or it cannot be revoked    | segment          |
 * | corrupt | dropped | no lease is left in it                          | segment          |
 *
 * S1  The set holds a segment strongly only while it is active or drained. A
 *     retired one is held by its leases alone.
 */

import {
  Bytes,
  blockBytesOf,
  createSegmentExports,
  type Memory,
  revoke,
  type SegmentExports,
  Status,
  segmentMemoryBytes,
  wipeBytes,
} from "./abi.js";
import { arenaCorrupt, arenaDisposed } from "./errors.js";
import { type Aftermath, Lease, type LeaseOrigin } from "./lease.js";
import { Anchor, type Ledger, type MemoryOwner, Tally } from "./ledger.js";

export abstract class Segment implements MemoryOwner {
  readonly origin: LeaseOrigin = "arena";
  readonly memory: Memory;
  readonly exports: SegmentExports;
  readonly tally: Tally;
  readonly anchor = new Anchor();
  readonly ledger: Ledger;
  /** The module's `acquire`, or what watches it: a block's address, or a status of zero or below. */
  take: SegmentExports["acquire"];
  /** The module's `release`, until the segment is out of use. */
  protected giveBack: SegmentExports["release"];
  /** Whether blocks are zeroed as they are handed out. */
  protected abstract readonly zeroed: 0 | 1;
  closed = false;
  /** Closed, or corrupt. */
  isOutOfUse = false;
  readonly #slabShift: number;
  protected buffer: ArrayBuffer;

  constructor({ memory, exports, tally }: SegmentParts, ledger: Ledger, slabShift: number) {
    this.memory = memory;
    this.exports = exports;
    this.ledger = ledger;
    this.tally = tally;
    this.giveBack = exports.release;
    this.#slabShift = slabShift;
    this.buffer = memory.buffer;
    this.take = exports.acquire;
    this.inspect();
    ledger.open(tally, this);
  }

  /** Looks for stale writes at hand-out from now on, if the ledger wants to know of them. */
  inspect(): void {
    if (this.isOutOfUse) return;
    this.take = this.ledger.onDirty === null ? this.exports.acquire : (sizeClass) => this.#takeInspected(sizeClass);
  }

  #takeInspected(sizeClass: number): number {
    const ptr = this.exports.acquire(sizeClass, 0);
    if (ptr > 0) this.wipeInspected(ptr, blockBytesOf(sizeClass, this.#slabShift));
    return ptr;
  }

  /** Wipes a block that should be zero, and reports it if it was not. */
  wipeInspected(ptr: number, blockBytes: number): void {
    const dirtyAt = this.exports.firstDirty(ptr, blockBytes);
    if (dirtyAt < 0) return;
    this.exports.wipe(ptr, blockBytes);
    this.ledger.onDirty?.(this.tally, ptr + dirtyAt);
  }

  /** A lease out of this segment, or `null` if it has no room or is, maybe from now on, out of use. */
  tryLease(sizeClass: number, byteLength: number): Lease | null {
    const ptr = this.take(sizeClass, this.zeroed);
    if (ptr <= Status.NO_ROOM) return this.refuse(ptr);
    let bytes: Uint8Array<ArrayBuffer>;
    try {
      bytes = new Bytes(this.buffer, ptr, byteLength);
    } catch {
      bytes = this.viewOrGiveBack(ptr, byteLength);
    }
    this.ledger.took(this.tally, byteLength, sizeClass);
    return new Lease(bytes, this, ptr, byteLength);
  }

  /** No block: there is no room, or the bookkeeping is damaged. */
  protected refuse(status: number): null {
    if (status < Status.NO_ROOM) this.quarantine();
    return null;
  }

  private viewOrGiveBack(ptr: number, byteLength: number): Uint8Array<ArrayBuffer> {
    try {
      return this.view(ptr, byteLength);
    } catch (error) {
      // No memory for the view itself: the block must not be lost with it.
      this.giveBack(ptr, 0, 0);
      throw error;
    }
  }

  view(ptr: number, byteLength: number): Uint8Array<ArrayBuffer> {
    try {
      return new Bytes(this.buffer, ptr, byteLength);
    } catch {
      // Whoever holds lease.memory can revoke it too; the bytes are where they were.
      this.buffer = this.memory.buffer;
      return new Bytes(this.buffer, ptr, byteLength);
    }
  }

  /** Detaches every view ever made of this segment; their bytes stay. False if that cannot be done any more. */
  revoke(): boolean {
    const isRevoked = revoke(this.memory);
    this.buffer = this.memory.buffer;
    this.ledger.revoked(this.tally);
    return isRevoked;
  }

  close(): void {
    this.closed = this.isOutOfUse = true;
    this.take = () => Status.NO_ROOM;
    this.giveBack = () => Status.NOT_LIVE;
    this.revoke();
  }

  /** Takes the segment out of use: its bookkeeping is damaged, or it cannot be revoked. */
  quarantine(): void {
    const { tally } = this;
    if (tally.state === "corrupt" || tally.state === "dropped") return;
    this.letGo();
    tally.state = "corrupt";
    this.isOutOfUse = true;
    // Nothing that the module says of this segment is worth asking for.
    this.take = () => Status.CORRUPT;
    this.giveBack = () => Status.CORRUPT;
    this.ledger.corruptSegments++;
    this.#dropIfUnused();
    this.ledger.afterRelease?.();
  }

  /** The set no longer hands out of this segment, nor holds it. */
  protected abstract letGo(): void;

  abstract release(ptr: number, byteLength: number, written: number): Aftermath | undefined;

  /**
   * Ends a lease that the module would not: what it knows of the block is
   * damaged. Answers the error for the first who finds that out, to be thrown once
   * whoever waits was served.
   */
  endDamaged(ptr: number, byteLength: number): Aftermath | undefined {
    if (this.closed) throw arenaDisposed("release");
    const isNews = this.tally.state !== "corrupt";
    wipeBytes(new Bytes(this.memory.buffer, ptr, byteLength), 0);
    this.quarantine();
    this.ledger.gaveBack(this.tally, byteLength);
    this.#dropIfUnused();
    const { afterRelease } = this.ledger;
    if (!isNews) return afterRelease;
    const error = arenaCorrupt(`the segment of the lease at ${ptr} has damaged records and is out of use`);
    if (afterRelease === undefined) return error;
    return () => {
      afterRelease();
      throw error;
    };
  }

  /** Revoked as well, so that a stale view does not keep its memory from the system. */
  #dropIfUnused(): void {
    if (this.tally.live > 0) return;
    this.ledger.drop(this.tally);
    this.revoke();
  }
}

export interface SegmentParts {
  readonly memory: Memory;
  readonly exports: SegmentExports;
  readonly tally: Tally;
}

/** A memory for one more segment and the module over it, or `null` if cap or engine have no room. */
export function createSegmentParts(ledger: Ledger, slabShift: number): SegmentParts | null {
  const reservedBytes = segmentMemoryBytes(slabShift);
  const memory = ledger.provide(reservedBytes, true);
  if (memory === null) return null;
  let made = false;
  try {
    const exports = createSegmentExports(memory, slabShift);
    made = true;
    return { memory, exports, tally: new Tally("segment", reservedBytes) };
  } finally {
    if (!made) ledger.unreserve(reservedBytes);
  }
}

/** A mode's way to leases out of size classes. */
export interface SegmentSet {
  /** A lease, or `null` if there is no room and none can be made. */
  acquire(sizeClass: number, byteLength: number): Lease | null;
  /** Drops the memory that has been idle longest; false if none is. */
  dropColdest(): boolean;
  /** A round is over: drops some of what has been idle for `IDLE_ROUNDS` of them. */
  shrink(): void;
  /** Drops every memory without leases. */
  trim(): void;
  /** Lets go of everything; closing the memories is the arena's business. */
  clear(): void;
}
