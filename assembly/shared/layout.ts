/**
 * Where everything lies in the shared book, what a word says, and nothing else.
 *
 *   0        64       128      256             16640       + 4·max    + 8·max
 *   ├────────┬────────┬────────┬───────────────┬───────────┬──────────┬─────────────────┐
 *   │ header │  bell  │ wanted │ thread table  │ slab      │ maybe    │ block records   │
 *   │        │        │        │ 1024 × 16 B   │ words     │ words    │ 256 × 16 B each │
 *   └────────┴────────┴────────┴───────────────┴───────────┴──────────┴─────────────────┘
 *     max = slabs there may be          one of 4 B for each slab        for each slab
 *
 * A thread has two names. `engine` is what its engine calls it; several arenas attached
 * in one thread share it. `me` is a serial number, a new one for each attachment, that
 * words are signed with. An entry of the thread table, zero if nobody has it:
 *
 *   byte  0        4        8        12      16
 *        ┌────────┬────────┬────────┬────────┐    engine  negative once the thread has ended
 *        │ engine │   me   │ parent │   me   │    parent  the engine's name of the thread that
 *        └────────┴────────┴────────┴────────┘            started it. Says so only if both `me`
 *         changed together   written after                are the same: the entry had others before
 *
 * One word a slab and one word a block are the only truth. Each names the one thread
 * that may change it; a free one is anybody's, by compare-and-swap.
 *
 *   bit  31    28 27     23 22                 0
 *        ┌───────┬─────────┬────────────────────┐
 *        │   0   │         0                    │  FREE     anybody may claim it
 *        │   1   │         │         me         │  CLAIMED  by this thread, for a moment
 *        │   2   │  class  │         me         │  CLOSING  others may still own blocks of it
 *        │   3   │  class  │         0          │  OPEN     cut into blocks
 *        │   4   │            slabs             │  LONG     one block of so many slabs
 *        │   5   │            head              │  TAIL     belongs to the long block of that slab
 *        └───────┴──────────────────────────────┘
 *
 *   byte  0        4             8             12     16
 *        ┌────────┬─────────────┬─────────────┬──────┐     state  kind in bits 31 to 28: FREE, OWNED,
 *        │ state  │ generation  │ byteLength  │      │            IN_TRANSIT, KEPT; then me
 *        └────────┴─────────────┴─────────────┴──────┘     a long block has its first slab's first record
 *
 * `maybe` is a hint: 0 if a slab has no free block. It may be wrong while somebody
 * works on the slab, and is put right when a dead thread is swept.
 *
 * src/shared/abi.ts mirrors the numbers that cross the boundary; a test holds the two
 * together.
 */

import { read, swap, write } from "./access";

/** Slabs there may be at most. */
const MAX_SLABS: usize = 0;
/** Slabs of the data memory that may be used. */
const SLABS: usize = 4;
/** The serial number that was given last. */
export const LAST_SERIAL: usize = 8;
/** Goes up when threads should look: somebody came or died, or room is wanted. They wait for it. */
export const BELL: usize = 64;
/** Goes up with each thread that was declared dead. */
export const DEATHS: usize = 68;
/** How often somebody wanted room and found none, since some was last made. */
export const WANTED: usize = 128;
export const THREADS: usize = 256;
export const THREAD_COUNT: i32 = 1024;
const SLAB_WORDS: usize = 16640;

export const SLAB_SHIFT: i32 = 16;
export const BLOCKS_SHIFT: i32 = 8;
/** Records there are for a slab, whatever its class. */
export const BLOCKS_A_SLAB: i32 = 256;

export const KIND: i32 = 15 << 28;
export const CLASS_SHIFT: i32 = 23;
export const CLASS_MASK: i32 = 31 << 23;
export const WHO: i32 = (1 << 23) - 1;
/** Of LONG and TAIL. */
export const REST: i32 = (1 << 28) - 1;

export const FREE: i32 = 0;
export const CLAIMED: i32 = 1 << 28;
export const CLOSING: i32 = 2 << 28;
export const OPEN: i32 = 3 << 28;
export const LONG: i32 = 4 << 28;
export const TAIL: i32 = 5 << 28;

export const OWNED: i32 = 1 << 28;
export const IN_TRANSIT: i32 = 2 << 28;
export const KEPT: i32 = 3 << 28;

// Fields of a record.
export const GENERATION: usize = 4;
export const BYTE_LENGTH: usize = 8;
export const GENERATION_MASK: i32 = 0x7fffffff;

// What the exports answer, below 0.
/** No block, and no room for another; no thread number left. */
export const NO_ROOM: i32 = -1;
/** The block is not this thread's: a double release, or the thread was declared dead. */
export const NOT_YOURS: i32 = -2;
/** The block was adopted already, or came back. */
export const USED_TOKEN: i32 = -3;
/** No such token was ever given. */
export const NO_TOKEN: i32 = -4;

/** This thread's serial number; 0 before `attach`. */
export let me: i32 = 0;
let maybeWords: usize = 0;
let records: usize = 0;

/** Bytes of a book for so many slabs. */
export function bookBytes(maxSlabs: i32): i32 {
  return <i32>SLAB_WORDS + maxSlabs * (8 + (BLOCKS_A_SLAB << 4));
}

export function layOut(): void {
  const maxSlabs = <usize>read(MAX_SLABS);
  maybeWords = SLAB_WORDS + (maxSlabs << 2);
  records = SLAB_WORDS + (maxSlabs << 3);
}

/** A book in zeroed memory. */
export function create(maxSlabs: i32): void {
  write(MAX_SLABS, maxSlabs);
}

export function beThread(serial: i32): void {
  me = serial;
}

export function slabs(): i32 {
  return read(SLABS);
}

/** The data memory has at least `count` slabs. */
export function setSlabs(count: i32): void {
  for (;;) {
    const old = read(SLABS);
    if (old >= count || swap(SLABS, old, count)) return;
  }
}

export function slabWord(slab: i32): usize {
  return SLAB_WORDS + (<usize>slab << 2);
}

export function maybeWord(slab: i32): usize {
  return maybeWords + (<usize>slab << 2);
}

/** Address of the record of block `id`, which is `slab << 8 | index`. Its first word is the state. */
export function recordOf(id: i32): usize {
  return records + (<usize>id << 4);
}

/** Bytes of a block of class 0 to 28: 256, 320, 384, 448, 512 … 32 KiB, four to each doubling. */
export function blockBytes(cls: i32): i32 {
  return (4 + (cls & 3)) << (6 + (cls >> 2));
}

export function blocksOf(cls: i32): i32 {
  return (1 << SLAB_SHIFT) / blockBytes(cls);
}

/** The class in a slab word. */
export function classIn(word: i32): i32 {
  return (word & CLASS_MASK) >> CLASS_SHIFT;
}
