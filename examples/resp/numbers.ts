/** The numbers and booleans of RESP, read from bytes. Owns their syntax; `null` means that it was broken. */

const MINUS = 0x2d;
const PLUS = 0x2b;
const INT64_MAX = 2n ** 63n - 1n;
const INT64_MIN = -(2n ** 63n);
/** As many decimal digits always make a safe integer. */
const SAFE_DIGITS = 15;

/** A signed 64-bit integer in `bytes[start, end)`. */
export function readInteger(bytes: Uint8Array, start: number, end: number): number | bigint | null {
  const sign = bytes[start];
  const first = sign === MINUS || sign === PLUS ? start + 1 : start;
  if (first === end) return null;
  let value = 0;
  for (let at = first; at < end; at++) {
    const digit = (bytes[at] as number) - 0x30;
    if (digit < 0 || digit > 9) return null;
    value = value * 10 + digit;
  }
  if (end - first <= SAFE_DIGITS) return sign === MINUS && value !== 0 ? -value : value;
  const exact = BigInt(ascii(bytes, first, end)) * (sign === MINUS ? -1n : 1n);
  if (exact > INT64_MAX || exact < INT64_MIN) return null;
  return Number.isSafeInteger(Number(exact)) ? Number(exact) : exact;
}

/** A length: digits, or -1 for RESP2's nulls. Longer than a safe integer is broken. */
export function readLength(bytes: Uint8Array, start: number, end: number): number | null {
  const value = readInteger(bytes, start, end);
  if (typeof value !== "number") return null;
  const isSigned = bytes[start] === MINUS || bytes[start] === PLUS;
  return value === -1 || (value >= 0 && !isSigned) ? value : null;
}

export function readDouble(bytes: Uint8Array, start: number, end: number): number | null {
  const text = ascii(bytes, start, end);
  if (/^[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?$/i.test(text)) return Number(text);
  if (/^[+-]?inf$/i.test(text)) return text.startsWith("-") ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  return /^[+-]?nan$/i.test(text) ? Number.NaN : null;
}

export function readBigNumber(bytes: Uint8Array, start: number, end: number): bigint | null {
  const text = ascii(bytes, start, end);
  return /^[+-]?\d+$/.test(text) ? BigInt(text.replace("+", "")) : null;
}

export function readBoolean(bytes: Uint8Array, start: number, end: number): boolean | null {
  const text = ascii(bytes, start, end);
  return text === "t" ? true : text === "f" ? false : null;
}

export function ascii(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString("latin1");
}
