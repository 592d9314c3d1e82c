/**
 * The tar parser on archives put together block by block: odd ones that are read, broken ones,
 * and text. What is read here is what GNU tar, libarchive and Python agree on, or what
 * examples/tar/README.md says where they do not; tar-others.test.ts has other programs' archives.
 */

import { execFileSync, spawnSync } from "node:child_process";
import { Arena } from "cleanslab";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { TarEntry } from "../../examples/tar/entry.ts";
import { TarParser } from "../../examples/tar/parser.ts";
import { textOf } from "../../examples/tar/text.ts";
import { pattern } from "../node/helpers.ts";
import { seed } from "../seeded.ts";
import {
  entriesOf,
  expanded,
  expectNoLeakFrom,
  latin1,
  mutated,
  outcomeOf,
  readAtEverySplit,
  tarParser,
} from "./helpers.ts";

/** Text is Latin-1: a character is a byte. */
type Field = string | Uint8Array;
const bytesOf = (field: Field): Uint8Array => (typeof field === "string" ? latin1(field) : field);

/** Where in a header each field stands, and what it holds unless it is said. */
const PLACES = {
  name: [0, "name"],
  mode: [100, "0000644\0"],
  uid: [108, ""],
  size: [124, "00000000000\0"],
  mtime: [136, ""],
  checksum: [148, "        "],
  type: [156, "0"],
  linkName: [157, ""],
  magic: [257, "ustar\x0000"],
  userName: [265, ""],
  groupName: [297, ""],
  major: [329, ""],
  prefix: [345, ""],
} as const;

/** A header as `fields` say, with a right checksum unless they say that too. */
function head(fields: Partial<Record<keyof typeof PLACES, Field | number>> = {}): Uint8Array {
  const block = new Uint8Array(512);
  const { checksum, ...rest } = fields;
  for (const [name, [at, usual]] of Object.entries(PLACES)) {
    const field = rest[name as keyof typeof rest] ?? usual;
    block.set(bytesOf(typeof field === "number" ? `${field.toString(8).padStart(11, "0")}\0` : field), at);
  }
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.set(bytesOf((checksum as Field) ?? `${sum.toString(8).padStart(6, "0")}\0 `), 148);
  return block;
}

/** `field`, and zeros to the end of its last block. */
function padded(field: Field): Uint8Array {
  const bytes = bytesOf(field);
  return Buffer.concat([bytes, new Uint8Array(-bytes.length & 511)]);
}

function extension(type: string, body: Field): Uint8Array {
  return Buffer.concat([head({ type, size: bytesOf(body).length }), padded(body)]);
}

/** Pax records with their right lengths. */
function records(...pairs: [key: string, value: Field][]): Buffer {
  const all = pairs.map(([key, value]) => {
    const body = Buffer.concat([latin1(` ${key}=`), bytesOf(value), latin1("\n")]);
    let { length } = body;
    while (length !== body.length + String(length).length) length = body.length + String(length).length;
    return Buffer.concat([latin1(String(length)), body]);
  });
  return Buffer.concat(all);
}
const pax = (...pairs: [key: string, value: Field][]): Uint8Array => extension("x", records(...pairs));

const END = new Uint8Array(1024);
const ZEROS = new Uint8Array(512);
const HELLO = padded("hello");
const LAST = head({ name: "last" });

const base256 = (first: number, ...last: number[]): Uint8Array =>
  Uint8Array.from([first, ...Array(11 - last.length).fill(first === 0xff ? 0xff : 0), ...last]);
const HUGE = Uint8Array.from([0x80, 0, 0, 0x7f, 255, 255, 255, 255, 255, 255, 255, 255]);

/** A header of GNU's old sparse format, whose map is offsets and lengths in turn. */
function oldSparse(map: string, size: number, real: string, more = "\0"): Uint8Array {
  const numbers = map.split(" ").map((number) => number.padEnd(12, "\0"));
  const prefix = `${"\0".repeat(41)}${numbers.join("").padEnd(96, "\0")}${more}${real}`;
  return head({ type: "S", magic: "ustar  \0", prefix, size });
}
function paxSparse(fields: Record<string, string>, data: string): Uint8Array[] {
  const pairs = Object.entries(fields).map(([key, value]): [string, string] => [`GNU.sparse.${key}`, value]);
  return [pax(...pairs), head({ name: "GNUSparseFile.0/name", size: data.length }), padded(data)];
}
const lineSparse = (map: string, data: string, realsize = "12"): Uint8Array[] =>
  paxSparse({ major: "1", minor: "0", name: "name", realsize }, map.padEnd(512, "\0") + data);

