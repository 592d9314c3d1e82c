/**
 * Filling with zeros, and finding what is not. Knows addresses, nothing else.
 */

/** Up to this many bytes a loop of stores is done before `memory.fill` has been called. */
const INLINE_BYTES: i32 = 256;

// @ts-ignore: decorator
@inline
export function wipe(ptr: i32, byteLength: i32): void {
  if (byteLength <= INLINE_BYTES && (byteLength & 15) == 0) {
    for (const end = ptr + byteLength; ptr < end; ptr += 16) v128.store(ptr, i64x2.splat(0));
  } else {
    memory.fill(ptr, 0, byteLength);
  }
}

/** Offset of the first byte in [ptr, ptr + byteLength) that is not zero, or -1. */
export function firstDirty(ptr: i32, byteLength: i32): i32 {
  let at = 0;
  for (const last = byteLength - 64; at <= last; at += 64) {
    const here = ptr + at;
    const any = v128.or(
      v128.or(v128.load(here), v128.load(here, 16)),
      v128.or(v128.load(here, 32), v128.load(here, 48)),
    );
    if (v128.any_true(any)) break;
  }
  for (; at < byteLength; at++) {
    if (load<u8>(ptr + at) != 0) return at;
  }
  return -1;
}
