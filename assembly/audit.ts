/**
 * Walks every invariant of a segment. Reads only, and ends on any input: what
 * it reads may have been written over.
 *
 * Answers 0, or which invariant is broken and where, as `invariant << 8 | slab`.
 */

import {
  CAPACITY, CARVED, CLASS, FREE_COUNT, FREE_HEAD, HEAD_SLAB, KIND, KIND_FREE, KIND_HEAD, KIND_TAIL, LINK_END,
  LINK_LIVE, LINK_RESTING, LISTED, LIVE, NEXT, NO_SLAB, PREV, RESTING, SLAB_COUNT, SPAN_SLABS,
} from "./layout";
import { live, resting } from "./segment";
import { blockBytesOf, classCount, spanSlabsOf } from "./size-class";
import { classHeadPtr, linkPtrOf, recordOf, slabPtrOf, slabShift } from "./slab";
import { isFree } from "./slab-map";
import { firstDirty } from "./wipe";

export function audit(): i32 {
  let liveSum = 0;
  let restingSum = 0;
  let withRoom = 0;
  for (let slab = 0; slab < SLAB_COUNT; ) {
    const record = recordOf(slab);
    const kind: i32 = load<u8>(record, KIND);
    if (isFree(slab) != (kind == KIND_FREE)) return broken(1, slab);
    if (kind == KIND_FREE) {
      slab++;
      continue;
    }
    const slabs: i32 = load<u8>(record, SPAN_SLABS);
    if (kind != KIND_HEAD || !spanIsWhole(slab, record, slabs)) return broken(1, slab);
    if (!countsAgree(slab, record)) return broken(2, slab);
    liveSum += load<u16>(record, LIVE);
    restingSum += load<u16>(record, RESTING);
    const hasRoom = hasRoomIn(record);
    if (hasRoom != (load<u8>(record, LISTED) != 0)) return broken(3, slab);
    if (hasRoom) withRoom++;
    slab += slabs;
  }
  if (!listsHold(withRoom)) return broken(3, 0);
  if (liveSum != live || restingSum != resting) return broken(4, 0);
  return 0;
}

/** Address of the first byte that is not zero in any block or slab that is free, or 0. */
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
  const carved: i32 = load<u16>(record, CARVED);
  const capacity: i32 = load<u16>(record, CAPACITY);
  for (let index = 0; index < capacity; index++) {
    if (index < carved && <i32>load<u16>(linkPtrOf(slab, index)) >= LINK_RESTING) continue;
    const ptr = slabPtrOf(slab) + index * blockBytes;
    const at = firstDirty(ptr, blockBytes);
    if (at >= 0) return ptr + at;
  }
  return 0;
}

function spanIsWhole(slab: i32, record: i32, slabs: i32): bool {
  const cls: i32 = load<u8>(record, CLASS);
  if (cls >= classCount(slabShift) || slabs != spanSlabsOf(cls, slabShift)) return false;
  if (slab + slabs > SLAB_COUNT || <i32>load<u8>(record, HEAD_SLAB) != slab) return false;
  for (let tail = slab + 1; tail < slab + slabs; tail++) {
    const other = recordOf(tail);
    if (isFree(tail) || <i32>load<u8>(other, KIND) != KIND_TAIL) return false;
    if (<i32>load<u8>(other, HEAD_SLAB) != slab) return false;
  }
  const expected = (slabs << slabShift) / blockBytesOf(cls, slabShift);
  return <i32>load<u16>(record, CAPACITY) == expected;
}

function countsAgree(slab: i32, record: i32): bool {
  const carved: i32 = load<u16>(record, CARVED);
  const freeCount: i32 = load<u16>(record, FREE_COUNT);
  if (carved > <i32>load<u16>(record, CAPACITY)) return false;
  let liveLinks = 0;
  let restingLinks = 0;
  for (let index = 0; index < carved; index++) {
    const link: i32 = load<u16>(linkPtrOf(slab, index));
    if (link == LINK_LIVE) liveLinks++;
    else if (link == LINK_RESTING) restingLinks++;
  }
  if (liveLinks != <i32>load<u16>(record, LIVE) || restingLinks != <i32>load<u16>(record, RESTING)) return false;
  if (liveLinks + restingLinks + freeCount != carved) return false;
  // As many steps as there are free blocks and no more: a cycle cannot hold us.
  let index: i32 = load<u16>(record, FREE_HEAD);
  for (let steps = 0; steps < freeCount; steps++) {
    if (index >= carved) return false;
    index = load<u16>(linkPtrOf(slab, index));
  }
  return index == LINK_END;
}

function hasRoomIn(record: i32): bool {
  return load<u16>(record, CARVED) < load<u16>(record, CAPACITY) || load<u16>(record, FREE_COUNT) != 0;
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
