/**
 * Marks: what a lease is filled with, so that its bytes can be told from
 * everybody else's. A mark is four bytes, none of them 0 or 255, repeated to the
 * end; zero is the mark of nobody.
 */

/** What stale writes leave behind: no byte of any mark. */
export const STALE_BYTE = 0xff;

/** The mark of the lease with this serial number; different for 254⁴ of them. */
export function markOf(serial: number): number {
  let mark = 0;
  for (let rest = serial, shift = 0; shift < 32; shift += 8) {
    mark |= (1 + (rest % 254)) << shift;
    rest = Math.floor(rest / 254);
  }
  return mark >>> 0;
}

function byteOf(mark: number, at: number): number {
  return (mark >>> ((at & 3) << 3)) & 0xff;
}

/** Fills `bytes`, which start on a multiple of four. */
export function fillWith(mark: number, bytes: Uint8Array<ArrayBuffer>): void {
  const words = bytes.length < 32 ? 0 : bytes.length >>> 2;
  if (words > 0) new Uint32Array(bytes.buffer, bytes.byteOffset, words).fill(mark);
  for (let at = words << 2; at < bytes.length; at++) bytes[at] = byteOf(mark, at);
}

/** Offset of the first byte of `bytes` that is not as `mark` has it, or -1; as fast as a comparison of memory. */
export function firstOther(bytes: Uint8Array, mark: number): number {
  const { length } = bytes;
  if (length >= 32 && firstOther(bytes.subarray(0, 4), mark) < 0) {
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, length);
    // All words are alike if each is the one behind it.
    if (buffer.compare(buffer, 4, length, 0, length - 4) === 0) return -1;
  }
  for (let at = 0; at < length; at++) {
    if (bytes[at] !== byteOf(mark, at)) return at;
  }
  return -1;
}
