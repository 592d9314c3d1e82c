/** What the tar parser's tests share: archives put together block by block, and a parser that keeps what it gives. */

import type { Arena } from "cleanslab";
import { ParseError } from "../../examples/parsing/errors.ts";
import type { TarEntry } from "../../examples/tar/entry.ts";
import { type TarLimits, TarParser } from "../../examples/tar/parser.ts";
import { arenas, expectSameAtEverySplit, latin1, outcomeOf } from "./splits.ts";

export interface Read {
  entry: TarEntry;
  pieces: number[];
  bytes: Buffer;
}

export function tarParser(limits: TarLimits = {}) {
  return (arena: Arena, given: unknown[]): TarParser => {
    let pieces: Buffer[] = [];
    return new TarParser(
      arena,
      {
        entry: () => {
          pieces = [];
          return undefined;
        },
        data: (lease) => {
          pieces.push(Buffer.from(lease.bytes));
          lease.release();
        },
        entryEnd: (entry) => {
          given.push({
            entry,
            pieces: pieces.map(({ length }) => length),
            bytes: Buffer.concat(pieces),
          } satisfies Read);
        },
      },
      limits,
    );
  };
}

/** All entries of `archive`, which must have no error. */
export function readAll(archive: Uint8Array): Read[] {
  const { given, error } = outcomeOf(tarParser(), [archive]);
  if (error !== null) throw new Error(`the archive ended with ${error}: ${messageOf(archive)}`);
  return given as Read[];
}

/** As `readAll`, the same at every `step`th split. */
export function readAtEverySplit(archive: Uint8Array, step = 131): Read[] {
  const { given, error } = expectSameAtEverySplit(tarParser(), archive, step);
  if (error !== null) throw new Error(`the archive ended with ${error}: ${messageOf(archive)}`);
  return given as Read[];
}

/** The message of the error that `chunks` end in; empty if none. */
export function messageOf(...chunks: Uint8Array[]): string {
  const parser = tarParser()(arenas["before-reuse"], []);
  try {
    for (const chunk of chunks) parser.write(chunk);
    parser.end();
    return "";
  } catch (error) {
    if (error instanceof ParseError) return error.message;
    throw error;
  }
}

/** The whole file of a sparse entry, holes and all. */
export function expanded({ entry, bytes }: Read): Buffer {
  if (entry.sparse === null) return bytes;
  const file = Buffer.alloc(entry.sparse.byteLength);
  let at = 0;
  for (const { offset, byteLength } of entry.sparse.regions) {
    bytes.copy(file, offset, at, at + byteLength);
    at += byteLength;
  }
  return file;
}

export type Field = string | Uint8Array;

/** Text is Latin-1: a character is a byte. */
export interface HeaderFields {
  name?: Field;
  mode?: Field;
  uid?: Field;
  size?: Field | number;
  mtime?: Field;
  checksum?: string;
  type?: string;
  linkName?: Field;
  magic?: string;
  userName?: Field;
  groupName?: Field;
  major?: Field;
  prefix?: Field;
}

/** A header as `fields` say, with a right checksum. */
export function header(fields: HeaderFields): Uint8Array {
  const block = new Uint8Array(512);
  const put = (at: number, field: Field): void => block.set(bytesOf(field), at);
  put(0, fields.name ?? "name");
  put(100, fields.mode ?? "0000644\0");
  put(108, fields.uid ?? "");
  put(124, typeof fields.size === "number" ? octal(fields.size) : (fields.size ?? octal(0)));
  put(136, fields.mtime ?? "");
  put(148, " ".repeat(8));
  put(156, fields.type ?? "0");
  put(157, fields.linkName ?? "");
  put(257, fields.magic ?? "ustar\x0000");
  put(265, fields.userName ?? "");
  put(297, fields.groupName ?? "");
  put(329, fields.major ?? "");
  put(345, fields.prefix ?? "");
  const sum = block.reduce((total, byte) => total + byte, 0);
  put(148, fields.checksum ?? `${sum.toString(8).padStart(6, "0")}\0 `);
  return block;
}

/** `bytes`, and zeros to the end of their last block. */
export function padded(bytes: Field): Uint8Array {
  const body = bytesOf(bytes);
  const blocks = new Uint8Array(Math.ceil(body.length / 512) * 512);
  blocks.set(body);
  return blocks;
}

export function extension(type: string, body: Field): Uint8Array {
  return Buffer.concat([header({ type, size: bytesOf(body).length }), padded(body)]);
}

/** A pax record with its right length. */
export function record(key: string, value: Field): Buffer {
  const body = Buffer.concat([latin1(` ${key}=`), bytesOf(value), latin1("\n")]);
  let length = body.length;
  while (length !== body.length + String(length).length) length = body.length + String(length).length;
  return Buffer.concat([latin1(String(length)), body]);
}

/** The two zero blocks. */
export const END = new Uint8Array(1024);

function octal(size: number): string {
  return `${size.toString(8).padStart(11, "0")}\0`;
}

function bytesOf(field: Field): Uint8Array {
  return typeof field === "string" ? latin1(field) : field;
}
