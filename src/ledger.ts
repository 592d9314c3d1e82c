/**
 * What the arena counts, and the cap it keeps. Owns every number that `stats()`
 * shows, and a tally for each memory, through which the arena remembers memories
 * it does not hold. Knows no segments and no size classes.
 *
 * L1  reservedBytes = the sum of reservedBytes over all tallies, and never above
 *     maxBytes.
 * L2  live leases = acquired − released − leaked = the sum of live over all tallies.
 * L3  A tally is on the books from the making of its memory until that memory is
 *     dropped or collected.
 */

import { createMemory, expectMemory, type Memory, sizeClassOf } from "./abi.js";
import { channels } from "./channels.js";

export type MemoryKind = "segment" | "dedicated" | "heap";

/** Where a memory is in its life; src/segment.ts has the table of transitions. */
export type MemoryState = "active" | "retired" | "drained" | "dropped" | "corrupt";

/**
 * What stands for a memory where it must not be held: alive exactly as long as
 * the owner is, or until the arena lets go of the memory. A `WeakRef` keeps its
 * target until the current job ends; it may keep this, but not what was dropped.
 */
export class Anchor {
  owner: MemoryOwner | undefined;
}

/** One memory as the arena remembers it: enough to count a leak after the memory is gone. */
export class Tally {
  readonly kind: MemoryKind;
  readonly reservedBytes: number;
  state: MemoryState = "active";
  live = 0;
  liveBytes = 0;
  /** Leases written off while the memory stays: their blocks are nobody's, and never used again. */
  lost = 0;
  #anchor: WeakRef<Anchor> | undefined;

  constructor(kind: MemoryKind, reservedBytes: number) {
    this.kind = kind;
    this.reservedBytes = reservedBytes;
  }

  /** The memory's owner, as long as anyone can reach it. */
  get owner(): MemoryOwner | undefined {
    return this.#anchor?.deref()?.owner;
  }

  tieTo(owner: MemoryOwner): void {
    owner.anchor.owner = owner;
    this.#anchor = new WeakRef(owner.anchor);
  }

  cutLoose(): void {
    const anchor = this.#anchor?.deref();
    if (anchor !== undefined) anchor.owner = undefined;
  }
}

/** What the ledger needs of a memory's owner. */
export interface MemoryOwner {
  /** Reachable through the owner alone. */
  readonly anchor: Anchor;
  /** Revokes every view and refuses everything from now on. */
  close(): void;
}

/** Told of a stale write: bytes from the start of the memory to the first that changed. */
export type DirtyHandler = (tally: Tally, byteOffset: number) => void;
/** Refused memories between two times that idle ones are dropped to make room with the engine. */
const EXCHANGE_EVERY = 1024;

export class Ledger {
  readonly maxBytes: number;
  reservedBytes = 0;
  peakReservedBytes = 0;

  /**
   * Leases acquired: of lengths that have a size class by class, behind these all
   * others by the bit length of what was asked. Small integers for the engine.
   */
  readonly acquiredByRow: number[];
  released = 0;
  liveBytes = 0;
  peakLiveBytes = 0;
  overflowed = 0;
  revocations = 0;
  leakedLeases = 0;
  dirtyBlocks = 0;
  corruptSegments = 0;
  missedGuards = 0;
  /** Memories of one lease each, leased or idle. */
  dedicated = 0;

  readonly tallies = new Set<Tally>();
  /** Set by the arena: itself. */
  arena: object | undefined;
  /** Set by the arena while it traces: told of a write that was found where nobody had a lease. */
  onDirty: DirtyHandler | null = null;
  /** Set by the arena: speed does not matter. */
  tracesAll = false;

  /** How many wait for room. Read on the hot path, so that `onRoom` is called only when it matters. */
  waiting = 0;
  /** Set by the arena: room may have come free. */
  onRoom: () => void = () => {};
  /** Set by the arena: a memory was collected with leases out. */
  onLeak: (tally: Tally) => void = () => {};
  /** Set by the arena: a round is over; some of them, and idle memories shrink. */
  onRound: () => void = () => {};
  /** Set by the arena: drop what is idle, because `byteLength` bytes are needed under the cap. */
  reclaim: (byteLength: number) => void = () => {};
  /** Set by the arena: drop the coldest idle memory; false if none is idle. */
  dropIdle: () => boolean = () => false;
  /** Memories still to be refused before idle ones are dropped for another length again. */
  #exchangeIn = 0;

  #turnedOver = 0;
  readonly #collected = new FinalizationRegistry<Tally>((tally) => this.#writeOff(tally));

  readonly #slabShift: number;
  readonly #classCount: number;

  constructor(maxBytes: number, slabShift: number, classCount: number) {
    this.maxBytes = maxBytes;
    this.#slabShift = slabShift;
    this.#classCount = classCount;
    this.acquiredByRow = new Array(classCount + 33).fill(0);
  }

  get acquired(): number {
    let sum = 0;
    for (const count of this.acquiredByRow) sum += count;
    return sum;
  }

  get liveLeases(): number {
    return this.acquired - this.released - this.leakedLeases;
  }

