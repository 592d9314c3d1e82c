/**
 * Leases that are written before anyone sees them, so that nothing is zeroed first:
 * copies, and what a producer fills. Owns that no byte of an earlier lease is shown.
 */

import { isBytes, isView, lengthOf, plainBytes, setBytes } from "../builtins.js";
import { isLength, isThenable } from "../checks.js";
import { type ArenaError, invalidArgument } from "../errors.js";
import type { AnyLease } from "./lease.js";
import type { LeaseSource } from "./source.js";

/** A source of bytes was detached before they were copied. */
export function detachedSource(view: unknown): ArenaError {
  return invalidArgument("bytes", view, "a view that is still attached: this one was released or transferred");
}

/**
 * The bytes under any view, without a copy.
 *
 * @throws ArenaError `ERR_INVALID_ARGUMENT` if it is none, or no longer attached.
 */
export function bytesUnder(view: ArrayBufferView): Uint8Array {
  if (!isView(view)) throw invalidArgument("bytes", view, "a Uint8Array or another view");
  if (isBytes(view) && lengthOf(view) > 0) return view;
  try {
    return plainBytes(view);
  } catch {
    throw detachedSource(view);
  }
}

/** A lease that holds a copy of `view`. */
export function leaseCopy<L extends AnyLease>(
  source: Pick<LeaseSource<L>, "acquireUnzeroed">,
  view: ArrayBufferView,
): L {
  const bytes = bytesUnder(view);
  const lease = source.acquireUnzeroed(lengthOf(bytes));
  // Acquiring may have revoked what `view` is a view of: a released lease.
  try {
    setBytes(lease.bytes, bytes);
    if (lengthOf(bytes) === lease.byteLength) return lease;
  } catch {
    // Said below.
  }
  lease.release();
  throw detachedSource(view);
}

/** Writes into the bytes from the front, and answers how many it wrote. */
export type FillFunction<B extends ArrayBufferLike = ArrayBuffer> = (bytes: Uint8Array<B>) => number;
export type AsyncFillFunction<B extends ArrayBufferLike = ArrayBuffer> = (bytes: Uint8Array<B>) => PromiseLike<number>;

/** A lease as long as `write` answers, of what it wrote. */
export function leaseFilled<L extends AnyLease>(
  lease: L,
  write: (bytes: L["bytes"]) => number | PromiseLike<number>,
): L | Promise<L> {
  let written: unknown;
  try {
    written = write(lease.bytes);
    if (written === lease.byteLength) return lease;
    if (isThenable(written)) {
      return Promise.resolve(written).then(
        (answer) => cut(lease, answer),
        (error: unknown) => fail(lease, error),
      );
    }
  } catch (error) {
    return fail(lease, error);
  }
  return cut(lease, written);
}

/** To the bytes that were written. */
function cut<L extends AnyLease>(lease: L, written: unknown): L {
  try {
    if (!isLength(written) || written > lease.byteLength) {
      throw invalidArgument("what write answered", written, `how many of the ${lease.byteLength} bytes it wrote`);
    }
    lease.resize(written);
    return lease;
  } catch (error) {
    return fail(lease, error);
  }
}

function fail(lease: AnyLease, error: unknown): never {
  lease[Symbol.dispose]();
  throw error;
}
