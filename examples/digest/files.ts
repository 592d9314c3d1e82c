/**
 * Finds the files: every regular file under a folder, in path order. Follows no
 * symbolic link and opens nothing. Knows nothing of buffers or digests.
 */

import type { Dirent, Stats } from "node:fs";
import { lstat, readdir, stat } from "node:fs/promises";
import { join, sep } from "node:path";

/** What one run takes on at most, so that it ends in time and in memory on any folder. */
export const LIMITS = {
  fileCount: 50_000,
  totalBytes: 4 * 1024 ** 3,
  /** Of one file: each is read into one buffer of its own length. */
  fileBytes: 1024 ** 3,
  searchMs: 10_000,
} as const;

/** Files lstat'ed at once. */
const STAT_BATCH = 64;

/** Parallel columns: a list of this length crosses to another process as three values. */
export interface FileList {
  /** Relative to the folder. */
  readonly paths: readonly string[];
  readonly byteLengths: Float64Array;
  /** Time of the last change, by which a file that changed while this ran is known. */
  readonly changeTimesMs: Float64Array;
}

export interface FoundFiles {
  readonly list: FileList;
  /** What was left out and why, a line each. */
  readonly leftOut: readonly string[];
}

/** Bad input: the message says what, which path, and what to do. */
export class InputError extends Error {}

/** @throws InputError if `folder` is missing, no folder, unreadable or without files. */
export async function findFiles(folder: string): Promise<FoundFiles> {
  const entries = await readRoot(folder);
  const search = new Search(folder);
  await search.walk("", entries);
  const leftOut = search.leftOut();
  if (search.found.length === 0) {
    const why = leftOut.length === 0 ? "" : ` (${leftOut.join("; ")})`;
    throw new InputError(`no file to read under ${folder}${why}; name a folder with regular files in it`);
  }
  return { list: toList(search.found), leftOut };
}

/** The files whose index `keep` says yes to. */
export function selectFiles(list: FileList, keep: (index: number) => boolean): FileList {
  const kept: FoundFile[] = [];
  for (const [index, path] of list.paths.entries()) {
    if (keep(index)) kept.push([path, list.byteLengths[index] as number, list.changeTimesMs[index] as number]);
  }
  return toList(kept);
}

type FoundFile = readonly [path: string, byteLength: number, changeTimeMs: number];

function toList(files: readonly FoundFile[]): FileList {
  return {
    paths: files.map(([path]) => path),
    byteLengths: Float64Array.from(files, ([, byteLength]) => byteLength),
    changeTimesMs: Float64Array.from(files, ([, , changeTimeMs]) => changeTimeMs),
  };
}

async function readRoot(folder: string): Promise<Dirent[]> {
  try {
    // stat: the folder itself may be named by a symbolic link.
    if (!(await stat(folder)).isDirectory()) {
      throw new InputError(`not a folder: ${folder}; name the folder that holds the files`);
    }
    return await readdir(folder, { withFileTypes: true });
  } catch (error) {
    if (error instanceof InputError) throw error;
    const code = systemErrorCode(error);
    if (code === "ENOENT") throw new InputError(`no such folder: ${folder}; check the path`);
    if (code === "EACCES" || code === "EPERM") {
      throw new InputError(`folder can't be read: ${folder} (${code}); check its permissions`);
    }
    throw new InputError(`folder can't be read: ${folder} (${code})`);
  }
}

/** The code of an error that came from the operating system; throws any other. */
export function systemErrorCode(error: unknown): string {
  if (error instanceof Error && "syscall" in error && "code" in error) return String(error.code);
  throw error;
}

class Search {
  readonly found: FoundFile[] = [];
  readonly #folder: string;
  readonly #deadlineMs = performance.now() + LIMITS.searchMs;
  #totalBytes = 0;
  #unreadable = 0;
  #tooLong = 0;
  #stoppedAt: string | null = null;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async walk(path: string, entries: Dirent[]): Promise<void> {
    // By code units, whatever the locale: every run sees the same order.
    entries.sort((a, b) => (a.name < b.name ? -1 : 1));
    for (let at = 0; at < entries.length && this.#stoppedAt === null; at += STAT_BATCH) {
      const batch = entries.slice(at, at + STAT_BATCH);
      const stats = await Promise.all(batch.map((entry) => this.#statFile(join(path, entry.name), entry)));
      for (const [index, entry] of batch.entries()) {
        const childPath = join(path, entry.name);
        if (entry.isDirectory()) await this.#walkInto(childPath);
        else this.#add(childPath, stats[index] ?? null);
        if (this.#stoppedAt !== null) return;
      }
    }
  }

  leftOut(): string[] {
    const lines: string[] = [];
    if (this.#stoppedAt !== null) lines.push(`${this.#stoppedAt}: whatever comes after in path order`);
    if (this.#tooLong > 0) lines.push(`${this.#tooLong} files longer than ${LIMITS.fileBytes / 1024 ** 3} GiB`);
    if (this.#unreadable > 0) lines.push(`${this.#unreadable} files or folders that can't be read`);
    return lines;
  }

  async #walkInto(path: string): Promise<void> {
    let entries: Dirent[];
    try {
      entries = await readdir(join(this.#folder, path), { withFileTypes: true });
    } catch (error) {
      systemErrorCode(error);
      this.#unreadable++;
      return;
    }
    await this.walk(path, entries);
  }

  async #statFile(path: string, entry: Dirent): Promise<Stats | null> {
    if (!entry.isFile()) return null;
    try {
      return await lstat(join(this.#folder, path));
    } catch (error) {
      systemErrorCode(error);
      this.#unreadable++;
      return null;
    }
  }

  #add(path: string, stats: Stats | null): void {
    if (stats === null || !stats.isFile()) return;
    if (stats.size > LIMITS.fileBytes) {
      this.#tooLong++;
      return;
    }
    if (this.found.length === LIMITS.fileCount) this.#stoppedAt = `stopped at ${LIMITS.fileCount} files`;
    else if (this.#totalBytes + stats.size > LIMITS.totalBytes) this.#stoppedAt = "stopped at 4 GiB";
    else if (performance.now() > this.#deadlineMs) this.#stoppedAt = "stopped after 10 s of searching";
    if (this.#stoppedAt !== null) return;
    this.#totalBytes += stats.size;
    // One kind of slash: the digest over all paths is the same on every system.
    this.found.push([path.split(sep).join("/"), stats.size, stats.ctimeMs]);
  }
}
