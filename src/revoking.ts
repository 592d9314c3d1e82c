/**
 * `revoke: "before-reuse"`: released blocks rest, wiped, until their segment has
 * no lease left; then every view of the segment is revoked and all of it is free
 * again. The table of states is in src/segment.ts.
 *
 * R1  No block is handed out while a view made from an earlier lease of it works.
 * R2  A block is zeroed again as it is handed out: a stale view, or a live one's
 *     `.buffer`, may have written to it while it rested.
 */

import { Status } from "./abi.js";
import { IdleStack } from "./idle.js";
import type { Aftermath, BlockOwner, Lease } from "./lease.js";
import type { Ledger, Tally } from "./ledger.js";
import { createSegmentParts, Segment, type SegmentParts, type SegmentSet } from "./segment.js";

/**
 * From this length on, in bytes, a lease that is alone in its segment is revoked
 * before it is wiped. No view can write to it after that, so it needs no second
 * wipe, which at this length costs more than the revocation.
 */
const REVOKE_FIRST_BYTES = 48 * 1024;

/** Slabs in use by a segment without leases from which on it is made new at once, while it is in the cache. */
const QUIET_SLABS = 32;

/** Segments that may still have room, at most; the oldest is retired beyond this. */
const MAX_ACTIVE = 8;

/** A segment retired with room left, because a longer lease found none. Held by its leases alone, as S1 has it. */
interface Parked {
  readonly segment: WeakRef<RevokingSegment>;
  /** On the books for as long as there is the segment, of which this may be asked without keeping it. */
  readonly tally: Tally;
  /** Size classes without room, which stay so: asking the segment again would only keep it from the collector. */
  readonly full: Set<number>;
}

class RevokingSegment extends Segment implements BlockOwner {
  // `private`, not `#`, on a lease's way: the engine inlines only so much, and a name of the language's takes twice as much of it.
  private readonly set: RevokingSegments;
  /** Of a drained segment: already revoked and reset. */
  renewed = false;
  parked: Parked | undefined;
  /** Slabs in use from which on the set wants to know that no lease is left. */
  quietSlabs = QUIET_SLABS;
  /** Active since before the last round. */
  isOld = false;

  protected override readonly zeroed = 1;

  constructor(parts: SegmentParts, ledger: Ledger, slabShift: number, set: RevokingSegments) {
    super(parts, ledger, slabShift);
    this.set = set;
  }

  override release(ptr: number, byteLength: number, written: number): Aftermath | undefined {
    const { tally } = this;
    if (byteLength >= REVOKE_FIRST_BYTES && tally.live === 1) {
      return this.releaseAlone(ptr, byteLength, written);
    }
    const status = this.giveBack(ptr, written, 1);
    if (status < Status.OK) return this.endDamaged(ptr, byteLength);
    this.ledger.gaveBack(tally, byteLength);
    if (status >= this.quietSlabs) this.set.quiet(this, status);
    return this.ledger.afterRelease;
  }

  /** Every view dead and every block free; or false, and the segment is out of use. Only without leases. */
  renew(): boolean {
    this.isOld = false;
    if (!this.revoke()) {
      this.quarantine();
      return false;
    }
    this.exports.reset();
    this.ledger.turnOver(this.tally.reservedBytes);
    return true;
  }

  /** Likewise, at the end of a whole life: damage to the bookkeeping is noticed before that is made new. */
  renewDrained(): boolean {
    if (this.exports.audit() === 0) return this.renew();
    this.quarantine();
    return false;
  }

  protected override letGo(): void {
    this.set.letGo(this);
  }

  /** The only lease of the segment: revoked first, so that no second wipe is needed. */
  private releaseAlone(ptr: number, byteLength: number, written: number): Aftermath | undefined {
    if (this.isOutOfUse) return this.endDamaged(ptr, byteLength);
    const isRevoked = this.revoke();
    const status = this.exports.releaseAndReset(ptr, written);
    if (status < Status.OK) return this.endDamaged(ptr, byteLength);
    this.isOld = false;
    this.renewed = true;
    this.ledger.turnOver(byteLength);
    this.ledger.gaveBack(this.tally, byteLength);
    if (!isRevoked) this.quarantine();
    this.set.quiet(this, 0);
    return this.ledger.afterRelease;
  }
}

export class RevokingSegments implements SegmentSet {
  readonly #ledger: Ledger;
  readonly #slabShift: number;
  /** By size class, the segment that served it last. */
  readonly current: (RevokingSegment | undefined)[];
  /** Oldest first. */
  readonly #active: RevokingSegment[] = [];
  readonly #drained: IdleStack<RevokingSegment>;
  readonly #parked = new Set<Parked>();

  constructor(ledger: Ledger, slabShift: number, classCount: number) {
    this.#ledger = ledger;
    this.#slabShift = slabShift;
    this.current = new Array(classCount).fill(undefined);
    this.#drained = new IdleStack((segment) => this.#drop(segment));
  }

