/** Writing leases to streams, one promise each. Owns when a written block may be reused: see completion.ts. */

import type { Writable } from "node:stream";
import { requireLease, requireLeases } from "../checks.js";
import type { Lease } from "../lease/lease.js";
import { isTrusted, prematureClose, requireWritable } from "./completion.js";

/**
 * Writes the lease's bytes and ends the lease: for you at once; its block is returned
 * when the write is done. Without a copy, for sockets, files, requests and responses,
 * in whatever state they are. A stream whose completion cannot be trusted (its `write`
 * was replaced, or it is a request without a socket) gets a copy, and the block is
 * returned at once. For loops, `LeaseSink` does the same without a promise per write.
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
  if (!isTrusted(stream)) return writeCopy(stream, lease);
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

/** Waits for `'drain'` where the stream asks for it; a request in a queue has nobody to ask. */
function writeCopy(stream: Writable, lease: Lease): Promise<void> {
  const copy = lease.copy();
  lease.release();
  if (stream.closed || stream.destroyed) return Promise.reject(prematureClose());
  const { socket } = stream as Writable & { socket?: object | null };
  if (stream.write(copy) || socket === null) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const forget = whenClosed(stream, () => {
      stream.off("drain", drained);
      reject(prematureClose());
    });
    const drained = (): void => {
      forget();
      resolve();
    };
    stream.once("drain", drained);
  });
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

/** What is called when a stream closes: one listener for all, however many writes are under way. */
const closing = new WeakMap<Writable, Set<() => void>>();

/** @returns what to call when `fn` need not be called any more. */
function whenClosed(stream: Writable, fn: () => void): () => void {
  let all = closing.get(stream);
  if (all === undefined) {
    const each = new Set<() => void>();
    stream.once("close", () => {
      for (const call of each) call();
    });
    closing.set(stream, each);
    all = each;
  }
  all.add(fn);
  return () => all.delete(fn);
}
