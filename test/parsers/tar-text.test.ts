/**
 * Text in tar archives: every field that holds a name, with every kind of bytes that
 * is not plain text. The rules are TT1 and TT2 of examples/tar/text.ts.
 */

import { execFileSync, spawnSync } from "node:child_process";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { TarEntry } from "../../examples/tar/entry.ts";
import { textOf } from "../../examples/tar/text.ts";
import { seed } from "../seeded.ts";
import { END, extension, header, readAtEverySplit, record } from "./tar-archives.ts";

/** A text field: what stands before the entry for it, and where the entry shows it. */
interface TextField {
  archive: (value: Buffer) => Uint8Array[];
  text: (entry: TarEntry) => string;
  raw: (entry: TarEntry) => Uint8Array | undefined;
  maxBytes: number;
}

const name = { text: (entry: TarEntry) => entry.name, raw: (entry: TarEntry) => entry.rawName };
const linkName = { text: (entry: TarEntry) => entry.linkName, raw: (entry: TarEntry) => entry.rawLinkName };
const userName = { text: (entry: TarEntry) => entry.userName, raw: (entry: TarEntry) => entry.rawUserName };
const groupName = { text: (entry: TarEntry) => entry.groupName, raw: (entry: TarEntry) => entry.rawGroupName };
const pax = (type: string, key: string) => (value: Buffer) => [extension(type, record(key, value)), header({})];
const LONG_BYTES = 100_000;

const FIELDS: Record<string, TextField> = {
  "header name": { ...name, maxBytes: 100, archive: (value) => [header({ name: value })] },
  "v7 name": { ...name, maxBytes: 100, archive: (value) => [header({ name: value, magic: "" })] },
  "ustar prefix": {
    text: (entry) => entry.name.replace(/\/?name$/, ""),
    raw: (entry) => entry.rawName.subarray(0, Math.max(0, entry.rawName.length - "/name".length)),
    maxBytes: 155,
    archive: (value) => [header({ prefix: value })],
  },
  "header link name": { ...linkName, maxBytes: 100, archive: (value) => [header({ type: "2", linkName: value })] },
  "header user name": { ...userName, maxBytes: 32, archive: (value) => [header({ userName: value })] },
  "header group name": { ...groupName, maxBytes: 32, archive: (value) => [header({ groupName: value })] },
  "GNU long name": { ...name, maxBytes: LONG_BYTES, archive: (value) => [extension("L", value), header({})] },
  "GNU long link name": { ...linkName, maxBytes: LONG_BYTES, archive: (value) => [extension("K", value), header({})] },
  "pax path": { ...name, maxBytes: LONG_BYTES, archive: pax("x", "path") },
  "pax linkpath": { ...linkName, maxBytes: LONG_BYTES, archive: pax("x", "linkpath") },
  "pax uname": { ...userName, maxBytes: LONG_BYTES, archive: pax("x", "uname") },
  "pax gname": { ...groupName, maxBytes: LONG_BYTES, archive: pax("x", "gname") },
  "global pax uname": { ...userName, maxBytes: LONG_BYTES, archive: pax("g", "uname") },
};

const latin1 = (text: string): Buffer => Buffer.from(text, "latin1");
/** The bytes; those of them that are the name, and the name as text. */
const VALUES: Record<string, [bytes: Buffer, raw: Buffer, text: string]> = {
  "a byte order mark": [Buffer.from("\uFEFFhi"), Buffer.from("\uFEFFhi"), "\uFEFFhi"],
  "nothing but a byte order mark": [Buffer.from("\uFEFF"), Buffer.from("\uFEFF"), "\uFEFF"],
  "Latin-1": [latin1("caf\xe9"), latin1("caf\xe9"), "caf\udce9"],
  "half a character": [latin1("\xe2\x82"), latin1("\xe2\x82"), "\udce2\udc82"],
  "a surrogate in UTF-8": [latin1("\xed\xb3\xa9"), latin1("\xed\xb3\xa9"), "\udced\udcb3\udca9"],
  "both, and good UTF-8": [latin1("\xc3\xa9\xe9\xc3\xa9"), latin1("\xc3\xa9\xe9\xc3\xa9"), "é\udce9é"],
  "a NUL and more": [latin1("a\0b"), latin1("a"), "a"],
  "a NUL first": [latin1("\0b"), latin1(""), ""],
};

describe.each(Object.entries(FIELDS))("%s", (_, { archive, text, raw, maxBytes }) => {
  const read = (value: Buffer, step: number): TarEntry => {
    const [given, ...more] = readAtEverySplit(Buffer.concat([...archive(value), END]), step);
    expect(more).toEqual([]);
    if (given === undefined) throw new Error("no entry came");
    return given.entry;
  };

  test.each(Object.entries(VALUES))(
    "with %s keeps its bytes and has lossless text",
    (_, [bytes, bytesOfName, asText]) => {
      const entry = read(bytes, 53);
      expect(text(entry)).toBe(asText);
      expect(Buffer.from(raw(entry) ?? [])).toEqual(bytesOfName);
    },
  );

  test("that is as long as can be is whole", () => {
    const value = Buffer.concat([latin1("\xff"), Buffer.alloc(maxBytes - 1, "n")]);
    const entry = read(value, 40_009);
    expect(text(entry)).toBe(`\udcff${"n".repeat(maxBytes - 1)}`);
    expect(Buffer.compare(Buffer.from(raw(entry) ?? []), value)).toBe(0);
  });
});

