/**
 * Archives that other programs make, read beside GNU tar and tar-stream: the same names, byte by
 * byte, the same content, holes included, and the same of all else. Skipped where a program is missing.
 *
 * CLEANSLAB_TARS=folder reads every `.tar` file below that folder as well.
 */

import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  closeSync,
  existsSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import fc from "fast-check";
import { extract, pack } from "tar-stream";
import { beforeAll, describe, expect, test } from "vitest";
import { CHUNK_BYTES } from "../../examples/tar/parser.ts";
import { pattern, temporaryFolder } from "../node/helpers.ts";
import { seed } from "../seeded.ts";
import {
  entriesOf,
  expanded,
  latin1,
  outcomeOf,
  type Read,
  readAtRandomSplits,
  splitAtShares,
  tarParser,
} from "./helpers.ts";

const env = { ...process.env, LC_ALL: "C" };
const hasGnuTar = spawnSync("tar", ["--version"]).stdout?.toString().includes("GNU tar");
const hasPython = spawnSync("python3", ["--version"]).status === 0;

const LONG = `${"directory/".repeat(15)}${"n".repeat(150)}`;
/** By name in Latin-1, how many bytes. */
const FILES: Record<string, number> = {
  "caf\xe9": 700,
  "caf\xe8": 701,
  "\xef\xbb\xbfmarked": 702,
  "directory/inside": 3,
  empty: 0,
  one: 1,
  block: 512,
  "block and one": 513,
  "three chunks": 3 * CHUNK_BYTES,
  "three chunks and a bit": 3 * CHUNK_BYTES + 100,
  [LONG]: 300,
  ...Object.fromEntries([99, 100, 101, 155, 250].map((length) => ["n".repeat(length), length])),
};

const folder = temporaryFolder();
beforeAll(() => {
  const files = join(folder, "files");
  for (const [name, byteLength] of Object.entries(FILES)) {
    mkdirSync(dirname(join(files, name)), { recursive: true });
    writeFileSync(Buffer.concat([Buffer.from(`${files}/`), latin1(name)]), pattern(byteLength, byteLength));
  }
  chmodSync(join(files, "one"), 0o4751);
  utimesSync(join(files, "one"), 1, 1.25);
  symlinkSync(latin1("to \xe9") as Buffer, join(files, "symlink"));
  symlinkSync(`${"far/".repeat(40)}away`, join(files, "long symlink"));
  linkSync(join(files, "block"), join(files, "zzz link"));
  // Regions of 4 KiB, with holes before, between and behind them.
  for (const regions of [0, 1, 60]) {
    const path = join(files, `holes around ${regions}`);
    writeFileSync(path, "");
    truncateSync(path, 32_768 * (regions + 2));
    const file = openSync(path, "r+");
    for (let each = 1; each <= regions; each++) writeSync(file, pattern(4096, each), 0, 4096, 32_768 * each);
    closeSync(file);
  }
});

function gnuTar(...args: string[]): Buffer {
  // v7 and ustar leave out what they cannot name, and say so by the exit status.
  return spawnSync("tar", ["-C", folder, "--sort=name", "-cf", "-", ...args], { env, maxBuffer: 2 ** 28 }).stdout;
}

/** The names that GNU tar lists, and size and digest of each file that it extracts, are ours. */
function expectAsGnuTar(archive: Uint8Array, given: readonly Read[]): void {
  const run = (...args: string[]): string[] => {
    const { stdout } = spawnSync("tar", args, { input: archive, env, maxBuffer: 2 ** 28 });
    return stdout.toString("latin1").split("\n").slice(0, -1);
  };
  const names = given.map(({ entry }) => Buffer.from(entry.rawName).toString("latin1"));
  const files = given.filter(({ entry }) => entry.type === "file" || entry.type === "sparse-file").map(expanded);
  const digests = files.map((file) => `${file.length} ${createHash("sha256").update(file).digest("hex")}  -`);
  expect(names).toEqual(run("-tPf", "-", "--quoting-style=literal"));
  expect(digests).toEqual(run("-xPf", "-", "-C", folder, '--to-command=echo "$TAR_SIZE $(sha256sum)"'));
}