  get acquiredByClass(): readonly number[] {
    return this.acquiredByRow.slice(0, this.#classCount);
  }

  /** Of lengths without a class, by their bit length. */
  get acquiredByBits(): readonly number[] {
    return this.acquiredByRow.slice(this.#classCount);
  }

  /** One lease more, of `row`: the size class of its length, or what `rowOf` says. */
  took(tally: Tally, byteLength: number, row: number): void {
    (this.acquiredByRow[row] as number)++;
    tally.live++;
    tally.liveBytes += byteLength;
    const liveBytes = this.liveBytes + byteLength;
    this.liveBytes = liveBytes;
    if (liveBytes > this.peakLiveBytes) this.peakLiveBytes = liveBytes;
  }

  /** Under which row a lease counts that lies outside the classes, though its length may have one: one scale for all that was asked for. */
  rowOf(byteLength: number): number {
    const sizeClass = sizeClassOf(byteLength, this.#slabShift);
    return sizeClass < this.#classCount ? sizeClass : this.#classCount + 32 - Math.clz32(byteLength);
  }

  /** One lease fewer. */
  gaveBack(tally: Tally, byteLength: number): void {
    tally.live--;
    tally.liveBytes -= byteLength;
    this.released++;
    this.liveBytes -= byteLength;
  }

  /**
   * `byteLength` bytes changed hands: the only clock that shrinking has. Once the
   * whole cap could have been used a round is over; src/idle.ts says what some rounds show.
   */
  turnOver(byteLength: number): void {
    this.#turnedOver += byteLength;
    if (this.#turnedOver < this.maxBytes) return;
    this.#turnedOver = 0;
    this.onRound();
  }

  /**
   * What is still to be done once a release is over: whoever waits is served, and
   * their code, a signal's for instance, must find the lease ended.
   */
  get afterRelease(): (() => void) | undefined {
    return this.waiting !== 0 ? this.onRoom : undefined;
  }

  /** Takes `byteLength` bytes out of the cap, dropping what is idle if need be and allowed; false if there is no room. */
  reserve(byteLength: number, mayDrop: boolean): boolean {
    if (byteLength > this.maxBytes) return false;
    if (mayDrop && this.reservedBytes + byteLength > this.maxBytes) this.reclaim(byteLength);
    if (this.reservedBytes + byteLength > this.maxBytes) return false;
    this.reservedBytes += byteLength;
    return true;
  }

  /**
   * A memory of `byteLength` bytes, or `null` if cap or engine have no room; what
   * is idle is dropped for it where it `mayDrop`.
   */
  provide(byteLength: number, mayDrop: boolean): Memory | null {
    if (!this.reserve(byteLength, mayDrop)) return null;
    let memory: Memory | null = null;
    try {
      memory = createMemory(byteLength) ?? (mayDrop ? this.#exchange(byteLength) : null);
    } finally {
      if (memory === null) this.reservedBytes -= byteLength;
      else if (this.reservedBytes > this.peakReservedBytes) this.peakReservedBytes = this.reservedBytes;
    }
    return memory;
  }

  /**
   * The engine refuses, though the cap does not. Idle memories of other lengths
   * may make room, but only now and then: it takes a collection each time.
   */
  #exchange(byteLength: number): Memory | null {
    if (this.#exchangeIn-- > 0) return null;
    this.#exchangeIn = 0;
    const before = this.reservedBytes;
    while (before - this.reservedBytes < byteLength && this.dropIdle());
    if (this.reservedBytes === before) return null;
    this.#exchangeIn = EXCHANGE_EVERY;
    return createMemory(byteLength);
  }

  /** `byteLength` bytes of memory were given, but are not used. */
  unreserve(byteLength: number): void {
    this.reservedBytes -= byteLength;
  }

  /** Remembers `owner` without holding it; its bytes come back when it is dropped or collected. */
  open(tally: Tally, owner: MemoryOwner): void {
    tally.tieTo(owner);
    this.tallies.add(tally);
    if (tally.kind === "dedicated") this.dedicated++;
    this.#collected.register(owner.anchor, tally, tally);
  }

  /** The views of this memory were detached. */
  revoked({ reservedBytes: byteLength }: Tally): void {
    this.revocations++;
    if (!channels.revoke.hasSubscribers) return;
    const { arena } = this;
    Promise.resolve().then(() => channels.revoke.publish({ arena, byteLength }));
  }

  /** A lease of a memory that stays was never released. */
  lose(tally: Tally, byteLength: number): void {
    tally.live--;
    tally.liveBytes -= byteLength;
    tally.lost++;
    this.leakedLeases++;
    this.liveBytes -= byteLength;
  }

  /** The arena let go of this memory itself; leases still in it have ended. */
  drop(tally: Tally): void {
    if (!this.#close(tally)) return;
    tally.state = "dropped";
    tally.cutLoose();
    this.#collected.unregister(tally);
    this.released += tally.live;
    this.liveBytes -= tally.liveBytes;
    tally.live = tally.liveBytes = 0;
  }

  #close(tally: Tally): boolean {
    if (!this.tallies.delete(tally)) return false;
    if (tally.kind === "dedicated") this.dedicated--;
    if (tally.kind !== "heap") expectMemory();
    this.reservedBytes -= tally.reservedBytes;
    return true;
  }

  /** The garbage collector took a memory that the arena did not hold: its leases were never released. */
  #writeOff(tally: Tally): void {
    if (!this.#close(tally)) return;
    this.leakedLeases += tally.live;
    this.liveBytes -= tally.liveBytes;
    if (tally.live > 0) this.onLeak(tally);
    if (this.waiting !== 0) this.onRoom();
  }
}
