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

export const BLOCK_BYTES = 512;
const CHECKSUM = 148;
const CHECKSUM_BYTES = 8;
const SPACE = 32;

export interface RawHeader {
  name: string;
  mode: number;
  uid: number;
  gid: number;
  /** Bytes of what follows, where the type has something follow. */
  byteLength: number;
  /** Seconds since 1970. */
  mtime: number;
  type: string;
  linkName: string;
  userName: string;
  groupName: string;
  major: number;
  minor: number;
  format: "v7" | "ustar" | "gnu";
}

const utf8 = new TextDecoder();

export function isZeroBlock(block: Uint8Array): boolean {
  for (let at = 0; at < BLOCK_BYTES; at++) if (block[at] !== 0) return false;
  return true;
}

/** @throws ParseError `ERR_MALFORMED` for a wrong checksum or a field that is no number. */
export function readHeader(block: Uint8Array): RawHeader {
  const format = formatOf(block);
  checkSum(block);
  const name = readString(block, 0, 100);
  const prefix = format === "ustar" ? readString(block, 345, 155) : "";
  return {
    name: prefix === "" ? name : `${prefix}/${name}`,
    mode: readNumber(block, 100, 8, "mode"),
    uid: readNumber(block, 108, 8, "uid"),
    gid: readNumber(block, 116, 8, "gid"),
    byteLength: readByteLength(block),
    mtime: readNumber(block, 136, 12, "mtime"),
    type: String.fromCharCode(block[156] as number),
    linkName: readString(block, 157, 100),
    userName: format === "v7" ? "" : readString(block, 265, 32),
    groupName: format === "v7" ? "" : readString(block, 297, 32),
    major: format === "v7" ? 0 : readNumber(block, 329, 8, "major"),
    minor: format === "v7" ? 0 : readNumber(block, 337, 8, "minor"),
    format,
  };
}

/** Up to the first NUL, as UTF-8; bytes that are none become U+FFFD. */
export function readString(bytes: Uint8Array, start: number, byteLength: number): string {
  let end = start;
  while (end < start + byteLength && bytes[end] !== 0) end++;
  return utf8.decode(bytes.subarray(start, end));
}

function formatOf(block: Uint8Array): RawHeader["format"] {
  const magic = latin1(block, 257, 263);
  return magic === "ustar\0" ? "ustar" : magic === "ustar " ? "gnu" : "v7";
}

/** Sums the block with its own checksum as spaces; some old programs summed signed bytes. */
function checkSum(block: Uint8Array): void {
  let unsigned = CHECKSUM_BYTES * SPACE;
  let signed = unsigned;
  for (let at = 0; at < BLOCK_BYTES; at++) {
    if (at === CHECKSUM) at += CHECKSUM_BYTES;
    const byte = block[at] as number;
    unsigned += byte;
    signed += (byte << 24) >> 24;
  }
  const stored = readNumber(block, CHECKSUM, CHECKSUM_BYTES, "checksum");
  if (stored !== unsigned && stored !== signed) {
    throw new ParseError("ERR_MALFORMED", `a header's checksum is ${stored}, but its bytes add up to ${unsigned}`);
  }
}

function readByteLength(block: Uint8Array): number {
  const byteLength = readNumber(block, 124, 12, "size");
  if (byteLength < 0) throw new ParseError("ERR_MALFORMED", `a header's size is ${byteLength}`);
  return byteLength;
}

/**
 * Octal digits between spaces and NULs; or, with the first bit set, base 256: a
 * big-endian two's complement, GNU's way past eight gigabytes and before 1970.
 */
function readNumber(block: Uint8Array, start: number, byteLength: number, field: string): number {
  const first = block[start] as number;
  if ((first & 0x80) !== 0) return readBase256(block, start, byteLength, field);
  let at = start;
  const end = start + byteLength;
  while (at < end && block[at] === SPACE) at++;
  let value = 0;
  for (; at < end && block[at] !== SPACE && block[at] !== 0; at++) {
    const digit = (block[at] as number) - 0x30;
    if (digit < 0 || digit > 7) throw noNumber(block, start, end, field);
    value = value * 8 + digit;
  }
  for (; at < end; at++) if (block[at] !== SPACE && block[at] !== 0) throw noNumber(block, start, end, field);
  return value;
}

function readBase256(block: Uint8Array, start: number, byteLength: number, field: string): number {
  let value = BigInt((block[start] as number) & 0x7f);
  for (let at = start + 1; at < start + byteLength; at++) value = (value << 8n) | BigInt(block[at] as number);
  const exact = BigInt.asIntN(byteLength * 8 - 1, value);
  if (!Number.isSafeInteger(Number(exact))) {
    throw new ParseError("ERR_MALFORMED", `a header's ${field} is ${exact}, more than a number can hold`);
  }
  return Number(exact);
}

function noNumber(block: Uint8Array, start: number, end: number, field: string): ParseError {
  return new ParseError("ERR_MALFORMED", `a header's ${field} is ${JSON.stringify(latin1(block, start, end))}`);
}

function latin1(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString("latin1");
}
