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
 * A span is a run of slabs carved into equal blocks, front to back. Its state
 * stands in the record of its first slab:
 *
 *   byte  0      1     2      3       4      5      6       8        12      16      18     20      22
 *        ┌──────┬─────┬──────┬───────┬──────┬──────┬───────┬────────┬───────┬───────┬──────┬───────┬────────┐
 *        │ kind │ cls │ head │ span  │ prev │ next │ listed│ bump   │ end   │ taken │ free │ free  │        │
 *        │      │     │ slab │ slabs │      │      │       │ ptr    │ ptr   │       │ head │ count │        │
 *        └──────┴─────┴──────┴───────┴──────┴──────┴───────┴────────┴───────┴───────┴──────┴───────┴────────┘
 *          u8     u8    u8      u8      u8     u8   u8 +pad  u32      u32     u16    u16     u16     to 32 B
 *        └─ identity ┘
 *
 * A link is one u16 for each 64 bytes of slabs. No block is shorter, so each has
 * one to itself: the one of the 64 bytes that it starts in. It says what the
 * block is, and for a live one also where in the 64 bytes it starts, so that one
 * load tells a live block's address from every other:
 *
 *   bit  15      9 8    7 6         0
 *        ┌─┬───────┬──────┬───────────┐
 *        │1│   0   │ sub  │   class   │   live: starts at byte sub · 16 of the 64
 *        ├─┼───────┴──────┴───────────┤
 *        │0│ index of the next block  │   free; LINK_END if there is none
 *        ├─┼──────────────────────────┤
 *        │0│       0x7ffe             │   resting
 *        └─┴──────────────────────────┘
 *
 * src/abi.ts mirrors the numbers that cross the boundary; test/unit/abi.test.ts
 * holds the two together.
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

/** As a length to wipe: all of the block. */
export const WHOLE_BLOCK: i32 = -1;

/** No slab, in a class head or a list link. */
export const NO_SLAB: i32 = 0xff;

// Fields of a slab record, as byte offsets.
export const IDENTITY: usize = 0;
export const KIND: usize = 0;
export const CLASS: usize = 1;
export const HEAD_SLAB: usize = 2;
export const SPAN_SLABS: usize = 3;
export const PREV: usize = 4;
export const NEXT: usize = 5;
export const LISTED: usize = 6;
export const BUMP: usize = 8;
export const END: usize = 12;
export const TAKEN: usize = 16;
export const FREE_HEAD: usize = 18;
export const FREE_COUNT: usize = 20;

// Kinds of slab. A fresh memory is all zeros, so zero is a free slab.
export const KIND_FREE: i32 = 0;
export const KIND_HEAD: i32 = 1;
export const KIND_TAIL: i32 = 2;

// What a link says. Block indices stay below 4096, so they cannot be mistaken.
export const LINK_LIVE: i32 = 0x8000;
export const LINK_END: i32 = 0x7fff;
export const LINK_RESTING: i32 = 0x7ffe;

/** The link of a live block of class `cls` that starts `offset` bytes behind slab 0. */
// @ts-ignore: decorator
@inline
export function liveLink(cls: i32, offset: i32): i32 {
  return LINK_LIVE | ((offset << 3) & 0x180) | cls;
}

/** The class in a live block's link. */
// @ts-ignore: decorator
@inline
export function classInLink(link: i32): i32 {
  return link & 0x7f;
}

/** Bytes of bookkeeping before slab 0, in whole pages so that slab 0 is page-aligned. */
export function headerBytes(slabShift: i32): i32 {
  const used = LINKS + (2 << slabShift);
  return (used + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
}