describe("an empty field", () => {
  const only = (...parts: Uint8Array[]): TarEntry | undefined =>
    readAtEverySplit(Buffer.concat([...parts, END]), 53)[0]?.entry;

  test("of a header or a GNU long name is an empty name", () => {
    expect(only(header({ name: "" }))?.name).toBe("");
    expect(only(extension("L", ""), header({}))?.name).toBe("");
    expect(only(extension("L", "\0"), header({}))?.name).toBe("");
    expect(only(extension("K", "\0"), header({ type: "2", linkName: "x" }))?.linkName).toBe("");
    expect(only(header({ prefix: "only/prefix", name: "" }))?.name).toBe("only/prefix/");
  });

  test("of pax is no field, in a header for one entry or for all", () => {
    const fields = { userName: "user", groupName: "group", linkName: "link" };
    for (const type of ["x", "g"]) {
      const keys = ["path", "linkpath", "uname", "gname", "size", "uid", "gid", "mtime"];
      const records = Buffer.concat(keys.map((key) => record(key, "")));
      const entry = only(extension(type, records), header({ ...fields, mtime: "77", uid: "5" }));
      expect(entry).toMatchObject({ name: "name", ...fields, mtime: 0o77, uid: 5, pax: new Map() });
    }
  });

  test("of pax takes back what an earlier global header said, from there on or for one entry", () => {
    const global = (value: string): Uint8Array =>
      extension("g", Buffer.concat([record("path", value), record("mtime", value)]));
    const archive = [
      global("15"),
      header({}),
      extension("x", Buffer.concat([record("path", ""), record("mtime", "")])),
      header({ name: "two", mtime: "77" }),
      header({}),
      global(""),
      header({ name: "three", mtime: "77" }),
    ];
    const entries = readAtEverySplit(Buffer.concat([...archive, END]), 53).map(({ entry }) => [
      entry.name,
      entry.mtime,
    ]);
    expect(entries).toEqual([
      ["15", 15],
      ["two", 0o77],
      ["15", 15],
      ["three", 0o77],
    ]);
  });
});

test("a pax value that is not text is kept as bytes, NULs and all, under its own key", () => {
  const bytes = latin1("\x01\0\0\x02\xa5=\n\0");
  const records = Buffer.concat([
    record("SCHILY.xattr.a", bytes),
    record("SCHILY.xattr.\xe9", "e"),
    record("c\0d", "f"),
  ]);
  const archive = [header({}), extension("x", records), header({}), header({}), END];
  const entries = readAtEverySplit(Buffer.concat(archive)).map(({ entry }) => entry);
  expect(entries.map(({ pax: { size } }) => size)).toEqual([0, 3, 0]);
  expect(entries[1]?.pax.get("SCHILY.xattr.a")).toEqual(new Uint8Array(bytes));
  expect([...(entries[1]?.pax.keys() ?? [])]).toEqual(["SCHILY.xattr.a", "SCHILY.xattr.\udce9", "c\0d"]);
});

test("different bytes are different text, and valid UTF-8 is itself (TT1)", () => {
  const byte = fc.constantFrom(0x41, 0xc3, 0xa9, 0xe2, 0x82, 0xac, 0xed, 0xb3, 0xef, 0xbb, 0xbf, 0xf0, 0x9f, 0xff);
  const bytes = fc.array(byte, { maxLength: 8 }).map((list) => Uint8Array.from(list));
  fc.assert(
    fc.property(bytes, bytes, (a, b) => {
      expect(textOf(a) === textOf(b)).toBe(Buffer.compare(a, b) === 0);
    }),
    { seed, numRuns: 5000 },
  );
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), (text) => {
      expect(textOf(Buffer.from(text))).toBe(Buffer.from(text).toString());
    }),
    { seed, numRuns: 500 },
  );
});

test.skipIf(spawnSync("python3", ["--version"]).status !== 0)("text is what Python's surrogateescape makes", () => {
  const samples = fc.sample(fc.uint8Array({ maxLength: 12 }), { seed, numRuns: 2000 });
  const program =
    "import sys,json\nfor line in sys.stdin: print(json.dumps(bytes.fromhex(line.strip()).decode('utf8','surrogateescape')))";
  const input = samples.map((bytes) => `${Buffer.from(bytes).toString("hex")}\n`).join("");
  const output = execFileSync("python3", ["-c", program], { input }).toString().trim().split("\n");
  expect(samples.map(textOf)).toEqual(output.map((line) => JSON.parse(line)));
});
