/**
 * Archives that other programs make, read beside GNU tar: the same names, byte by byte,
 * and the same content, holes included. Skipped where a program is missing.
 *
 * CLEANSLAB_TARS=folder reads every `.tar` file below that folder as well.
 */

import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { textOf } from "../../examples/tar/text.ts";
import { expectSameAtRandomSplits, latin1, noise, outcomeOf } from "./splits.ts";
import { expanded, messageOf, type Read, readAll, tarParser } from "./tar-archives.ts";

const env = { ...process.env, LC_ALL: "C" };
const hasGnuTar = spawnSync("tar", ["--version"]).stdout?.toString().includes("GNU tar");
const python = spawnSync("python3", ["-c", "import test; print(test.__path__[0])"]);
const hasPython = spawnSync("python3", ["--version"]).status === 0;

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "cleanslab-tars-"));
  const files = join(folder, "files");
  mkdirSync(join(files, "directory"), { recursive: true });
  for (const name of ["caf\xe9", "caf\xe8", "\xef\xbb\xbfmarked", "plain", "directory/inside"]) {
    writeFileSync(Buffer.concat([Buffer.from(`${files}/`), latin1(name)]), noise(700, name.length));
  }
  symlinkSync(latin1("to \xe9") as Buffer, join(files, "symlink"));
  for (const length of [99, 100, 101, 155, 250]) writeFileSync(join(files, "n".repeat(length)), noise(length));
  sparseFile(join(files, "holes"), 60);
  sparseFile(join(files, "one hole"), 1);
  writeFileSync(join(files, "all hole"), "");
  truncateSync(join(files, "all hole"), 300_000);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** `regions` of 4 KiB, with holes before, between and behind them. */
function sparseFile(path: string, regions: number): void {
  const file = openSync(path, "w");
  for (let each = 0; each < regions; each++) writeSync(file, noise(4096, each + 1), 0, 4096, 32_768 * (each + 1));
  closeSync(file);
  truncateSync(path, 32_768 * (regions + 2));
}

function gnuTar(...args: string[]): Buffer {
  // v7 and ustar leave out what they cannot name, and say so by the exit status.
  const { stdout } = spawnSync("tar", ["-C", folder, "--sort=name", "-cf", "-", ...args], { env, maxBuffer: 2 ** 28 });
  return stdout;
}

/** The name of each entry as GNU tar lists it, and size and digest of each file that it extracts. */
function readWithGnuTar(archive: Uint8Array): { names: string[]; files: string[] } {
  const run = (...args: string[]): string[] => {
    const { stdout } = spawnSync("tar", args, { input: archive, env, maxBuffer: 2 ** 28 });
    return stdout.toString("latin1").split("\n").slice(0, -1);
  };
  return {
    names: run("-tPf", "-", "--quoting-style=literal"),
    files: run("-xPf", "-", "-C", folder, '--to-command=echo "$TAR_SIZE $(sha256sum)"'),
  };
}

