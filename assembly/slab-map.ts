/**
 * The slab map: which of the segment's 64 slabs are free, in one word.
 *
 *   bit   63 ………………………… 2  1  0
 *         slab 63          …  slab 0      1 = free, 0 = part of a span
 *
 * A run of k free slabs starts wherever k shifted copies of the map agree;
 * doubling the shift finds that in log2(k) steps. Owns the word, knows nothing
 * of what a slab holds. The word is a global, out of reach of any view.
 */

let map: u64 = ~0;

// @ts-ignore: decorator
@inline
function runMask(slabs: i32): u64 {
  return slabs == 64 ? ~0 : ((<u64>1 << slabs) - 1);
}

/** First slab of the lowest run of `slabs` free slabs, now taken; -1 if there is none. */
export function takeRun(slabs: i32): i32 {
  let starts = map;
  let length = 1;
  while (length < slabs) {
    const shift = min(length, slabs - length);
    starts &= starts >> shift;
    length += shift;
  }
  if (starts == 0) return -1;
  const first = <i32>ctz(starts);
  map &= ~(runMask(slabs) << first);
  return first;
}

export function returnRun(first: i32, slabs: i32): void {
  const run = runMask(slabs) << first;
  assert((map & run) == 0);
  map |= run;
}

export function returnAll(): void {
  map = ~0;
}

// @ts-ignore: decorator
@inline
export function isFree(slab: i32): bool {
  return ((map >> slab) & 1) != 0;
}

// @ts-ignore: decorator
@inline
export function freeSlabCount(): i32 {
  return <i32>popcnt(map);
}
