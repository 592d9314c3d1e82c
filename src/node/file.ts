/**
 * Files read as leases. Owns the file while it is read, the reads under way and
 * their leases; each lease is the reader's once it was yielded.
 */

import type { PathLike } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import type { Arena } from "../arena.js";
import { chunkLength, requireArena, requireHighWaterMark, requireOptions } from "../checks.js";
import { invalidArgument, throwAll } from "../errors.js";
import { Lease } from "../lease.js";
import { type AbortSignalLike, checkSignal } from "../waiters.js";

const DEFAULT_CHUNK_BYTES = 64 * 1024;

export interface ReadFileOptions {
  /** Bytes in every lease but the last, which has the rest. Default 64 KiB. */
  chunkBytes?: number | undefined;
  /** Bytes read ahead of the one who reads, in whole chunks. Default one chunk; 0 reads only what is asked for. */
  highWaterMark?: number | undefined;
  /** Gives up before the next chunk: throws its reason. */
  signal?: AbortSignalLike | undefined;
}

/**
 * The file's bytes, lease after lease, in order: `for await (using lease of …)`,
 * or with a `lease.release()` at the end of the body. Each is read into without a
 * copy, is exactly as long as what was read, and is yours to release.
 *
 * Leave early and the file is closed, and what was read ahead released. Chunks may
 * be kept while the next are read: only what is read ahead is bounded, by `highWaterMark`.
 *
 * @throws ArenaError `ERR_INVALID_ARGUMENT`, as `arena.acquire`; the signal's
 *   reason; the error of opening, reading or closing the file.
 */
export function readFileLeases(
  path: PathLike,
  arena: Arena,
  options: ReadFileOptions = {},
): AsyncGenerator<Lease, void, undefined> {
  requirePath(path);
  requireArena(arena);
  requireOptions(options);
  const { highWaterMark, signal } = options;
  checkSignal(signal);
  const chunkBytes = chunkLength(options.chunkBytes, DEFAULT_CHUNK_BYTES);
  requireHighWaterMark(highWaterMark);
  const ahead = Math.ceil((highWaterMark ?? chunkBytes) / chunkBytes);
  return leases(path, arena, chunkBytes, ahead, signal);
}

function requirePath(path: PathLike): void {
  if (typeof path === "string" || path instanceof Uint8Array || typeof path?.href === "string") return;
  throw invalidArgument("path", path, "a string, Buffer or URL");
}

async function* leases(
  path: PathLike,
  arena: Arena,
  chunkBytes: number,
  ahead: number,
  signal: AbortSignalLike | undefined,
): AsyncGenerator<Lease, void, undefined> {
  const file = await open(path);
  const queue: Promise<Lease | null>[] = [];
  let last: Promise<Lease | null> | undefined;
  const readNext = async (before: Promise<Lease | null> | undefined): Promise<Lease | null> => {
    if (before !== undefined && (await before) === null) return null;
    if (signal?.aborted) throw signal.reason;
    return readChunk(file, arena, chunkBytes);
  };
  try {
    for (;;) {
      while (queue.length <= ahead) {
        last = readNext(last);
        // Thrown where it is awaited, in order, or not wanted any more.
        last.catch(() => {});
        queue.push(last);
      }
      const lease = await queue.shift();
      if (lease == null) return;
      yield lease;
    }
  } finally {
    const reads = await Promise.allSettled(queue);
    try {
      disposeAll(reads.map((read) => (read.status === "fulfilled" ? read.value : null)));
    } finally {
      await file.close();
    }
  }
}

/** Ends every one of them, also if ending another throws. */
function disposeAll(leases: Iterable<Lease | null>): void {
  const errors: unknown[] = [];
  for (const lease of leases) {
    try {
      lease?.[Symbol.dispose]();
    } catch (error) {
      errors.push(error);
    }
  }
  throwAll(errors, "several leases that were read ahead could not be released");
}

/** A lease of the next `chunkBytes`, or of what is left; `null` at the end. */
async function readChunk(file: FileHandle, arena: Arena, chunkBytes: number): Promise<Lease | null> {
  const lease = arena.acquire(chunkBytes);
  let byteLength = 0;
  try {
    while (byteLength < chunkBytes) {
      const { bytesRead } = await file.read(lease.bytes, byteLength, chunkBytes - byteLength, null);
      if (bytesRead === 0) break;
      byteLength += bytesRead;
    }
    if (byteLength > 0) return Lease.shorten(lease, byteLength);
  } catch (error) {
    lease[Symbol.dispose]();
    throw error;
  }
  lease.release();
  return null;
}
