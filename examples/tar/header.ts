/**
 * One tar header: a block of 512 bytes. Owns the checksum and the syntax of numbers;
 * what the fields mean is entry.ts's, what follows the header is parser.ts's.
 *
 * ```
 *   0 name      100 mode   108 uid    116 gid    124 size   136 mtime
 * 148 checksum  156 type   157 link   257 magic  263 version
 * 265 uname     297 gname  329 major  337 minor  345 prefix (ustar only)  500
 * ```
 */

import { ParseError } from "../parsing/errors.ts";

export const BLOCK_BYTES = 512;
const CHECKSUM = 148;
const CHECKSUM_BYTES = 8;
const SPACE = 32;

export interface Header {
  /** Where the header stands in the archive. */
  readonly offset: number;
  readonly block: Uint8Array;
  readonly format: "v7" | "ustar" | "gnu";
  readonly type: string;
  /** Bytes of what follows, where the type has something follow. */
  readonly byteLength: number;
}

export function isZeroBlock(block: Uint8Array): boolean {
  return block.every((byte) => byte === 0);
}

/** @throws ParseError `ERR_MALFORMED` for a wrong checksum or a size that is none: what follows is unknown then. */
export function readHeader(chunk: Uint8Array, offset: number): Header {
  const block = new Uint8Array(chunk);
  const sums = sumsOf(block);
  if (!sums.includes(readNumber(block, CHECKSUM, CHECKSUM_BYTES))) {
    const field = quote(block, CHECKSUM, CHECKSUM_BYTES);
    const what = `the checksum ${field}, but its bytes add up to ${sums[0].toString(8)} in octal`;
    throw new ParseError("ERR_MALFORMED", `the header at byte ${offset} has ${what}`);
  }
  const byteLength = readNumber(block, 124, 12);
  if (!(byteLength >= 0)) {
    const what = `the size ${quote(block, 124, 12)}, which is no size`;
    throw new ParseError("ERR_MALFORMED", `the header at byte ${offset} has ${what}`);
  }
  const magic = latin1(block, 257, 6);
  const format = magic === "ustar\0" ? "ustar" : magic === "ustar " ? "gnu" : "v7";
  return { offset, block, format, type: latin1(block, 156, 1), byteLength };
}

/** The sum of the block with its own checksum as spaces. Some old programs summed signed bytes. */
function sumsOf(block: Uint8Array): [unsigned: number, signed: number] {
  const counted = new Uint8Array(block).fill(SPACE, CHECKSUM, CHECKSUM + CHECKSUM_BYTES);
  const add = (sum: number, byte: number): number => sum + byte;
  return [counted.reduce(add, 0), new Int8Array(counted.buffer).reduce(add, 0)];
}

/**
 * Octal digits up to a space or NUL; what stands behind that is not looked at.
 * One NUL and then white space may stand before the digits, and no digits are 0.
 * Or, with the first bit set, base 256: a big-endian two's complement, GNU's way
 * past eight gigabytes and before 1970.
 *
 * @returns `NaN` for what is no number, or one past `Number.MAX_SAFE_INTEGER`.
 */
export function readNumber(block: Uint8Array, start: number, byteLength: number): number {
  if (((block[start] as number) & 0x80) !== 0) return readBase256(block, start, byteLength);
  const [digits] = /^\0?[\t-\r ]*([^\t-\r \0]*)/.exec(latin1(block, start, byteLength))?.slice(1) ?? [];
  return /^[0-7]*$/.test(digits ?? "") ? Number.parseInt(`0${digits}`, 8) : Number.NaN;
}

function readBase256(block: Uint8Array, start: number, byteLength: number): number {
  const digits = Buffer.from(block.subarray(start, start + byteLength)).toString("hex");
  // The first bit only says that this is base 256.
  const value = Number(BigInt.asIntN(byteLength * 8 - 1, BigInt(`0x${digits}`)));
  return Number.isSafeInteger(value) ? value : Number.NaN;
}

function latin1(bytes: Uint8Array, start: number, byteLength: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, byteLength).toString("latin1");
}

function quote(block: Uint8Array, start: number, byteLength: number): string {
  return JSON.stringify(latin1(block, start, byteLength));
}
