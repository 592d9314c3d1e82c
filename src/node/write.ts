/** Writing leases to streams. Owns when a written block may be wiped: not before the stream has done with it. */

import type { Writable } from "node:stream";
import { requireLease, requireLeases } from "../checks.js";
import { invalidArgument } from "../errors.js";
import type { Lease } from "../lease.js";

/**
 * Writes the lease's bytes without a copy and ends the lease: for you at once, its
 * block is wiped and returned when the write is done. For sockets, files, requests
 * and responses, whatever state they are in; a stream that works on a chunk after
 * its callback, or after `'close'`, is out of order and would see zeros.
 *
 * @returns a promise for the write: awaiting it is backpressure. Rejects with the
 *   stream's error if it failed, was destroyed, or closed first (`ERR_STREAM_PREMATURE_CLOSE`);
 *   the block has then been returned as well.
 * @throws ArenaError by rejecting: `ERR_INVALID_ARGUMENT`, and as `lease.bytes` does;
 *   then nothing was written, and the lease, if it is one, has ended as well.
 */
export async function writeAndRelease(stream: Writable, lease: Lease): Promise<void> {
  requireLease(lease);
  const bytes = bytesOrRelease(stream, lease);
  const written = new Promise<void>((resolve, reject) => {
    if (stream.closed) throw prematureClose();
    // Not every stream calls back for what it drops when it is closed.
    const forget = whenClosed(stream, () => reject(prematureClose()));
    const settle = (error?: Error | null): void => {
      forget();
      if (error) reject(error);
      else resolve();
    };
    try {
      stream.write(bytes, settle);
    } catch (error) {
      forget();
      throw error;
    }
  });
  return lease.releaseAfter(written);
}

/**
 * Writes lease after lease, each once the one before it is written, and releases
 * them. Does not end `stream`. If a write fails the rest is not asked for: an
 * iterator is closed by its `return`.
 *
 * @returns a promise for bytes written in all; rejects as `writeAndRelease`, and
 *   with what `leases` throws; with `ERR_INVALID_ARGUMENT`, and nothing asked for, if
 *   one of the two is not what it should be.
 */
export async function pipeLeases(leases: Iterable<Lease> | AsyncIterable<Lease>, stream: Writable): Promise<number> {
  requireLeases(leases);
  requireWritable(stream);
  let byteLength = 0;
  for await (const lease of leases) {
    await writeAndRelease(stream, lease);
    byteLength += lease.byteLength;
  }
  return byteLength;
}

function bytesOrRelease(stream: Writable, lease: Lease): Uint8Array {
  try {
    requireWritable(stream);
    return lease.bytes;
  } catch (error) {
    lease[Symbol.dispose]();
    throw error;
  }
}

function requireWritable(stream: Writable): void {
  if (typeof stream?.write === "function" && typeof stream.once === "function") return;
  throw invalidArgument("stream", stream, "a stream.Writable");
}

/** Who waits for a stream's end: one listener for all, however many writes are under way. */
const waiting = new WeakMap<Writable, Set<() => void>>();

/** @returns what to call when `fn` need not be called any more. */
function whenClosed(stream: Writable, fn: () => void): () => void {
  let all = waiting.get(stream);
  if (all === undefined) {
    const each = new Set<() => void>();
    stream.once("close", () => {
      for (const call of each) call();
    });
    waiting.set(stream, each);
    all = each;
  }
  all.add(fn);
  return () => all.delete(fn);
}

function prematureClose(): Error {
  return Object.assign(new Error("the stream was closed before the write was done"), {
    code: "ERR_STREAM_PREMATURE_CLOSE",
  });
}
