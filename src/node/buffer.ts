/** A lease's bytes with Node's methods. */

import type { Lease } from "../lease.js";

/**
 * A `Buffer` over the lease's bytes, without a copy. Ends with the lease, like
 * `bytes`; its `buffer` is the whole segment.
 *
 * @throws ArenaError as `lease.bytes` does.
 */
export function bufferOf(lease: Lease): Buffer<ArrayBuffer> {
  const { buffer, byteOffset, length } = lease.bytes;
  return Buffer.from(buffer, byteOffset, length);
}
