/**
 * The slab maps: which of a segment's 64 slabs are free, and which are the first of
 * a span, one word each.
 *
 *   bit   63 ………………………… 2  1  0
 *         slab 63          …  slab 0      free map: 1 = free. head map: 1 = a span starts here
 *
 * `starts & (starts >> 1)` turns the starts of runs of k free slabs into those of k + 1.
 * The head of the span that covers a slab is the highest head bit at or below it, so no
 * slab need name its head.
 *
 * Owns the two words of each segment and knows nothing of what a span holds. Every
 * function takes the address of the segment's part of the book.
 *
 * B1  The trap is neither free nor a head. Every other slab is free or in exactly one
 *     span: from its head, as many slabs as its class says, without another head.
 */

import { FREE_MAP, HEAD_MAP, TRAP } from "./layout";

/** As many low bits as there are slabs: 1 to 63. */
// @ts-ignore: decorator
@inline
export function runMask(slabs: i32): u64 {
  return ((<u64>1) << slabs) - 1;
}

/** All slabs but the trap are free, and no span starts anywhere. */
export function clearMaps(at: usize): void {
  store<u64>(at, ~((<u64>1) << TRAP), FREE_MAP);
  store<u64>(at, 0, HEAD_MAP);
}

/** The lowest run of `slabs` free slabs becomes a span: its first slab, or -1 if there is no such run. */
export function takeRun(at: usize, slabs: i32): i32 {
  const map = load<u64>(at, FREE_MAP);
  let starts = map;
  for (let length = slabs; --length > 0; ) starts &= starts >> 1;
  if (starts == 0) return -1;
  const first = ctz(starts);
  store<u64>(at, map ^ (runMask(slabs) << first), FREE_MAP);
  store<u64>(at, load<u64>(at, HEAD_MAP) ^ ((<u64>1) << first), HEAD_MAP);
  return <i32>first;
}

/** The span of `slabs` slabs that starts at `first` is gone. */
export function returnRun(at: usize, first: i32, slabs: i32): void {
  const map = load<u64>(at, FREE_MAP);
  const run = runMask(slabs) << first;
  if (!ASC_NO_ASSERT) assert((map & run) == 0 && first != TRAP && isHead(at, first));
  store<u64>(at, map ^ run, FREE_MAP);
  store<u64>(at, load<u64>(at, HEAD_MAP) ^ ((<u64>1) << first), HEAD_MAP);
}

/** The head of the span that covers `slab`, if one does; -1 if no span starts at or below it. */
export function headOf(at: usize, slab: i32): i32 {
  return 63 - <i32>clz(load<u64>(at, HEAD_MAP) << (63 - slab) >> (63 - slab));
}

// @ts-ignore: decorator
@inline
export function isHead(at: usize, slab: i32): bool {
  return ((load<u64>(at, HEAD_MAP) >> slab) & 1) != 0;
}

// @ts-ignore: decorator
@inline
export function isFree(at: usize, slab: i32): bool {
  return ((load<u64>(at, FREE_MAP) >> slab) & 1) != 0;
}

// @ts-ignore: decorator
@inline
export function freeSlabCount(at: usize): i32 {
  return <i32>popcnt(load<u64>(at, FREE_MAP));
}
