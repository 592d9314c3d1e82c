/**
 * One segment: blocks given out, taken back, wiped, and all forgotten at once.
 *
 * Knows no leases, views or revocation: that a resting block may be used again
 * is the caller's word, given by `reset`. The two totals are globals, out of
 * reach of any view.
 *
 * I4  The segment's live and resting totals are the sums over its spans.
 */

import { MAX_SLAB_SHIFT, MIN_SLAB_SHIFT, PAGE_BYTES, SLAB_COUNT, headerBytes } from "./layout";
import { blockBytesOf, classCount } from "./size-class";
import { forgetSpans, foundBytes, freeFound, layOut, locate, restFound, slabShift, takeBlock } from "./slab";
import { freeSlabCount } from "./slab-map";
import { BAD_CLASS, BAD_LAYOUT, BUSY, OK } from "./status";
import { wipe } from "./wipe";

export let live: i32 = 0;
export let resting: i32 = 0;
/** Address of a block known to be zero because nobody could write since it was wiped; 0 if none. */
let clean: i32 = 0;

export function init(base: i32, shift: i32): i32 {
  if (shift < MIN_SLAB_SHIFT || shift > MAX_SLAB_SHIFT) return BAD_LAYOUT;
  const end = <i64>base + headerBytes(shift) + (SLAB_COUNT << shift);
  if (base < 0 || end > <i64>memory.size() * PAGE_BYTES) return BAD_LAYOUT;
  layOut(base, shift);
  live = resting = clean = 0;
  return OK;
}

export function acquire(cls: i32): i32 {
  if (<u32>cls >= <u32>classCount(slabShift)) return BAD_CLASS;
  clean = 0;
  return take(cls);
}

/** Like `acquire`, and the block is zero whatever was written to it since it was released. */
export function acquireZeroed(cls: i32): i32 {
  if (<u32>cls >= <u32>classCount(slabShift)) return BAD_CLASS;
  const ptr = take(cls);
  if (ptr > 0) {
    if (ptr != clean) wipe(ptr, blockBytesOf(cls, slabShift));
    clean = 0;
  }
  return ptr;
}

/** Wipes the block's first `written` bytes and frees it. */
export function release(ptr: i32, written: i32): i32 {
  const status = locate(ptr);
  if (status != OK) return status;
  wipeFound(ptr, written);
  live--;
  return freeFound();
}

/**
 * Wipes the block's first `written` bytes, but keeps it out of use until `reset`.
 * Answers how many slabs wait for that reset if no block is live any more, else `OK`.
 */
export function rest(ptr: i32, written: i32): i32 {
  const status = locate(ptr);
  if (status != OK) return status;
  wipeFound(ptr, written);
  restFound();
  resting++;
  return --live == 0 ? SLAB_COUNT - freeSlabCount() : OK;
}

/**
 * `rest` and `reset` in one, for the last live block of a segment of which no
 * view is left: the block is then known to be zero when it is next acquired.
 */
export function restAndReset(ptr: i32, written: i32): i32 {
  if (live != 1) return BUSY;
  const status = rest(ptr, written);
  if (status < OK) return status;
  reset();
  if (written >= foundBytes) clean = ptr;
  return OK;
}

/** All blocks are free again. The caller has seen to it that no view of them is left. */
export function reset(): i32 {
  if (live != 0) return BUSY;
  forgetSpans();
  resting = clean = 0;
  return OK;
}

// @ts-ignore: decorator
@inline
function take(cls: i32): i32 {
  const ptr = takeBlock(cls);
  if (ptr > 0) live++;
  return ptr;
}

// @ts-ignore: decorator
@inline
function wipeFound(ptr: i32, written: i32): void {
  wipe(ptr, <i32>min<u32>(written, foundBytes));
}
