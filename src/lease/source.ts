/** Where leases come from, for what is built on leases: writers, copies, scopes. */

import type { AnyLease, Lease } from "./lease.js";

export interface LeaseSource<L extends AnyLease = Lease> {
  /**
   * A lease of exactly `byteLength` bytes, with those of earlier leases in it. For code that
   * overwrites or zeroes every byte before anyone sees the lease. Throws as `arena.acquire` does.
   */
  acquireUnzeroed(byteLength: number): L;
  /** Zeroes bytes of such a lease, from `start` up to `end`. */
  zero(bytes: L["bytes"], start: number, end: number): void;
}
