/** Copies that may leave: for other threads, caches and databases. */

import { requireLease } from "../checks.js";
import type { AnyLease } from "../lease/lease.js";

export interface Owned {
  /** A copy of the lease's bytes, alone in its buffer. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** For the second argument of `postMessage` and `structuredClone`: the copy moves instead of being copied again. */
  readonly transfer: [ArrayBuffer];
}

/**
 * What to post instead of `lease.bytes`, which would clone the whole segment with
 * everyone's bytes in it: `const { bytes, transfer } = ownedCopy(lease);
 * worker.postMessage(bytes, transfer)`. The lease stays yours to release.
 *
 * @throws ArenaError `ERR_INVALID_ARGUMENT`, and as `lease.bytes` does.
 */
export function ownedCopy(lease: AnyLease): Owned {
  requireLease(lease);
  const bytes = lease.copy();
  return { bytes, transfer: [bytes.buffer] };
}
