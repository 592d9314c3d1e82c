/**
 * Odd archives that are read: entries of other types, sparse files, numbers as old
 * programs wrote them, missing ends. Each row is what GNU tar, libarchive and Python
 * agree on, or what examples/tar/README.md says where they do not.
 */

import { Arena } from "cleanslab";
import { describe, expect, test } from "vitest";
import type { TarEntry } from "../../examples/tar/entry.ts";
import { TarParser } from "../../examples/tar/parser.ts";
import { expectNoLeakFrom, expectSameAtEverySplit, latin1, mutated } from "./splits.ts";
import {
  END,
  expanded,
  extension,
  type HeaderFields,
  header,
  messageOf,
  padded,
  readAtEverySplit,
  record,
  tarParser,
} from "./tar-archives.ts";

const LAST = header({ name: "last" });

/** The entries of an archive that ends with `LAST`, without it. */
function entriesBefore(...parts: Uint8Array[]): { entry: TarEntry; text: string }[] {
  const given = readAtEverySplit(Buffer.concat([...parts, LAST, END]));
  expect(given.pop()?.entry.name).toBe("last");
  return given.map(({ entry, bytes }) => ({ entry, text: bytes.toString("latin1") }));
}

describe("an entry that is no file", () => {
  test.each([
    ["V", "volume-label"],
    ["D", "dumpdir"],
    ["M", "continuation"],
    ["Z", "unknown"],
    ["\xff", "unknown"],
  ])("of type %j is offered with its data, as %s", (typeFlag, type) => {
    expect(entriesBefore(header({ type: typeFlag, size: 5 }), padded("hello"))).toMatchObject([
      { entry: { type, typeFlag, byteLength: 5, name: "name" }, text: "hello" },
    ]);
  });

  test("can be skipped, and then its data is never leased", () => {
    const arena = new Arena();
    const seen: string[] = [];
    const entry = ({ type, offset }: TarEntry): "skip" => {
      seen.push(`${type} at ${offset}`);
      return "skip";
    };
    const parser = new TarParser(arena, { entry, data: () => {}, entryEnd: () => {} });
    parser.write(Buffer.concat([header({ type: "Z", size: 600 }), padded("z".repeat(600)), LAST, END]));
    parser.end();
    expect(seen).toEqual(["unknown at 0", "file at 1536"]);
    expect(arena.stats().acquired).toBe(0);
  });

  test.each(["1", "2", "3", "4", "5", "6"])("of type %s has no data, whatever its size says", (type) => {
    expect(entriesBefore(header({ type, size: 5 }))).toMatchObject([{ entry: { byteLength: 0 }, text: "" }]);
  });
});

describe("a name with a slash at its end", () => {
  test.each<[string, HeaderFields, string, string]>([
    [
      "of a v7 header is a directory without data, whatever its size says",
      { type: "\0", magic: "", size: 1 },
      "directory",
      "",
    ],
    ["of a newer header is a directory if there is no data", { type: "0" }, "directory", ""],
    ["of a newer header is a file if there is data", { type: "0", size: 5 }, "file", "hello"],
  ])("%s", (_, fields, type, text) => {
    const data = text === "" ? [] : [padded(text)];
    expect(entriesBefore(header({ name: "name/", ...fields }), ...data)).toMatchObject([{ entry: { type }, text }]);
  });
});

