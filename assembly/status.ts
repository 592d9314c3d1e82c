/**
 * What the exports answer. A caller's mistake is one of these in every build;
 * the module's own invariants are asserts in the debug build and `audit` codes.
 *
 * `acquire` answers an address, which is always above zero, so zero and the
 * negative codes can share its result.
 */

export const OK: i32 = 0;
/** From `acquire`: no block of this class, and no run of slabs to carve one from. */
export const NO_ROOM: i32 = 0;
/** From `release`: done, and slabs went back to the map. */
export const SLABS_RETURNED: i32 = 1;
/** From `release`: done, and a span that was full has room again. */
export const ROOM_AGAIN: i32 = 2;

/** The address lies outside the slabs, or not on a multiple of 16. */
export const BAD_ADDRESS: i32 = -1;
/** No live block starts at the address: a double release, or no block at all. */
export const NOT_LIVE: i32 = -2;
/** The bookkeeping contradicts itself: something wrote over it. */
export const CORRUPT: i32 = -3;
/** `reset` while blocks are live. */
export const BUSY: i32 = -4;
/** The size class is out of range. */
export const BAD_CLASS: i32 = -5;
/** `init` with a slab length out of range, or a memory too short for it. */
export const BAD_LAYOUT: i32 = -6;
