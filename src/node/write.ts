/** Writing leases to streams, one promise each. Owns when a written block may be reused: see completion.ts. */

import type { Writable } from "node:stream";
import { requireLease, requireLeases } from "../checks.js";
import type { AnyLease } from "../lease/lease.js";
import { isTrusted, requireWritable, settled, whenever, writeTo } from "./completion.js";

/** Of an `Arena` or of a `SharedArena`. */
export type Leases = Iterable<AnyLease> | AsyncIterable<AnyLease>;

/**
 * Writes the lease's bytes and ends the lease: for you at once; its block is returned
 * when the write is done. Without a copy, for sockets, files, and HTTP/1 requests and
 * responses that have a socket. Any other stream may use a chunk after it has said that
 * the write is done, and gets a copy; the block is then returned at once.
 *
 * @returns a promise for the write: awaiting it is backpressure. Rejects with the
 *   stream's error if it failed, was destroyed, or closed first (`ERR_STREAM_PREMATURE_CLOSE`);
 *   the block has then been returned as well, and the stream's `'error'` needs no listener.
 *   If `write` was replaced, as middleware does, or is a request's in its agent's queue, the
 *   promise is for handing over the copy.
 * @throws ArenaError by rejecting: `ERR_INVALID_ARGUMENT`, and as `lease.bytes` does;
 *   then nothing was written, and the lease, if it is one, has ended as well.
 */
export async function writeAndRelease(stream: Writable, lease: AnyLease): Promise<void> {
  requireLease(lease);
  let copy: Uint8Array;
  try {
    requireWritable(stream);
    if (isTrusted(stream)) return lease.releaseAfter(written(stream, lease.bytes));
    copy = lease.copy();
  } finally {
    lease[Symbol.dispose]();
  }
  return written(stream, copy);
}

/**
 * Writes lease after lease, each once the one before it is written, and releases
 * them. Does not end `stream`. If a write fails the rest is not asked for: an
 * iterator is closed by its `return`.
 *
 * @returns a promise for bytes written in all; rejects as `writeAndRelease`, and
 *   with what `leases` throws; with `ERR_INVALID_ARGUMENT` before anything is asked for.
 */
export async function pipeLeases(leases: Leases, stream: Writable): Promise<number> {
  requireLeases(leases);
  requireWritable(stream);
  const errors: unknown[] = [];
  const forgetError = whenever("error", stream, (error) => errors.push(error));
  let byteLength = 0;
  try {
    for await (const lease of leases) {
      await writeAndRelease(stream, lease);
      byteLength += lease.byteLength;
    }
    // Between two writes, or after the last.
    if (errors.length > 0) throw errors[0];
    return byteLength;
  } finally {
    forgetError();
  }
}

function written(stream: Writable, bytes: Uint8Array): Promise<void> {
  return settled(stream, "the write was done", (done) => void writeTo(stream, bytes, done));
}
