/** A lease's bytes with Node's methods. */

import { requireLease } from "../checks.js";
import type { Lease } from "../lease/lease.js";

/**
 * A `Buffer` over the lease's bytes, without a copy. Ends with the lease, like
 * `bytes`; its `buffer` is the whole segment.
 *
 * @throws ArenaError `ERR_INVALID_ARGUMENT`, and as `lease.bytes` does.
 */
export function bufferOf<B extends ArrayBufferLike>(lease: Lease<B>): Buffer<B> {
  requireLease(lease);
  const { buffer, byteOffset, length } = lease.bytes;
  return Buffer.from(buffer, byteOffset, length) as Buffer<B>;
}
