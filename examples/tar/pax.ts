/** The records of a pax extended header: `length key=value\n`, the length counting all of it. */

import { ParseError } from "../parsing/errors.ts";
import { textOf } from "./text.ts";

const NUL = 0;
const SPACE = 32;
const EQUALS = 61;
const NEWLINE = 10;

/** A value is bytes: a file capability is not text. `textOf` makes text of it. */
export type PaxRecord = readonly [key: string, value: Uint8Array];
export type PaxMap = ReadonlyMap<string, Uint8Array>;

/**
 * The values are views of `bytes`. NULs may fill the end, as some writers do.
 *
 * @param offset where `bytes` stand in the archive.
 * @throws ParseError `ERR_MALFORMED`.
 */
export function readPaxRecords(bytes: Uint8Array, offset: number): PaxRecord[] {
  const records: PaxRecord[] = [];
  for (let at = 0; at < bytes.length && bytes[at] !== NUL; ) {
    const end = at + readRecordLength(bytes, at, offset);
    const key = bytes.indexOf(SPACE, at) + 1;
    const equals = bytes.indexOf(EQUALS, key);
    if (end > bytes.length || bytes[end - 1] !== NEWLINE || equals <= key || equals >= end)
      throw malformed(offset + at);
    records.push([textOf(bytes.subarray(key, equals)), bytes.subarray(equals + 1, end - 1)]);
    at = end;
  }
  return records;
}

/** A later value replaces an earlier one, and an empty value deletes it. */
export function withRecords(earlier: PaxMap, records: readonly PaxRecord[]): PaxMap {
  const pax = new Map(earlier);
  for (const [key, value] of records) {
    if (value.length === 0) pax.delete(key);
    else pax.set(key, value);
  }
  return pax;
}

function readRecordLength(bytes: Uint8Array, start: number, offset: number): number {
  let length = 0;
  for (let at = start; at < start + 10; at++) {
    const byte = bytes[at];
    if (byte === SPACE && length > at - start + 1) return length;
    if (byte === undefined || byte < 0x30 || byte > 0x39) break;
    length = length * 10 + byte - 0x30;
  }
  throw malformed(offset + start);
}

function malformed(offset: number): ParseError {
  return new ParseError("ERR_MALFORMED", `the pax record at byte ${offset} is not "length key=value" and a newline`);
}