const NAMED = { userName: "user", groupName: "group", linkName: "link", mtime: "77", uid: "5" };
const KEYS = ["path", "linkpath", "uname", "gname", "size", "uid", "gid", "mtime"];
const NO_VALUES = records(...KEYS.map((key): [string, string] => [key, ""]));
const SOLARIS = extension("X", records(["path", "pax"]));
const RECORD_AND_NULS = extension("x", Buffer.concat([records(["path", "pax"]), ZEROS]));
const TAKEN_BACK: [string, string][] = [
  ["path", ""],
  ["mtime", ""],
];

const SIZES = ["          5 ", "\t\t        5 ", "\x0000000000005", "000000000005", "5\0zzzzzzzzzz", "5 zzzzzzzzzz"];
const NO_SIZES = ["", " ".repeat(12), "\0\x000000000005"];
const TYPES = { V: "volume-label", D: "dumpdir", M: "continuation", Z: "unknown", "\xff": "unknown", 7: "file" };
const HOLES = { type: "sparse-file", name: "name", byteLength: 5, text: "\0\0hel\0\0\0lo\0\0" };
const NONE = { mode: Number.NaN, uid: Number.NaN, major: Number.NaN, mtime: Number.NaN, minor: 0 };

type Row = [what: string, entry: object, ...archive: Uint8Array[]];
/** What is said of an archive's first entry; `text` is the data, with a sparse file's holes. */
const READ: Row[] = [
  ...Object.entries(TYPES).map(
    ([typeFlag, type]): Row => [`type ${typeFlag}`, { type, text: "hello" }, head({ type: typeFlag, size: 5 }), HELLO],
  ),
  ...[..."123456"].map((type): Row => [`type ${type}, which has no data`, { byteLength: 0 }, head({ type, size: 5 })]),
  ["a v7 name with a slash at its end", { type: "directory" }, head({ name: "d/", type: "\0", magic: "", size: 1 })],
  ["a newer one without data", { type: "directory" }, head({ name: "d/" })],
  ["a newer one with data", { type: "file", text: "hello" }, head({ name: "f/", size: 5 }), HELLO],
  ...[...SIZES, base256(0x80, 5)].map((size): Row => [`the size ${size}`, { byteLength: 5 }, head({ size }), HELLO]),
  ...NO_SIZES.map((size): Row => [`the size ${size}, which is none`, { byteLength: 0 }, head({ size })]),
  ["a time before 1970", { mtime: -2 }, head({ mtime: base256(0xff, 0xfe) })],
  ["numbers that are none, or too large", NONE, head({ mode: "xyz", uid: "8", major: "-1", mtime: HUGE })],
  [
    "numbers of pax that are none",
    { mtime: 0o77, uid: 5, gid: 0 },
    pax(["mtime", "abc"], ["uid", "-5"], ["gid", "1e3"]),
    head(NAMED),
  ],
  ["a size of pax", { byteLength: 5, text: "hello", format: "pax" }, pax(["size", "5"]), head(), HELLO],
  ["numbers of pax", { mtime: -1.5, uid: 70_000_000 }, pax(["mtime", "-1.5"], ["uid", "70000000"]), head()],
  ["two long names", { name: "two" }, extension("L", "one"), extension("L", "two"), head()],
  ["two pax headers", { name: "two" }, pax(["path", "one"]), pax(["path", "two"]), head()],
  ["two of other keys", { name: "name", userName: "two" }, pax(["path", "one"]), pax(["uname", "two"]), head()],
  ["a long name before pax", { name: "pax" }, extension("L", "long"), pax(["path", "pax"]), head()],
  ["a long name after pax", { name: "pax" }, pax(["path", "pax"]), extension("L", "long"), head()],
  ["Solaris's pax header", { name: "pax" }, SOLARIS, head()],
  ["NULs behind the last record", { name: "pax" }, RECORD_AND_NULS, head()],
  ["no name", { name: "" }, head({ name: "" })],
  ["a prefix without a name", { name: "only/prefix/" }, head({ prefix: "only/prefix", name: "" })],
  ["an empty long name", { name: "" }, extension("L", ""), head()],
  ["one of a NUL", { name: "" }, extension("L", "\0"), head()],
  ["an empty long link name", { linkName: "" }, extension("K", "\0"), head({ type: "2", linkName: "x" })],
  ...["x", "g"].map(
    (type): Row => [
      `records of type ${type} without values, which are no fields`,
      { ...NAMED, name: "name", mtime: 0o77, uid: 5, pax: new Map() },
      ...[extension(type, NO_VALUES), head(NAMED)],
    ],
  ),
  [
    "a value of pax that is no text",
    { pax: new Map([["a", latin1("\x01\0\xa5=\n\0")]]) },
    pax(["a", "\x01\0\xa5=\n\0"]),
    head(),
  ],
  [
    "keys of pax that are odd",
    {
      pax: new Map([
        ["\udce9", latin1("e")],
        ["c\0d", latin1("f")],
      ]),
    },
    pax(["\xe9", "e"], ["c\0d", "f"]),
    head(),
  ],
  ["a sparse file in GNU's old format", HOLES, oldSparse("2 3 10 2 14 0", 5, "14"), HELLO],
  [
    "one with a map of two blocks",
    HOLES,
    oldSparse("2 3", 5, "14", "\x01"),
    padded(`${"10".padEnd(12, "\0")}2\0`),
    HELLO,
  ],
  ["a sparse file in pax 0.1", HOLES, ...paxSparse({ name: "name", size: "12", map: "2,3,8,2" }, "hello")],
  ["a sparse file in pax 1.0", HOLES, ...lineSparse("2\n2\n3\n8\n2\n", "hello")],
  [
    "a sparse file with a map of another version",
    { ...HOLES, sparse: null, text: "hello" },
    ...paxSparse({ major: "2", name: "name" }, "hello"),
  ],
];

