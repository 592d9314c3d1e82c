/** Writing leases to streams of the web platform, which keep what they are given. */

import { requireLease } from "../checks.js";
import { invalidArgument } from "../errors.js";
import type { AnyLease } from "../lease/lease.js";

/** The part of a `WritableStreamDefaultWriter` that is used. */
export interface WriterLike {
  write(bytes: Uint8Array<ArrayBuffer>): Promise<unknown>;
}

/**
 * Writes a copy of the lease's bytes and ends the lease at once. A web stream may
 * settle `write` before it has read the bytes, as `CompressionStream`,
 * `Writable.toWeb` and `TransformStream` do, so without a copy it would read the next
 * lease's bytes.
 *
 * @returns a promise for the write: awaiting it is backpressure. Rejects with the
 *   stream's error, and with an ArenaError `ERR_INVALID_ARGUMENT` if `writer` is none;
 *   the lease, if it is one, has ended as well.
 */
export async function writeAndRelease(writer: WriterLike, lease: AnyLease): Promise<void> {
  requireLease(lease);
  let copy: Uint8Array<ArrayBuffer>;
  try {
    if (typeof writer?.write !== "function") {
      throw invalidArgument("writer", writer, "a writer: what stream.getWriter() returns");
    }
    copy = lease.copy();
  } finally {
    lease[Symbol.dispose]();
  }
  await writer.write(copy);
}
