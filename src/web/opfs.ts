/**
 * Files of the origin private file system, in a worker, through their synchronous
 * access handle: the one part of the web platform that reads straight into a lease.
 */

import type { Arena } from "../arena.js";
import { chunkLength, isLength, isThenable, requireArena, requireLease, requireOptions } from "../checks.js";
import { invalidArgument } from "../errors.js";
import type { AnyLease, Lease } from "../lease/lease.js";

/** What is used of a `FileSystemSyncAccessHandle`. */
export interface AccessHandleLike {
  read(bytes: Uint8Array<ArrayBuffer>, options?: { at?: number }): number;
  write(bytes: Uint8Array<ArrayBufferLike>, options?: { at?: number }): number;
}

/**
 * The file's bytes from its start, lease after lease, read into without a copy:
 * `for (using lease of …)`. Each has `chunkBytes` bytes (default 64 KiB) but the
 * last, and is yours to release. The handle stays yours and open.
 *
 * @throws ArenaError `ERR_INVALID_ARGUMENT`, also where there is no such handle (it
 *   exists in workers only) and where the handle does not answer with a number of bytes;
 *   as `arena.acquire`; the handle's own error.
 */
export function readAccessHandle(
  handle: AccessHandleLike,
  arena: Arena,
  options: { chunkBytes?: number | undefined } = {},
): Generator<Lease, void, undefined> {
  requireHandle(handle);
  requireArena(arena);
  requireOptions(options, ["chunkBytes"]);
  return leases(handle, arena, chunkLength(options.chunkBytes));
}

/**
 * Writes the lease's bytes without a copy, and releases it whatever happens.
 *
 * @param at bytes from the file's start.
 * @returns the offset behind what was written.
 * @throws ArenaError `ERR_INVALID_ARGUMENT` (the lease is then still yours, but where the
 *   handle does not answer with a number of bytes it took); as `lease.bytes`; the handle's own error, for instance when the quota is reached.
 */
export function writeAccessHandle(handle: AccessHandleLike, lease: AnyLease, at = 0): number {
  requireHandle(handle);
  requireLease(lease);
  if (!isLength(at)) throw invalidArgument("at", at, "a whole number of bytes from the file's start");
  try {
    const { bytes } = lease;
    let written = 0;
    while (written < bytes.length) {
      const rest = bytes.subarray(written);
      const taken = countOf("write", handle.write(rest, { at: at + written }), rest.length, lease);
      if (taken === 0) throw new Error(`the handle took 0 of ${rest.length} bytes and did not say why`);
      written += taken;
    }
    return at + written;
  } finally {
    lease[Symbol.dispose]();
  }
}

function* leases(handle: AccessHandleLike, arena: Arena, chunkBytes: number): Generator<Lease, void, undefined> {
  for (let at = 0; ; ) {
    const lease = arena.acquire(chunkBytes);
    let byteLength = 0;
    try {
      byteLength = countOf("read", handle.read(lease.bytes, { at }), chunkBytes, lease);
    } finally {
      if (byteLength === 0) lease[Symbol.dispose]();
    }
    if (byteLength === 0) return;
    at += byteLength;
    lease.resize(byteLength);
    yield lease;
  }
}

/** A handle of another kind answers with a promise, and uses the bytes until that settles. */
function countOf(method: string, answer: unknown, most: number, lease: AnyLease): number {
  if (isLength(answer) && answer <= most) return answer;
  if (isThenable(answer)) lease.releaseAfter(answer).catch(() => {});
  throw invalidArgument(
    `what handle.${method} answered`,
    answer,
    `the handle that a worker's createSyncAccessHandle makes: it answers with a number, here up to ${most}`,
  );
}

function requireHandle(handle: AccessHandleLike): void {
  if (typeof handle?.read === "function" && typeof handle.write === "function") return;
  throw invalidArgument("handle", handle, "a FileSystemSyncAccessHandle, which only workers can create");
}
