/**
 * Walks every invariant of a segment. Reads only, and ends on any input: what
 * it reads may have been written over.
 *
 * Answers 0, or which invariant is broken and where, as `invariant << 8 | slab`.
 */

import {
  BUMP, CLASS, END, FREE_COUNT, FREE_HEAD, HEAD_SLAB, KIND, KIND_FREE, KIND_HEAD, KIND_TAIL, LINK_END, LINK_LIVE,
  LINK_RESTING, LISTED, NEXT, NO_SLAB, PREV, SLAB_COUNT, SPAN_SLABS, TAKEN,
} from "./layout";
import { live, resting } from "./segment";
import { blockBytes as blockBytesOf, classCount, spanSlabsOf } from "./size-class";
import { classHeadPtr, linkPtrOf, liveLinkOf, recordOf, slabPtrOf, slabShift } from "./slab";
import { isFree } from "./slab-map";
import { firstDirty } from "./wipe";

/** Filled by `spanHolds`. */
let restingSum: i32 = 0;

export function audit(): i32 {
  let liveSum = 0;
  let withRoom = 0;
  restingSum = 0;
  for (let slab = 0; slab < SLAB_COUNT; ) {
    const record = recordOf(slab);
    const kind: i32 = load<u8>(record, KIND);
    if (isFree(slab) != (kind == KIND_FREE)) return broken(1, slab);
    if (kind == KIND_FREE) {
      slab++;
      continue;
    }
    if (kind != KIND_HEAD || !spanIsWhole(slab, record)) return broken(1, slab);
    if (!blocksAgree(slab, record)) return broken(2, slab);
    liveSum += liveBlocksIn(slab, record);
    const hasRoom = hasRoomIn(record);
    if (hasRoom != (load<u8>(record, LISTED) != 0)) return broken(3, slab);
    if (hasRoom) withRoom++;
    slab += load<u8>(record, SPAN_SLABS);
  }
  if (!listsHold(withRoom)) return broken(3, 0);
  if (liveSum != live || restingSum != resting) return broken(4, 0);
  return 0;
}

function linkAt(ptr: i32): i32 {
  return load<u16>(linkPtrOf(ptr));
}

/** Live blocks of the span headed by `slab`. */
export function liveBlocksIn(slab: i32, record: i32): i32 {
  const cls: i32 = load<u8>(record, CLASS);
  if (cls >= classCount(slabShift)) return 0;
  const blockBytes = blockBytesOf(cls, slabShift);
  const bump = carvedEnd(slab, record);
  let count = 0;
  for (let ptr = slabPtrOf(slab); ptr < bump; ptr += blockBytes) {
    if (linkAt(ptr) == liveLinkOf(ptr, cls)) count++;
  }
  return count;
}

/** Address of the first byte that is not zero in any block or slab that is free, or 0. Only after a clean `audit`. */
export function findDirty(): i32 {
  for (let slab = 0; slab < SLAB_COUNT; slab++) {
    const record = recordOf(slab);
    if (load<u8>(record, KIND) == KIND_FREE) {
      const at = firstDirty(slabPtrOf(slab), 1 << slabShift);
      if (at >= 0) return slabPtrOf(slab) + at;
    } else if (load<u8>(record, KIND) == KIND_HEAD) {
      const dirty = findDirtyIn(slab, record);
      if (dirty != 0) return dirty;
    }
  }
  return 0;
}

function findDirtyIn(slab: i32, record: i32): i32 {
  const blockBytes = blockBytesOf(load<u8>(record, CLASS), slabShift);
  const bump = carvedEnd(slab, record);
  const lastBlock = load<i32>(record, END) - blockBytes;
  for (let ptr = slabPtrOf(slab); ptr <= lastBlock; ptr += blockBytes) {
    const link: i32 = linkAt(ptr);
    if (ptr < bump && ((link & LINK_LIVE) != 0 || link == LINK_RESTING)) continue;
    const at = firstDirty(ptr, blockBytes);
    if (at >= 0) return ptr + at;
  }
  return 0;
}

