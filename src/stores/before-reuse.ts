/**
 * `revoke: "before-reuse"`: runs of blocks are carved front to back. A released block
 * rests until no lease is left in its segment; then every view of the segment is
 * revoked, and all of it is free again. Owns the open runs, the active segment and
 * the drained ones, and their zeroing. Must not know who waits or what is traced.
 * Leases too long for a run are one-lease.ts's.
 *
 * The fast path: bump the run's pointer, compare it with the watermark, make one
 * view and one lease; at release, count down.
 *
 *            handed out, or skipped   zeroed      to be zeroed       open run
 *   ─┬──────────────────────────────┬───────────┬──────────────────┬─
 *    └ the run's first block        └ ptr       └ zeroedTo         └ end
 *
 * C1  No block is handed out while a view made from an earlier lease of it works.
 * C2  [ptr, zeroedTo) is zero. Beyond zeroedTo, bytes below the segment's
 *     usedBytes may be anyone's; the rest is zero (M5).
 * C3  An open run lies in the active segment. Without one, no run is open.
 * C4  Recycling: end the open runs, revoke, raise usedBytes, make the book forget
 *     last. Opening a run: the book first, then the run's ptr, end, and zeroedTo last.
 *     A stack overflow or `vm` timeout at any point of either leaves blocks unused,
 *     and never gives one to two leases.
 */

import { Bytes, fillBytes } from "../builtins.js";
import { arenaDisposed } from "../errors.js";
import { Lease } from "../lease/lease.js";
import type { BlockOwner, LeaseOrigin } from "../lease/owner.js";
import type { LeaseSource } from "../lease/source.js";
import { type Memory, SLAB_COUNT, Status } from "../memory/abi.js";
import { type AccountTable, transition } from "../memory/account.js";
import { firstDirty } from "../memory/arena-memory.js";
import { IdleStack } from "../memory/idle.js";
import { provideSegment, Segment } from "../memory/segment.js";
import { SegmentStore } from "./segments.js";
import type { CountRow, StoreHost, WipePolicy } from "./store.js";

/** Bytes zeroed ahead of a lease at least: fewer, longer fills. */
const AHEAD_BYTES = 8192;

/** An active segment without leases starts over once this much of it was carved, while it is still in the cache. */
const START_OVER_BYTES = 512 * 1024;

class CarvedSegment extends Segment implements BlockOwner {
  readonly origin: LeaseOrigin = "arena";
  /** Under which policy all of the segment was known to be zero but for its leases. */
  cleanEpoch: number;
  private readonly store: BeforeReuseStore;
  private readonly policy: WipePolicy;

  constructor(memory: Memory, slabBytes: number, table: AccountTable, store: BeforeReuseStore) {
    super(memory, slabBytes, table);
    this.store = store;
    this.policy = store.host.policy;
    this.cleanEpoch = this.policy.stamp;
  }

  /** Those that were open when the store let go of the segment before it was full. */
  runs: readonly Run[] | null = null;

  get source(): LeaseSource {
    return this.store.host.source;
  }

  ended(ptr: number, byteLength: number): void {
    if (this.policy.wipes) this.wipe(ptr);
    const { account } = this;
    account.liveBytes -= byteLength;
    // Below 0 after dispose.
    if (--account.live <= 0) this.store.drained(this);
  }

  blockBytes(ptr: number): number {
    return this.store.blockBytesAt(this, ptr);
  }

  inspectTrap(): void {
    this.store.lookAtTrap(this);
  }

  private wipe(ptr: number): void {
    if (!this.closed) fillBytes(this.view(ptr, this.blockBytes(ptr)), 0);
  }
}

/** Blocks of one size class, handed out front to back. Closed: end and zeroedTo are 0. */
class Run {
  ptr = 0;
  zeroedTo = 0;
  end = 0;
  readonly step: number;
  readonly sizeClass: number;
  /** Where this run began, and leases handed out of earlier ones. */
  start = 0;
  earlier: number;

  constructor(step: number, sizeClass: number, earlier = 0) {
    this.step = step;
    this.sizeClass = sizeClass;
    this.earlier = earlier;
  }

