/** Bytes of others, put into a lease: what they are, and what may have become of them meanwhile. */

import { invalidArgument } from "./errors.js";
import type { Lease } from "./lease.js";

const STILL_ATTACHED = "a view that is still attached: this one was released or transferred";

/**
 * The bytes of any view, without a copy.
 *
 * @throws ArenaError `ERR_INVALID_ARGUMENT` if it is none, or no longer attached.
 */
export function bytesUnder(view: ArrayBufferView): Uint8Array {
  if (view instanceof Uint8Array && view.length > 0) return view;
  if (!ArrayBuffer.isView(view)) throw invalidArgument("bytes", view, "a Uint8Array or another view");
  try {
    return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  } catch {
    throw invalidArgument("bytes", view, STILL_ATTACHED);
  }
}

/**
 * Puts `source` at `offset` of a lease that nobody else has seen. Acquiring it may
 * have revoked what `source` is a view of: then the lease is released.
 *
 * @throws ArenaError `ERR_INVALID_ARGUMENT` if so.
 */
export function copyInto(lease: Lease, source: Uint8Array, offset: number): void {
  const { bytes } = lease;
  try {
    bytes.set(source, offset);
  } catch {
    lease.release();
    throw invalidArgument("bytes", source, STILL_ATTACHED);
  }
}
