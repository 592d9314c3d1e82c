/**
 * `revoke: "never"`: released blocks stay with their views on a stack per size class,
 * and the one released last is handed out next, while stale views of it still work.
 * The stacks are filled from the book's free lists and emptied to them, many blocks
 * at a time. Owns the stacks, the segments, and the zeroing, block by block at hand-out.
 *
 * R1  A block is leased, or on one stack, or the book's; never two of these. One that
 *     a `vm` timeout loses half way is none of them until the arena is disposed.
 */

import { Bytes, fillBytes, lengthOf } from "../builtins.js";
import { arenaDisposed } from "../errors.js";
import { Lease } from "../lease/lease.js";
import type { BlockOwner, LeaseOrigin, LinearMemory } from "../lease/owner.js";
import type { LeaseSource } from "../lease/source.js";
import { EXCHANGE_CAPACITY, Status } from "../memory/abi.js";
import { type Account, type AccountTable, transition } from "../memory/account.js";
import { provideSegment, Segment } from "../memory/segment.js";
import { SegmentStore } from "./segments.js";
import type { CountRow, StoreHost } from "./store.js";

/** Bytes of released blocks that a stack keeps, within the limits below on their number. */
const KEEP_BYTES = 1024 * 1024;
const KEEP_AT_LEAST = 16;
const KEEP_AT_MOST = 1024;
/** Bytes of blocks taken from the book together, if a stack is empty. */
const FILL_BYTES = 16 * 1024;

const NO_BYTES = new Bytes(0);

/** Blocks of one size class that nobody leases. */
class Stack {
  readonly blocks: Block[] = [];
  readonly sizeClass: number;
  readonly blockBytes: number;
  keepAtMost: number;
  readonly fillWith: number;
  acquired = 0;

  constructor(sizeClass: number, blockBytes: number) {
    this.sizeClass = sizeClass;
    this.blockBytes = blockBytes;
    this.keepAtMost = Math.min(KEEP_AT_MOST, Math.max(KEEP_AT_LEAST, KEEP_BYTES / blockBytes));
    this.fillWith = Math.min(EXCHANGE_CAPACITY, Math.max(1, Math.floor(FILL_BYTES / blockBytes)));
  }
}

/** A block with its last view. */
class Block implements BlockOwner {
  readonly origin: LeaseOrigin = "arena";
  readonly segment: Segment;
  readonly account: Account;
  readonly ptr: number;
  readonly stack: Stack;
  readonly #store: NeverStore;
  /** The view of its last lease. */
  bytes = NO_BYTES;
  /** Under which policy the block was wiped at its last release. */
  cleanEpoch = -1;

  constructor(segment: Segment, ptr: number, stack: Stack, store: NeverStore) {
    this.segment = segment;
    this.account = segment.account;
    this.ptr = ptr;
    this.stack = stack;
    this.#store = store;
  }

  get memory(): LinearMemory | undefined {
    return this.segment.memory;
  }

  get closed(): boolean {
    return this.segment.closed;
  }

  get source(): LeaseSource {
    return this.#store.host.source;
  }

  ended(_ptr: number, byteLength: number): void {
    const { account } = this;
    account.liveBytes -= byteLength;
    if (--account.live < 0) throw arenaDisposed("release");
    this.#store.takeBack(this);
  }

  blockBytes(): number {
    return this.stack.blockBytes;
  }

  view(ptr: number, byteLength: number): Uint8Array<ArrayBuffer> {
    return this.segment.view(ptr, byteLength);
  }

  inspectTrap(): void {
    this.#store.lookAtTrap(this.segment);
  }
}

export class NeverStore extends SegmentStore {
  private stacks: readonly Stack[];
  private readonly segments = new Map<number, Segment>();

  constructor(table: AccountTable, host: StoreHost, module: object, segmentBytes: number) {
    super(table, host, module, segmentBytes, true);
    this.stacks = this.classes.blockBytes.map((blockBytes, sizeClass) => new Stack(sizeClass, blockBytes));
  }

  acquire(byteLength: number): Lease | null {
    const block = this.next(byteLength);
    if (block === null) return null;
    if (block.cleanEpoch >= 0) this.lookForDirty(block);
    fillBytes(block.bytes, 0);
    return this.lease(block, byteLength);
  }

  acquireUnzeroed(byteLength: number): Lease | null {
    const block = this.next(byteLength);
    return block === null ? null : this.lease(block, byteLength);
  }

  takeBack(block: Block): void {
    const { stack } = block;
    const { policy } = this.host;
    if (policy.wipes) {
      fillBytes(block.segment.view(block.ptr, stack.blockBytes), 0);
      block.cleanEpoch = policy.stamp;
    }
    stack.blocks.push(block);
    if (stack.blocks.length > stack.keepAtMost) this.spill(stack, stack.keepAtMost >> 1);
    this.host.roomMade();
  }

  override yieldMemory(): boolean {
    let made = false;
    for (const stack of this.stacks) {
      made ||= stack.blocks.length > 0;
      this.spill(stack, 0);
    }
    for (const segment of [...this.segments.values()]) made = this.dropIfFree(segment) || made;
    return made;
  }

  override trim(): void {
    for (const segment of this.segments.values()) this.lookAtTrap(segment, segment.slabBytes);
    this.yieldMemory();
  }