  acquire(sizeClass: number, byteLength: number): Lease | null {
    return this.current[sizeClass]?.tryLease(sizeClass, byteLength) ?? this.#acquireElsewhere(sizeClass, byteLength);
  }

  /** `segment` has no lease left, and `usedSlabs` slabs that rest. */
  quiet(segment: RevokingSegment, usedSlabs: number): void {
    const { tally } = segment;
    if (tally.state === "retired") {
      tally.state = "drained";
      this.#drained.push(segment);
      if (segment.parked !== undefined) this.#parked.delete(segment.parked);
    } else if (usedSlabs >= QUIET_SLABS && tally.state === "active") {
      segment.renew();
    }
  }

  dropColdest(): boolean {
    if (this.#drained.dropColdest()) return true;
    const unused = this.#active.find(({ tally }) => tally.live === 0);
    if (unused === undefined) return false;
    this.letGo(unused);
    this.#drop(unused);
    return true;
  }

  shrink(): void {
    this.#drained.shrink();
    // Neither renewed nor retired for a whole round: something in it is held for long, or leaked.
    this.#park(
      this.#active.filter(({ isOld }) => isOld),
      [],
    );
    for (const segment of this.#active) segment.isOld = true;
  }

  trim(): void {
    while (this.dropColdest());
    this.#park(this.#active, []);
  }

  clear(): void {
    this.#parked.clear();
    this.#drained.clear();
    this.#active.length = 0;
    this.current.fill(undefined);
  }

  #acquireElsewhere(sizeClass: number, byteLength: number): Lease | null {
    for (const segment of [...this.#active]) {
      let lease = segment.tryLease(sizeClass, byteLength);
      if (lease === null && !segment.isOutOfUse && segment.tally.live === 0 && segment.renew()) {
        lease = segment.tryLease(sizeClass, byteLength);
      }
      if (lease === null) continue;
      this.current[sizeClass] = segment;
      return lease;
    }
    const parked = this.#acquireParked(sizeClass, byteLength);
    if (parked !== null) return parked;
    this.#retireFull();
    for (let segment = this.#next(); segment !== null; segment = this.#next()) {
      const lease = segment.tryLease(sizeClass, byteLength);
      if (lease === null) {
        segment.quarantine();
        continue;
      }
      this.current[sizeClass] = segment;
      return lease;
    }
    this.#park(this.#active, [sizeClass]);
    return null;
  }

  /** From a segment that has been parked. It stays so, and does not become current. */
  #acquireParked(sizeClass: number, byteLength: number): Lease | null {
    for (const parked of this.#parked) {
      if (!this.#ledger.tallies.has(parked.tally)) {
        this.#parked.delete(parked);
        continue;
      }
      if (parked.full.has(sizeClass)) continue;
      const segment = parked.segment.deref();
      const lease = segment?.tryLease(sizeClass, byteLength);
      if (lease != null) return lease;
      if (segment === undefined || segment.isOutOfUse) this.#parked.delete(parked);
      else parked.full.add(sizeClass);
    }
    return null;
  }

  /** Retires segments with the room they have, so that a lease leaked in one does not stay for good. */
  #park(segments: readonly RevokingSegment[], full: number[]): void {
    for (const segment of [...segments]) {
      if (segment.tally.live === 0) continue;
      this.#retire(segment);
      segment.parked = { segment: new WeakRef(segment), tally: segment.tally, full: new Set(full) };
      this.#parked.add(segment.parked);
    }
  }

  /** A segment with all its room, now active: the one drained last, or a new one. */
  #next(): RevokingSegment | null {
    let segment = this.#drained.pop();
    if (segment !== undefined) {
      if (!segment.renewed && !segment.renewDrained()) return this.#next();
    } else {
      const parts = createSegmentParts(this.#ledger, this.#slabShift);
      if (parts === null) return null;
      segment = new RevokingSegment(parts, this.#ledger, this.#slabShift, this);
    }
    segment.tally.state = "active";
    segment.quietSlabs = QUIET_SLABS;
    segment.isOld = false;
    this.#active.push(segment);
    return segment;
  }

  /** Segments that can serve no class from a new span are no longer held: their leases hold them. */
  #retireFull(): void {
    for (const segment of [...this.#active]) {
      if (segment.exports.freeSlabs() > 0 && this.#active.length <= MAX_ACTIVE) continue;
      this.#retire(segment);
    }
  }

  #retire(segment: RevokingSegment): void {
    this.letGo(segment);
    segment.tally.state = "retired";
    segment.quietSlabs = 1;
    segment.renewed = false;
  }

  /** Revoked as well, so that a stale view does not keep its memory from the system. */
  #drop(segment: RevokingSegment): void {
    this.#ledger.drop(segment.tally);
    segment.revoke();
  }

  /** The set no longer hands out of this segment, nor holds it. */
  letGo(segment: RevokingSegment): void {
    const at = this.#active.indexOf(segment);
    if (at >= 0) this.#active.splice(at, 1);
    for (let each = 0; each < this.current.length; each++) {
      if (this.current[each] === segment) this.current[each] = undefined;
    }
  }
}
