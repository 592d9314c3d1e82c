/**
 * One thread's part of a shared arena: `"never"` over shared memory. Released blocks stay
 * with their views on a stack per size class, marked as kept in the book, so that a lease
 * acquired and released in one thread costs no atomic operation. Owns the stacks, the
 * zeroing, and how room is made. Must not know channels, or how deaths are noticed.
 *
 * H1  A block is leased, on one stack, handed over, or the book's; never two of these.
 *     The book's word says which, and this thread's number is in it while it is ours.
 * H2  While somebody wants room, no stack keeps a block that is released.
 */

import { Bytes, lengthOf } from "../builtins.js";
import { arenaDisposed, invalidArgument, threadEnded, tokenUsed, tooManyThreads } from "../errors.js";
import { Lease } from "../lease/lease.js";
import type { BlockOwner, LeaseOrigin } from "../lease/owner.js";
import type { LeaseSource } from "../lease/source.js";
import type { Store } from "../stores/store.js";
import * as abi from "./abi.js";
import { add, read, wake, write } from "./access.js";
import { identify } from "./threads.js";

/** A lease of a `SharedArena`. Its views are of a `SharedArrayBuffer`, which some APIs refuse. */
export type SharedLease = Lease<SharedArrayBuffer>;

/** Bytes of released blocks that a stack keeps, within limits on their number. */
const KEEP_BYTES = 128 * 1024;
/** Slabs that the memory grows by for short blocks, at least. */
const GROW_SLABS = 16;
const ONE_SLAB = abi.BLOCK_BYTES.length;
/** Rows of slabs are not kept: other lengths find no use for them. */
const ROW_OF_SLABS = ONE_SLAB + 1;
/** A token is a generation of 31 bits above a block's number of 22. */
const ID_RANGE = 2 ** 22;

function classOf(byteLength: number): number {
  if (byteLength <= abi.LONGEST_SHORT) return abi.CLASS_BY_GRAIN[(byteLength + 63) >>> 6] as number;
  return byteLength <= abi.SLAB_BYTES ? ONE_SLAB : ROW_OF_SLABS;
}

/** Slabs of an empty arena that leases of these lengths take: no two classes share one. */
export function slabsFor(byteLengths: readonly number[]): number {
  const counts: number[] = [];
  let slabs = 0;
  for (const byteLength of byteLengths) {
    const sizeClass = classOf(byteLength);
    const inSlab = sizeClass < ONE_SLAB ? Math.floor(abi.SLAB_BYTES / (abi.BLOCK_BYTES[sizeClass] as number)) : 0;
    const before = counts[sizeClass] ?? 0;
    if (inSlab === 0) slabs += Math.ceil(byteLength / abi.SLAB_BYTES);
    else if (before % inSlab === 0) slabs++;
    counts[sizeClass] = before + 1;
  }
  return slabs;
}

/** Blocks of one size class that this thread keeps. */
class Stack {
  readonly blocks: Block[] = [];
  readonly keepAtMost: number;
  /** Where the book looks first: a hint. */
  cursor = 0;

  constructor(blockBytes: number) {
    this.keepAtMost = Math.max(2, Math.min(32, Math.floor(KEEP_BYTES / blockBytes)));
  }
}

/** A block with its last view. */
export class Block implements BlockOwner<SharedArrayBuffer> {
  readonly origin: LeaseOrigin = "arena";
  readonly store: SharedStore;
  readonly id: number;
  /** Index of its state in the book's words. */
  readonly at: number;
  readonly ptr: number;
  readonly sizeClass: number;
  readonly #blockBytes: number;
  bytes: Uint8Array<SharedArrayBuffer>;
  /** Of `bytes`. */
  byteLength: number;
  tag: number;

  constructor(
    store: SharedStore,
    id: number,
    sizeClass: number,
    bytes: Uint8Array<SharedArrayBuffer>,
    size: number,
    tag: number,
  ) {
    this.store = store;
    this.id = id;
    this.at = store.book.recordOf(id);
    this.ptr = bytes.byteOffset;
    this.sizeClass = sizeClass;
    this.bytes = bytes;
    this.byteLength = lengthOf(bytes);
    this.#blockBytes = size;
    this.tag = tag;
  }

