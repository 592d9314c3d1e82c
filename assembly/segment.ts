/**
 * One segment: blocks given out, taken back, wiped, and all forgotten at once.
 *
 * Knows no leases, views or revocation: that a resting block may be used again
 * is the caller's word, given by `reset`. The two totals are globals, out of
 * reach of any view.
 *
 * I4  The segment's live and resting totals are the sums over its spans.
 */

import { MAX_SLAB_SHIFT, MIN_SLAB_SHIFT, PAGE_BYTES, SLAB_COUNT, WHOLE_BLOCK, headerBytes } from "./layout";
import { blockBytesOf, classCount } from "./size-class";
import { forgetSpans, freeRested, layOut, restBlock, restedBytes, slabShift, takeBlock } from "./slab";
import { freeSlabCount } from "./slab-map";
import { BAD_CLASS, BAD_LAYOUT, BUSY, OK } from "./status";
import { wipe } from "./wipe";

export let live: i32 = 0;
export let resting: i32 = 0;
/** Address and length of what is known to be zero, because no view could write since it was wiped; 0 if nothing is. */
let clean: i32 = 0;
let cleanBytes: i32 = 0;

export function init(base: i32, shift: i32): i32 {
  if (shift < MIN_SLAB_SHIFT || shift > MAX_SLAB_SHIFT) return BAD_LAYOUT;
  const end = <i64>base + headerBytes(shift) + (SLAB_COUNT << shift);
  if (base < 0 || (base & 15) != 0 || end > <i64>memory.size() * PAGE_BYTES) return BAD_LAYOUT;
  layOut(base, shift);
  live = resting = clean = 0;
  return OK;
}

/**
 * A block of class `cls`: its address, `NO_ROOM`, or a negative status. If
 * `zeroed`, it is zero whatever was written to it since it was released.
 */
export function acquire(cls: i32, zeroed: bool): i32 {
  if (<u32>cls >= <u32>classCount(slabShift)) return BAD_CLASS;
  const ptr = takeBlock(cls);
  if (ptr > 0) {
    live++;
    if (zeroed) {
      const block = blockBytesOf(cls, slabShift);
      if (ptr != clean || block > cleanBytes) wipe(ptr, block);
    }
    clean = 0;
  }
  return ptr;
}

/**
 * Wipes the first `written` bytes of the block and takes it back: free at once,
 * or, if `toRest`, out of use until `reset`. Answers a negative status, and
 * changes nothing, if the block is not live; for a freed block what room that
 * made; for a resting one how many slabs wait for `reset` once none is live.
 */
export function release(ptr: i32, written: i32, toRest: bool): i32 {
  let status = restBlock(ptr, written);
  if (status != OK) return status;
  if (toRest) {
    resting++;
    return --live == 0 ? SLAB_COUNT - freeSlabCount() : OK;
  }
  status = freeRested(ptr);
  if (status >= OK) live--;
  return status;
}

/**
 * Release to rest and reset in one, for the last live block of a segment of which no
 * view is left: wiped whole, it is known to be zero when it is next acquired.
 */
export function releaseAndReset(ptr: i32, written: i32): i32 {
  if (live != 1) return BUSY;
  const status = release(ptr, written, true);
  if (status < OK) return status;
  reset();
  if (written == WHOLE_BLOCK) {
    clean = ptr;
    cleanBytes = restedBytes;
  }
  return OK;
}

/** All blocks are free again. The caller has seen to it that no view of them is left. */
export function reset(): i32 {
  if (live != 0) return BUSY;
  forgetSpans();
  resting = clean = 0;
  return OK;
}
