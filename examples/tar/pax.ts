/** The records of a pax extended header: `length key=value\n`, the length counting all of it. */

import { ParseError } from "../parsing/errors.ts";

const SPACE = 32;
const EQUALS = 61;
const NEWLINE = 10;
const utf8 = new TextDecoder("utf-8", { fatal: true });

/** An empty value takes an earlier one back. @throws ParseError `ERR_MALFORMED`. */
export function readPaxRecords(bytes: Uint8Array): Map<string, string> {
  const records = new Map<string, string>();
  for (let at = 0; at < bytes.length; ) {
    const end = at + readRecordLength(bytes, at);
    const key = bytes.indexOf(SPACE, at) + 1;
    const equals = bytes.indexOf(EQUALS, key);
    if (end > bytes.length || bytes[end - 1] !== NEWLINE || equals <= key || equals >= end) throw malformed(at);
    records.set(decode(bytes.subarray(key, equals), at), decode(bytes.subarray(equals + 1, end - 1), at));
    at = end;
  }
  return records;
}

function readRecordLength(bytes: Uint8Array, start: number): number {
  let length = 0;
  for (let at = start; at < start + 10; at++) {
    const byte = bytes[at];
    if (byte === SPACE && length > at - start + 1) return length;
    if (byte === undefined || byte < 0x30 || byte > 0x39) break;
    length = length * 10 + byte - 0x30;
  }
  throw malformed(start);
}

function decode(bytes: Uint8Array, at: number): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw malformed(at);
  }
}

function malformed(at: number): ParseError {
  return new ParseError("ERR_MALFORMED", `a pax header's record at byte ${at} is not "length key=value" in UTF-8`);
}
