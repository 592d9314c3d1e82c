/**
 * `revoke: "never"`: a released block goes to the front of its slab's free list
 * and is handed out next, while stale views of it still work. Segments are held
 * for as long as the arena has them; there is no life cycle.
 *
 * F1  If a segment has room for a class, then it is the class's current segment,
 *     or in the class's list, or in the list of segments with free slabs. So a
 *     search that comes back empty means that there is no room.
 */

import { Status, sizeClassOf } from "./abi.js";
import { IDLE_ROUNDS } from "./idle.js";
import type { Aftermath, BlockOwner, Lease } from "./lease.js";
import type { Ledger } from "./ledger.js";
import { createSegmentParts, Segment, type SegmentParts, type SegmentSet } from "./segment.js";

export class FreeListSegment extends Segment implements BlockOwner {
  private readonly set: FreeListSegments;
  /** In the set's list of segments with free slabs. */
  hasFreeSlabs = false;
  /** Without blocks when last looked at. */
  wasEmpty = false;

  protected override readonly zeroed = 0;

  constructor(parts: SegmentParts, ledger: Ledger, slabShift: number, set: FreeListSegments) {
    super(parts, ledger, slabShift);
    this.set = set;
  }

  override release(ptr: number, byteLength: number, written: number): Aftermath | undefined {
    const status = this.giveBack(ptr, written, 0);
    if (status < Status.OK) return this.endDamaged(ptr, byteLength);
    this.ledger.gaveBack(this.tally, byteLength);
    if (status > Status.OK) this.set.roomIn(this, status, byteLength);
    return this.ledger.afterRelease;
  }

  tryBlock(sizeClass: number): Block | null {
    const ptr = this.take(sizeClass, this.zeroed);
    return ptr <= Status.NO_ROOM ? this.refuse(ptr) : { segment: this, ptr };
  }

  /** A block that a pool kept is free. It has no holder to hear of damage: that is counted. */
  takeBack(ptr: number, byteLength: number): void {
    const status = this.giveBack(ptr, 0, 0);
    if (status < Status.OK) this.quarantine();
    else if (status > Status.OK) this.set.roomIn(this, status, byteLength);
    this.ledger.afterRelease?.();
  }

  protected override letGo(): void {
    this.set.letGo(this);
  }
}

/** A block of a segment, live to the module. */
export interface Block {
  readonly segment: FreeListSegment;
  readonly ptr: number;
}

/** Who keeps blocks of segments, and must not hand them out once a segment is out of use. */
export interface BlockKeeper {
  forget(segment: FreeListSegment): void;
}

export class FreeListSegments implements SegmentSet {
  readonly #ledger: Ledger;
  readonly #slabShift: number;
  readonly #segments = new Set<FreeListSegment>();
  /** By size class, the segment that served it last. */
  readonly current: (FreeListSegment | undefined)[];
  /** By size class, segments where a full span has room again. */
  readonly #roomy: Set<FreeListSegment>[];
  readonly #withFreeSlabs: FreeListSegment[] = [];
  readonly keepers = new Set<BlockKeeper>();
  /** To the next look at what is empty. */
  #roundsLeft = IDLE_ROUNDS;

  constructor(ledger: Ledger, slabShift: number, classCount: number) {
    this.#ledger = ledger;
    this.#slabShift = slabShift;
    this.current = new Array(classCount).fill(undefined);
    this.#roomy = Array.from({ length: classCount }, () => new Set());
  }

  acquire(sizeClass: number, byteLength: number): Lease | null {
    return (
      this.current[sizeClass]?.tryLease(sizeClass, byteLength) ??
      this.#search(sizeClass, (segment) => segment.tryLease(sizeClass, byteLength))
    );
  }

  /** A block without a lease, for a pool to keep, or `null` if there is no room. */
  acquireBlock(sizeClass: number): Block | null {
    return (
      this.current[sizeClass]?.tryBlock(sizeClass) ?? this.#search(sizeClass, (segment) => segment.tryBlock(sizeClass))
    );
  }

  /** The end of a round. Of the segments without blocks now and `IDLE_ROUNDS` rounds ago, half go. */
  shrink(): void {
    if (--this.#roundsLeft > 0) return;
    this.#roundsLeft = IDLE_ROUNDS;
    const idle: FreeListSegment[] = [];
    for (const segment of this.#segments) {
      const isEmpty = segment.exports.liveBlocks() === 0;
      if (isEmpty && segment.wasEmpty) idle.push(segment);
      segment.wasEmpty = isEmpty;
    }
    // One stays, to serve the next lease.
    for (const segment of idle.slice(0, idle.length >> 1)) this.#drop(segment);
  }

  /** A release made room: a span of the length's class, or whole slabs. */
  roomIn(segment: FreeListSegment, status: number, byteLength: number): void {
    if (status === Status.ROOM_AGAIN) {
      this.#roomy[sizeClassOf(byteLength, this.#slabShift)]?.add(segment);
    } else if (!segment.hasFreeSlabs) {
      segment.hasFreeSlabs = true;
      this.#withFreeSlabs.push(segment);
    }
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
    this.current.fill(undefined);
    for (const segments of this.#roomy) segments.clear();
    this.keepers.clear();
    this.#withFreeSlabs.length = 0;
  }

  /** What `take` gets out of the first segment with room, which then serves this class. */
  #search<T>(sizeClass: number, take: (segment: FreeListSegment) => T | null): T | null {
    const takeFrom = (segment: FreeListSegment): T | null => {
      const taken = take(segment);
      if (taken !== null) this.current[sizeClass] = segment;
      return taken;
    };
    const roomy = this.#roomy[sizeClass] as Set<FreeListSegment>;
    for (const segment of roomy) {
      const taken = takeFrom(segment);
      roomy.delete(segment);
      if (taken !== null) return taken;
    }
    for (let each = this.#withFreeSlabs.length - 1; each >= 0; each--) {
      const segment = this.#withFreeSlabs[each] as FreeListSegment;
      const taken = takeFrom(segment);
      if (taken !== null) return taken;
      if (segment.hasFreeSlabs && segment.exports.freeSlabs() === 0) this.#forgetFreeSlabs(segment);
    }
    const segment = this.#open();
    return segment === null ? null : takeFrom(segment);
  }

  #open(): FreeListSegment | null {
    const parts = createSegmentParts(this.#ledger, this.#slabShift);
    if (parts === null) return null;
    const segment = new FreeListSegment(parts, this.#ledger, this.#slabShift, this);
    this.#segments.add(segment);
    segment.hasFreeSlabs = true;
    this.#withFreeSlabs.push(segment);
    return segment;
  }

  #drop(segment: FreeListSegment): void {
    this.letGo(segment);
    this.#ledger.drop(segment.tally);
  }

  letGo(segment: FreeListSegment): void {
    this.#segments.delete(segment);
    for (const segments of this.#roomy) segments.delete(segment);
    for (const keeper of this.keepers) keeper.forget(segment);
    for (let each = 0; each < this.current.length; each++) {
      if (this.current[each] === segment) this.current[each] = undefined;
    }
    if (segment.hasFreeSlabs) this.#forgetFreeSlabs(segment);
  }

  #forgetFreeSlabs(segment: FreeListSegment): void {
    segment.hasFreeSlabs = false;
    this.#withFreeSlabs.splice(this.#withFreeSlabs.indexOf(segment), 1);
  }
}
