/** What a tar archive says of one entry, with long names and pax records put in their places. */

import { ParseError } from "../parsing/errors.ts";
import { type Header, readNumber } from "./header.ts";
import { type PaxMap, type PaxRecord, withRecords } from "./pax.ts";
import { isPaxSparse, readSparseMap, type SparseMap, type SparseMapReader } from "./sparse.ts";
import { textOf, untilNul } from "./text.ts";

/** The last five are offered with their data as stored; README.md says what that is. */
export type TarEntryType =
  | "file"
  | "link"
  | "symlink"
  | "character-device"
  | "block-device"
  | "directory"
  | "fifo"
  | "sparse-file"
  | "volume-label"
  | "dumpdir"
  | "continuation"
  | "unknown";

/** Text is as text.ts makes it of the bytes, which stand beside it as `raw…`. */
export interface TarEntry {
  type: TarEntryType;
  /** The header's own letter for the type. */
  typeFlag: string;
  /** Where the entry's header stands in the archive. */
  offset: number;
  /** As the archive has it: it may be absolute or climb with `..`. Check it before you make a file of that name. */
  name: string;
  rawName: Uint8Array;
  /** What a link leads to. */
  linkName: string;
  rawLinkName: Uint8Array;
  /** Bytes of data that follow; 0 for links, devices, directories and FIFOs. */
  byteLength: number;
  /** Where a sparse file's data belongs; `null` for all else, and for a map of an unknown version. */
  sparse: SparseMap | null;
  /** This and every number below is `NaN` if the archive holds no number there. */
  mode: number;
  uid: number;
  gid: number;
  userName: string;
  rawUserName: Uint8Array;
  groupName: string;
  rawGroupName: Uint8Array;
  /** Seconds since 1970, with a fraction where pax has one. */
  mtime: number;
  major: number;
  minor: number;
  format: Header["format"] | "pax";
  /** All pax records that hold for this entry, those used above included. `textOf` makes text of a value. */
  pax: PaxMap;
}

/** What came before the header itself. */
export interface Extensions {
  longName: Uint8Array | null;
  longLinkName: Uint8Array | null;
  pax: readonly PaxRecord[] | null;
  globalPax: PaxMap;
}

const TYPES: Record<string, TarEntryType> = {
  "0": "file",
  "\0": "file",
  "7": "file",
  "1": "link",
  "2": "symlink",
  "3": "character-device",
  "4": "block-device",
  "5": "directory",
  "6": "fifo",
  S: "sparse-file",
  V: "volume-label",
  D: "dumpdir",
  M: "continuation",
};
const WITHOUT_DATA = new Set<TarEntryType>([
  "link",
  "symlink",
  "character-device",
  "block-device",
  "directory",
  "fifo",
]);
const WHOLE = /^\d+$/;
const DECIMAL = /^-?\d+(\.\d*)?$/;
const SLASH = 47;
const NOTHING = new Uint8Array(0);

/**
 * The map of a sparse file may be still to come: `map` reads it then.
 *
 * @throws ParseError `ERR_MALFORMED` for a pax size that is no size.
 */
export function makeEntry(header: Header, extensions: Extensions): { entry: TarEntry; map: SparseMapReader | null } {
  const { offset, block, format } = header;
  const records = extensions.pax ?? [];
  const pax = withRecords(extensions.globalPax, records);
  const isOld = format === "v7";
  const field = (start: number, end: number): Uint8Array => untilNul(block.subarray(start, end));
  const rawName = nameIn(pax, "GNU.sparse.name") ?? nameIn(pax, "path") ?? extensions.longName ?? ownName(header);
  const rawLinkName = nameIn(pax, "linkpath") ?? extensions.longLinkName ?? field(157, 257);
  const rawUserName = nameIn(pax, "uname") ?? (isOld ? NOTHING : field(265, 297));
  const rawGroupName = nameIn(pax, "gname") ?? (isOld ? NOTHING : field(297, 329));
  const size = numberIn(pax, "size", WHOLE);
  if (size === null && pax.has("size")) {
    const what = `the pax size ${JSON.stringify(textOf(pax.get("size") as Uint8Array))}, which is no size`;
    throw new ParseError("ERR_MALFORMED", `the entry at byte ${offset} has ${what}`);
  }
  const stored = size ?? header.byteLength;
  const type = typeOf(header, rawName, stored, pax);
  const byteLength = WITHOUT_DATA.has(type) ? 0 : stored;
  const entry: TarEntry = {
    type,
    typeFlag: header.type,
    offset,
    name: textOf(rawName),
    rawName,
    linkName: textOf(rawLinkName),
    rawLinkName,
    byteLength,
    sparse: null,
    mode: readNumber(block, 100, 8),
    uid: numberIn(pax, "uid", WHOLE) ?? readNumber(block, 108, 8),
    gid: numberIn(pax, "gid", WHOLE) ?? readNumber(block, 116, 8),
    userName: textOf(rawUserName),
    rawUserName,
    groupName: textOf(rawGroupName),
    rawGroupName,
    mtime: numberIn(pax, "mtime", DECIMAL) ?? readNumber(block, 136, 12),
    major: isOld ? 0 : readNumber(block, 329, 8),
    minor: isOld ? 0 : readNumber(block, 337, 8),
    format: extensions.pax === null && extensions.globalPax.size === 0 ? format : "pax",
    pax,
  };
  return { entry, map: type === "sparse-file" ? readSparseMap({ header, pax, records, byteLength }) : null };
}

function ownName({ block, format }: Header): Uint8Array {
  const name = untilNul(block.subarray(0, 100));
  const prefix = format === "ustar" ? untilNul(block.subarray(345, 500)) : NOTHING;
  return prefix.length === 0 ? name : Uint8Array.from([...prefix, SLASH, ...name]);
}

/** A name that ends in a slash is a directory's, if no data follows. A v7 header's size is not meant then. */
function typeOf({ type: flag }: Header, name: Uint8Array, byteLength: number, pax: PaxMap): TarEntryType {
  const type = TYPES[flag] ?? "unknown";
  if (type !== "file") return type;
  if (isPaxSparse(pax)) return "sparse-file";
  return name.at(-1) === SLASH && (flag === "\0" || byteLength === 0) ? "directory" : type;
}

function nameIn(pax: PaxMap, key: string): Uint8Array | null {
  const value = pax.get(key);
  return value === undefined ? null : untilNul(value);
}

/** `null` if pax has none, or what is no number. */
function numberIn(pax: PaxMap, key: string, syntax: RegExp): number | null {
  const bytes = pax.get(key);
  if (bytes === undefined) return null;
  const text = textOf(bytes);
  const value = Number(text);
  return syntax.test(text) && Math.abs(value) <= Number.MAX_SAFE_INTEGER ? value : null;
}