/** The same of our own reading. */
function readByUs(given: readonly Read[]): { names: string[]; files: string[] } {
  const files = given.filter(({ entry }) => entry.type === "file" || entry.type === "sparse-file").map(expanded);
  return {
    names: given.map(({ entry }) => Buffer.from(entry.rawName).toString("latin1")),
    files: files.map((bytes) => `${bytes.length} ${createHash("sha256").update(bytes).digest("hex")}  -`),
  };
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
  ])("with %s %s %s %s is read as GNU tar reads it, at random splits", (...args) => {
    const archive = gnuTar(...args.filter((arg) => arg !== undefined), "files");
    const { given, error } = expectSameAtRandomSplits(tarParser(), archive, 3);
    expect(error).toBeNull();
    expect(given.length).toBeGreaterThan(9);
    expect(readByUs(given as Read[])).toEqual(readWithGnuTar(archive));
    const names = (given as Read[]).map(({ entry }) => entry.name);
    expect(new Set(names).size).toBe(names.length);
    expect(names).toEqual(expect.arrayContaining(["files/caf\udce9", "files/caf\udce8", "files/\uFEFFmarked"]));
  });

  test("with sparse files has all regions, and stores no holes", () => {
    for (const format of ["gnu", "pax"]) {
      const archive = gnuTar(`--format=${format}`, "-S", "--hole-detection=raw", "files");
      const sparse = readAll(archive).filter(({ entry }) => entry.type === "sparse-file");
      expect(sparse.map(({ entry }) => [entry.name, entry.byteLength, entry.sparse?.regions.length])).toEqual([
        ["files/all hole", 0, 0],
        ["files/holes", 60 * 4096, 60],
        ["files/one hole", 4096, 1],
      ]);
    }
  });

  test("with a label and dumped names says which is which", () => {
    const types = (...args: string[]): string[] =>
      readAll(gnuTar("--format=gnu", ...args, "files/directory")).map(({ entry }) => `${entry.type} ${entry.name}`);
    expect(types("-V", "a label")[0]).toBe("volume-label a label");
    expect(types("-g", "/dev/null")).toEqual(["dumpdir files/directory/", "file files/directory/inside"]);
    const inPax = readAll(gnuTar("--format=pax", "-V", "a label", "files/directory"));
    expect(inPax.map(({ entry }) => textOf(entry.pax.get("GNU.volume.label") ?? latin1("none")))).toEqual(
      Array(2).fill("a label"),
    );
    const [{ bytes }] = readAll(gnuTar("--format=gnu", "-g", "/dev/null", "files/directory")) as [Read];
    expect(bytes.toString()).toBe("Yinside\0\0");
  });

  test("in volumes: the rest of a file is offered as a continuation, and the volume that it began in is cut", () => {
    writeFileSync(join(folder, "big"), noise(30_000));
    const volumes = ["v1", "v2", "v3", "v4"].map((name) => join(folder, name));
    const args = [
      "-C",
      folder,
      "--format=gnu",
      "-c",
      "-M",
      "-L",
      "10",
      ...volumes.map((volume) => `-f${volume}`),
      "big",
    ];
    execFileSync("tar", args, { env });
    expect(outcomeOf(tarParser(), [readFileSync(volumes[0] as string)])).toEqual({ given: [], error: "ERR_TRUNCATED" });
    expect(messageOf(readFileSync(volumes[1] as string))).toContain('in the data of "big"');
    const { entry, bytes } = readAll(readFileSync(volumes.at(-1) as string))[0] as Read;
    expect(entry).toMatchObject({ type: "continuation", name: "big" });
    expect(Buffer.compare(bytes, noise(30_000).subarray(-bytes.length))).toBe(0);
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
    const { given, error } = expectSameAtRandomSplits(tarParser(), archive, 20);
    expect(error).toBeNull();
    expect(given).toHaveLength(6);
    expect(readByUs(given as Read[])).toEqual(readWithGnuTar(archive));
    expect(given.at(-1)).toMatchObject({ entry: { name: "symlink", linkName: "caf\udce9" } });
    const capability = (given as Read[])[0]?.entry.pax.get("SCHILY.xattr.security.capability");
    if (format === "PAX") expect(capability).toEqual(latin1("\x01\0\0\x02\xa5\0\0\0"));
  });
});

/** The archive that Python's own tests read, of many programs and with much that is odd. */
const testtar = ["testtar.tar", "archivetestdata/testtar.tar"]
  .map((name) => join(python.stdout?.toString().trim() ?? "", name))
  .find((path) => python.status === 0 && existsSync(path));

function tarsBelow(root: string): string[] {
  const names = readdirSync(root, { recursive: true, encoding: "utf8" });
  return names.filter((name) => name.endsWith(".tar")).map((name) => join(root, name));
}

const tars = [
  testtar ?? [],
  process.env["CLEANSLAB_TARS"] === undefined ? [] : tarsBelow(process.env["CLEANSLAB_TARS"]),
].flat();
test.skipIf(!hasGnuTar || tars.length === 0).each(tars)("%s is read as GNU tar reads it", (path) => {
  const archive = readFileSync(path);
  expect(readByUs(readAll(archive))).toEqual(readWithGnuTar(archive));
});
