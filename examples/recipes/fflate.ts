/** fflate: inflates into a lease whose length must be known. */

import type { Arena, Lease } from "cleanslab";
import { inflateSync } from "fflate";
import { EncodedLengthError } from "./encoded.ts";

/**
 * @param byteLength of the inflated data, from the container's header or your own.
 * @throws EncodedLengthError if the data has another length. fflate itself would cut it off without a word.
 */
export function inflateInto(arena: Arena, deflated: Uint8Array, byteLength: number): Lease {
  // One byte more than there should be: filled, it shows that there was more.
  return arena.acquireFilled(byteLength + 1, (bytes) => {
    const inflated = inflateSync(deflated, { out: bytes });
    if (inflated.length === byteLength) return byteLength;
    const found = inflated.length > byteLength ? "more" : inflated.length;
    throw new EncodedLengthError(`the data inflates to ${found} bytes, where ${byteLength} were announced`);
  });
}
