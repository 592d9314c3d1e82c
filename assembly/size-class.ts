/**
 * Size classes: four to each doubling, so that a block is never more than
 * 25 % longer than what was asked, above 64 bytes. Memory that threads share has its own: shared/layout.ts.
 *
 *   class   0    1    2    3    4     5    6    7    8     9 …
 *   bytes  64   80   96  112  128   160  192  224  256   320 …   four slabs,
 *
 * and from there on one class for each further slab, up to 63: slab 0 is the trap.
 * The spacing is jemalloc's. Owns the slab length, which `init` sets once, and knows
 * no addresses. The bindings read their tables from here.
 */

import { MIN_BLOCK_SHIFT, SLAB_COUNT } from "./layout";

/** log2 of a slab's bytes; 0 before `init`. */
export let slabShift: i32 = 0;
/** Classes there are; 0 before `init`. */
export let classCount: i32 = 0;
/** The class of four slabs: the last one spaced by doublings. */
let lastGeometric: i32 = 0;

export function setSlabShift(shift: i32): void {
  slabShift = shift;
  lastGeometric = (shift + 2 - MIN_BLOCK_SHIFT) << 2;
  classCount = lastGeometric + SLAB_COUNT - 4;
}

// @ts-ignore: decorator
@inline
export function isClass(cls: i32): bool {
  return <u32>cls < <u32>classCount;
}

/** Length in bytes of a block of class `cls`. */
export function blockBytesOf(cls: i32): i32 {
  if (cls > lastGeometric) return (cls - lastGeometric + 4) << slabShift;
  const step = cls + 3;
  return (5 + (step & 3)) << (3 + (step >> 2));
}

/** The smallest class whose blocks hold `byteLength` bytes; `classCount` if none does. */
export function sizeClassOf(byteLength: u32): i32 {
  if (byteLength <= 1 << MIN_BLOCK_SHIFT) return 0;
  const last = byteLength - 1;
  if (last >= <u32>4 << slabShift) return min(lastGeometric - 3 + <i32>(last >> slabShift), classCount);
  // Above m - 1 and up to m units of 1 << t bytes, m from 5 to 8.
  const t = 29 - <i32>clz(last);
  return ((t - 3) << 2) + <i32>(last >> t) - 7;
}

/**
 * Slabs in a span of class `cls`: the fewest that leave at most an eighth of
 * the span unused behind its last block. A block is m << t bytes with m from 5
 * to 8, so the answer depends on m and on how far a slab is from 1 << t alone:
 *
 *   slab / (1 << t)     m =  5  6  7  8
 *          2                 5  3  4  4
 *          4                 4  3  2  2
 *          8                 2  3  1  1
 *         16                 1  2  1  1      and 1 for all beyond
 */
export function spanSlabsOf(cls: i32): i32 {
  if (cls > lastGeometric) return cls - lastGeometric + 4;
  const step = cls + 3;
  const distance = slabShift - 3 - (step >> 2);
  if (distance > 4) return 1;
  const nibble = ((distance - 1) << 2) | (step & 3);
  return <i32>(SPAN_SLABS_BY_NIBBLE >> (<u64>nibble << 2)) & 15;
}

/** The table above, row by row, four bits each, lowest bits first. */
const SPAN_SLABS_BY_NIBBLE: u64 = 0x1121_1132_2234_4435;

/** Blocks that fit in a span of class `cls`. */
export function capacityOf(cls: i32): i32 {
  return <i32>(<u32>(spanSlabsOf(cls) << slabShift) / <u32>blockBytesOf(cls));
}
