/**
 * What the module exports: one instance serves one segment. Addresses are bytes
 * from the start of the memory, lengths are bytes, classes and answers are those
 * of size-class.ts and status.ts.
 *
 * Imports point one way: index → audit → segment → slab → {slab-map, size-class, wipe} → layout.
 */

import { liveBlocksIn } from "./audit";
import { CLASS, KIND, KIND_HEAD, SLAB_COUNT } from "./layout";
import { live } from "./segment";
import { recordOf } from "./slab";
import { freeSlabCount } from "./slab-map";
import { wipe as wipeBytes } from "./wipe";

export { audit, findDirty } from "./audit";
export { acquire, init, release, releaseAndReset, reset } from "./segment";
export { firstDirty } from "./wipe";

export function wipe(ptr: i32, byteLength: i32): void {
  wipeBytes(ptr, byteLength);
}

export function liveBlocks(): i32 {
  return live;
}

export function freeSlabs(): i32 {
  return freeSlabCount();
}

/** The span that starts at `slab`, as `class << 16 | live blocks`; -1 if none does. */
export function spanAt(slab: i32): i32 {
  if (<u32>slab >= <u32>SLAB_COUNT) return -1;
  const record = recordOf(slab);
  if (<i32>load<u8>(record, KIND) != KIND_HEAD) return -1;
  return (<i32>load<u8>(record, CLASS) << 16) | liveBlocksIn(slab, record);
}
