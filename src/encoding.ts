/**
 * Numbers and text as bytes: what a value may be, how many bytes it takes, and which.
 * Knows no writer and no lease; puts bytes where it is told to, and where there is room.
 */

import { type ArenaError, invalidArgument } from "./errors.js";

const MAX_UINT64 = 2n ** 64n - 1n;
const MIN_INT64 = -(2n ** 63n);
const MAX_INT64 = 2n ** 63n - 1n;
/** UTF-16 units up to which a loop is faster than a call into the engine's encoder. */
const SHORT_TEXT = 24;

const encoder = new TextEncoder();

/** False if `text` is empty or long, does not fit at `at`, or is not ASCII; some of it may then stand there. */
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
  return encoder.encodeInto(text, bytes.subarray(at));
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

/** Of a number that `requireInt64` lets pass, 0, -1, 1, -2 … as 0, 1, 2, 3 … */
export function zigzag(value: number | bigint): number | bigint {
  if (typeof value === "number" && Math.abs(value) < 2 ** 52) return value < 0 ? -2 * value - 1 : 2 * value;
  const wide = BigInt(value);
  return BigInt.asUintN(64, (wide << 1n) ^ (wide >> 63n));
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

/** A number is compared with no bigint, which costs more than all the rest of a write. */
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
