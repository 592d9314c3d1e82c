/**
 * Where everything lies in a segment, and nothing else: no state, no rules.
 *
 * Every address is relative to a segment base, so that several segments could
 * lie in one memory. All bookkeeping stands before slab 0; a block's own bytes
 * are the user's or zero, never ours.
 *
 *   base                                                    base + 64 KiB · n
 *    │                                                              │
 *    ├─ 128 B ─┬─ 64 × 32 B ─┬─ … ─┬─ 2 B per 64 B of slabs ─┬─ … ──┼─ slab 0 ─┬─ … ─┬─ slab 63 ─┤
 *    │  class  │    slab     │ pad │          links          │ pad  │          │     │           │
 *    │  heads  │   records   │     │                         │      │   64 slabs of 1 << slabShift bytes
 *    0        128          2176   4096             4096 + (2 << slabShift)
 *
 * A span is a run of slabs carved into equal blocks. Its state stands in the
 * record of its first slab:
 *
 *   byte  0      1     2      3      4     5     6       8       10    12     14     16     18        20
 *        ┌──────┬─────┬──────┬──────┬─────┬─────┬───────┬───────┬─────┬──────┬──────┬──────┬─────────┬────────────┐
 *        │ kind │ cls │ head │ span │prev │next │ listed│carved │live │ free │ free │ cap- │ resting │ reciprocal │
 *        │      │     │ slab │ Slabs│     │     │       │       │     │ Head │Count │ acity│         │ of block/16│
 *        └──────┴─────┴──────┴──────┴─────┴─────┴───────┴───────┴─────┴──────┴──────┴──────┴─────────┴────────────┘
 *          u8     u8    u8     u8    u8    u8    u8 +pad  u16     u16   u16    u16    u16    u16        u32   (32 B in all)
 *
 * A link is one u16 per block: the index of the next free block while it is
 * free, otherwise one of the marks below. src/abi.ts mirrors the numbers that
 * cross the boundary; test/unit/abi.test.ts holds the two together.
 */

export const SLAB_COUNT: i32 = 64;
export const MIN_SLAB_SHIFT: i32 = 12;
export const MAX_SLAB_SHIFT: i32 = 18;

/** The shortest block, and so the grain of the links. */
export const MIN_BLOCK_SHIFT: i32 = 6;

export const CLASS_HEADS: i32 = 0;
export const MAX_CLASS_COUNT: i32 = 128;
export const RECORDS: i32 = 128;
export const RECORD_SHIFT: i32 = 5;
export const LINKS: i32 = 4096;
export const PAGE_BYTES: i32 = 65536;

/** No slab, in a class head or a list link. */
export const NO_SLAB: i32 = 0xff;

// Fields of a slab record, as byte offsets.
export const KIND: usize = 0;
export const CLASS: usize = 1;
export const HEAD_SLAB: usize = 2;
export const SPAN_SLABS: usize = 3;
export const PREV: usize = 4;
export const NEXT: usize = 5;
export const LISTED: usize = 6;
export const CARVED: usize = 8;
export const LIVE: usize = 10;
export const FREE_HEAD: usize = 12;
export const FREE_COUNT: usize = 14;
export const CAPACITY: usize = 16;
export const RESTING: usize = 18;
export const RECIPROCAL: usize = 20;

// Kinds of slab. A fresh memory is all zeros, so zero is a free slab.
export const KIND_FREE: i32 = 0;
export const KIND_HEAD: i32 = 1;
export const KIND_TAIL: i32 = 2;

// Marks in a link. Block indices stay below 4096, so they cannot be mistaken.
export const LINK_END: i32 = 0xfffd;
export const LINK_RESTING: i32 = 0xfffe;
export const LINK_LIVE: i32 = 0xffff;

/** Bytes of bookkeeping before slab 0, in whole pages so that slab 0 is page-aligned. */
export function headerBytes(slabShift: i32): i32 {
  const used = LINKS + (2 << slabShift);
  return (used + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
}