/** Where carving has come to; never outside the slabs, whatever the record says. */
function carvedEnd(slab: i32, record: i32): i32 {
  return min(max(load<i32>(record, BUMP), slabPtrOf(slab)), slabPtrOf(SLAB_COUNT));
}

function spanIsWhole(slab: i32, record: i32): bool {
  const cls: i32 = load<u8>(record, CLASS);
  const slabs: i32 = load<u8>(record, SPAN_SLABS);
  if (cls >= classCount(slabShift) || slabs != spanSlabsOf(cls, slabShift)) return false;
  if (slab + slabs > SLAB_COUNT || <i32>load<u8>(record, HEAD_SLAB) != slab) return false;
  for (let tail = slab + 1; tail < slab + slabs; tail++) {
    const other = recordOf(tail);
    if (isFree(tail) || <i32>load<u8>(other, KIND) != KIND_TAIL) return false;
    if (<i32>load<u8>(other, HEAD_SLAB) != slab) return false;
  }
  if (load<i32>(record, END) != slabPtrOf(slab + slabs)) return false;
  const carvedBytes = load<i32>(record, BUMP) - slabPtrOf(slab);
  return carvedBytes >= 0 && carvedBytes <= slabs << slabShift && carvedBytes % blockBytesOf(cls, slabShift) == 0;
}

function blocksAgree(slab: i32, record: i32): bool {
  const cls: i32 = load<u8>(record, CLASS);
  const blockBytes = blockBytesOf(cls, slabShift);
  const bump = load<i32>(record, BUMP);
  const lastBlock = load<i32>(record, END) - blockBytes;
  let carved = 0;
  let taken = 0;
  for (let ptr = slabPtrOf(slab); ptr <= lastBlock; ptr += blockBytes) {
    const link: i32 = linkAt(ptr);
    const isLive = (link & LINK_LIVE) != 0;
    if (isLive && (ptr >= bump || link != liveLinkOf(ptr, cls))) return false;
    if (ptr >= bump) continue;
    carved++;
    if (isLive) taken++;
    if (link == LINK_RESTING) {
      taken++;
      restingSum++;
    }
  }
  const freeCount: i32 = load<u16>(record, FREE_COUNT);
  if (taken != <i32>load<u16>(record, TAKEN) || taken + freeCount != carved) return false;
  // As many steps as there are free blocks and no more: a cycle cannot hold us.
  let index: i32 = load<u16>(record, FREE_HEAD);
  for (let steps = 0; steps < freeCount; steps++) {
    if (index >= carved) return false;
    index = linkAt(slabPtrOf(slab) + index * blockBytes);
  }
  return index == LINK_END;
}

function hasRoomIn(record: i32): bool {
  const blockBytes = blockBytesOf(load<u8>(record, CLASS), slabShift);
  return load<i32>(record, BUMP) + blockBytes <= load<i32>(record, END) || load<u16>(record, FREE_COUNT) != 0;
}

/** Every class's list holds listed spans of that class only, and all of them are reached. */
function listsHold(withRoom: i32): bool {
  let reached = 0;
  for (let cls = 0; cls < classCount(slabShift); cls++) {
    let prev = NO_SLAB;
    let slab: i32 = load<u8>(classHeadPtr(cls));
    while (slab != NO_SLAB) {
      if (slab >= SLAB_COUNT || ++reached > withRoom) return false;
      const record = recordOf(slab);
      if (load<u8>(record, LISTED) == 0 || <i32>load<u8>(record, CLASS) != cls) return false;
      if (<i32>load<u8>(record, PREV) != prev) return false;
      prev = slab;
      slab = load<u8>(record, NEXT);
    }
  }
  return reached == withRoom;
}

function broken(invariant: i32, slab: i32): i32 {
  return (invariant << 8) | slab;
}
