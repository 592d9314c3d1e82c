/**
 * Filling with zeros, and finding what is not. Knows addresses, nothing else.
 */

// @ts-ignore: decorator
@inline
export function wipe(ptr: i32, byteLength: i32): void {
  memory.fill(ptr, 0, byteLength);
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
