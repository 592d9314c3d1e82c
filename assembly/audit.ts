/**
 * Walks every invariant of the book. Reads only, and ends on any input: after a call
 * that was cut off, or damage in a test, lists may lead anywhere.
 *
 * Answers 0, or which invariant is broken and where:
 *
 *   bit  31      24 23              8 7      0
 *        ┌─────────┬─────────────────┬────────┐
 *        │    n    │     segment     │  slab  │   Bn. Slab 0: the segment, not a span of it
 *        └─────────┴─────────────────┴────────┘
 *
 * For B4 the place is the span whose `next` is wrong; segment 0, slab 0 if that is a
 * class head, or a span with room is in no list.
 */

import {
  CAPACITY, FREE_HEAD, FREE_MAP, HEAD_MAP, LINK_LIVE, LIVE, LIVE_BLOCKS, MIN_BLOCK_SHIFT, NEXT, NO_SPAN,
  PREV, SLAB_COUNT, TRAP, liveLink, nextFree, subInLink,
} from "./layout";
import { classHeadPtr, recordOf, spanId } from "./list";
import { firstUnused, hasBlocks, roomBytePtr, segmentCount, segmentPtr, usedSegmentPtr } from "./segment";
import { blockBytesOf, capacityOf, classCount, isClass, slabShift, spanSlabsOf } from "./size-class";
import { isFree, isHead, runMask } from "./slab-map";
import { classOf, hasRoom, linkPtrOf } from "./span";

/** Spans with room in the segments walked so far. */
let withRoom: i32 = 0;

export function audit(): i32 {
  withRoom = 0;
  for (let segment = 0; segment < segmentCount; segment++) {
    const at = usedSegmentPtr(segment);
    if (at == 0 && segment < firstUnused) return broken(7, segment, 0);
    const found = at == 0 ? 0 : auditSegment(segment, at);
    if (found != 0) return found | (segment << 8);
    // B6
    const isNoted = at != 0 && (<i32>load<u8>(roomBytePtr(segment)) & (1 << (segment & 7))) != 0;
    if (!isNoted && load<u64>(segmentPtr(segment), FREE_MAP) != 0) return broken(6, segment, 0);
  }
  return auditLists();
}

/** B1, B2, B3 and B5, as an audit code without the segment. */
function auditSegment(segment: i32, at: usize): i32 {
  let liveSum = 0;
  for (let slab = TRAP; slab < SLAB_COUNT; ) {
    let slabs = 1;
    let live = 0;
    if ((slab == TRAP) == isFree(at, slab)) {
      if (!spanIsWhole(at, slab)) return broken(1, 0, slab);
      slabs = spanSlabsOf(classOf(at, slab));
      if (hasBlocks) {
        const record = recordOf(spanId(segment, slab));
        live = load<u16>(record, LIVE);
        if (!freeListIsWhole(at, slab, record)) return broken(2, 0, slab);
        if (hasRoom(record)) withRoom++;
      }
    } else if (isHead(at, slab)) {
      return broken(1, 0, slab);
    }
    if (hasBlocks && !linksAgree(at, slab, slabs, live)) return broken(3, 0, slab);
    liveSum += live;
    slab += slabs;
  }
  return load<i32>(at, LIVE_BLOCKS) == liveSum ? 0 : broken(5, 0, 0);
}

/** B1, for a slab that is neither free nor the trap. False for a trap that is free. */
function spanIsWhole(at: usize, slab: i32): bool {
  const cls = classOf(at, slab);
  if (!isClass(cls)) return false;
  const slabs = spanSlabsOf(cls);
  const run = runMask(slabs) << slab;
  return slab + slabs <= SLAB_COUNT && (load<u64>(at, FREE_MAP) & run) == 0
    && (load<u64>(at, HEAD_MAP) & run) == (<u64>1) << slab;
}

/** B2. */
function freeListIsWhole(at: usize, slab: i32, record: usize): bool {
  const cls = classOf(at, slab);
  const capacity = capacityOf(cls);
  const live: i32 = load<u16>(record, LIVE);
  if (<i32>load<u16>(record, CAPACITY) != capacity || live == 0) return false;
  // As many steps as there are free blocks and no more: a cycle cannot hold us.
  let index: i32 = load<u16>(record, FREE_HEAD);
  for (let free = capacity - live; free > 0; free--) {
    if (index >= capacity) return false;
    const link: u32 = load<u16>(linkPtrOf(at, (slab << slabShift) + index * blockBytesOf(cls)));
    if ((link & LINK_LIVE) != 0) return false;
    index = nextFree(index, link);
  }
  return index == capacity;
}

/** B3: `live` links in these slabs say live, each where a block of the span starts. */
function linksAgree(at: usize, slab: i32, slabs: i32, live: i32): bool {
  const cls = classOf(at, slab);
  const start = slab << slabShift;
  const bytes = slabs << slabShift;
  const block = blockBytesOf(cls);
  let count = 0;
  for (let grain = 0; grain < bytes; grain += 1 << MIN_BLOCK_SHIFT) {
    const link: u32 = load<u16>(linkPtrOf(at, start + grain));
    if ((link & LINK_LIVE) == 0) continue;
    const within = grain + subInLink(link);
    if (link != liveLink(cls, start + within) || within % block != 0 || within + block > bytes) return false;
    count++;
  }
  return count == live;
}

/** B4, once the spans themselves are known to be whole. */
function auditLists(): i32 {
  let reached = 0;
  for (let cls = 0; cls < classCount; cls++) {
    let prev = NO_SPAN;
    let id = load<u32>(classHeadPtr(cls));
    while (id != NO_SPAN) {
      // More spans than there are with room: the list is a cycle.
      if (!isListed(id, cls, prev) || ++reached > withRoom) return broken(4, prev >> 6, prev & 63);
      prev = id;
      id = load<u32>(recordOf(id), NEXT);
    }
  }
  return reached == withRoom ? 0 : broken(4, 0, 0);
}

/** Whether `id` is a span with room of class `cls` that names `prev` as the one before it. */
function isListed(id: u32, cls: i32, prev: u32): bool {
  const at = usedSegmentPtr(id >> 6);
  if (at == 0 || !isHead(at, id & 63)) return false;
  const record = recordOf(id);
  return classOf(at, id & 63) == cls && hasRoom(record) && load<u32>(record, PREV) == prev;
}

function broken(invariant: i32, segment: i32, slab: i32): i32 {
  return (invariant << 24) | (segment << 8) | slab;
}
