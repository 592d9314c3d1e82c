/**
 * One tar header: a block of 512 bytes. Owns the fields, their syntax and the
 * checksum; what follows the header is parser.ts's.
 *
 * ```
 *   0 name      100 mode   108 uid    116 gid    124 size   136 mtime
 * 148 checksum  156 type   157 link   257 magic  263 version
 * 265 uname     297 gname  329 major  337 minor  345 prefix (ustar only)  500
 * ```
 */

import { ParseError } from "../parsing/errors.ts";
import { untilNul } from "./text.ts";

export const BLOCK_BYTES = 512;
const CHECKSUM = 148;
const CHECKSUM_BYTES = 8;
const SPACE = 32;
const SLASH = 47;
const NOTHING = new Uint8Array(0);

/** A number is `NaN` if its field holds none, or one past `Number.MAX_SAFE_INTEGER`. */
export interface RawHeader {
  /** Where the header stands in the archive. */
  offset: number;
  /** All of it; the text below is views of it. */
  block: Uint8Array;
  name: Uint8Array;
  mode: number;
  uid: number;
  gid: number;
  /** Bytes of what follows, where the type has something follow. */
  byteLength: number;
  /** Seconds since 1970. */
  mtime: number;
  type: string;
  linkName: Uint8Array;
  userName: Uint8Array;
  groupName: Uint8Array;
  major: number;
  minor: number;
  format: "v7" | "ustar" | "gnu";
}

export function isZeroBlock(block: Uint8Array): boolean {
  for (let at = 0; at < BLOCK_BYTES; at++) if (block[at] !== 0) return false;
  return true;
}

/** @throws ParseError `ERR_MALFORMED` for a wrong checksum or a size that is no number: what follows is unknown then. */
export function readHeader(chunk: Uint8Array, offset: number): RawHeader {
  const block = new Uint8Array(chunk);
  const format = formatOf(block);
  checkSum(block, offset);
  const name = untilNul(block.subarray(0, 100));
  const prefix = format === "ustar" ? untilNul(block.subarray(345, 500)) : NOTHING;
  return {
    offset,
    block,
    name: prefix.length === 0 ? name : Uint8Array.from([...prefix, SLASH, ...name]),
    mode: readNumber(block, 100, 8),
    uid: readNumber(block, 108, 8),
    gid: readNumber(block, 116, 8),
    byteLength: readByteLength(block, offset),
    mtime: readNumber(block, 136, 12),
    type: String.fromCharCode(block[156] as number),
    linkName: untilNul(block.subarray(157, 257)),
    userName: format === "v7" ? NOTHING : untilNul(block.subarray(265, 297)),
    groupName: format === "v7" ? NOTHING : untilNul(block.subarray(297, 329)),
    major: format === "v7" ? 0 : readNumber(block, 329, 8),
    minor: format === "v7" ? 0 : readNumber(block, 337, 8),
    format,
  };
}

function formatOf(block: Uint8Array): RawHeader["format"] {
  const magic = latin1(block, 257, 263);
  return magic === "ustar\0" ? "ustar" : magic === "ustar " ? "gnu" : "v7";
}

/** Sums the block with its own checksum as spaces; some old programs summed signed bytes. */
function checkSum(block: Uint8Array, offset: number): void {
  let unsigned = CHECKSUM_BYTES * SPACE;
  let signed = unsigned;
  for (let at = 0; at < BLOCK_BYTES; at++) {
    if (at === CHECKSUM) at += CHECKSUM_BYTES;
    const byte = block[at] as number;
    unsigned += byte;
    signed += (byte << 24) >> 24;
  }
  const stored = readNumber(block, CHECKSUM, CHECKSUM_BYTES);
  if (stored === unsigned || stored === signed) return;
  const field = JSON.stringify(latin1(block, CHECKSUM, CHECKSUM + CHECKSUM_BYTES));
  throw new ParseError(
    "ERR_MALFORMED",
    `the header at byte ${offset} has the checksum ${field}, but its bytes add up to ${unsigned.toString(8)} in octal`,
  );
}

function readByteLength(block: Uint8Array, offset: number): number {
  const byteLength = readNumber(block, 124, 12);
  if (byteLength >= 0) return byteLength;
  const field = JSON.stringify(latin1(block, 124, 136));
  throw new ParseError("ERR_MALFORMED", `the header at byte ${offset} has the size ${field}, which is no size`);
}

/**
 * Octal digits up to a space or NUL; what stands behind that is not looked at.
 * One NUL and then white space may stand before the digits, and no digits are 0.
 * Or, with the first bit set, base 256: a big-endian two's complement, GNU's way
 * past eight gigabytes and before 1970.
 */
export function readNumber(block: Uint8Array, start: number, byteLength: number): number {
  if (((block[start] as number) & 0x80) !== 0) return readBase256(block, start, byteLength);
  const end = start + byteLength;
  let at = block[start] === 0 ? start + 1 : start;
  while (at < end && isSpace(block[at] as number)) at++;
  let value = 0;
  for (; at < end && !isSpace(block[at] as number) && block[at] !== 0; at++) {
    const digit = (block[at] as number) - 0x30;
    if (digit < 0 || digit > 7) return Number.NaN;
    value = value * 8 + digit;
  }
  return value;
}

function readBase256(block: Uint8Array, start: number, byteLength: number): number {
  let value = BigInt((block[start] as number) & 0x7f);
  for (let at = start + 1; at < start + byteLength; at++) value = (value << 8n) | BigInt(block[at] as number);
  const exact = Number(BigInt.asIntN(byteLength * 8 - 1, value));
  return Number.isSafeInteger(exact) ? exact : Number.NaN;
}

function isSpace(byte: number): boolean {
  return byte === SPACE || (byte >= 9 && byte <= 13);
}

function latin1(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString("latin1");
}