describe("an archive is read the same at every split", () => {
  test.each(READ)("with %s", (_, wanted, ...parts) => {
    const given = entriesOf(Buffer.concat([...parts, LAST, END]), 67);
    const [first, last] = given.map((each) => ({ ...each.entry, text: expanded(each).toString("latin1") }));
    expect([first, last?.name, given.length]).toMatchObject([wanted, "last", 2]);
  });

  test("with global records, taken back for one entry, and from there on", () => {
    const global = (...pairs: [string, string][]): Uint8Array => extension("g", records(...pairs));
    const archive = [
      ...[global(["path", "15"], ["mtime", "15"]), head()],
      ...[pax(...TAKEN_BACK), head({ name: "two", mtime: "77" }), head()],
      ...[global(...TAKEN_BACK), head({ name: "three", mtime: "77" }), END],
    ];
    const said = entriesOf(Buffer.concat(archive), 67).map(({ entry }) => `${entry.name} ${entry.mtime}`);
    expect(said).toEqual(["15 15", `two ${0o77}`, "15 15", `three ${0o77}`]);
  });

  test.each<[what: string, endBlocks: number, ...end: Uint8Array[]]>([
    ["no zero blocks", 0],
    ["one zero block", 1, ZEROS],
    ["one and part of another", 1, ZEROS, ZEROS.subarray(100)],
    ["one and junk", 1, ZEROS, head({ name: "junk" })],
    ["two", 2, END],
    ["two and junk", 2, END, latin1("junk")],
  ])("that ends with %s, and endBlocks says so", (_, endBlocks, ...end) => {
    const archive = Buffer.concat([head({ size: 5 }), HELLO, LAST, ...end]);
    expect(entriesOf(archive, 131).map(({ entry }) => entry.name)).toEqual(["name", "last"]);
    const parser = tarParser()(new Arena(), []);
    parser.write(archive);
    parser.end();
    expect(parser.endBlocks).toBe(endBlocks);
  });

  test("and an entry that is skipped is never leased", () => {
    const arena = new Arena();
    const seen: string[] = [];
    const entry = ({ type, offset }: TarEntry): "skip" => {
      seen.push(`${type} at ${offset}`);
      return "skip";
    };
    using parser = new TarParser(arena, { entry, data: () => {}, entryEnd: () => {} });
    parser.write(Buffer.concat([head({ type: "Z", size: 600 }), padded("z".repeat(600)), LAST, END]));
    expect([seen, arena.stats().acquired]).toEqual([["unknown at 0", "file at 1536"], 0]);
  });

  test("and a sink that destroys the parser hears no more", () => {
    const seen: unknown[] = [];
    const parser: TarParser = new TarParser(new Arena(), {
      entry: ({ name }) => void seen.push(name) as undefined,
      data: () => parser.destroy(),
      entryEnd: ({ name }) => seen.push(name),
    });
    parser.write(Buffer.concat([head({ size: 512 }), new Uint8Array(512), LAST, END]));
    expect(seen).toEqual(["name"]);
  });
});