  countAcquired(add: CountRow): void {
    for (const { acquired, blockBytes } of this.stacks) if (acquired > 0) add(blockBytes, acquired, true);
  }

  protected auditSegments(problems: string[]): number {
    const kept = new Map<Segment, number>();
    for (const { blocks } of this.stacks) {
      for (const { segment } of blocks) kept.set(segment, (kept.get(segment) ?? 0) + 1);
    }
    for (const [number, segment] of this.segments) {
      this.lookAtTrap(segment, segment.slabBytes);
      const out = this.book.exports.liveBlocks(number) - (kept.get(segment) ?? 0);
      if (out < segment.account.live) {
        problems.push(`R1: segment ${number} has ${segment.account.live} leases in ${out} blocks`);
      }
    }
    return this.segments.size;
  }

  override dispose(): void {
    for (const stack of this.stacks) stack.blocks.length = 0;
    this.segments.clear();
    super.dispose();
  }

  /** A block for `byteLength` bytes, with a view of them; `null` if there is no room. */
  private next(byteLength: number): Block | null {
    const stack = this.stacks[this.classByGrain[(byteLength + 15) >>> 4] as number] as Stack;
    const block = stack.blocks.pop() ?? this.fill(stack);
    // The intrinsic length: a holder may have put one of its own on the view. An empty view may be detached.
    if (block !== null && (byteLength === 0 || lengthOf(block.bytes) !== byteLength)) {
      block.bytes = block.segment.view(block.ptr, byteLength);
    }
    return block;
  }

  private lease(block: Block, byteLength: number): Lease {
    const lease = new Lease(block.bytes, block, block.ptr, byteLength);
    const { account } = block;
    block.stack.acquired++;
    account.live++;
    account.liveBytes += byteLength;
    return lease;
  }

  /** One block, and more for the stack; `null` if there is no room. */
  private fill(stack: Stack): Block | null {
    for (;;) {
      const { exports } = this.book;
      const count = exports.takeBlocks(stack.sizeClass, stack.fillWith);
      // Looked up again: an abandoned book's stacks are replaced.
      if (count > 0) return this.take(this.stacks[stack.sizeClass] as Stack, count);
      if (exports.isBusy() !== 0) {
        if (!this.abandonBook()) return null;
      } else if (count !== Status.NO_ROOM || !this.openSegment()) return null;
    }
  }

  /** The exchange's blocks: the first one, the others on the stack. */
  private take(stack: Stack, count: number): Block | null {
    // A copy: the next call into the book writes over the exchange.
    const exchange = new Uint32Array(this.book.exchange);
    let first: Block | null = null;
    for (let each = 0; each < count; each++) {
      const segment = this.segments.get(exchange[2 * each] as number);
      if (segment === undefined) continue;
      const block = new Block(segment, exchange[2 * each + 1] as number, stack, this);
      if (first === null) first = block;
      else stack.blocks.push(block);
    }
    return first;
  }

  private openSegment(): boolean {
    const memory = provideSegment(this.table, 1 << this.slabShift);
    if (memory === null) return false;
    const segment = new Segment(memory, 1 << this.slabShift, this.table);
    const number = segment.numberIn(this.book);
    if (number < 0) {
      segment.drop();
      return false;
    }
    this.segments.set(number, segment);
    this.table.budget.turnOver(segment.reservedBytes);
    return true;
  }

  /** Gives all but the `keep` blocks released last back to the book. */
  private spill(stack: Stack, keep: number): void {
    const { blocks } = stack;
    const { exports } = this.book;
    while (blocks.length > keep) {
      const { exchange } = this.book;
      const given = blocks.splice(0, Math.min(EXCHANGE_CAPACITY, blocks.length - keep));
      given.forEach(({ account, ptr }, each) => {
        exchange[2 * each] = account.entry?.number ?? -1;
        exchange[2 * each + 1] = ptr;
      });
      const status = exports.giveBlocks(given.length);
      if (status === Status.BUSY) {
        this.abandonBook();
        return;
      }
    }
  }

  private dropIfFree(segment: Segment): boolean {
    const { entry } = segment.account;
    if (entry === undefined || this.book.exports.liveBlocks(entry.number) !== 0) return false;
    this.segments.delete(entry.number);
    segment.drop();
    return true;
  }

  /** A byte of an idle block that was wiped is not zero: somebody wrote after release. */
  private lookForDirty(block: Block): void {
    if (block.cleanEpoch !== this.host.policy.epoch) return;
    const at = block.segment.view(block.ptr, block.stack.blockBytes).findIndex((byte) => byte !== 0);
    if (at >= 0) this.host.dirty(block.account, block.ptr + at);
  }

  protected abandonBook(): boolean {
    const book = this.newBook();
    if (book === null) return false;
    this.stacks = this.stacks.map((old) => {
      const stack = new Stack(old.sizeClass, old.blockBytes);
      stack.acquired = old.acquired;
      // Leases of the old book come back to the old stack, which nobody hands out of or spills.
      old.blocks.length = 0;
      old.keepAtMost = Number.POSITIVE_INFINITY;
      return stack;
    });
    // A timeout may have stopped this very loop before.
    for (const { account } of this.segments.values()) {
      if (account.state !== "retired") transition(account, "retired");
    }
    this.segments.clear();
    this.book = book;
    return true;
  }
}
