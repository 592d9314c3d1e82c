/**
 * Where everything lies in the book, and nothing else: no state, no rules.
 *
 * The book is a private memory. Views of segments cannot reach it, so what stands
 * here is not checked again before it is used.
 *
 *   bookPtr
 *     │
 *     ├─ 128 × 4 B ─┬─ 128 × 8 B ─┬─ 64 B ─┬─ 8 KiB ──┬─ segment 0 ─┬─ segment 1 ─┬─ … the book's end
 *     │ class heads │  exchange   │ busy   │ room map │             │             │
 *     0            512          1536     1600       9792       + segmentStride
 *
 * A class head is the span id of the first span in the class's list. A span id is
 * `segment << 6 | slab`. No span starts in slab 0, so 0 means none.
 *
 * The exchange holds pairs of u32: segment number, pointer.
 *
 * The room map has a bit for each segment: 0 if it has no free slab, 1 if it may have
 * one. Only single blocks need it: for a run, the bindings name the segment.
 *
 * What the book holds for one segment:
 *
 *   byte  0          8          16     20       24       32                96          1120
 *        ┌──────────┬──────────┬──────┬────────┬────────┬─────────────────┬╌╌╌╌╌╌╌╌╌╌╌┬╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌┐
 *        │ free map │ head map │ base │ live   │ in use │ class by slab   │ spans     ╎ links         ╎
 *        │          │          │      │ blocks │        │                 │           ╎               ╎
 *        └──────────┴──────────┴──────┴────────┴────────┴─────────────────┴╌╌╌╌╌╌╌╌╌╌╌┴╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌┘
 *          u64        u64        i32    i32      u8+pad   64 × u8           64 × 16 B   2 << slabShift
 *                                                                        └─── single blocks only ────┘
 *
 * A span is a run of slabs of one class. In a book of runs, its head bit and its class
 * say everything. In a book of single blocks, the record of its first slab adds:
 *
 *   byte  0         4         8           10     12         14       16
 *        ┌─────────┬─────────┬───────────┬──────┬──────────┬────────┐
 *        │ prev    │ next    │ free head │ live │ capacity │        │
 *        └─────────┴─────────┴───────────┴──────┴──────────┴────────┘
 *          u32       u32       u16         u16    u16
 *          span ids            block index └ blocks ───────┘
 *
 * A link is one u16 for each 64 bytes of slabs. No block is shorter, so each has one
 * to itself: that of the 64 bytes in which it starts. A live block's link also says
 * where in the 64 bytes it starts, so one comparison tells a live block's address
 * from every other:
 *
 *   bit  15  14  13    9 8    7 6         0
 *        ┌──┬──┬───────┬──────┬───────────┐
 *        │1 │0 │   0   │ sub  │   class   │   live: starts at byte sub · 16 of the 64
 *        ├──┼──┼───────┼──────┼───────────┤
 *        │0 │1 │   0   │ sub  │   class   │   given back in the current call of giveBlocks
 *        ├──┼──┴───────┴──────┴───────────┤
 *        │0 │0 │0 │         step         │   free: the next free block's index, less one, less this block's
 *        └──┴──┴──┴──────────────────────┘
 *
 * Indices are modulo 8192, and the index behind the last block ends a free list. So
 * zeros are a list of all blocks in order: a new span in zeroed links needs no loop,
 * and blocks never carved are simply the list's tail.
 *
 * src/memory/abi.ts mirrors the numbers that cross the boundary; the unit tests hold
 * the two together.
 */

export const SLAB_COUNT: i32 = 64;
/** Slab 0, never handed out. */
export const TRAP: i32 = 0;
export const MIN_SLAB_SHIFT: i32 = 12;
export const MAX_SLAB_SHIFT: i32 = 18;
/** The shortest block, and so the grain of the links. */
export const MIN_BLOCK_SHIFT: i32 = 6;
/** A base lies above minus this many bytes, so that slab 1 starts above address 0. */
export const BASE_RANGE: i32 = 4096;
export const PAGE_SHIFT: i32 = 16;

export const MAX_CLASS_COUNT: i32 = 128;
/** Blocks that cross the boundary in one call. */
export const EXCHANGE_CAPACITY: i32 = 128;
/** As many as an audit code has room to name. */
export const MAX_SEGMENTS: i32 = 65536;

// Parts of the book, as byte offsets from `bookPtr`.
export const CLASS_HEADS: usize = 0;
export const EXCHANGE: usize = 512;
export const BUSY_WORD: usize = 1536;
export const ROOM_MAP: usize = 1600;
export const SEGMENTS: usize = 9792;

// Fields of a segment, as byte offsets.
export const FREE_MAP: usize = 0;
export const HEAD_MAP: usize = 8;
export const BASE: usize = 16;
export const LIVE_BLOCKS: usize = 20;
export const IN_USE: usize = 24;
export const CLASSES: usize = 32;
export const SPANS: usize = 96;
export const LINKS: usize = 1120;

// Fields of a span record, as byte offsets.
export const SPAN_SHIFT: i32 = 4;
export const PREV: usize = 0;
export const NEXT: usize = 4;
export const FREE_HEAD: usize = 8;
export const LIVE: usize = 10;
export const CAPACITY: usize = 12;

/** No span, in a class head or a span record. */
export const NO_SPAN: u32 = 0;

export const LINK_LIVE: u32 = 0x8000;
export const LINK_GIVEN: u32 = 0x4000;
/** A span has at most 4096 blocks, so an index and the one that ends a list fit. */
export const INDEX_MASK: i32 = 0x1fff;

/** Start of the book: behind the debug build's static data, of which the release build has none. */
// @ts-ignore: decorator
@inline
export function bookPtr(): usize {
  return (__heap_base + 63) & ~63;
}

/** Bytes of the book for one segment. */
export function segmentStrideOf(slabShift: i32, hasBlocks: bool): i32 {
  return hasBlocks ? <i32>LINKS + (2 << slabShift) : <i32>SPANS;
}

/** The link of a live block of class `cls` that starts `offset` bytes behind slab 0. */
// @ts-ignore: decorator
@inline
export function liveLink(cls: i32, offset: i32): u32 {
  return LINK_LIVE | ((offset << 3) & 0x180) | cls;
}

/** The link of the free block `index` before the free block `next`. */
// @ts-ignore: decorator
@inline
export function freeLink(index: i32, next: i32): i32 {
  return (next - index - 1) & INDEX_MASK;
}

/** Index of the free block behind the free block `index`. */
// @ts-ignore: decorator
@inline
export function nextFree(index: i32, link: i32): i32 {
  return (index + 1 + link) & INDEX_MASK;
}

/** The class in a live block's link. */
// @ts-ignore: decorator
@inline
export function classInLink(link: u32): i32 {
  return <i32>(link & 0x7f);
}

/** Bytes from the 64 that a live block's link stands for to the block's start. */
// @ts-ignore: decorator
@inline
export function subInLink(link: u32): i32 {
  return <i32>((link >> 3) & 0x30);
}