describe("a broken archive gives a typed error that says where, the same at every split, and leaks nothing", () => {
  const FIRST = Buffer.concat([head({ size: 3 }), padded("abc")]);
  const LONG_RECORD = extension("x", `2010 path=${"x".repeat(1999)}\n`);
  const GLOBAL = extension("g", `500 comment=${"x".repeat(487)}\n`);
  const NO_RECORDS = ["path=x\n", "99 path=x\n", "3 a=b\n", "0 a=b\n", "7 path\n9 b=cdef\n"];
  const NO_SIZES = ["0000000009\0", new Uint8Array(12).fill(255), HUGE];
  const MAP = new Uint8Array(512).fill(1, 504);
  /** What the error says, and each archive that it is of. */
  const CASES: [error: string, ...archives: Uint8Array[][]][] = [
    [
      "MALFORMED: the header at byte 1024 has the checksum",
      [head({ checksum: "000001\0 " })],
      [head({ checksum: "xyz" })],
    ],
    ["MALFORMED: the header at byte 1024 has the size", ...NO_SIZES.map((size) => [head({ size })])],
    ["MALFORMED: the archive ends at byte 2048, behind an extension", [extension("L", "long"), END]],
    ["MALFORMED: the pax record at byte 1536", ...NO_RECORDS.map((record) => [extension("x", record), head()])],
    ["MALFORMED: the pax record at byte 1545", [extension("x", "9 path=x\n5 =b\n"), head()]],
    ["MALFORMED: the entry at byte 2048 has the pax size", [pax(["size", "-1"]), head(), END]],
    ["LIMIT: the pax header at byte 1024 has", [LONG_RECORD]],
    ["LIMIT: the global pax header at byte 3072 has", [GLOBAL, GLOBAL, GLOBAL]],
    ['LIMIT: "name" at byte 1024 has 4096 bytes', [head({ size: "00000010000\0" })]],
    ["LIMIT: the archive has more entries than maxEntries = 4", Array(4).fill(head())],
    ["TRUNCATED: the input ended after 2560 bytes, behind an extension", [head(), extension("L", "long")]],
    ['TRUNCATED: the input ended after 1539 bytes, in the data of "name"', [head({ size: 3 }), latin1("abc")]],
    ["TRUNCATED: the input ended after 1224 bytes, in the middle of a header", [head().subarray(0, 200)]],
    ['TRUNCATED: the input ended after 1636 bytes, in the data of "name"', [head({ size: 500 }), pattern(100)]],
    ["TRUNCATED: the input ended after 1636 bytes, in a long name", [head({ type: "L", size: 500 }), pattern(100)]],
    ["has 2 bytes at 4, behind 5", [oldSparse("2 3 4 2", 5, "12"), HELLO]],
    ["ends at 13, but the file has 12 bytes", lineSparse("1\n8\n5\n", "hello")],
    ["has 6 bytes, but 5 are stored", lineSparse("1\n0\n6\n", "hello")],
    ["has 0 bytes, but -510 are stored", [...paxSparse({ major: "1", realsize: "0" }, "0\n"), END]],
    ['has "x" for a number', lineSparse("1\nx\n5\n", "hello")],
    ["has NaN bytes at 8", paxSparse({ size: "12", map: "2,3,8" }, "hel")],
    ["but the file has NaN bytes", paxSparse({ map: "0,5" }, "hello")],
    ['bytes, in the map of the sparse file "name"', [oldSparse("0 0", 0, "0", "\x01"), MAP.subarray(1)]],
    ["LIMIT: the map of the sparse file", [oldSparse("0 0", 0, "0", "\x01"), MAP, MAP, MAP, MAP]],
    ["LIMIT: ", lineSparse("0\n", "", "2000")],
  ];
  test.each(CASES)("%s", (wanted, ...archives) => {
    const make = tarParser({ maxEntryBytes: 1000, maxExtensionBytes: 1000, maxEntries: 4 });
    for (const parts of archives) {
      expect(readAtEverySplit(make, Buffer.concat([FIRST, ...parts]), 41).error).toContain(wanted);
    }
  });

  test("and so does nothing at all, and what is mutated, cut or random, if it gives no entry", () => {
    const { error } = outcomeOf(tarParser(), []);
    expect(error).toBe("ERR_TRUNCATED: the input ended after 0 bytes, so there is no archive");
    const sparse = READ.filter(([what]) => /sparse|map/.test(what)).flatMap(([, , ...parts]) => parts);
    const text = [
      extension("L", "long"),
      pax(["path", "pax"], ["mtime", "1.5"]),
      head({ size: 600 }),
      padded(pattern(600)),
    ];
    for (const archive of [sparse, text]) {
      expectNoLeakFrom(tarParser({ maxExtensionBytes: 10_000 }), mutated(Buffer.concat([...archive, END])), 200);
    }
    expectNoLeakFrom(tarParser(), fc.uint8Array({ minLength: 400, maxLength: 1500 }), 100);
  });
});