  get acquired(): number {
    return this.earlier + (this.ptr - this.start) / this.step;
  }

  close(): void {
    this.zeroedTo = this.end = 0;
  }
}

export class BeforeReuseStore extends SegmentStore {
  /** By size class. */
  private runs: readonly Run[];
  private active: CarvedSegment | null = null;
  /** Let go of by `yieldMemory` with slabs left. */
  private suspended: WeakRef<CarvedSegment> | null = null;
  private readonly idle: IdleStack<CarvedSegment>;

  constructor(table: AccountTable, host: StoreHost, module: object, segmentBytes: number) {
    super(table, host, module, segmentBytes, false);
    this.runs = this.classes.blockBytes.map((step, sizeClass) => new Run(step, sizeClass));
    this.idle = new IdleStack(table.budget);
  }

  /** Longest lease that a segment can serve at all, in bytes. */
  get longestSpan(): number {
    return this.classes.blockBytes.at(-1) as number;
  }

  acquire(byteLength: number): Lease | null {
    const run = this.runs[this.classByGrain[(byteLength + 15) >>> 4] as number] as Run;
    if (run.ptr + run.step <= run.zeroedTo) return this.carve(run, byteLength);
    const prepared = this.prepare(run.sizeClass);
    return prepared === null ? null : this.carve(prepared, byteLength);
  }

  acquireUnzeroed(byteLength: number): Lease | null {
    const run = this.runs[this.classByGrain[(byteLength + 15) >>> 4] as number] as Run;
    if (run.ptr + run.step <= run.end) return this.carve(run, byteLength);
    const opened = this.openRun(run.sizeClass);
    return opened === null ? null : this.carve(opened, byteLength);
  }

  /** A lease of any length up to `longestSpan`: where memories are few, long leases lie in segments too. */
  acquireSpan(byteLength: number, isZeroed: boolean): Lease | null {
    const sizeClass = this.book.exports.sizeClassOf(byteLength);
    const run = isZeroed ? this.prepare(sizeClass) : this.openRun(sizeClass);
    return run === null ? null : this.carve(run, byteLength);
  }

  private carve(run: Run, byteLength: number): Lease | null {
    const segment = this.active;
    if (segment === null) return null;
    const { ptr } = run;
    run.ptr = ptr + run.step;
    let bytes: Uint8Array<ArrayBuffer>;
    try {
      bytes = new Bytes(segment.buffer, ptr, byteLength);
    } catch {
      bytes = segment.view(ptr, byteLength);
    }
    const lease = new Lease(bytes, segment, ptr, byteLength);
    const { account } = segment;
    account.live++;
    account.liveBytes += byteLength;
    return lease;
  }

  /** No lease is left in `segment`, or the arena was disposed. */
  drained(segment: CarvedSegment): void {
    const { account } = segment;
    if (segment.closed) throw arenaDisposed("release");
    account.liveBytes = 0;
    if (account.state === "retired") {
      transition(account, "drained");
      this.idle.push(segment);
    } else if (segment.carvedBytes > START_OVER_BYTES) {
      this.recycle(segment);
    }
    this.host.roomMade();
  }

  override bytesFor(byteLengths: readonly number[]): number {
    // As many blocks as the open runs still have, then whole spans of their segment, then new segments.
    const segment = this.active ?? this.resumable();
    const runs = segment?.runs ?? this.runs;
    const left = new Map<Run, number>();
    let slabs = segment === null ? 0 : this.book.exports.freeSlabs(segment.numberIn(this.book));
    let segments = 0;
    for (const byteLength of byteLengths) {
      const run = runs[this.book.exports.sizeClassOf(byteLength)] as Run;
      let blocks = left.get(run) ?? Math.max(0, Math.floor((run.end - run.ptr) / run.step));
      if (blocks === 0) {
        const needed = this.classes.spanSlabs[run.sizeClass] as number;
        if (needed > slabs) {
          segments++;
          slabs = SLAB_COUNT - 1;
          // Retiring the segment ends its runs.
          left.clear();
          for (const each of runs) left.set(each, 0);
        }
        slabs -= needed;
        blocks = Math.floor((needed << this.slabShift) / run.step);
      }
      left.set(run, blocks - 1);
    }
    return segments * (SLAB_COUNT << this.slabShift);
  }

