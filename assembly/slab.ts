/**
 * Spans: runs of slabs of one size class, each with its own free list and
 * counts, and the lists of spans with room, one list per class.
 *
 * Owns the class heads, the slab records and the links. Knows no leases and no
 * segment state but where slab 0 is.
 *
 * I1  A slab is on the map exactly if its record says free; the slabs of a span
 *     are its head and, behind it, tails that name that head.
 * I2  In every span: live + resting + free + never carved = capacity, and taken =
 *     live + resting. Each carved block's link says which of these it is, and the
 *     free list runs once through all the free ones. Nothing else has a live link.
 * I3  A class's list holds exactly the spans of that class that have room: a
 *     free block, or one never carved.
 *
 * A view's `.buffer` reaches these bytes, so what is read from them is checked
 * before it is used as an address: damage makes `CORRUPT`, never a trap or a
 * block outside the slabs.
 */

import {
  BUMP, CLASS_HEADS, END, FREE_COUNT, FREE_HEAD, HEAD_SLAB, IDENTITY, KIND, KIND_FREE, KIND_HEAD, KIND_TAIL,
  LINKS, LINK_END, LINK_LIVE, LINK_RESTING, LISTED, MAX_CLASS_COUNT, NEXT, NO_SLAB, PREV, RECORDS,
  RECORD_SHIFT, SLAB_COUNT, SPAN_SLABS, TAKEN, classInLink, headerBytes, liveLink,
} from "./layout";
import { blockBytes, blockBytesOf, blockIndexOf, spanSlabsOf } from "./size-class";
import { returnAll, returnRun, takeRun } from "./slab-map";
import { BAD_ADDRESS, CORRUPT, NOT_LIVE, NO_ROOM, OK, ROOM_AGAIN, SLABS_RETURNED } from "./status";
import { wipe } from "./wipe";

export let slabShift: i32 = 0;
/** Length of the block that `restBlock` put to rest last. */
export let restedBytes: i32 = 0;
let base: i32 = 0;
let slabsPtr: i32 = 0;

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

/** Where the link of the block at `ptr` stands. */
// @ts-ignore: decorator
@inline
export function linkPtrOf(ptr: i32): i32 {
  return base + LINKS + (((ptr - slabsPtr) >>> 6) << 1);
}

// @ts-ignore: decorator
@inline
export function liveLinkOf(ptr: i32, cls: i32): i32 {
  return liveLink(cls, ptr - slabsPtr);
}

// @ts-ignore: decorator
@inline
export function classHeadPtr(cls: i32): i32 {
  return base + CLASS_HEADS + cls;
}

/** A block of class `cls`, now live: its address, `NO_ROOM`, or `CORRUPT`. */
// @ts-ignore: decorator
@inline
export function takeBlock(cls: i32): i32 {
  let slab: i32 = load<u8>(classHeadPtr(cls));
  if (slab >= SLAB_COUNT) {
    if (slab != NO_SLAB) return CORRUPT;
    slab = openSpan(cls);
    if (slab < 0) return NO_ROOM;
  }
  const record = recordOf(slab);
  if (<i32>load<u16>(record, IDENTITY) != (KIND_HEAD | (cls << 8))) return CORRUPT;
  const block = blockBytesOf(cls, slabShift);
  const freeHead: i32 = load<u16>(record, FREE_HEAD);
  const isCarved = freeHead != LINK_END;
  const ptr = isCarved ? slabPtrOf(slab) + freeHead * block : load<i32>(record, BUMP);
  if (!isInside(ptr, block)) return CORRUPT;

  const linkPtr = linkPtrOf(ptr);
  if (isCarved) {
    const next: i32 = load<u16>(linkPtr);
    if ((next & LINK_LIVE) != 0) return CORRUPT;
    store<u16>(record, next, FREE_HEAD);
    store<u16>(record, load<u16>(record, FREE_COUNT) - 1, FREE_COUNT);
    if (next == LINK_END && load<u32>(record, BUMP) + block > load<u32>(record, END)) unlist(slab, record, cls);
  } else {
    const bump = ptr + block;
    const end = load<i32>(record, END);
    if (<u32>bump > <u32>end) return CORRUPT;
    store<i32>(record, bump, BUMP);
    if (<u32>(bump + block) > <u32>end) unlist(slab, record, cls);
  }
  store<u16>(linkPtr, liveLinkOf(ptr, cls));
  store<u16>(record, load<u16>(record, TAKEN) + 1, TAKEN);
  return ptr;
}

