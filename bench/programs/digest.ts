/**
 * `digest`: the files of a folder, each read whole and hashed (sha-256), sixteen at a time.
 * The folder is that of `CLEANSLAB_DIGEST`, or node_modules.
 */

import { createHash } from "node:crypto";
import { type Dirent, lstatSync, readdirSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { Arena, type RevokeMode } from "cleanslab";
import { eachOf, type Figures, type JobProgram, leases, ordinary } from "./program.ts";

/** So that it ends in time on any folder. */
const MOST_FILES = 20_000;
const MOST_BYTES = 2 ** 30;
/** Read in all, more or less: a few files are read again and again. */
const WANTED_BYTES = 2 ** 28;
const MOST_PASSES = 50;
const AT_ONCE = 16;
const CHECKSUM_BYTES = 6;

export interface FoundFile {
  /** From the folder. */
  readonly path: string;
  readonly byteLength: number;
}

/**
 * Regular files under `folder` in the order of their paths. No link is followed; what cannot
 * be read, and what comes after the limits, is left out.
 *
 * @throws the system's error if `folder` itself cannot be read.
 */
export function filesUnder(folder: string): FoundFile[] {
  const found: FoundFile[] = [];
  let totalBytes = 0;
  const walk = (under: string, entries: Dirent[]): void => {
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const path = join(under, entry.name);
      try {
        if (entry.isDirectory()) walk(path, readdirSync(join(folder, path), { withFileTypes: true }));
        if (!entry.isFile()) continue;
        const { size } = lstatSync(join(folder, path));
        if (found.length >= MOST_FILES || totalBytes + size > MOST_BYTES) continue;
        totalBytes += size;
        found.push({ path, byteLength: size });
      } catch {
        // Gone, or not ours to read.
      }
    }
  };
  walk("", readdirSync(folder, { withFileTypes: true }));
  return found;
}

/** Gives bytes of a file's beginning to `look`, and takes them back. */
type Reader = (file: FileHandle, byteLength: number, look: (bytes: Uint8Array) => void) => Promise<void>;

/** Answers how many bytes there were. */
async function readInto(file: FileHandle, bytes: Uint8Array): Promise<number> {
  let filled = 0;
  while (filled < bytes.length) {
    const { bytesRead } = await file.read(bytes, filled, bytes.length - filled, filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return filled;
}

function collected(allocate: (byteLength: number) => Uint8Array): Reader {
  return async (file, byteLength, look) => {
    const bytes = allocate(byteLength);
    look(bytes.subarray(0, await readInto(file, bytes)));
  };
}

function leased(revoke: RevokeMode): Reader {
  const arena = new Arena({ revoke, trace: "off" });
  return async (file, byteLength, look) => {
    const lease = await arena.acquireFilled(byteLength, (bytes) => readInto(file, bytes));
    look(lease.bytes);
    lease.release();
  };
}

function readerOf(variant: string): Reader {
  if (variant === "new Uint8Array") return collected((byteLength) => new Uint8Array(byteLength));
  if (variant === "allocUnsafe") return collected((byteLength) => Buffer.allocUnsafe(byteLength));
  return leased(variant as RevokeMode);
}

async function work(variant: string): Promise<Figures> {
  const folder = process.env["CLEANSLAB_DIGEST"] ?? "node_modules";
  const files = filesUnder(folder).filter(({ byteLength }) => byteLength > 0);
  const read = readerOf(variant);
  let checksum = 0;
  const digestOf = async ({ path, byteLength }: FoundFile): Promise<void> => {
    const file = await open(join(folder, path));
    try {
      await read(file, byteLength, (bytes) => {
        const digest = createHash("sha256").update(path).update(bytes).digest();
        checksum = (checksum + digest.readUIntBE(0, CHECKSUM_BYTES)) % 256 ** CHECKSUM_BYTES;
      });
    } finally {
      await file.close();
    }
  };
  const totalBytes = files.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const passes = Math.min(MOST_PASSES, Math.ceil(WANTED_BYTES / totalBytes));
  const readings = files.length * passes;
  await eachOf(readings, AT_ONCE, (each) => digestOf(files[each % files.length] as FoundFile));
  return { operations: readings, checksum };
}

export const digest: JobProgram = {
  name: "digest",
  title: "The files of a folder read whole and hashed, sixteen at a time",
  variants: [
    ordinary("new Uint8Array"),
    ordinary("allocUnsafe"),
    leases("before-reuse"),
    leases("on-release"),
    leases("never"),
  ],
  work,
};
