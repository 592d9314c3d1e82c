/**
 * `revoke: "never"`: a released block goes to the front of its slab's free list
 * and is handed out next, while stale views of it still work. Segments are held
 * for as long as the arena has them; there is no life cycle.
 *
 * F1  If a segment has room for a class, then it is the class's current segment,
 *     or in the class's list, or in the list of segments with free slabs. So a
 *     search that comes back empty means that there is no room.
 */

import { type SegmentExports, Status, sizeClassOf } from "./abi.js";
import type { BlockOwner, Lease } from "./lease.js";
import type { Ledger } from "./ledger.js";
import {
  createSegmentParts,
  type DirtyHandler,
  Segment,
  type SegmentParts,
  type SegmentSet,
  takeInspected,
} from "./segment.js";

export class FreeListSegment extends Segment implements BlockOwner {
  readonly #set: FreeListSegments;
  #release: SegmentExports["release"];
  /** In the set's list of segments with free slabs. */
  hasFreeSlabs = false;

  constructor(parts: SegmentParts, ledger: Ledger, set: FreeListSegments) {
    super(parts, ledger);
    this.#set = set;
    this.#release = parts.exports.release;
  }

  override release(ptr: number, byteLength: number, written: number): void {
    const status = this.takeBack(ptr, written);
    // Counted before the room is offered: that may drop the segment, if no lease is live in it.
    this.ledger.gaveBack(this.tally, byteLength);
    this.offerRoom(status, byteLength);
  }

  /** The block is free: what room that made, for `offerRoom`. Throws, and changes nothing, if it is not live. */
  takeBack(ptr: number, written: number): number {
    const status = this.#release(ptr, written, 0);
    if (status < Status.OK) throw this.refused(status, ptr);
    return status;
  }

  offerRoom(status: number, byteLength: number): void {
    if (status > Status.OK) this.#set.roomIn(this, status, byteLength);
    if (this.ledger.waiting !== 0) this.ledger.onRoom();
  }

  override quarantine(): void {
    this.#set.quarantine(this);
  }

  override close(): void {
    super.close();
    this.#release = () => Status.NOT_LIVE;
  }
}

export class FreeListSegments implements SegmentSet {
  readonly #ledger: Ledger;
  readonly #slabShift: number;
  readonly #onDirty: DirtyHandler | null;
  readonly #segments = new Set<FreeListSegment>();
  /** By size class, the segment that served it last. */
  readonly #current: (FreeListSegment | undefined)[];
  /** By size class, segments where a full span has room again. */
  readonly #roomy: Set<FreeListSegment>[];
  readonly #withFreeSlabs: FreeListSegment[] = [];

  constructor(ledger: Ledger, slabShift: number, classCount: number, onDirty: DirtyHandler | null) {
    this.#ledger = ledger;
    this.#slabShift = slabShift;
    this.#onDirty = onDirty;
    this.#current = new Array(classCount).fill(undefined);
    this.#roomy = Array.from({ length: classCount }, () => new Set());
  }

  acquire(sizeClass: number, byteLength: number): Lease | null {
    const segment = this.#current[sizeClass];
    if (segment !== undefined) {
      const ptr = segment.take(sizeClass, 0);
      if (ptr > 0) return segment.lease(ptr, byteLength, sizeClass);
    }
    const found = this.#find(sizeClass);
    return found === null ? null : found.segment.lease(found.ptr, byteLength, sizeClass);
  }

  /** A block without a lease, for a pool to keep, or `null` if there is no room. */
  acquireBlock(sizeClass: number): { segment: FreeListSegment; ptr: number } | null {
    const segment = this.#current[sizeClass];
    if (segment !== undefined) {
      const ptr = segment.take(sizeClass, 0);
      if (ptr > 0) return { segment, ptr };
    }
    return this.#find(sizeClass);
  }