/** Wipes the first `written` bytes of the live block at `ptr`, which stays out of use until everything is forgotten. */
// @ts-ignore: decorator
@inline
export function restBlock(ptr: i32, written: i32): i32 {
  if (!isInside(ptr, 0)) return BAD_ADDRESS;
  const linkPtr = linkPtrOf(ptr);
  const link: i32 = load<u16>(linkPtr);
  const cls = classInLink(link);
  if (link != liveLinkOf(ptr, cls)) return NOT_LIVE;
  const block = blockBytesOf(cls, slabShift);
  if (!isInside(ptr, block)) return CORRUPT;
  store<u16>(linkPtr, LINK_RESTING);
  wipe(ptr, <i32>min<u32>(written, block));
  restedBytes = block;
  return OK;
}

/** The block at `ptr`, just put to rest, is free instead. A span whose last block it was goes back to the map. */
export function freeRested(ptr: i32): i32 {
  let slab = (ptr - slabsPtr) >>> slabShift;
  if (<i32>load<u8>(recordOf(slab), KIND) == KIND_TAIL) slab = load<u8>(recordOf(slab), HEAD_SLAB) & (SLAB_COUNT - 1);
  const record = recordOf(slab);
  const identity: i32 = load<u16>(record, IDENTITY);
  const cls = identity >>> 8;
  const within = ptr - slabPtrOf(slab);
  const index = blockIndexOf(cls, within, slabShift);
  if ((identity & 0xff) != KIND_HEAD || index * blockBytes(cls, slabShift) != within) return CORRUPT;

  const taken = <i32>load<u16>(record, TAKEN) - 1;
  if (taken == 0) {
    closeSpan(slab, record, cls);
    return SLABS_RETURNED;
  }
  store<u16>(record, taken, TAKEN);
  store<u16>(linkPtrOf(ptr), load<u16>(record, FREE_HEAD));
  store<u16>(record, index, FREE_HEAD);
  store<u16>(record, load<u16>(record, FREE_COUNT) + 1, FREE_COUNT);
  if (load<u8>(record, LISTED) != 0) return OK;
  list(slab, record, cls);
  return ROOM_AGAIN;
}

/** Whether `blockBytes` bytes at `ptr` lie inside the slabs, on a multiple of 16. */
// @ts-ignore: decorator
@inline
function isInside(ptr: i32, blockBytes: i32): bool {
  const end = <u64><u32>(ptr - slabsPtr) + <u64><u32>max(blockBytes, 16);
  return end <= <u64>SLAB_COUNT << slabShift && (ptr & 15) == 0;
}

function openSpan(cls: i32): i32 {
  const slabs = spanSlabsOf(cls, slabShift);
  const first = takeRun(slabs);
  if (first < 0) return first;
  const record = recordOf(first);
  store<u16>(record, KIND_HEAD | (cls << 8), IDENTITY);
  store<u8>(record, first, HEAD_SLAB);
  store<u8>(record, slabs, SPAN_SLABS);
  store<i32>(record, slabPtrOf(first), BUMP);
  store<i32>(record, slabPtrOf(first + slabs), END);
  store<u16>(record, 0, TAKEN);
  store<u16>(record, LINK_END, FREE_HEAD);
  store<u16>(record, 0, FREE_COUNT);
  for (let tail = first + 1; tail < first + slabs; tail++) {
    store<u8>(recordOf(tail), KIND_TAIL, KIND);
    store<u8>(recordOf(tail), first, HEAD_SLAB);
  }
  list(first, record, cls);
  return first;
}

function closeSpan(slab: i32, record: i32, cls: i32): void {
  if (load<u8>(record, LISTED) != 0) unlist(slab, record, cls);
  // From the class, not the record: a damaged length must not free a neighbour's slabs.
  const slabs = spanSlabsOf(cls, slabShift);
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