  override yieldMemory(): boolean {
    const segment = this.active;
    if (segment === null) return false;
    if (segment.account.live === 0) {
      this.retire(segment);
      transition(segment.account, "drained");
      this.idle.push(segment);
      return true;
    }
    // Its leases hold it from now on. While they do, what is left of it is not lost.
    const { runs } = this;
    this.runs = runs.map(({ step, sizeClass, acquired }) => new Run(step, sizeClass, acquired));
    this.retire(segment);
    segment.runs = runs;
    this.suspended = new WeakRef(segment);
    return false;
  }

  override trim(): void {
    const segment = this.active;
    if (segment !== null) this.lookAtTrap(segment, segment.slabBytes);
    this.yieldMemory();
    this.idle.trim();
  }

  countAcquired(add: CountRow): void {
    for (const run of this.runs) if (run.acquired > 0) add(run.step, run.acquired, true);
  }

  protected auditSegments(problems: string[]): number {
    let walked = 0;
    for (const account of this.table.accounts) {
      const { owner } = account;
      if (!(owner instanceof CarvedSegment)) continue;
      walked++;
      this.lookAtTrap(owner, owner.slabBytes);
    }
    for (const run of this.runs) {
      if (run.end > 0 && this.active === null) {
        problems.push(`C3: a run of ${run.step}-byte blocks is open outside the active segment`);
      }
    }
    return walked;
  }

  override dispose(): void {
    this.closeRuns();
    this.active = null;
    super.dispose();
  }

  blockBytesAt(segment: CarvedSegment, ptr: number): number {
    const { entry } = segment.account;
    const sizeClass = entry === undefined ? -1 : entry.book.exports.classAt(entry.number, ptr);
    return this.classes.blockBytes[sizeClass] ?? 0;
  }

  /** Slow path: the run of a class, with a zeroed block; `null` if there is no room. */
  private prepare(sizeClass: number): Run | null {
    const run = this.openRun(sizeClass);
    const segment = this.active;
    if (run === null || segment === null) return null;
    const from = run.ptr > run.zeroedTo ? run.ptr : run.zeroedTo;
    if (from < segment.usedBytes) {
      const next = run.ptr + run.step;
      const ahead = from + AHEAD_BYTES > next ? from + AHEAD_BYTES : next;
      const to = ahead < run.end ? ahead : run.end;
      segment.zero(from, to < segment.usedBytes ? to : segment.usedBytes);
      run.zeroedTo = to;
    } else {
      run.zeroedTo = run.end;
    }
    return run;
  }

  /** The run of a class, a new one if the last has no block left; `null` if there is no room. */
  private openRun(sizeClass: number): Run | null {
    for (;;) {
      if (this.active === null) {
        if (!this.resume() && !this.nextSegment()) return null;
        this.host.held();
      }
      const segment = this.active;
      if (segment === null) continue;
      const run = this.runs[sizeClass] as Run;
      if (run.ptr + run.step <= run.end) return run;
      const ptr = this.book.exports.openRun(segment.numberIn(this.book), sizeClass);
      if (ptr > 0) {
        this.enter(run, segment, ptr);
        return run;
      }
      if (this.book.exports.isBusy() !== 0) {
        if (!this.abandonBook()) return null;
      } else if (ptr !== Status.NO_ROOM) {
        // The engine has no memory for the book to grow.
        this.yieldMemory();
        return null;
      } else if (segment.account.live > 0 || !this.recycle(segment)) {
        if (this.active === segment) this.retire(segment);
      }
    }
  }

  private enter(run: Run, segment: CarvedSegment, ptr: number): void {
    const end =
      ptr + ((((this.classes.spanSlabs[run.sizeClass] as number) << this.slabShift) / run.step) | 0) * run.step;
    run.close();
    run.earlier = run.acquired;
    run.start = run.ptr = ptr;
    if (end > segment.carvedBytes) segment.carvedBytes = end;
    // C4
    run.end = end;
  }

