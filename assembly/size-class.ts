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
 * the span unused behind its last block.
 */
export function spanSlabsOf(cls: i32, slabShift: i32): i32 {
  const block = blockBytes(cls, slabShift);
  for (let slabs = 1; slabs < 8; slabs++) {
    const span = slabs << slabShift;
    if (span >= block && ((span % block) << 3) <= span) return slabs;
  }
  return block >> slabShift;
}
