/**
 * Numbers and text as bytes, in both directions. Owns the ranges of values and their
 * codes. Must not know writers, readers or leases: it puts and gets bytes where it is
 * told to, and the caller has made sure of the room.
 */

import { lengthOf, subarrayOf } from "../builtins.js";
import { type ArenaError, invalidArgument } from "../errors.js";

const MAX_UINT64 = 2n ** 64n - 1n;
const MIN_INT64 = -(2n ** 63n);
const MAX_INT64 = 2n ** 63n - 1n;
/** Up to this many UTF-16 units a loop is faster than a call into the engine's encoder. */
const SHORT_TEXT = 24;
/** The same for bytes and the decoder, where the loop has to build a string. */
const SHORT_BYTES = 12;
/** Bytes of the longest varint: 64 bits, seven to a byte. */
const LONGEST_LEB128 = 10;
/** Bytes of a varint that a number holds exactly, and the bits in them. */
const EXACT_LEB128 = 7;
const EXACT_BITS = 49n;

const encoder = new TextEncoder();
// A byte order mark is text like any other: what was written is read back.
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
const fatalDecoder = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });
// As they were at load: an encoder that lies would show bytes that nobody wrote.
const encodeText = encoder.encodeInto.bind(encoder);
const decodeText = decoder.decode.bind(decoder);
const decodeFatally = fatalDecoder.decode.bind(fatalDecoder);
const { fromCharCode } = String;

/** False if `text` is empty or long, does not fit at `at`, or is not ASCII. Bytes from `at` on may be changed then. */
export function putShortAscii(text: string, bytes: Uint8Array, at: number): boolean {
  const { length } = text;
  if (length > SHORT_TEXT || length === 0 || at + length > bytes.length) return false;
  for (let each = 0; each < length; each++) {
    const unit = text.charCodeAt(each);
    if (unit > 0x7f) return false;
    bytes[at + each] = unit;
  }
  return true;
}

/** Puts as much of `text` as fits, in UTF-8. */
export function encodeInto(text: string, bytes: Uint8Array, at: number): { read: number; written: number } {
  // No room, or an empty view that may be detached.
  if (at >= lengthOf(bytes)) return { read: 0, written: 0 };
  return encodeText(text, subarrayOf(bytes, at));
}

/** The text in `bytes`, which lie in no shared memory. Fatal: throws a `TypeError` for invalid UTF-8; else U+FFFD. */
export function decodeUtf8(bytes: Uint8Array, isFatal: boolean): string {
  return isFatal ? decodeFatally(bytes) : decodeText(bytes);
}

/** The text in `[at, end)` if it is short and ASCII, else `null`. */
export function getShortAscii(bytes: Uint8Array, at: number, end: number): string | null {
  if (end - at > SHORT_BYTES) return null;
  let text = "";
  for (let each = at; each < end; each++) {
    const unit = bytes[each] as number;
    if (unit > 0x7f) return null;
    text += fromCharCode(unit);
  }
  return text;
}

/** Bytes that `text` takes from the UTF-16 unit `from` on. */
export function utf8Length(text: string, from: number): number {
  let byteLength = 0;
  for (let each = from; each < text.length; each++) {
    const unit = text.charCodeAt(each);
    byteLength += unit < 0x80 ? 1 : unit < 0x800 ? 2 : 3;
    // A pair: four bytes for its two units, where a half without the other is three.
    if ((unit & 0xfc00) === 0xd800 && (text.charCodeAt(each + 1) & 0xfc00) === 0xdc00) {
      byteLength++;
      each++;
    }
  }
  return byteLength;
}

/** What `requireInt64` lets pass: 0, -1, 1, -2 … become 0, 1, 2, 3 … */
export function zigzag(value: number | bigint): number | bigint {
  if (typeof value === "number" && Math.abs(value) < 2 ** 52) return value < 0 ? -2 * value - 1 : 2 * value;
  const wide = BigInt(value);
  return BigInt.asUintN(64, (wide << 1n) ^ (wide >> 63n));
}

/** What `zigzag` made its number of. */
export function unzigzag(coded: bigint): bigint {
  return (coded >> 1n) ^ -(coded & 1n);
}

export function leb128Length(value: number | bigint): number {
  let byteLength = 1;
  for (let bound = 128; value >= bound; bound *= 128) byteLength++;
  return byteLength;
}

export function putLeb128(value: number | bigint, bytes: Uint8Array, at: number): void {
  let end = at;
  let wide = value;
  for (; typeof wide === "bigint" && wide > Number.MAX_SAFE_INTEGER; wide >>= 7n) {
    bytes[end++] = Number(wide & 0x7fn) | 0x80;
  }
  let rest = Number(wide);
  for (; rest > 0x7f; rest = Math.floor(rest / 128)) bytes[end++] = (rest % 128) | 0x80;
  bytes[end] = rest;
}

/** Where the varint at `at` ends; 0 if the bytes end first, -1 if it is longer than 64 bits. */
export function leb128End(bytes: Uint8Array, at: number): number {
  const { length } = bytes;
  for (let each = at; each < length; each++) {
    const byte = bytes[each] as number;
    const isTenth = each - at === LONGEST_LEB128 - 1;
    if (isTenth && byte > 1) return -1;
    if (byte < 0x80) return each + 1;
  }
  return 0;
}

/** The varint in `[at, end)` as a number: exact if it is a safe integer, and otherwise none either. */
export function getLeb128(bytes: Uint8Array, at: number, end: number): number {
  let value = 0;
  for (let each = end - 1; each >= at; each--) value = value * 128 + ((bytes[each] as number) & 0x7f);
  return value;
}

/** The varint in `[at, end)`, exact. */
export function getWideLeb128(bytes: Uint8Array, at: number, end: number): bigint {
  const middle = Math.min(end, at + EXACT_LEB128);
  const low = BigInt(getLeb128(bytes, at, middle));
  return middle === end ? low : low | (BigInt(getLeb128(bytes, middle, end)) << EXACT_BITS);
}

/** Numbers are never compared with bigints here: that costs more than the rest of a write. */
export function requireUint64(value: number | bigint): void {
  if (typeof value === "bigint" ? value >= 0n && value <= MAX_UINT64 : Number.isSafeInteger(value) && value >= 0)
    return;
  throw invalidWide(value, 0n, MAX_UINT64);
}

export function requireInt64(value: number | bigint): void {
  if (typeof value === "bigint" ? value >= MIN_INT64 && value <= MAX_INT64 : Number.isSafeInteger(value)) return;
  throw invalidWide(value, MIN_INT64, MAX_INT64);
}

export function requireInteger(value: number, least: number, most: number, what = "value"): void {
  if (Number.isInteger(value) && value >= least && value <= most) return;
  throw invalidArgument(what, value, most < least ? "something that fits in what was written" : range(least, most));
}

export function requireNumber(value: number): void {
  if (typeof value !== "number") throw invalidArgument("value", value, "a number");
}

function invalidWide(value: unknown, least: bigint, most: bigint): ArenaError {
  return invalidArgument("value", value, `${range(least, most)}, as a bigint if it is no safe integer`);
}

function range(least: number | bigint, most: number | bigint): string {
  return `a whole number from ${least} to ${most}`;
}
