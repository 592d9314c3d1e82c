/**
 * What the exports answer. A caller's mistake is one of these in every build;
 * the module's own invariants are asserts in the debug build and `audit` codes.
 *
 * Pointers and segment numbers are never negative and a block's pointer is never
 * 0, so they share a result with these codes.
 */

export const OK: i32 = 0;
/** From `openRun` and `takeBlocks`: no block, and no run of free slabs to carve one from. */
export const NO_ROOM: i32 = 0;

/** The pointer lies in the trap, outside the slabs, or not on a multiple of 16. From `spanAt`: no span starts there. */
export const BAD_ADDRESS: i32 = -1;
/** No live block starts at the pointer: a double release, or no block at all. */
export const NOT_LIVE: i32 = -2;
/** No segment in use has this number. */
export const BAD_SEGMENT: i32 = -3;
/** An earlier call was cut off half way. Nothing that this book says can be relied on. */
export const BUSY: i32 = -4;
/** The size class is out of range. */
export const BAD_CLASS: i32 = -5;
/** `init` a second time or with arguments out of range; `addSegment` before `init` or with a base out of range. */
export const BAD_LAYOUT: i32 = -6;
/** The book needs to grow for another segment, and the engine refuses. */
export const NO_BOOK_MEMORY: i32 = -7;
/** The number of blocks is negative or more than the exchange holds. */
export const BAD_COUNT: i32 = -8;
/** An export for runs in a book of single blocks, or the other way round. */
export const WRONG_MODE: i32 = -9;