  /** The segment that `yieldMemory` let go of, if its leases still hold it. */
  private resumable(): CarvedSegment | null {
    const segment = this.suspended?.deref();
    if (segment?.account.state !== "retired" || segment.account.entry?.book !== this.book) return null;
    return segment.runs === null ? null : segment;
  }

  /** That segment is active. False if there is none. */
  private resume(): boolean {
    const segment = this.resumable();
    this.suspended = null;
    const runs = segment?.runs ?? null;
    if (segment === null || runs === null) return false;
    segment.runs = null;
    for (const run of runs) {
      run.earlier = (this.runs[run.sizeClass] as Run).acquired;
      run.start = run.ptr;
    }
    // First: a retired segment without leases is recycled, whatever is carved from it.
    transition(segment.account, "active");
    // C3
    this.active = segment;
    this.runs = runs;
    return true;
  }

  /** The segment drained last, or a new one, is active. False if there is no room. */
  private nextSegment(): boolean {
    for (;;) {
      const drained = this.idle.pop();
      if (drained === undefined) break;
      if (!this.recycle(drained)) continue;
      this.letGo();
      this.active = drained;
      transition(drained.account, "active");
      return true;
    }
    const memory = provideSegment(this.table, 1 << this.slabShift);
    if (memory === null) return false;
    const created = new CarvedSegment(memory, 1 << this.slabShift, this.table, this);
    this.letGo();
    this.active = created;
    return true;
  }

  /**
   * C3: there is no active segment. What the arena tells others it tells in a microtask,
   * and scheduling one runs hooks of `async_hooks`, which may acquire and make one.
   */
  private letGo(): void {
    while (this.active !== null) this.yieldMemory();
  }

  /** Every view dead, every slab free. Only without leases. False if the segment cannot be revoked: it is then out of use. */
  private recycle(segment: CarvedSegment): boolean {
    // C4
    if (this.active === segment) this.closeRuns();
    segment.runs = null;
    // Notices come last: scheduling a microtask runs the hooks of `async_hooks`.
    const isRevoked = segment.revoke();
    if (!isRevoked) {
      // Charged until it is collected: somebody may still write to it.
      if (this.active === segment) this.active = null;
      if (segment.account.state !== "retired") transition(segment.account, "retired");
      return false;
    }
    const strayAt = segment.takeStrayWrite();
    if (strayAt >= 0) segment.usedBytes = segment.reservedBytes;
    if (segment.carvedBytes > segment.usedBytes) segment.usedBytes = segment.carvedBytes;
    const dirtyAt = this.lookForDirty(segment);
    segment.carvedBytes = 0;
    this.table.budget.turnOver(segment.reservedBytes);
    this.book.exports.recycle(segment.numberIn(this.book));
    this.table.revoked(segment.account);
    if (strayAt >= 0) this.host.strayWrite(segment.account, strayAt);
    if (dirtyAt >= 0) this.host.dirty(segment.account, dirtyAt);
    return true;
  }

  /** While dirty writes are looked for, all of a segment but its leases is zero. Answers where it is not, or -1. */
  private lookForDirty(segment: CarvedSegment): number {
    const { policy } = this.host;
    if (!policy.looksForDirty) return -1;
    const isKnown = segment.cleanEpoch === policy.epoch;
    const at = isKnown ? firstDirty(segment, segment.firstPtr, segment.reservedBytes) : -1;
    // What was written may lie anywhere, beyond what was carved too.
    if (at >= 0 || !isKnown) segment.zero(0, segment.reservedBytes);
    segment.usedBytes = 0;
    segment.cleanEpoch = policy.epoch;
    return at;
  }

  /** No longer held: its leases hold it. */
  private retire(segment: CarvedSegment): void {
    this.closeRuns();
    this.active = null;
    transition(segment.account, "retired");
  }

  private closeRuns(): void {
    // By index: an iterator is code that others can replace.
    for (let each = 0; each < this.runs.length; each++) (this.runs[each] as Run).close();
  }

  /** A drained segment enters the new book when it is next used. */
  protected abandonBook(): boolean {
    const book = this.newBook();
    this.letGo();
    if (book === null) return false;
    this.book = book;
    return true;
  }
}