  get memory() {
    return this.store.book.data;
  }

  /** Never: a lease stays good after its arena was disposed, as nothing revokes it. */
  get closed(): boolean {
    return false;
  }

  get source(): LeaseSource<SharedLease> {
    return this.store.source;
  }

  get account(): SharedStore {
    return this.store;
  }

  ended(_ptr: number, byteLength: number): void {
    this.store.takeBack(this, byteLength);
  }

  handOver(byteLength: number): number {
    return this.store.tokenOf(this.id, this.store.send(this, byteLength));
  }

  blockBytes(): number {
    return this.#blockBytes;
  }

  view(ptr: number, byteLength: number): Uint8Array<SharedArrayBuffer> {
    return new Bytes(this.bytes.buffer, ptr, byteLength);
  }
}

export class SharedStore
  implements Pick<Store<SharedLease>, "longest" | "acquire" | "acquireUnzeroed" | "yieldMemory" | "audit" | "dispose">
{
  readonly longest: number;
  readonly book: abi.SharedBook;
  /** Where a lease that outgrows its block gets another. */
  readonly source: LeaseSource<SharedLease>;
  /** This thread's name. */
  readonly engine: number;
  acquired = 0;
  released = 0;
  adopted = 0;
  handedOver = 0;
  closed = false;
  /** The bell as this thread has heard it. */
  heard: number;
  liveBytes = 0;
  /** Leases among those that are out that were released, and whose blocks pins keep. */
  pinned = 0;
  /** Index of this thread's entry in the book's words. */
  readonly entry: number;
  private readonly waiting: { readonly waiters: number; wake(): void };
  private readonly words: Int32Array;
  private readonly wipe: abi.SharedBook["wipe"];
  private readonly owned: number;
  private readonly kept: number;
  private readonly stacks = [...abi.BLOCK_BYTES, abi.SLAB_BYTES, abi.SLAB_BYTES].map(
    (blockBytes) => new Stack(blockBytes),
  );
  private buffer: SharedArrayBuffer;
  /** Its length: engines do not inline that of a shared buffer. */
  private bufferBytes: number;
  /** Room is taken and given back that was there before: nobody is told. */
  private isTrying = false;
  /** Gives back what this thread keeps, and its entry as soon as nothing is out. Does not hold the store. */
  readonly giveUp: () => void;

  /**
   * @param waiting those who wait in this thread.
   * @throws ArenaError `ERR_LIMIT_EXCEEDED` if there are too many threads.
   */
  constructor(book: abi.SharedBook, source: LeaseSource<SharedLease>, waiting: SharedStore["waiting"]) {
    const { exports } = book;
    const { engine, parent } = identify();
    this.book = book;
    this.source = source;
    this.engine = engine;
    this.waiting = waiting;
    this.longest = book.maxSlabs * abi.SLAB_BYTES;
    this.words = book.words;
    this.wipe = book.wipe;
    this.buffer = book.data.buffer;
    this.bufferBytes = this.buffer.byteLength;
    let slot = exports.attach(engine, parent);
    if (slot === abi.Status.NO_ROOM) {
      exports.forgetDead();
      slot = exports.attach(engine, parent);
      if (slot === abi.Status.NO_ROOM) throw tooManyThreads(abi.THREAD_COUNT - 1);
    }
    this.giveUp = givingUp(book, slot);
    this.entry = book.entries[slot] as number;
    this.heard = read(book.words, abi.BELL);
    this.owned = abi.OWNED | exports.serial();
    this.kept = abi.KEPT | exports.serial();
  }

  /** Leases out in this thread. */
  get live(): number {
    return this.acquired + this.adopted - this.released - this.handedOver;
  }

  acquire(byteLength: number): SharedLease | null {
    const block = this.next(byteLength);
    if (block === null) return null;
    this.wipe(block.ptr, byteLength);
    return this.lease(block, byteLength);
  }

  acquireUnzeroed(byteLength: number): SharedLease | null {
    const block = this.next(byteLength);
    return block === null ? null : this.lease(block, byteLength);
  }

  /** Leases of all these lengths, or none of them. */
  acquireAll(byteLengths: readonly number[]): SharedLease[] | null {
    // What this thread keeps is news to others, once.
    if (this.isRoomWanted) this.yieldMemory();
    const wanted = read(this.words, abi.WANTED);
    const leases: SharedLease[] = [];
    this.isTrying = true;
    try {
      for (const byteLength of byteLengths) {
        const lease = this.acquire(byteLength);
        if (lease === null) break;
        leases.push(lease);
      }
      if (leases.length === byteLengths.length) return leases;
      for (const each of leases) each.release();
      this.yieldMemory();
    } finally {
      this.isTrying = false;
    }
    // Somebody found no room meanwhile: perhaps what we had.
    if (read(this.words, abi.WANTED) !== wanted) this.announceRoom();
    return null;
  }

  takeBack(block: Block, byteLength: number): void {
    this.released++;
    this.liveBytes -= byteLength;
    const { words } = this;
    const { blocks, keepAtMost } = this.stacks[block.sizeClass] as Stack;
    if (words[block.at] !== this.owned) throw threadEnded("release");
    if (block.sizeClass === ROW_OF_SLABS || words[abi.WANTED] !== 0 || this.closed) {
      this.giveAtOnce(block);
    } else {
      if (blocks.length >= keepAtMost) this.spill(blocks, keepAtMost >> 1);
      words[block.at] = this.kept;
      block.tag = 0;
      blocks.push(block);
    }
    if (this.waiting.waiters > 0) this.waiting.wake();
  }

  send({ id }: Block, byteLength: number): number {
    this.handedOver++;
    this.liveBytes -= byteLength;
    const generation = this.book.exports.handOver(id, byteLength);
    if (generation < 0) throw threadEnded("hand over");
    if (this.waiting.waiters > 0) this.waiting.wake();
    return generation;
  }

  /** `id` below, `generation` above, mixed with the arena's own number. */
  tokenOf(id: number, generation: number): number {
    return (generation ^ this.book.id) * ID_RANGE + id;
  }

  /** @throws ArenaError `ERR_INVALID_ARGUMENT`, `ERR_TOKEN_USED`. */
  adopt(token: number): SharedLease {
    const value = Number.isSafeInteger(token) && token >= 0 ? token : 0;
    const id = value % ID_RANGE;
    const generation = ((value - id) / ID_RANGE) ^ this.book.id;
    const status = value === token ? this.book.exports.adopt(id, generation) : abi.Status.NO_TOKEN;
    if (status === abi.Status.USED_TOKEN) throw tokenUsed(token);
    if (status !== abi.Status.OK) throw invalidArgument("token", token, "one that handOver() of this arena answered");
    return this.leaseOf(id, 0);
  }

  /** The lease that was sent with this generation; `null` if it cannot be adopted any more. */
  receive(id: number, generation: number, tag: number): SharedLease | null {
    return this.book.exports.adopt(id, generation) === abi.Status.OK ? this.leaseOf(id, tag) : null;
  }

  /** A message of a dead thread is this thread's from now on: its new generation. */
  inherit(id: number, generation: number): number {
    const { exports } = this.book;
    if (exports.adopt(id, generation) !== abi.Status.OK) return generation;
    return exports.handOver(id, this.words[this.book.recordOf(id) + abi.BYTE_LENGTH] as number);
  }

  /** Gives other threads and other classes what this thread keeps. */
  yieldMemory(): boolean {
    let made = false;
    for (const { blocks } of this.stacks) {
      made ||= blocks.length > 0;
      this.spill(blocks, 0);
    }
    while (this.book.exports.closeOne() !== 0) made = true;
    if (made) this.announceRoom();
    return made;
  }

  /** Bytes in the blocks that this thread keeps. */
  get keptBytes(): number {
    return this.stacks.reduce((sum, { blocks }) => sum + blocks.length * (blocks[0]?.blockBytes() ?? 0), 0);
  }

  /** Exact while no other thread works. So what does not stand still is not reported. */
  audit(problems: string[]): number {
    const { exports } = this.book;
    let found = exports.audit();
    for (let again = 0; found !== 0 && again < 3; again++) if (exports.audit() !== found) found = 0;
    if (found !== 0) problems.push(`the shared book: invariant T${found >> 24} is broken at slab ${found & 0xffffff}`);
    const serial = exports.serial();
    const kept = this.stacks.reduce((sum, { blocks }) => sum + blocks.length, 0);
    for (const [what, kind, wanted] of [
      ["leases", abi.OWNED, this.live],
      ["kept blocks", abi.KEPT, kept],
    ] as const) {
      const count = exports.count(kind, serial);
      if (count < wanted) problems.push(`H1: this thread has ${wanted} ${what} in ${count} blocks`);
    }
    return exports.slabs();
  }

  dispose(): void {
    this.closed = true;
    for (const { blocks } of this.stacks) blocks.length = 0;
    this.giveUp();
  }

  /** The other threads look up. */
  ring(): void {
    const before = add(this.words, abi.BELL, 1);
    if (before === this.heard) this.heard = (before + 1) | 0;
    wake(this.words, abi.BELL);
  }

  /** The other threads give back what they keep, and keep nothing until somebody has made room. */
  wantRoom(): void {
    if (add(this.words, abi.WANTED, 1) === 0) this.ring();
  }

  /** Whether a thread of that name is attached, and lives. */
  hasThread(engine: number): boolean {
    return this.book.entries.some((entry) => read(this.words, entry) === engine);
  }

  /** Whether this thread is in the table. */
  get isAttached(): boolean {
    return read(this.words, this.entry) > 0 && read(this.words, this.entry + 1) === this.book.exports.serial();
  }

  get isRoomWanted(): boolean {
    return read(this.words, abi.WANTED) !== 0;
  }

  /** @throws ArenaError `ERR_ARENA_DISPOSED`, `ERR_THREAD_ENDED`. */
  requireUse(action: string): void {
    if (this.closed) throw arenaDisposed(action);
    if (!this.isAttached) throw threadEnded(action);
  }

  private next(byteLength: number): Block | null {
    const sizeClass = classOf(byteLength);
    const stack = this.stacks[sizeClass] as Stack;
    let block: Block | null | undefined = stack.blocks.pop();
    if (block !== undefined) {
      // H1
      if (this.words[block.at] !== this.kept) throw threadEnded("acquire");
      this.words[block.at] = this.owned;
    } else {
      block = sizeClass >= ONE_SLAB ? this.takeLong(byteLength) : this.fill(stack, sizeClass, byteLength);
      if (block === null) return null;
    }
    if (block.byteLength !== byteLength) {
      block.bytes = block.view(block.ptr, byteLength);
      block.byteLength = byteLength;
    }
    return block;
  }

  private lease(block: Block, byteLength: number): SharedLease {
    const lease = new Lease(block.bytes, block, block.ptr, byteLength);
    this.acquired++;
    this.liveBytes += byteLength;
    return lease;
  }

  private leaseOf(id: number, tag: number): SharedLease {
    const byteLength = this.words[this.book.recordOf(id) + abi.BYTE_LENGTH] as number;
    const block = this.blockOf(id, byteLength, tag);
    const lease = new Lease(block.bytes, block, block.ptr, byteLength);
    this.adopted++;
    this.liveBytes += byteLength;
    return lease;
  }

  /** One block, and half a stack of others to keep, all with views as long as is wanted now. */
  private fill(stack: Stack, sizeClass: number, byteLength: number): Block | null {
    this.requireUse("acquire");
    const { exports } = this.book;
    const id = this.attempt(1, () => exports.take(sizeClass, stack.cursor));
    if (id < 0) return null;
    stack.cursor = id;
    if (this.words[abi.WANTED] !== 0) return this.blockOf(id, byteLength);
    for (let more = stack.keepAtMost >> 1; more > 1; more--) {
      const next = exports.take(sizeClass, stack.cursor);
      if (next < 0) break;
      stack.cursor = next;
      const block = this.blockOf(next, byteLength);
      this.words[block.at] = this.kept;
      stack.blocks.push(block);
    }
    return this.blockOf(id, byteLength);
  }

  private takeLong(byteLength: number): Block | null {
    this.requireUse("acquire");
    const slabs = Math.ceil(byteLength / abi.SLAB_BYTES);
    if (slabs > this.book.maxSlabs) return null;
    const id = this.attempt(slabs, () => this.book.exports.takeLong(slabs));
    return id < 0 ? null : this.blockOf(id, byteLength);
  }

  /** Tries, and makes room, until there is none to make. */
  private attempt(slabs: number, take: () => number): number {
    let id = take();
    while (id < 0 && this.makeRoom(slabs)) id = take();
    return id;
  }

  /** More memory; then what this thread keeps and slabs that nobody uses; then what the dead had handed over. */
  private makeRoom(slabs: number): boolean {
    const { book } = this;
    const total = book.exports.slabs();
    // Long blocks come from the top. More than one needs would leave a gap below it.
    const hasGrown = book.grow(slabs > 1 ? slabs : Math.max(total >> 2, GROW_SLABS)) || book.grow(slabs);
    // Another thread may have grown it, and died before it said so.
    book.exports.setSlabs(book.data.buffer.byteLength / abi.SLAB_BYTES);
    return hasGrown || book.exports.slabs() > total || this.yieldMemory() || book.exports.forgetDead() > 0;
  }

  /** A block that this thread owns, with a view of `byteLength` bytes. */
  private blockOf(id: number, byteLength: number, tag = 0): Block {
    const slab = id >> 8;
    const word = this.words[abi.SLAB_WORDS + slab] as number;
    const isLong = word >>> 28 === abi.LONG;
    const sizeClass = isLong ? classOf((word & 0xfffffff) * abi.SLAB_BYTES) : (word >> 23) & 31;
    const blockBytes = isLong ? (word & 0xfffffff) * abi.SLAB_BYTES : (abi.BLOCK_BYTES[sizeClass] as number);
    const ptr = slab * abi.SLAB_BYTES + (isLong ? 0 : (id & 255) * blockBytes);
    if (ptr + blockBytes > this.bufferBytes) {
      this.buffer = this.book.data.buffer;
      this.bufferBytes = this.buffer.byteLength;
    }
    return new Block(this, id, sizeClass, new Bytes(this.buffer, ptr, byteLength), blockBytes, tag);
  }

  private spill(blocks: Block[], keep: number): void {
    const { give } = this.book.exports;
    while (blocks.length > keep) give((blocks.pop() as Block).id);
  }

  /** H2 */
  private giveAtOnce({ id }: Block): void {
    this.book.exports.give(id);
    if (this.closed) this.giveUp();
    if (this.isRoomWanted) this.yieldMemory();
    this.announceRoom();
  }

  /** Those who wait for room look again, and say so again if it was not enough. */
  private announceRoom(): void {
    if (this.isTrying || !this.isRoomWanted) return;
    write(this.words, abi.WANTED, 0);
    this.ring();
  }
}

/**
 * A function that gives back what a thread's part keeps, and takes its entry out of the
 * table unless a block still has its number: leased, or handed over and not adopted.
 * Knows no store: it is called, too, once nobody has the arena.
 */
function givingUp({ exports, words, records }: abi.SharedBook, slot: number): () => void {
  const serial = exports.serial();
  return () => {
    const end = exports.slabs() * abi.BLOCKS_A_SLAB;
    for (let id = 0; id < end; id++) {
      if (words[records + abi.ENTRY_WORDS * id] === (abi.KEPT | serial)) exports.give(id);
    }
    if (exports.count(abi.OWNED, serial) + exports.count(abi.IN_TRANSIT, serial) === 0) exports.leave(slot);
    // As announceRoom: whoever waits looks again.
    write(words, abi.WANTED, 0);
    add(words, abi.BELL, 1);
    wake(words, abi.BELL);
  };
}
