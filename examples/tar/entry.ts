/** What a tar archive says of one file, with long names and pax records put in their places. */

import { ParseError } from "../parsing/errors.ts";
import type { RawHeader } from "./header.ts";

export type TarEntryType = "file" | "link" | "symlink" | "character-device" | "block-device" | "directory" | "fifo";

export interface TarEntry {
  type: TarEntryType;
  /** As the archive has it: it may be absolute or climb with `..`. Check it before you make a file of that name. */
  name: string;
  /** What a link leads to. */
  linkName: string;
  /** Bytes of data that follow; 0 for all but files. */
  byteLength: number;
  mode: number;
  uid: number;
  gid: number;
  userName: string;
  groupName: string;
  /** Seconds since 1970, with a fraction where pax has one. */
  mtime: number;
  major: number;
  minor: number;
  format: RawHeader["format"] | "pax";
  /** All pax records that hold for this entry, those used above included. */
  pax: ReadonlyMap<string, string>;
}

/** What came before the header itself. */
export interface Extensions {
  longName: string | null;
  longLinkName: string | null;
  pax: ReadonlyMap<string, string> | null;
  globalPax: ReadonlyMap<string, string>;
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
};

/** @throws ParseError `ERR_UNSUPPORTED` for a type or a sparse file that is not read, `ERR_MALFORMED`. */
export function makeEntry(header: RawHeader, extensions: Extensions): TarEntry {
  const pax = new Map(extensions.globalPax);
  for (const [key, value] of extensions.pax ?? []) {
    if (value === "") pax.delete(key);
    else pax.set(key, value);
  }
  for (const key of pax.keys()) {
    if (key.startsWith("GNU.sparse.")) throw unsupported("a sparse file", header.name);
  }
  const type = typeOf(header);
  const name = pax.get("path") ?? extensions.longName ?? header.name;
  return {
    type: type === "file" && name.endsWith("/") ? "directory" : type,
    name,
    linkName: pax.get("linkpath") ?? extensions.longLinkName ?? header.linkName,
    byteLength: type === "file" ? numberOf(pax, "size", header.byteLength, /^\d+$/) : 0,
    mode: header.mode,
    uid: numberOf(pax, "uid", header.uid, /^\d+$/),
    gid: numberOf(pax, "gid", header.gid, /^\d+$/),
    userName: pax.get("uname") ?? header.userName,
    groupName: pax.get("gname") ?? header.groupName,
    mtime: numberOf(pax, "mtime", header.mtime, /^-?\d+(\.\d*)?$/),
    major: header.major,
    minor: header.minor,
    format: extensions.pax === null && extensions.globalPax.size === 0 ? header.format : "pax",
    pax,
  };
}

function typeOf({ type, name }: RawHeader): TarEntryType {
  const known = TYPES[type];
  if (known !== undefined) return known;
  throw unsupported(type === "S" ? "a sparse file" : `an entry of type ${JSON.stringify(type)}`, name);
}

function numberOf(pax: ReadonlyMap<string, string>, key: string, fallback: number, syntax: RegExp): number {
  const text = pax.get(key);
  if (text === undefined) return fallback;
  const value = Number(text);
  if (syntax.test(text) && Math.abs(value) <= Number.MAX_SAFE_INTEGER) return value;
  throw new ParseError("ERR_MALFORMED", `a pax header's ${key} is ${JSON.stringify(text)}`);
}

function unsupported(what: string, name: string): ParseError {
  return new ParseError("ERR_UNSUPPORTED", `${JSON.stringify(name)} is ${what}, which this parser does not read`);
}
