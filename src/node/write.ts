/** Writing leases to streams. Owns when a written block may be wiped: not before the stream has done with it. */

import type { Writable } from "node:stream";
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
 * @throws ArenaError by rejecting: as `lease.bytes` does; then nothing was written,
 *   and the lease has ended as well.
 */
export async function writeAndRelease(stream: Writable, lease: Lease): Promise<void> {
  const bytes = bytesOrRelease(lease);
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
 *   with what `leases` throws.
 */
export async function pipeLeases(leases: Iterable<Lease> | AsyncIterable<Lease>, stream: Writable): Promise<number> {
  let byteLength = 0;
  for await (const lease of leases) {
    byteLength += lease.byteLength;
    await writeAndRelease(stream, lease);
  }
  return byteLength;
}

function bytesOrRelease(lease: Lease): Uint8Array {
  try {
    return lease.bytes;
  } catch (error) {
    lease[Symbol.dispose]();
    throw error;
  }
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