describe("numbers", () => {
  const base256 = (first: number, ...last: number[]): Uint8Array =>
    Uint8Array.from([first, ...Array(11 - last.length).fill(first === 0xff ? 0xff : 0), ...last]);
  const CASES: [string, string | Uint8Array, number][] = [
    ["after spaces", "          5 ", 5],
    ["after tabs", "\t\t        5 ", 5],
    ["after one NUL", "\x0000000000005", 5],
    ["of NULs alone", "", 0],
    ["of spaces alone", " ".repeat(12), 0],
    ["after two NULs, which end it", "\0\x000000000005", 0],
    ["that fills its field", "000000000005", 5],
    ["with junk behind its NUL", "5\0zzzzzzzzzz", 5],
    ["with junk behind its space", "5 zzzzzzzzzz", 5],
    ["in base 256", base256(0x80, 5), 5],
  ];
  test.each(CASES)("a size %s", (_, size, byteLength) => {
    const data = byteLength === 0 ? [] : [padded("hello")];
    expect(entriesBefore(header({ size }), ...data)).toMatchObject([{ entry: { byteLength } }]);
  });

  test("a time before 1970 in base 256", () => {
    expect(entriesBefore(header({ mtime: base256(0xff, 0xfe) }))).toMatchObject([{ entry: { mtime: -2 } }]);
  });

  test("of a field that holds none, or one too large, are NaN, and the entry is read", () => {
    const huge = Uint8Array.from([0x80, 0, 0, 0x7f, 255, 255, 255, 255, 255, 255, 255, 255]);
    expect(entriesBefore(header({ mode: "xyz", uid: "8", major: "-1", mtime: huge }))).toMatchObject([
      { entry: { mode: Number.NaN, uid: Number.NaN, major: Number.NaN, mtime: Number.NaN, minor: 0 } },
    ]);
  });

  test("of pax that are none leave the header's, and the record as it was", () => {
    const records = Buffer.concat([record("mtime", "abc"), record("uid", "-5"), record("gid", "1e3")]);
    const [given] = entriesBefore(extension("x", records), header({ mtime: "77", uid: "5" }));
    expect(given?.entry).toMatchObject({ mtime: 0o77, uid: 5, gid: 0 });
    expect(given?.entry.pax.get("mtime")).toEqual(latin1("abc"));
  });
});

describe("extensions", () => {
  test("a second one of the same type replaces the first", () => {
    const twice = (type: string, first: string, second: string): (string | undefined)[] =>
      entriesBefore(extension(type, first), extension(type, second), header({ type: "2" })).map(
        ({ entry }) => entry.name,
      );
    expect(twice("L", "one", "two")).toEqual(["two"]);
    expect(twice("x", String(record("path", "one")), String(record("path", "two")))).toEqual(["two"]);
    expect(twice("x", String(record("path", "one")), String(record("uname", "two")))).toEqual(["name"]);
  });

  test("pax goes before a long name, in either order", () => {
    const long = extension("L", "long");
    const pax = extension("x", record("path", "pax"));
    expect(entriesBefore(long, pax, header({}))).toMatchObject([{ entry: { name: "pax" } }]);
    expect(entriesBefore(pax, long, header({}))).toMatchObject([{ entry: { name: "pax" } }]);
  });

  test("NULs may stand behind the last pax record", () => {
    const records = Buffer.concat([record("path", "pax"), new Uint8Array(7)]);
    expect(entriesBefore(extension("x", records), header({}))).toMatchObject([{ entry: { name: "pax" } }]);
  });
});

describe("the end of an archive", () => {
  const zeros = new Uint8Array(512);
  test.each<[string, Uint8Array[], number]>([
    ["without zero blocks", [], 0],
    ["with one zero block", [zeros], 1],
    ["with one and part of another", [zeros, zeros.subarray(100)], 1],
    ["with one and junk", [zeros, header({ name: "junk" })], 1],
    ["with two", [END], 2],
    ["with two and junk", [END, latin1("junk")], 2],
  ])("%s is an end, and endBlocks says which", (_, end, endBlocks) => {
    const archive = Buffer.concat([header({ size: 5 }), padded("hello"), LAST, ...end]);
    expect(readAtEverySplit(archive).map(({ entry }) => entry.name)).toEqual(["name", "last"]);
    const parser = tarParser()(new Arena(), []);
    parser.write(archive);
    parser.end();
    expect(parser.endBlocks).toBe(endBlocks);
  });
});

