/**
 * Spans: runs of slabs of one size class, handed out whole in a book of runs, carved
 * block by block in a book of single blocks.
 *
 * Owns the spans' classes and counts, the links and the segments' live counts. Takes
 * arguments that the exports have checked.
 *
 * In every span of single blocks, between two calls:
 *
 *   live + free = capacity        a block never carved is free: the tail of the free list
 *
 * B2  The free list runs once through all free blocks of its span, and ends; so the
 *     law holds. live is at least 1, and capacity is what the class says.
 * B3  Each live block's link says so, and no other link does.
 * B5  A segment's live count is the sum over its spans.
 */

import {
  BASE, CAPACITY, CLASSES, EXCHANGE, FREE_HEAD, FREE_MAP, HEAD_MAP, LINKS, LINK_GIVEN, LINK_LIVE, LIVE, LIVE_BLOCKS,
  MIN_BLOCK_SHIFT, NO_SPAN, SLAB_COUNT, bookPtr, classInLink, freeLink, liveLink, nextFree,
} from "./layout";
import { classHeadPtr, list, recordOf, spanId, unlist } from "./list";
import { hasBlocks, nextWithRoom, noteFull, noteRoom, segmentPtr, usedSegmentPtr } from "./segment";
import { blockBytesOf, capacityOf, slabShift, spanSlabsOf } from "./size-class";
import { clearMaps, headOf, isFree, returnRun, takeRun } from "./slab-map";
import { BAD_ADDRESS, BAD_SEGMENT, NOT_LIVE, NO_ROOM, OK } from "./status";

// ---- Whole runs ----

/** The lowest run of free slabs for a span of class `cls`, now handed out: its first block's pointer, or `NO_ROOM`. */
export function takeWholeRun(at: usize, cls: i32): i32 {
  const slab = takeSlabs(at, cls);
  return slab < 0 ? NO_ROOM : load<i32>(at, BASE) + (slab << slabShift);
}

/** The lowest run of free slabs for a span of class `cls`, now one: its first slab, or -1. */
function takeSlabs(at: usize, cls: i32): i32 {
  const slab = takeRun(at, spanSlabsOf(cls));
  if (slab > 0) store<u8>(at + slab, cls, CLASSES);
  return slab;
}

/** All slabs of the segment but the trap are free again, whatever was live. */
export function forgetSpans(segment: i32, at: usize): void {
  if (hasBlocks) forgetBlocks(segment, at);
  clearMaps(at);
}

function forgetBlocks(segment: i32, at: usize): void {
  for (let heads = load<u64>(at, HEAD_MAP); heads != 0; heads &= heads - 1) {
    const slab = <i32>ctz(heads);
    const id = spanId(segment, slab);
    if (hasRoom(recordOf(id))) unlist(id, classOf(at, slab));
  }
  clearLinks(at, 0, SLAB_COUNT);
  store<i32>(at, 0, LIVE_BLOCKS);
}

/** New spans expect zeros, and nothing may look live where no span is. */
function clearLinks(at: usize, slab: i32, slabs: i32): void {
  const bytesShift = slabShift - MIN_BLOCK_SHIFT + 1;
  memory.fill(at + LINKS + (slab << bytesShift), 0, slabs << bytesShift);
}

// ---- Single blocks ----

/** Takes up to `count` blocks of class `cls` and writes their pairs to the exchange. Answers how many. */
export function take(cls: i32, count: i32): i32 {
  let taken = 0;
  // Nothing is freed on the way, so a segment that was passed over has no room for this class.
  let from = 0;
  while (taken < count) {
    let id = load<u32>(classHeadPtr(cls));
    if (id == NO_SPAN) {
      id = openSpan(cls, from);
      if (id == NO_SPAN) break;
      from = id >> 6;
    }
    taken += takeFrom(id, cls, count - taken, pairPtr(taken));
  }
  return taken;
}

/** Takes up to `count` blocks of one span that has room: those released last first, those never carved last. */
function takeFrom(id: u32, cls: i32, count: i32, pair: usize): i32 {
  const at = segmentPtr(id >> 6);
  const record = recordOf(id);
  const block = blockBytesOf(cls);
  const start = (id & 63) << slabShift;
  const base = load<i32>(at, BASE);
  const live: i32 = load<u16>(record, LIVE);
  const capacity: i32 = load<u16>(record, CAPACITY);
  let index: i32 = load<u16>(record, FREE_HEAD);
  assert(live < capacity);
  count = min(count, capacity - live);
  for (const end = pair + (<usize>count << 3); pair < end; pair += 8) {
    assert(index < capacity);
    const offset = start + index * block;
    const link = linkPtrOf(at, offset);
    index = nextFree(index, load<u16>(link));
    store<u16>(link, liveLink(cls, offset));
    store<u32>(pair, id >> 6);
    store<u32>(pair, base + offset, 4);
  }
  store<u16>(record, index, FREE_HEAD);
  store<u16>(record, live + count, LIVE);
  store<i32>(at, load<i32>(at, LIVE_BLOCKS) + count, LIVE_BLOCKS);
  if (live + count == capacity) unlist(id, cls);
  return count;
}

