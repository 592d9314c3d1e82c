/**
 * Where the stored bytes of a sparse file belong. Owns the syntax of the four maps:
 *
 * ```
 * old GNU  type S: 4 pairs in the header at 386, whether more follow at 482, the real size at 483;
 *          then blocks of 21 pairs, whether more follow at 504. The blocks do not count in the size.
 * pax 0.0  the records GNU.sparse.offset and GNU.sparse.numbytes, in turn
 * pax 0.1  the record GNU.sparse.map=offset,length,...
 * pax 1.0  before the data: lines with the number of pairs and each number, filled up to a block
 * ```
 *
 * A reader is a generator: it asks for a block with each `yield`, and is done with it at the next.
 */

import { ParseError } from "../parsing/errors.ts";
import { BLOCK_BYTES, type Header, readNumber } from "./header.ts";
import type { PaxMap, PaxRecord } from "./pax.ts";
import { textOf } from "./text.ts";

export interface SparseMap {
  /** Bytes of the file, its holes included. */
  byteLength: number;
  /** What is stored, in order; the entry's data is these one after the other, and all else is zeros. */
  regions: readonly { offset: number; byteLength: number }[];
}

export interface SparseStart {
  header: Header;
  pax: PaxMap;
  records: readonly PaxRecord[];
  /** Bytes stored, by the header. */
  byteLength: number;
}

/** The map, and how many bytes of data are left behind it. The map is `null` if its version is unknown. */
type Result = { sparse: SparseMap | null; byteLength: number };
export type SparseMapReader = Generator<void, Result, Uint8Array>;

const NEWLINE = 10;

export function isPaxSparse(pax: PaxMap): boolean {
  return [...pax.keys()].some((key) => key.startsWith("GNU.sparse."));
}

/** @throws ParseError `ERR_MALFORMED` for a map that is none, or does not fit the data. */
export function* readSparseMap({ header, pax, records, byteLength }: SparseStart): SparseMapReader {
  if (header.type === "S") {
    return checked(header, readNumber(header.block, 483, 12), yield* oldPairs(header.block), byteLength);
  }
  const major = textAt(pax, "GNU.sparse.major") ?? "0";
  if (major !== "0" && major !== "1") return { sparse: null, byteLength };
  const real = decimal(textAt(pax, "GNU.sparse.realsize") ?? textAt(pax, "GNU.sparse.size") ?? "");
  if (major === "0") return checked(header, real, recordPairs(pax, records), byteLength);
  const { pairs, mapBytes } = yield* linePairs(header);
  return checked(header, real, pairs, byteLength - mapBytes);
}

function* oldPairs(header: Uint8Array): Generator<void, number[], Uint8Array> {
  const pairs: number[] = [];
  let [block, at, slots, more] = [header, 386, 4, 482];
  for (;;) {
    for (const end = at + 24 * slots; at < end && block[at + 12] !== 0; at += 24) {
      pairs.push(readNumber(block, at, 12), readNumber(block, at + 12, 12));
    }
    if (block[more] === 0) return pairs;
    [block, at, slots, more] = [yield, 0, 21, 504];
  }
}

function* linePairs(header: Header): Generator<void, { pairs: number[]; mapBytes: number }, Uint8Array> {
  const numbers: number[] = [];
  let wanted = 1;
  let mapBytes = 0;
  let line = "";
  while (numbers.length < wanted) {
    const block = yield;
    mapBytes += BLOCK_BYTES;
    for (let at = 0; at < BLOCK_BYTES && numbers.length < wanted; at++) {
      if (block[at] !== NEWLINE) {
        line += String.fromCharCode(block[at] as number);
        continue;
      }
      const value = decimal(line);
      if (Number.isNaN(value)) throw malformed(header, `has ${JSON.stringify(line)} for a number`);
      if (wanted === 1) wanted += 2 * value;
      numbers.push(value);
      line = "";
    }
  }
  return { pairs: numbers.slice(1), mapBytes };
}

function recordPairs(pax: PaxMap, records: readonly PaxRecord[]): number[] {
  const map = textAt(pax, "GNU.sparse.map");
  if (map !== null) return map.split(",").map(decimal);
  const isPart = ([key]: PaxRecord): boolean => key === "GNU.sparse.offset" || key === "GNU.sparse.numbytes";
  return records.filter(isPart).map(([, value]) => decimal(textOf(value)));
}

function checked(header: Header, real: number, pairs: readonly number[], stored: number): Result {
  const regions: { offset: number; byteLength: number }[] = [];
  let end = 0;
  let total = 0;
  for (let each = 0; each < pairs.length; each += 2) {
    const [offset, byteLength] = [pairs[each] ?? Number.NaN, pairs[each + 1] ?? Number.NaN];
    if (!(offset >= end && byteLength >= 0))
      throw malformed(header, `has ${byteLength} bytes at ${offset}, behind ${end}`);
    end = offset + byteLength;
    total += byteLength;
    if (byteLength > 0) regions.push({ offset, byteLength });
  }
  if (!(end <= real)) throw malformed(header, `ends at ${end}, but the file has ${real} bytes`);
  if (total !== stored) throw malformed(header, `has ${total} bytes, but ${stored} are stored`);
  return { sparse: { byteLength: real, regions }, byteLength: stored };
}

function textAt(pax: PaxMap, key: string): string | null {
  const value = pax.get(key);
  return value === undefined ? null : textOf(value);
}

function decimal(text: string): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  return Number.isSafeInteger(value) ? value : Number.NaN;
}

function malformed({ offset }: Header, what: string): ParseError {
  return new ParseError("ERR_MALFORMED", `the map of the sparse file whose header is at byte ${offset} ${what}`);
}