describe("a sparse file", () => {
  const old = (pairs: [offset: string, byteLength: string][], size: number, real: string, more = false): Uint8Array => {
    const map = new Uint8Array(155);
    for (const [each, [offset, byteLength]] of pairs.entries()) {
      map.set(latin1(offset), 41 + 24 * each);
      map.set(latin1(byteLength), 53 + 24 * each);
    }
    map[137] = more ? 1 : 0;
    map.set(latin1(real), 138);
    return header({ type: "S", magic: "ustar  \0", prefix: map, size });
  };
  const pax = (records: Record<string, string>, data: string): Uint8Array[] => {
    const pairs = Object.entries(records).map(([key, value]) => record(`GNU.sparse.${key}`, value));
    return [
      extension("x", Buffer.concat(pairs)),
      header({ name: "GNUSparseFile.0/name", size: data.length }),
      padded(data),
    ];
  };
  const lines = (map: string, data: string): Uint8Array[] =>
    pax({ major: "1", minor: "0", name: "name", realsize: "12" }, map.padEnd(512, "\0") + data);

  test.each<[string, Uint8Array[]]>([
    [
      "in GNU's old format",
      [
        old(
          [
            ["2", "3"],
            ["10", "2"],
            ["14", "0"],
          ],
          5,
          "14",
        ),
        padded("hello"),
      ],
    ],
    ["in pax 0.1", pax({ name: "name", size: "12", numblocks: "2", map: "2,3,8,2" }, "hello")],
    ["in pax 1.0", lines("2\n2\n3\n8\n2\n", "hello")],
  ])("%s is offered with its map and its stored bytes", (_, parts) => {
    const given = readAtEverySplit(Buffer.concat([...parts, LAST, END]), 61);
    expect(given.map(({ entry }) => entry.name)).toEqual(["name", "last"]);
    expect(given[0]).toMatchObject({ entry: { type: "sparse-file", byteLength: 5 } });
    expect(given.map(expanded).map(String)).toEqual(["\0\0hel\0\0\0lo\0\0", ""]);
  });

  test("with a map of an unknown version is offered without a map", () => {
    expect(entriesBefore(...pax({ major: "2", name: "name" }, "hello"))).toMatchObject([
      { entry: { type: "sparse-file", sparse: null, byteLength: 5 }, text: "hello" },
    ]);
  });

  test.each<[string, Uint8Array[], string]>([
    [
      "regions that overlap",
      [
        old(
          [
            ["2", "3"],
            ["4", "2"],
          ],
          5,
          "12",
        ),
        padded("hello"),
      ],
      "has 2 bytes at 4, behind 5",
    ],
    ["a region past the end", lines("1\n8\n5\n", "hello"), "ends at 13, but the file has 12 bytes"],
    ["more than is stored", lines("1\n0\n6\n", "hello"), "has 6 bytes, but 5 are stored"],
    ["more map than data", [...pax({ major: "1", realsize: "0" }, "0\n"), END], "has 0 bytes, but -510 are stored"],
    ["a word for a number", lines("1\nx\n5\n", "hello"), 'has "x" for a number'],
    ["a number too many", pax({ size: "12", map: "2,3,8" }, "hel"), "has NaN bytes at 8"],
    ["no real size", pax({ map: "0,5" }, "hello"), "but the file has NaN bytes"],
  ])("whose map has %s is malformed", (_, parts, words) => {
    const archive = Buffer.concat(parts);
    expect(expectSameAtEverySplit(tarParser(), archive, 131)).toMatchObject({ given: [], error: "ERR_MALFORMED" });
    expect(messageOf(archive)).toContain(words);
  });

  test("that is mutated or cut ends in a typed error or an entry", () => {
    const archive = [
      old([["2", "3"]], 5, "14", true),
      padded(`${"10\0".padEnd(12, "\0")}2\0`),
      padded("hello"),
      ...lines("2\n2\n3\n8\n2\n", "hello"),
    ];
    expect(readAtEverySplit(Buffer.concat(archive)).map(expanded)).toHaveLength(2);
    expectNoLeakFrom(tarParser({ maxExtensionBytes: 10_000 }), mutated(Buffer.concat(archive)), 200);
  });

  test("whose map is too long, or whose real size is, is over a limit", () => {
    const endless = Buffer.concat([old([], 0, "0", true), ...Array(4).fill(new Uint8Array(512).fill(1, 504))]);
    expect(expectSameAtEverySplit(tarParser({ maxExtensionBytes: 1024 }), endless, 131).error).toBe("ERR_LIMIT");
    expect(expectSameAtEverySplit(tarParser(), endless, 131).error).toBe("ERR_TRUNCATED");
    const hole = Buffer.concat(lines("0\n", ""));
    expect(expectSameAtEverySplit(tarParser({ maxEntryBytes: 11 }), hole, 131).error).toBe("ERR_LIMIT");
  });
});