  /** In every round one segment without blocks goes, so long as another is left to serve the next lease. */
  shrink(): void {
    const empty = [...this.#segments].filter(({ exports }) => exports.liveBlocks() === 0);
    if (empty.length > 1) this.#drop(empty[0] as FreeListSegment);
  }

  /** A release made room: a span of the length's class, or whole slabs. */
  roomIn(segment: FreeListSegment, status: number, byteLength: number): void {
    if (segment.tally.state === "corrupt") return;
    if (status === Status.ROOM_AGAIN) {
      this.#roomy[sizeClassOf(byteLength, this.#slabShift)]?.add(segment);
    } else if (!segment.hasFreeSlabs) {
      segment.hasFreeSlabs = true;
      this.#withFreeSlabs.push(segment);
    }
    this.#ledger.turnOver(byteLength);
  }

  dropColdest(): boolean {
    for (const segment of this.#segments) {
      if (segment.exports.liveBlocks() !== 0) continue;
      this.#drop(segment);
      return true;
    }
    return false;
  }

  trim(): void {
    while (this.dropColdest());
  }

  clear(): void {
    this.#segments.clear();
    this.#current.fill(undefined);
    for (const segments of this.#roomy) segments.clear();
    this.#withFreeSlabs.length = 0;
  }

  #find(sizeClass: number): { segment: FreeListSegment; ptr: number } | null {
    const roomy = this.#roomy[sizeClass] as Set<FreeListSegment>;
    for (const segment of roomy) {
      roomy.delete(segment);
      const ptr = this.#try(segment, sizeClass);
      if (ptr > 0) return { segment, ptr };
    }
    for (let each = this.#withFreeSlabs.length - 1; each >= 0; each--) {
      const segment = this.#withFreeSlabs[each] as FreeListSegment;
      const ptr = this.#try(segment, sizeClass);
      if (ptr > 0) return { segment, ptr };
      if (segment.hasFreeSlabs && segment.exports.freeSlabs() === 0) this.#forgetFreeSlabs(segment);
    }
    const segment = this.#open();
    if (segment === null) return null;
    return { segment, ptr: this.#try(segment, sizeClass) };
  }

  #try(segment: FreeListSegment, sizeClass: number): number {
    const ptr = segment.take(sizeClass, 0);
    if (ptr > 0) this.#current[sizeClass] = segment;
    if (ptr < 0) segment.quarantine();
    return ptr;
  }

  #open(): FreeListSegment | null {
    const parts = createSegmentParts(this.#ledger, this.#slabShift);
    if (parts === null) return null;
    const segment = new FreeListSegment(parts, this.#ledger, this);
    if (this.#onDirty !== null) segment.take = takeInspected(segment.exports, this.#slabShift, this.#onDirty);
    this.#segments.add(segment);
    segment.hasFreeSlabs = true;
    this.#withFreeSlabs.push(segment);
    return segment;
  }

  #drop(segment: FreeListSegment): void {
    this.#letGo(segment);
    this.#ledger.drop(segment.tally);
  }

  #letGo(segment: FreeListSegment): void {
    this.#segments.delete(segment);
    for (const segments of this.#roomy) segments.delete(segment);
    for (let each = 0; each < this.#current.length; each++) {
      if (this.#current[each] === segment) this.#current[each] = undefined;
    }
    if (segment.hasFreeSlabs) this.#forgetFreeSlabs(segment);
  }

  #forgetFreeSlabs(segment: FreeListSegment): void {
    segment.hasFreeSlabs = false;
    this.#withFreeSlabs.splice(this.#withFreeSlabs.indexOf(segment), 1);
  }

  /** Nothing more comes out of a segment whose bookkeeping is damaged. */
  quarantine(segment: FreeListSegment): void {
    if (segment.tally.state === "corrupt") return;
    this.#letGo(segment);
    segment.tally.state = "corrupt";
    this.#ledger.corruptSegments++;
    if (segment.tally.live === 0) this.#ledger.drop(segment.tally);
  }
}
