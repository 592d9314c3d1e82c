/**
 * Spans: runs of slabs of one size class, each with its own free list and
 * counts, and the lists of spans with room, one list per class.
 *
 * Owns the class heads, the slab records and the links. Knows no leases and no
 * segment state but where slab 0 is.
 *
 * I1  A slab is on the map exactly if its record says free; the slabs of a span
 *     are its head and, behind it, tails that name that head.
 * I2  In every span: live + free + resting + never carved = capacity. Each
 *     block's link says which of these it is, and the free list runs once
 *     through all the free ones.
 * I3  A class's list holds exactly the spans of that class that have room: a
 *     free block, or one never carved.
 *
 * A view's `.buffer` reaches these bytes, so what is read from them is checked
 * before it is used as an address: damage makes `CORRUPT`, never a trap or a
 * block outside the slabs.
 */

import {
  CAPACITY, CARVED, CLASS, CLASS_HEADS, FREE_COUNT, FREE_HEAD, HEAD_SLAB, KIND, KIND_FREE, KIND_HEAD,
  KIND_TAIL, LINKS, LINK_END, LINK_LIVE, LINK_RESTING, LISTED, LIVE, MAX_CLASS_COUNT, MIN_BLOCK_SHIFT,
  NEXT, NO_SLAB, PREV, RECIPROCAL, RECORDS, RECORD_SHIFT, RESTING, SLAB_COUNT, SPAN_SLABS, headerBytes,
} from "./layout";
import { blockBytesOf, classCount, spanSlabsOf } from "./size-class";
import { returnAll, returnRun, takeRun } from "./slab-map";
import { BAD_ADDRESS, CORRUPT, NOT_LIVE, NO_ROOM, OK, ROOM_AGAIN, SLABS_RETURNED } from "./status";

export let slabShift: i32 = 0;
let base: i32 = 0;
let slabsPtr: i32 = 0;

/** The block that `locate` found last. */
let foundSlab: i32 = 0;
let foundRecord: i32 = 0;
let foundIndex: i32 = 0;
export let foundBytes: i32 = 0;

export function layOut(segmentBase: i32, shift: i32): void {
  base = segmentBase;
  slabShift = shift;
  slabsPtr = segmentBase + headerBytes(shift);
  forgetSpans();
}

/** Every span and every list is gone, and all slabs are on the map. The blocks' bytes stay. */
export function forgetSpans(): void {
  memory.fill(base + CLASS_HEADS, <u8>NO_SLAB, MAX_CLASS_COUNT);
  memory.fill(base + RECORDS, 0, SLAB_COUNT << RECORD_SHIFT);
  returnAll();
}

// @ts-ignore: decorator
@inline
export function recordOf(slab: i32): i32 {
  return base + RECORDS + (slab << RECORD_SHIFT);
}

// @ts-ignore: decorator
@inline
export function slabPtrOf(slab: i32): i32 {
  return slabsPtr + (slab << slabShift);
}

// @ts-ignore: decorator
@inline
export function linkPtrOf(headSlab: i32, index: i32): i32 {
  return base + LINKS + (((headSlab << (slabShift - MIN_BLOCK_SHIFT)) + index) << 1);
}

// @ts-ignore: decorator
@inline
export function classHeadPtr(cls: i32): i32 {
  return base + CLASS_HEADS + cls;
}

/** A block of class `cls`, now live: its address, `NO_ROOM`, or `CORRUPT`. */
export function takeBlock(cls: i32): i32 {
  let slab: i32 = load<u8>(classHeadPtr(cls));
  if (slab == NO_SLAB) {
    slab = openSpan(cls);
    if (slab < 0) return NO_ROOM;
  }
  if (slab >= SLAB_COUNT) return CORRUPT;

  const record = recordOf(slab);
  const capacity: i32 = load<u16>(record, CAPACITY);
  const freeHead: i32 = load<u16>(record, FREE_HEAD);
  let carved: i32 = load<u16>(record, CARVED);
  const index = freeHead == LINK_END ? carved : freeHead;
  const blockBytes = blockBytesOf(cls, slabShift);
  if (index >= capacity || !isInside(slab, index, blockBytes) || !isSpanOf(record, cls)) return CORRUPT;

  const link = linkPtrOf(slab, index);
  let next = LINK_END;
  if (freeHead == LINK_END) {
    store<u16>(record, ++carved, CARVED);
  } else {
    next = load<u16>(link);
    if (next > LINK_END) return CORRUPT;
    store<u16>(record, next, FREE_HEAD);
    store<u16>(record, load<u16>(record, FREE_COUNT) - 1, FREE_COUNT);
  }
  store<u16>(link, LINK_LIVE);
  store<u16>(record, load<u16>(record, LIVE) + 1, LIVE);
  if (next == LINK_END && carved == capacity) unlist(slab, record, cls);
  return slabPtrOf(slab) + index * blockBytes;
}