/** Both have the same to say of every entry; tar-stream's names are lossy. */
async function expectAsTarStream(archive: Uint8Array, given: readonly Read[]): Promise<void> {
  const ours = given.map(({ entry, bytes }) => ({
    ...{ name: Buffer.from(entry.rawName).toString(), linkname: Buffer.from(entry.rawLinkName).toString() || null },
    ...{ type: entry.type, size: entry.byteLength, mode: entry.mode & 0o7777, mtime: Math.floor(entry.mtime) },
    ...{ uid: entry.uid, gid: entry.gid, uname: entry.userName, gname: entry.groupName },
    ...{ devmajor: entry.major, devminor: entry.minor },
    bytes: createHash("sha256").update(bytes).digest("hex"),
  }));
  const theirs: unknown[] = [];
  const reader = extract();
  reader.end(archive);
  for await (const entry of reader) {
    const hash = createHash("sha256");
    for await (const piece of entry) hash.update(piece as Uint8Array);
    const mtime = Math.floor(Number(entry.header.mtime) / 1000);
    theirs.push({ ...entry.header, mtime, bytes: hash.digest("hex") });
  }
  expect(theirs).toMatchObject(ours);
}

describe.skipIf(!hasGnuTar)("an archive of GNU tar", () => {
  test.each([
    ["--format=v7"],
    ["--format=ustar"],
    ["--format=oldgnu"],
    ["--format=gnu"],
    ["--format=pax"],
    ["--format=gnu", "-S", "--hole-detection=raw"],
    ["--format=pax", "-S", "--hole-detection=raw", "--sparse-version=0.0"],
    ["--format=pax", "-S", "--hole-detection=raw", "--sparse-version=0.1"],
    ["--format=pax", "-S", "--hole-detection=raw", "--sparse-version=1.0"],
    ["--format=gnu", "-V", "a label"],
    ["--format=gnu", "-g", "/dev/null"],
    ["--format=pax", "-g", "/dev/null"],
    ["--format=pax", "--pax-option=globexthdr.name=g,comment=c,mtime=5"],
  ])("with %s %s %s %s is read as GNU tar and tar-stream read it, at random splits", async (format, ...args) => {
    const archive = gnuTar(format, ...args.filter((arg) => arg !== undefined), "files");
    const { given, error } = readAtRandomSplits(tarParser(), archive, 3) as { given: Read[]; error: null };
    expect(error).toBeNull();
    expect(given.length).toBeGreaterThan(9);
    expectAsGnuTar(archive, given);
    // It reads no v7, and knows none of the other options.
    if (args[0] === undefined && format !== "--format=v7") await expectAsTarStream(archive, given);
    const names = given.map(({ entry }) => entry.name);
    expect(new Set(names).size).toBe(names.length);
    expect(names).toEqual(expect.arrayContaining(["files/caf\udce9", "files/caf\udce8", "files/\uFEFFmarked"]));
    if (format === "--format=pax" && args[0] === undefined) {
      const one = given.find(({ entry }) => entry.name === "files/one")?.entry;
      expect([one?.mtime, one?.format, one?.pax.has("atime")]).toEqual([1.25, "pax", true]);
    }
  });
});

