/** What the recipes share: a message inside a lease, and the way out when the lease was too short. */

import type { Arena, Lease } from "cleanslab";

export interface Encoded {
  /** The caller's to release, once nobody reads `bytes` any more. */
  readonly lease: Lease;
  /** The message: the part of the lease that was used. Ends with the lease. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** A view as the `Buffer` that some libraries insist on. No copy. */
export function asBuffer({ buffer, byteOffset, length }: Uint8Array<ArrayBuffer>): Buffer<ArrayBuffer> {
  return Buffer.from(buffer, byteOffset, length);
}

/**
 * Runs `encode` on a lease of `capacity` bytes. It gives the message: if that is
 * not in the lease, because the library went over to a buffer of its own, it is copied into one that fits.
 */
export function encodeInto(arena: Arena, capacity: number, encode: (lease: Lease) => Uint8Array): Encoded {
  const lease = arena.acquire(capacity);
  try {
    const message = encode(lease);
    const { buffer, byteOffset } = lease.bytes;
    if (message.buffer === buffer) {
      return {
        lease,
        bytes: lease.bytes.subarray(message.byteOffset - byteOffset, message.byteOffset - byteOffset + message.length),
      };
    }
    const longer = arena.copyOf(message);
    lease.release();
    return { lease: longer, bytes: longer.bytes };
  } catch (error) {
    lease[Symbol.dispose]();
    throw error;
  }
}
