/** What the recipes share: a message in a lease of just its length, whatever the library makes of the room it is given. */

import type { Arena, Lease } from "cleanslab";

/** A view as the `Buffer` that some libraries insist on. No copy. */
export function asBuffer({ buffer, byteOffset, length }: Uint8Array<ArrayBuffer>): Buffer<ArrayBuffer> {
  return Buffer.from(buffer, byteOffset, length);
}

/** A length that was stated is not the length that was written. No lease is left. */
export class EncodedLengthError extends RangeError {
  readonly code = "ERR_ENCODED_LENGTH";

  override get name(): string {
    return "EncodedLengthError";
  }
}

/**
 * Runs `encode` on `capacity` bytes of the arena, which are not zeroed first. It gives
 * the message, written wherever in them; or, if they were too few and the library went
 * over to a buffer of its own, in that. Either way the lease is as long as the message.
 *
 * @throws EncodedLengthError if the message is said to lie in the lease's memory, and not in its bytes.
 */
export function encodeInto(
  arena: Arena,
  capacity: number,
  encode: (bytes: Uint8Array<ArrayBuffer>) => Uint8Array,
): Lease {
  let outgrown: Uint8Array | undefined;
  const lease = arena.acquireFilled(capacity, (bytes) => {
    const message = encode(bytes);
    if (message.buffer !== bytes.buffer) {
      outgrown = message;
      return 0;
    }
    const at = message.byteOffset - bytes.byteOffset;
    if (at < 0 || at + message.length > bytes.length) {
      throw new EncodedLengthError(
        `the encoder was given ${bytes.length} bytes and says that its message is bytes ${at} to ${at + message.length}; check the length it states`,
      );
    }
    if (at > 0) bytes.copyWithin(0, at, at + message.length);
    return message.length;
  });
  if (outgrown === undefined) return lease;
  lease.release();
  return arena.copyOf(outgrown);
}
