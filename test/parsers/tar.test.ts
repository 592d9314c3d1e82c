/**
 * The tar parser against archives that GNU tar and `tar-stream` make, with
 * tar-stream's reading beside ours; and against archives that nobody should make.
 */

import { execFileSync } from "node:child_process";
import {
  chmodSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Arena } from "cleanslab";
import fc from "fast-check";
import { extract, type Header, pack } from "tar-stream";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { TarEntry } from "../../examples/tar/entry.ts";
import { CHUNK_BYTES, TarParser } from "../../examples/tar/parser.ts";
import {
  codeOf,
  expectNoLeakFrom,
  expectSameAtEverySplit,
  expectSameAtRandomSplits,
  latin1,
  mutated,
  noise,
  outcomeOf,
  split,
} from "./splits.ts";
import { END, extension, header, messageOf, padded, type Read, record, tarParser } from "./tar-archives.ts";

const LONG = `${"directory/".repeat(15)}${"n".repeat(150)}`;
const FILES: Record<string, Uint8Array> = {
  empty: new Uint8Array(0),
  one: noise(1),
  block: noise(512),
  "block and one": noise(513),
  "three chunks": noise(3 * CHUNK_BYTES),
  "three chunks and a bit": noise(3 * CHUNK_BYTES + 100),
  "naïve 🙂 name": noise(40),
  [LONG]: noise(700),
};

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "cleanslab-tar-"));
  const files = join(folder, "files");
  for (const [name, bytes] of Object.entries(FILES)) {
    mkdirSync(dirname(join(files, name)), { recursive: true });
    writeFileSync(join(files, name), bytes);
  }
  chmodSync(join(files, "one"), 0o4751);
  utimesSync(join(files, "one"), 1, 1.25);
  symlinkSync("one", join(files, "symlink"));
  symlinkSync(`${"far/".repeat(40)}away`, join(files, "long symlink"));
  linkSync(join(files, "block"), join(files, "zzz link"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function gnuTar(...args: string[]): Buffer {
  return execFileSync("tar", ["--sort=name", "-C", folder, "-c", "-f", "-", ...args], { maxBuffer: 2 ** 30 });
}

/** What tar-stream makes of `archive`. */
async function readWithTarStream(archive: Uint8Array): Promise<{ header: Header; bytes: Buffer }[]> {
  const entries: { header: Header; bytes: Buffer }[] = [];
  const reader = extract();
  reader.end(archive);
  for await (const entry of reader) {
    const pieces: Buffer[] = [];
    for await (const piece of entry) pieces.push(Buffer.from(piece as Uint8Array));
    entries.push({ header: entry.header, bytes: Buffer.concat(pieces) });
  }
  return entries;
}

/** Both have the same to say of every entry. */
async function expectAsTarStream(archive: Uint8Array, given: readonly unknown[]): Promise<void> {
  const ours = given as Read[];
  const theirs = await readWithTarStream(archive);
  expect(ours.map(({ entry }) => entry.name)).toEqual(theirs.map(({ header }) => header.name));
  for (const [each, { header, bytes }] of theirs.entries()) {
    const { entry, bytes: mine } = ours[each] as Read;
    expect(Buffer.compare(mine, bytes), entry.name).toBe(0);
    const { type, byteLength, mode, uid, gid, userName, groupName, linkName, major, minor } = entry;
    expect({ type, byteLength, mode: mode & 0o7777, uid, gid, userName, groupName, linkName, major, minor }).toEqual({
      type: header.type,
      byteLength: header.size,
      mode: header.mode,
      uid: header.uid,
      gid: header.gid,
      userName: header.uname,
      groupName: header.gname,
      linkName: header.linkname ?? "",
      major: header.devmajor,
      minor: header.devminor,
    });
    expect(Math.floor(entry.mtime), entry.name).toBe(Math.floor(Number(header.mtime) / 1000));
  }
}

function filesOf(given: readonly unknown[], root: string): Record<string, Buffer> {
  const files = (given as Read[]).filter(({ entry }) => entry.type === "file");
  return Object.fromEntries(files.map(({ entry, bytes }) => [entry.name.slice(root.length), bytes]));
}

describe.each(["gnu", "pax", "posix", "oldgnu"])("an archive of GNU tar --format=%s", (format) => {
  test("has every file, byte by byte, the same at random splits and as tar-stream reads it", async () => {
    const archive = gnuTar(`--format=${format}`, "files");
    const { given, error } = expectSameAtRandomSplits(tarParser(), archive, 15);
    expect(error).toBeNull();
    const files = filesOf(given, "files/");
    for (const [name, bytes] of Object.entries(FILES))
      expect(Buffer.compare(files[name] as Buffer, bytes), name).toBe(0);
    await expectAsTarStream(archive, given);
    const links = Object.fromEntries((given as Read[]).map(({ entry }) => [entry.name, [entry.type, entry.linkName]]));
    expect(links["files/long symlink"]).toEqual(["symlink", `${"far/".repeat(40)}away`]);
    expect(links["files/zzz link"]).toEqual(["link", "files/block"]);
  });
});

describe.each(["ustar", "v7"])("an archive of GNU tar --format=%s", (format) => {
  test("is read the same at every split, and as tar-stream reads it", async () => {
    const names = ["files/empty", "files/one", "files/block and one", "files/symlink"];
    const archive = gnuTar(`--format=${format}`, "--blocking-factor=1", ...names);
    const { given, error } = expectSameAtEverySplit(tarParser(), archive, 3);
    expect(error).toBeNull();
    expect((given as Read[]).map(({ entry }) => entry.name)).toEqual(names);
    if (format === "ustar") await expectAsTarStream(archive, given);
    expect((given as Read[])[1]?.entry.mode).toBe(0o4751);
  });
});

test("a pax archive's times have their fractions, and its records are handed on", () => {
  const archive = gnuTar("--format=pax", "files/one");
  const [{ entry }] = outcomeOf(tarParser(), [archive]).given as [Read];
  expect(entry).toMatchObject({ mtime: 1.25, format: "pax" });
  expect([...entry.pax.keys()]).toContain("atime");
});

test("a file of nine gigabytes has its size in base 256 and in pax, and is read as far as one likes", () => {
  const big = join(folder, "big");
  writeFileSync(big, "");
  truncateSync(big, 9 * 1024 ** 3);
  for (const format of ["gnu", "pax"]) {
    const script = 'tar -C "$0" --format="$1" -c -f - big | head -c 100000';
    const start = execFileSync("sh", ["-c", script, folder, format], { stdio: ["ignore", "pipe", "ignore"] });
    const arena = new Arena();
    const seen: number[] = [];
    const entry = ({ byteLength }: TarEntry): "skip" => {
      seen.push(byteLength);
      return "skip";
    };
    const parser = new TarParser(arena, { entry, data: () => {}, entryEnd: () => {} });
    parser.write(start);
    expect(seen, format).toEqual([9 * 1024 ** 3]);
    expect(codeOf(() => parser.end())).toBe("ERR_TRUNCATED");
    arena.assertDrained();
  }
});

async function packed(build: (archive: ReturnType<typeof pack>) => void): Promise<Buffer> {
  const archive = pack();
  build(archive);
  archive.finalize();
  const pieces: Buffer[] = [];
  for await (const piece of archive) pieces.push(Buffer.from(piece as Uint8Array));
  return Buffer.concat(pieces);
}

describe("an archive of tar-stream", () => {
  test("with every type, long names and big numbers is what its own extract reads", async () => {
    const archive = await packed((each) => {
      each.entry({ name: "file", mtime: new Date(86_400_000), uid: 1000, gid: 2 ** 21 + 1 }, Buffer.from(noise(1300)));
      each.entry({ name: `${"ü/".repeat(90)}long`, mode: 0o600, uname: "me", gname: "us" }, "text");
      each.entry({ name: "dir", type: "directory" });
      each.entry({ name: "sym", type: "symlink", linkname: "x".repeat(140) });
      each.entry({ name: "hard", type: "link", linkname: "file" });
      each.entry({ name: "tty", type: "character-device", devmajor: 4, devminor: 64 });
      each.entry({ name: "disk", type: "block-device", devmajor: 8, devminor: 1 });
      each.entry({ name: "fifo", type: "fifo" });
      each.entry({ name: "last" }, Buffer.from(noise(512)));
    });
    const { given, error } = expectSameAtRandomSplits(tarParser(), archive);
    expect(error).toBeNull();
    expect(given).toHaveLength(9);
    await expectAsTarStream(archive, given);
  });

  test("of random files is what went in, in every split", async () => {
    const file = fc.record({
      name: fc.string({ minLength: 1, maxLength: 300 }),
      bytes: fc.uint8Array({ maxLength: 2000 }),
    });
    const nameable = file.filter(({ name }) => !/[\0/]/.test(name));
    await fc.assert(
      fc.asyncProperty(fc.array(nameable, { maxLength: 4 }), fc.nat(3000), async (files, at) => {
        const archive = await packed((each) => {
          for (const { name, bytes } of files) each.entry({ name }, Buffer.from(bytes));
        });
        const { given, error } = outcomeOf(tarParser(), [archive.subarray(0, at), archive.subarray(at)]);
        expect(error).toBeNull();
        expect(
          (given as Read[]).map(({ entry, bytes }) => ({ name: entry.name, bytes: Uint8Array.from(bytes) })),
        ).toEqual(files);
      }),
      { numRuns: 40 },
    );
  });
});

describe("broken and hostile archives give a typed error at every split, and leak nothing", () => {
  const base256 = (...bytes: number[]): Uint8Array => Uint8Array.from([...Array(12 - bytes.length).fill(0), ...bytes]);
  const huge = base256(0x80, 0, 0, 0, 0x7f, 255, 255, 255, 255, 255, 255, 255);
  const CASES: [string, Uint8Array[], string][] = [
    ["a wrong checksum", [header({ checksum: "000001\0 " })], "ERR_MALFORMED"],
    ["a checksum that is no number", [header({ checksum: "xyz" })], "ERR_MALFORMED"],
    ["a size that is no octal number", [header({ size: "0000000009\0" })], "ERR_MALFORMED"],
    ["a negative size", [header({ size: Uint8Array.from(Array(12).fill(255)) })], "ERR_MALFORMED"],
    ["a size past what a number holds", [header({ size: huge })], "ERR_MALFORMED"],
    ["a long name without an entry", [extension("L", "long"), END], "ERR_MALFORMED"],
    ["a pax record without a length", [extension("x", "path=x\n"), header({})], "ERR_MALFORMED"],
    ["a pax record that is too long", [extension("x", "99 path=x\n"), header({})], "ERR_MALFORMED"],
    ["a pax record that is too short", [extension("x", "3 a=b\n"), header({})], "ERR_MALFORMED"],
    ["a pax record of length 0", [extension("x", "0 a=b\n"), header({})], "ERR_MALFORMED"],
    ["a pax record without a key", [extension("x", "5 =b\n"), header({})], "ERR_MALFORMED"],
    ["a pax size that is no number", [extension("x", record("size", "-1")), header({}), END], "ERR_MALFORMED"],
    ["a pax header over the limit", [extension("x", `2010 path=${"x".repeat(1999)}\n`)], "ERR_LIMIT"],
    [
      "global headers over the limit together",
      Array(3).fill(extension("g", `500 comment=${"x".repeat(487)}\n`)),
      "ERR_LIMIT",
    ],
    ["a file over the limit", [header({ size: "00000010000\0" })], "ERR_LIMIT"],
    ["too many entries", Array(4).fill(header({})), "ERR_LIMIT"],
    ["an extension without an entry", [header({}), extension("L", "long")], "ERR_TRUNCATED"],
    ["no padding behind the last data", [header({ size: 3 }), latin1("abc")], "ERR_TRUNCATED"],
    ["half a header", [header({}).subarray(0, 200)], "ERR_TRUNCATED"],
    ["half of the data", [header({ size: "00000000764\0" }), noise(100)], "ERR_TRUNCATED"],
    ["nothing at all", [], "ERR_TRUNCATED"],
  ];
  test.each(CASES)("%s", (_, parts, code) => {
    const make = tarParser({ maxEntryBytes: 1000, maxExtensionBytes: 1000, maxEntries: 3 });
    expect(expectSameAtEverySplit(make, Buffer.concat(parts), 41).error).toBe(code);
  });

  test("the message says at which byte, wherever the archive is cut", () => {
    const before = [header({ size: 3 }), padded("abc")];
    const CASES: [Uint8Array, string][] = [
      [header({ checksum: "000001\0 " }), "the header at byte 1024 has the checksum"],
      [header({ size: "9" }), "the header at byte 1024 has the size"],
      [extension("x", "9 path=x\n5 =b\n"), "the pax record at byte 1545"],
      [Buffer.concat([extension("x", record("size", "-1")), header({})]), "the entry at byte 2048 has the pax size"],
      [Buffer.concat([extension("L", "long"), END]), "ends at byte 2048"],
      [header({}).subarray(0, 100), "ended after 1124 bytes"],
      [header({ size: 3 }), 'ended after 1536 bytes, in the data of "name"'],
    ];
    for (const [bad, words] of CASES) {
      const archive = Buffer.concat([...before, bad]);
      const whole = messageOf(archive);
      expect(whole).toContain(words);
      for (let at = 0; at < archive.length; at += 97) expect(messageOf(...split(archive, [at])), whole).toBe(whole);
    }
  });

  test("mutated and cut archives end in a typed error or an entry", () => {
    const archive = gnuTar("--format=pax", "--blocking-factor=1", "files/one", "files/symlink");
    expectNoLeakFrom(tarParser({ maxExtensionBytes: 10_000 }), mutated(archive), 200);
    expectNoLeakFrom(tarParser(), fc.uint8Array({ minLength: 400, maxLength: 1500 }), 100);
  });

  test("an empty pax value takes a global one back", () => {
    const parts = [extension("g", "12 uname=me\n"), extension("x", "9 uname=\n"), header({}), header({}), END];
    const { given } = outcomeOf(tarParser(), [Buffer.concat(parts)]);
    expect((given as Read[]).map(({ entry }) => entry.userName)).toEqual(["", "me"]);
  });

  test("data that is skipped is never leased", () => {
    const arena = new Arena();
    const parser = new TarParser(arena, { entry: () => "skip", data: () => {}, entryEnd: () => {} });
    parser.write(gnuTar("--format=ustar", "files/three chunks"));
    parser.end();
    expect(arena.stats().acquired).toBe(0);
  });
});
