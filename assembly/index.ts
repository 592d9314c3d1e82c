/**
 * What the module exports: one instance serves one segment. Addresses are bytes
 * from the start of the memory, lengths are bytes, classes and answers are those
 * of size-class.ts and status.ts.
 *
 * Imports point one way: index → audit → segment → slab → {slab-map, size-class} → layout.
 */

import { audit as auditSegment, findDirty as findDirtyByte } from "./audit";
import { CLASS, KIND, KIND_HEAD, LIVE, SLAB_COUNT, headerBytes as headerBytesOf } from "./layout";
import { live, resting } from "./segment";
import { blockBytesOf, classCount as classCountOf, spanSlabsOf } from "./size-class";
import { recordOf, slabShift } from "./slab";
import { freeSlabCount } from "./slab-map";
import { firstDirty as firstDirtyIn, wipe as wipeBytes } from "./wipe";

export { init, acquire, acquireZeroed, release, rest, restAndReset, reset } from "./segment";

export function audit(): i32 {
  return auditSegment();
}

export function findDirty(): i32 {
  return findDirtyByte();
}

export function wipe(ptr: i32, byteLength: i32): void {
  wipeBytes(ptr, byteLength);
}

export function firstDirty(ptr: i32, byteLength: i32): i32 {
  return firstDirtyIn(ptr, byteLength);
}

export function liveBlocks(): i32 {
  return live;
}

export function restingBlocks(): i32 {
  return resting;
}

export function freeSlabs(): i32 {
  return freeSlabCount();
}

/** The span that starts at `slab`, as `class << 16 | live blocks`; -1 if none does. */
export function spanAt(slab: i32): i32 {
  if (<u32>slab >= <u32>SLAB_COUNT) return -1;
  const record = recordOf(slab);
  if (<i32>load<u8>(record, KIND) != KIND_HEAD) return -1;
  return (<i32>load<u8>(record, CLASS) << 16) | <i32>load<u16>(record, LIVE);
}

export function headerBytes(shift: i32): i32 {
  return headerBytesOf(shift);
}

export function classCount(): i32 {
  return classCountOf(slabShift);
}

export function blockBytes(cls: i32): i32 {
  return blockBytesOf(cls, slabShift);
}

export function spanSlabs(cls: i32): i32 {
  return spanSlabsOf(cls, slabShift);
}
