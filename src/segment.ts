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
 * | corrupt | dropped | the last lease is released                      | revoking segment |
 *
 * S1  The set holds a segment strongly only while it is active or drained. A
 *     retired one is held by its leases alone.
 */

import {
  blockBytesOf,
  createSegmentExports,
  type Memory,
  revoke,
  type SegmentExports,
  Status,
  segmentMemoryBytes,
} from "./abi.js";
import { type ArenaError, arenaCorrupt, arenaDisposed } from "./errors.js";
import { Lease, type LeaseOrigin } from "./lease.js";
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
  closed = false;
  #buffer: ArrayBuffer;

  constructor({ memory, exports, tally }: SegmentParts, ledger: Ledger) {
    this.memory = memory;
    this.exports = exports;
    this.ledger = ledger;
    this.tally = tally;
    this.take = exports.acquire;
    this.#buffer = memory.buffer;
    ledger.open(tally, this);
  }

  /** The lease on the block at `ptr`, which `take(sizeClass)` just gave. */
  lease(ptr: number, byteLength: number, sizeClass: number): Lease {
    const bytes = this.view(ptr, byteLength);
    this.ledger.tookClass(this.tally, byteLength, sizeClass);
    return new Lease(bytes, this, ptr, byteLength);
  }

  view(ptr: number, byteLength: number): Uint8Array<ArrayBuffer> {
    try {
      return new Uint8Array(this.#buffer, ptr, byteLength);
    } catch {
      // Whoever holds lease.memory can revoke it too; the bytes are where they were.
      this.#buffer = this.memory.buffer;
      return new Uint8Array(this.#buffer, ptr, byteLength);
    }
  }

  /** Detaches every view ever made of this segment; their bytes stay. False if that cannot be done any more. */
  revoke(): boolean {
    const isRevoked = revoke(this.memory);
    this.#buffer = this.memory.buffer;
    this.ledger.revocations++;
    return isRevoked;
  }

  close(): void {
    this.closed = true;
    this.take = () => Status.NO_ROOM;
    this.revoke();
  }

  /** Takes the segment out of use: its bookkeeping is damaged, or it cannot be revoked. */
  abstract quarantine(): void;

  abstract release(ptr: number, byteLength: number, written: number): void;

  /** The error for a leased block that the module did not take back: what it knows of the block is damaged. */
  refused(status: number, ptr: number): ArenaError {
    if (this.closed) return arenaDisposed("release");
    this.quarantine();
    const why =
      status === Status.NOT_LIVE
        ? "is not live"
        : status === Status.BAD_ADDRESS
          ? "is not a block"
          : "has damaged records";
    return arenaCorrupt(`the leased address ${ptr} ${why}`);
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

/** Reports a stale write found at hand-out: bytes from the start of the memory. */
export type DirtyHandler = (byteOffset: number) => void;

/** A `take` that looks for stale writes on the way, and hands out zeroed blocks whatever it finds. */
export function takeInspected(
  { acquire, firstDirty, wipe }: SegmentExports,
  slabShift: number,
  onDirty: DirtyHandler,
): SegmentExports["acquire"] {
  return (sizeClass) => {
    const ptr = acquire(sizeClass, 0);
    if (ptr <= 0) return ptr;
    const blockBytes = blockBytesOf(sizeClass, slabShift);
    const dirtyAt = firstDirty(ptr, blockBytes);
    if (dirtyAt >= 0) {
      wipe(ptr, blockBytes);
      onDirty(ptr + dirtyAt);
    }
    return ptr;
  };
}

/** A mode's way to leases out of size classes. */
export interface SegmentSet {
  /** A lease, or `null` if there is no room and none can be made. */
  acquire(sizeClass: number, byteLength: number): Lease | null;
  /** Drops the memory that has been idle longest; false if none is. */
  dropColdest(): boolean;
  /** Drops some of what has been idle for a round. */
  shrink(): void;
  /** Drops every memory without leases. */
  trim(): void;
  /** Lets go of everything; closing the memories is the arena's business. */
  clear(): void;
}