/** Finds the live block at `ptr` and leaves it in `found…`. */
export function locate(ptr: i32): i32 {
  const offset = ptr - slabsPtr;
  if (<u32>offset >= <u32>(SLAB_COUNT << slabShift)) return BAD_ADDRESS;
  let slab = offset >>> slabShift;
  let record = recordOf(slab);
  const kind: i32 = load<u8>(record, KIND);
  if (kind == KIND_FREE) return BAD_ADDRESS;
  if (kind == KIND_TAIL) {
    slab = load<u8>(record, HEAD_SLAB) & (SLAB_COUNT - 1);
    record = recordOf(slab);
  }
  const cls: i32 = load<u8>(record, CLASS);
  if (load<u8>(record, KIND) != KIND_HEAD || cls >= classCount(slabShift)) return CORRUPT;

  const blockBytes = blockBytesOf(cls, slabShift);
  const within = ptr - slabPtrOf(slab);
  const index = <i32>((<u64>(<u32>within >>> 4) * <u64>load<u32>(record, RECIPROCAL)) >> 32);
  if (index * blockBytes != within || index >= <i32>load<u16>(record, CARVED)) return BAD_ADDRESS;
  if (!isInside(slab, index, blockBytes)) return CORRUPT;
  if (<i32>load<u16>(linkPtrOf(slab, index)) != LINK_LIVE) return NOT_LIVE;
  foundSlab = slab;
  foundRecord = record;
  foundIndex = index;
  foundBytes = blockBytes;
  return OK;
}

/** The located block becomes free. A span whose last block it was goes back to the map. */
export function freeFound(): i32 {
  const record = foundRecord;
  const live = <i32>load<u16>(record, LIVE) - 1;
  if (live == 0 && load<u16>(record, RESTING) == 0) {
    closeSpan(foundSlab, record);
    return SLABS_RETURNED;
  }
  store<u16>(record, live, LIVE);
  store<u16>(linkPtrOf(foundSlab, foundIndex), load<u16>(record, FREE_HEAD));
  store<u16>(record, foundIndex, FREE_HEAD);
  store<u16>(record, load<u16>(record, FREE_COUNT) + 1, FREE_COUNT);
  if (load<u8>(record, LISTED) != 0) return OK;
  list(foundSlab, record, load<u8>(record, CLASS));
  return ROOM_AGAIN;
}

/** The located block is nobody's, and stays out of use until everything is forgotten. */
export function restFound(): void {
  const record = foundRecord;
  store<u16>(record, load<u16>(record, LIVE) - 1, LIVE);
  store<u16>(record, load<u16>(record, RESTING) + 1, RESTING);
  store<u16>(linkPtrOf(foundSlab, foundIndex), LINK_RESTING);
}

// @ts-ignore: decorator
@inline
function isInside(slab: i32, index: i32, blockBytes: i32): bool {
  return (<u64>slab << slabShift) + <u64>index * <u64>blockBytes + <u64>blockBytes <= <u64>SLAB_COUNT << slabShift;
}

// @ts-ignore: decorator
@inline
function isSpanOf(record: i32, cls: i32): bool {
  return <i32>load<u8>(record, CLASS) == cls && <i32>load<u8>(record, KIND) == KIND_HEAD;
}

function openSpan(cls: i32): i32 {
  const slabs = spanSlabsOf(cls, slabShift);
  const first = takeRun(slabs);
  if (first < 0) return first;
  const blockBytes = blockBytesOf(cls, slabShift);
  const record = recordOf(first);
  store<u8>(record, KIND_HEAD, KIND);
  store<u8>(record, cls, CLASS);
  store<u8>(record, first, HEAD_SLAB);
  store<u8>(record, slabs, SPAN_SLABS);
  store<u16>(record, 0, CARVED);
  store<u16>(record, 0, LIVE);
  store<u16>(record, LINK_END, FREE_HEAD);
  store<u16>(record, 0, FREE_COUNT);
  store<u16>(record, <u32>(slabs << slabShift) / blockBytes, CAPACITY);
  store<u16>(record, 0, RESTING);
  // Rounded up, so that multiplying by it gives the exact index for every block's first byte.
  const grains = <u64>(blockBytes >>> 4);
  store<u32>(record, <u32>(((<u64>1 << 32) + grains - 1) / grains), RECIPROCAL);
  for (let tail = first + 1; tail < first + slabs; tail++) {
    store<u8>(recordOf(tail), KIND_TAIL, KIND);
    store<u8>(recordOf(tail), first, HEAD_SLAB);
  }
  list(first, record, cls);
  return first;
}

function closeSpan(slab: i32, record: i32): void {
  if (load<u8>(record, LISTED) != 0) unlist(slab, record, load<u8>(record, CLASS));
  // From the class, not the record: a damaged length must not free a neighbour's slabs.
  const slabs = spanSlabsOf(load<u8>(record, CLASS), slabShift);
  const end = min(slab + slabs, SLAB_COUNT);
  for (let each = slab; each < end; each++) store<u8>(recordOf(each), KIND_FREE, KIND);
  returnRun(slab, slabs);
}

function list(slab: i32, record: i32, cls: i32): void {
  const head: i32 = load<u8>(classHeadPtr(cls));
  if (head < SLAB_COUNT) store<u8>(recordOf(head), slab, PREV);
  store<u8>(record, NO_SLAB, PREV);
  store<u8>(record, head, NEXT);
  store<u8>(record, 1, LISTED);
  store<u8>(classHeadPtr(cls), slab);
}

function unlist(slab: i32, record: i32, cls: i32): void {
  const prev: i32 = load<u8>(record, PREV);
  const next: i32 = load<u8>(record, NEXT);
  if (prev < SLAB_COUNT) store<u8>(recordOf(prev), next, NEXT);
  else store<u8>(classHeadPtr(cls), next);
  if (next < SLAB_COUNT) store<u8>(recordOf(next), prev, PREV);
  store<u8>(record, 0, LISTED);
}