describe.skipIf(!hasGnuTar || !hasPython)("an archive of Python", () => {
  test.each(["USTAR", "GNU", "PAX"])("in %s format is read as GNU tar reads it", (format) => {
    const program = `
import tarfile, io, sys
archive = tarfile.open(fileobj=sys.stdout.buffer, mode="w|", format=tarfile.${format}_FORMAT)
def add(name, type=tarfile.REGTYPE, **fields):
    entry = tarfile.TarInfo(name.decode("utf8", "surrogateescape"))
    entry.type, entry.size = type, 3 if type == tarfile.REGTYPE else 0
    for key, value in fields.items(): setattr(entry, key, value)
    archive.addfile(entry, io.BytesIO(b"abc"))
capability = b"\\1\\0\\0\\2\\xa5\\0\\0\\0".decode("utf8", "surrogateescape")
add(b"first", pax_headers={"SCHILY.xattr.security.capability": capability, "comment": ""})
add(b"caf\\xe9")
add(b"caf\\xe8" + b"/d" * 45, mtime=1.5)
add("naïve".encode())
add(b"directory", tarfile.DIRTYPE)
add(b"symlink", tarfile.SYMTYPE, linkname="caf\\udce9")
archive.close()`;
    const archive = execFileSync("python3", ["-c", program]);
    const { given } = readAtRandomSplits(tarParser(), archive, 20) as { given: Read[] };
    expect(given).toHaveLength(6);
    expectAsGnuTar(archive, given);
    expect(given.at(-1)).toMatchObject({ entry: { name: "symlink", linkName: "caf\udce9" } });
    const capability = given[0]?.entry.pax.get("SCHILY.xattr.security.capability");
    if (format === "PAX") expect(capability).toEqual(latin1("\x01\0\0\x02\xa5\0\0\0"));
  });
});

test("random entries of every type that tar-stream makes are what its own extract reads, at a random split", async () => {
  const name = fc.string({ unit: "grapheme", minLength: 1, maxLength: 250 }).filter((each) => !/[\0/]/.test(each));
  const type = fc.constantFrom("directory", "symlink", "link", "character-device", "block-device", "fifo", "file");
  const id = fc.constantFrom(0, 1000, 2 ** 21 + 1);
  const time = fc.constantFrom(0, 1, 86_400);
  const byteLength = fc.constantFrom(0, 1, 511, 512, 513, CHUNK_BYTES, CHUNK_BYTES + 1);
  const entries = fc.array(fc.tuple(name, type, id, time, byteLength), { maxLength: 5 });
  const property = fc.asyncProperty(entries, fc.double({ min: 0, max: 1, noNaN: true }), async (all, cut) => {
    const archive = pack();
    for (const [each, kind, uid, mtime, length] of all) {
      const header = { name: each, type: kind, uid, gid: uid, mtime: new Date(mtime * 1000), linkname: `to ${each}` };
      archive.entry({ ...header, devmajor: 4, devminor: 64 }, Buffer.from(pattern(kind === "file" ? length : 0)));
    }
    archive.finalize();
    const pieces: Buffer[] = [];
    for await (const piece of archive) pieces.push(Buffer.from(piece as Uint8Array));
    const bytes = Buffer.concat(pieces);
    const { given, error } = outcomeOf(tarParser(), splitAtShares(bytes, [cut]));
    expect([given.length, error]).toEqual([all.length, null]);
    await expectAsTarStream(bytes, given as Read[]);
  });
  await fc.assert(property, { seed, numRuns: 100 });
});

/** The archive that Python's own tests read, of many programs and with much that is odd; and those of the caller. */
const python = spawnSync("python3", ["-c", "import test; print(test.__path__[0])"]);
const tars = ["testtar.tar", "archivetestdata/testtar.tar"]
  .map((name) => join(python.stdout?.toString().trim() ?? "", name))
  .filter((path) => python.status === 0 && existsSync(path));
const root = process.env["CLEANSLAB_TARS"];
if (root !== undefined) {
  const names = readdirSync(root, { recursive: true, encoding: "utf8" });
  tars.push(...names.filter((name) => name.endsWith(".tar")).map((name) => join(root, name)));
}
test.skipIf(!hasGnuTar || tars.length === 0).each(tars)("%s is read as GNU tar reads it", (path) => {
  const archive = readFileSync(path);
  expectAsGnuTar(archive, entriesOf(archive));
});