describe("text keeps its bytes, and is lossless (TT1, TT2)", () => {
  type TextName = "name" | "linkName" | "userName" | "groupName";
  const LONG_BYTES = 100_000;
  /** Where an entry shows a field, how many bytes it takes, and what stands before and in the entry for it. */
  const FIELDS: [field: string, shown: TextName, maxBytes: number, archive: (value: Buffer) => Uint8Array[]][] = [
    ["header name", "name", 100, (name) => [head({ name })]],
    ["v7 name", "name", 100, (name) => [head({ name, magic: "" })]],
    ["ustar prefix", "name", 155, (prefix) => [head({ prefix, name: "" })]],
    ["header link name", "linkName", 100, (linkName) => [head({ type: "2", linkName })]],
    ["header user name", "userName", 32, (userName) => [head({ userName })]],
    ["header group name", "groupName", 32, (groupName) => [head({ groupName })]],
    ["GNU long name", "name", LONG_BYTES, (value) => [extension("L", value), head()]],
    ["GNU long link name", "linkName", LONG_BYTES, (value) => [extension("K", value), head()]],
    ["pax path", "name", LONG_BYTES, (value) => [pax(["path", value]), head()]],
    ["pax linkpath", "linkName", LONG_BYTES, (value) => [pax(["linkpath", value]), head()]],
    ["pax uname", "userName", LONG_BYTES, (value) => [pax(["uname", value]), head()]],
    ["pax gname", "groupName", LONG_BYTES, (value) => [pax(["gname", value]), head()]],
    ["global pax uname", "userName", LONG_BYTES, (value) => [extension("g", records(["uname", value])), head()]],
  ];
  /** Bytes; those of them that are the name, and the name as text. */
  const VALUES: [bytes: string, raw: string, text: string][] = [
    ["\xef\xbb\xbfhi", "\xef\xbb\xbfhi", "\uFEFFhi"],
    ["\xef\xbb\xbf", "\xef\xbb\xbf", "\uFEFF"],
    ["caf\xe9", "caf\xe9", "caf\udce9"],
    ["\xe2\x82", "\xe2\x82", "\udce2\udc82"],
    ["\xed\xb3\xa9", "\xed\xb3\xa9", "\udced\udcb3\udca9"],
    ["\xc3\xa9\xe9\xc3\xa9", "\xc3\xa9\xe9\xc3\xa9", "é\udce9é"],
    ["a\0b", "a", "a"],
    ["\0b", "", ""],
  ];
  test.each(FIELDS)("in a %s, with every kind of bytes, and as long as can be", (field, shown, maxBytes, archive) => {
    const n = "n".repeat(maxBytes - 1);
    for (const [bytes, raw, text] of [...VALUES, [`\xff${n}`, `\xff${n}`, `\udcff${n}`] as const]) {
      const step = bytes.length > 1000 ? 40_009 : 53;
      const given = entriesOf(Buffer.concat([...archive(Buffer.from(bytes, "latin1")), END]), step);
      const slash = field === "ustar prefix" && raw !== "" ? "/" : "";
      const rawName = `raw${shown[0]?.toUpperCase()}${shown.slice(1)}` as "rawName";
      expect(given.map(({ entry }) => entry[shown])).toEqual([text + slash]);
      expect(given.map(({ entry }) => Buffer.from(entry[rawName]).toString("latin1"))).toEqual([raw + slash]);
    }
  });

  test.skipIf(spawnSync("python3", ["--version"]).status !== 0)("so it is what Python's surrogateescape makes", () => {
    const samples = fc.sample(fc.uint8Array({ maxLength: 12 }), { seed, numRuns: 2000 });
    const program =
      "import sys,json\nfor line in sys.stdin: print(json.dumps(bytes.fromhex(line.strip()).decode('utf8','surrogateescape')))";
    const input = samples.map((bytes) => `${Buffer.from(bytes).toString("hex")}\n`).join("");
    const output = execFileSync("python3", ["-c", program], { input }).toString().trim().split("\n");
    expect(samples.map(textOf)).toEqual(output.map((line) => JSON.parse(line)));
  });
});
