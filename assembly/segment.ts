/**
 * The table of segments: their numbers, where each one's part of the book stands, and
 * which of them have a free slab. Grows the book.
 *
 * Knows no spans: the module that does empties a segment before its number is dropped.
 *
 * B6  The room map's bit of every segment with a free slab is set. A segment that is
 *     not in use has none.
 * B7  Every number below `firstUnused` is in use.
 */

import {
  BASE, BASE_RANGE, FREE_MAP, IN_USE, LIVE_BLOCKS, MAX_SEGMENTS, MIN_BLOCK_SHIFT, PAGE_SHIFT, ROOM_MAP,
  SEGMENTS, bookPtr, segmentStrideOf,
} from "./layout";
import { slabShift } from "./size-class";
import { clearMaps } from "./slab-map";
import { BAD_LAYOUT, NO_BOOK_MEMORY } from "./status";

/** Whether single blocks are handed out, not whole runs. */
export let hasBlocks: bool = false;
/** Every number that was ever used is below. */
export let segmentCount: i32 = 0;
/** Where the search for a number starts. */
export let firstUnused: i32 = 0;
let segmentStride: usize = 0;

/** After `setSlabShift`. */
export function layOut(blocks: bool): void {
  hasBlocks = blocks;
  segmentStride = segmentStrideOf(slabShift, blocks);
}

/** Address of a segment's part of the book. */
export function segmentPtr(segment: i32): usize {
  return bookPtr() + SEGMENTS + <usize>segment * segmentStride;
}

/** The same if the number is in use, 0 if not. */
export function usedSegmentPtr(segment: i32): usize {
  if (<u32>segment >= <u32>segmentCount) return 0;
  const at = segmentPtr(segment);
  return load<u8>(at, IN_USE) != 0 ? at : 0;
}

/** The lowest number not in use, for a segment whose slab 0 starts at `base`; or a negative status. */
export function enterSegment(base: i32): i32 {
  const grainMask = (1 << MIN_BLOCK_SHIFT) - 1;
  if (slabShift == 0 || <u32>-base >= <u32>BASE_RANGE || (base & grainMask) != 0) return BAD_LAYOUT;
  let segment = firstUnused;
  while (usedSegmentPtr(segment) != 0) segment++;
  if (segment == segmentCount) {
    if (segment == MAX_SEGMENTS || !reserve(segment + 1)) return NO_BOOK_MEMORY;
    segmentCount++;
  }
  firstUnused = segment + 1;
  const at = segmentPtr(segment);
  if (!ASC_NO_ASSERT) assert(load<u8>(at, IN_USE) == 0 && load<u64>(at, FREE_MAP) == 0);
  store<i32>(at, base, BASE);
  store<i32>(at, 0, LIVE_BLOCKS);
  store<u8>(at, 1, IN_USE);
  clearMaps(at);
  noteRoom(segment);
  return segment;
}

/** The number may be used again. The segment's spans must have been forgotten. */
export function leaveSegment(segment: i32, at: usize): void {
  store<u8>(at, 0, IN_USE);
  store<u64>(at, 0, FREE_MAP);
  firstUnused = min(firstUnused, segment);
}

/** The segment has a free slab. */
export function noteRoom(segment: i32): void {
  const byte = roomBytePtr(segment);
  store<u8>(byte, <i32>load<u8>(byte) | (1 << (segment & 7)));
}

/** The segment has no free slab. */
// @ts-ignore: decorator
@inline
export function noteFull(segment: i32): void {
  const byte = roomBytePtr(segment);
  store<u8>(byte, <i32>load<u8>(byte) & ~(1 << (segment & 7)));
}

/** The lowest segment from `from` up that may have a free slab; -1 if none has. */
export function nextWithRoom(from: i32): i32 {
  while (from < segmentCount) {
    const word = load<u64>(bookPtr() + ROOM_MAP + ((<usize>from >> 6) << 3)) >> (from & 63);
    if (word != 0) return from + <i32>ctz(word);
    from = (from | 63) + 1;
  }
  return -1;
}

/** Address of the room map's byte with the segment's bit. */
// @ts-ignore: decorator
@inline
export function roomBytePtr(segment: i32): usize {
  return bookPtr() + ROOM_MAP + (<usize>segment >> 3);
}

/** Makes the book long enough for `count` segments. In u64, because the answer may lie above 4 GiB. */
function reserve(count: i32): bool {
  const end = <u64>(bookPtr() + SEGMENTS) + <u64>count * segmentStride;
  const pages = <i32>((end + (1 << PAGE_SHIFT) - 1) >> PAGE_SHIFT) - <i32>memory.size();
  return pages <= 0 || <i32>memory.grow(pages) >= 0;
}
