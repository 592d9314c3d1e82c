/**
 * Size classes: four to each doubling, so that a block is never more than
 * 25 % longer than what was asked, above 64 bytes.
 *
 *   class   0    1    2    3    4     5    6    7    8     9 …
 *   bytes  64   80   96  112  128   160  192  224  256   320 …   four slabs,
 *
 * and from there on one class for each further slab, up to all 64. The spacing
 * is jemalloc's. Pure arithmetic: knows slab lengths, but no addresses.
 */

import { MIN_BLOCK_SHIFT, SLAB_COUNT } from "./layout";

/** The class of four slabs: the last one spaced by doublings. */
// @ts-ignore: decorator
@inline
export function lastGeometricClass(slabShift: i32): i32 {
  return (slabShift + 2 - MIN_BLOCK_SHIFT) << 2;
}

export function classCount(slabShift: i32): i32 {
  return lastGeometricClass(slabShift) + SLAB_COUNT - 4 + 1;
}

/** Length in bytes of a block of class `cls`. */
export function blockBytes(cls: i32, slabShift: i32): i32 {
  return blockBytesOf(cls, slabShift);
}

/** The same, inlined: for the paths of acquire and release. */
// @ts-ignore: decorator
@inline
export function blockBytesOf(cls: i32, slabShift: i32): i32 {
  const last = lastGeometricClass(slabShift);
  if (cls > last) return (cls - last + 4) << slabShift;
  const step = cls + 3;
  return (5 + (step & 3)) << (3 + (step >> 2));
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
 *         16                 1  2  1  1      and 1 for all from there on
 */
export function spanSlabsOf(cls: i32, slabShift: i32): i32 {
  const last = lastGeometricClass(slabShift);
  if (cls > last) return cls - last + 4;
  const step = cls + 3;
  const distance = slabShift - 3 - (step >> 2);
  if (distance > 4) return 1;
  const nibble = ((distance - 1) << 2) | (step & 3);
  return <i32>(SPAN_SLABS_BY_NIBBLE >> (<u64>nibble << 2)) & 15;
}

/** The table above, from its first row's first number on, four bits each. */
const SPAN_SLABS_BY_NIBBLE: u64 = 0x1121_1132_2234_4435;

/** Which block of its span starts `within` bytes from the span's start; exact if one does. */
export function blockIndexOf(cls: i32, within: i32, slabShift: i32): i32 {
  if (cls > lastGeometricClass(slabShift)) return 0;
  const step = cls + 3;
  const units = <u64>(<u32>within >>> (3 + (step >> 2)));
  // 2^32 / m, rounded up: right for every whole multiple of m that fits in a segment.
  const m = step & 3;
  const reciprocal: u64 = m == 0 ? 0x33333334 : m == 1 ? 0x2aaaaaab : m == 2 ? 0x24924925 : 0x20000000;
  return <i32>((units * reciprocal) >> 32);
}