/** A new, listed span of class `cls` in the lowest segment from `from` up that has the slabs; `NO_SPAN` if none has. */
function openSpan(cls: i32, from: i32): u32 {
  for (let segment = nextWithRoom(from); segment >= 0; segment = nextWithRoom(segment + 1)) {
    const at = segmentPtr(segment);
    const slab = takeSlabs(at, cls);
    if (load<u64>(at, FREE_MAP) == 0) noteFull(segment);
    if (slab < 0) continue;
    const id = spanId(segment, slab);
    const record = recordOf(id);
    store<u16>(record, 0, FREE_HEAD);
    store<u16>(record, 0, LIVE);
    store<u16>(record, capacityOf(cls), CAPACITY);
    list(id, cls);
    return id;
  }
  return NO_SPAN;
}

/** Takes back the blocks of the exchange's first `count` pairs, all of them or none. */
export function give(count: i32): i32 {
  let status = OK;
  let marked = 0;
  // A block marked is no longer live, so a second pair of the same block is refused.
  for (; marked < count; marked++) {
    const pair = pairPtr(marked);
    status = classAt(load<i32>(pair), load<i32>(pair, 4));
    if (status < OK) break;
    flipGiven(pair);
  }
  const isRefused = marked < count;
  while (--marked >= 0) {
    if (isRefused) flipGiven(pairPtr(marked));
    else free(pairPtr(marked));
  }
  return isRefused ? status : OK;
}

/** The pair's block is given instead of live, or the other way round. */
function flipGiven(pair: usize): void {
  const at = segmentPtr(load<i32>(pair));
  const link = linkPtrOf(at, load<i32>(pair, 4) - load<i32>(at, BASE));
  store<u16>(link, load<u16>(link) ^ (LINK_LIVE | LINK_GIVEN));
}

/** The pair's block, marked as given, is free. */
function free(pair: usize): void {
  const segment = load<i32>(pair);
  const at = segmentPtr(segment);
  const offset = load<i32>(pair, 4) - load<i32>(at, BASE);
  const slab = headOf(at, offset >>> slabShift);
  const cls = classOf(at, slab);
  const id = spanId(segment, slab);
  const record = recordOf(id);
  const link = linkPtrOf(at, offset);
  const index = <u32>(offset - (slab << slabShift)) / <u32>blockBytesOf(cls);
  if (!ASC_NO_ASSERT) assert(load<u16>(link) == (liveLink(cls, offset) ^ (LINK_LIVE | LINK_GIVEN)));
  assert((slab << slabShift) + index * blockBytesOf(cls) == offset);

  const hadRoom = hasRoom(record);
  const live = <i32>load<u16>(record, LIVE) - 1;
  assert(live >= 0);
  store<u16>(record, live, LIVE);
  store<i32>(at, load<i32>(at, LIVE_BLOCKS) - 1, LIVE_BLOCKS);
  store<u16>(link, freeLink(index, load<u16>(record, FREE_HEAD)));
  store<u16>(record, index, FREE_HEAD);
  if (live == 0) {
    if (hadRoom) unlist(id, cls);
    clearLinks(at, slab, spanSlabsOf(cls));
    returnRun(at, slab, spanSlabsOf(cls));
    noteRoom(segment);
  } else if (!hadRoom) {
    list(id, cls);
  }
}

// ---- Looking ----

/** Class of the live block that starts at `ptr`, or of the run with a block that does; or a negative status. */
export function classAt(segment: i32, ptr: i32): i32 {
  const at = usedSegmentPtr(segment);
  if (at == 0) return BAD_SEGMENT;
  const offset = ptr - load<i32>(at, BASE);
  const slab = <u32>offset >> slabShift;
  if (slab - 1 >= <u32>SLAB_COUNT - 1 || (offset & 15) != 0) return BAD_ADDRESS;
  if (hasBlocks) {
    const link: u32 = load<u16>(linkPtrOf(at, offset));
    const cls = classInLink(link);
    return link == liveLink(cls, offset) ? cls : NOT_LIVE;
  }
  const head = headOf(at, slab);
  if (head < 0 || isFree(at, slab)) return NOT_LIVE;
  const cls = classOf(at, head);
  const within = <u32>offset - (head << slabShift);
  const index = within / <u32>blockBytesOf(cls);
  return index < <u32>capacityOf(cls) && index * <u32>blockBytesOf(cls) == within ? cls : NOT_LIVE;
}

/** Class of the span that starts at `slab`. */
export function classOf(at: usize, slab: i32): i32 {
  return load<u8>(at + slab, CLASSES);
}

/** Address of the link for the 64 bytes in which `offset` lies. */
export function linkPtrOf(at: usize, offset: i32): usize {
  return at + LINKS + (<usize>(<u32>offset >> MIN_BLOCK_SHIFT) << 1);
}

export function hasRoom(record: usize): bool {
  return load<u16>(record, LIVE) < load<u16>(record, CAPACITY);
}

/** Address of the exchange's pair number `each`. */
// @ts-ignore: decorator
@inline
export function pairPtr(each: i32): usize {
  return bookPtr() + EXCHANGE + (<usize>each << 3);
}
