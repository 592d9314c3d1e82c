/** Where leases come from, for what is built on leases: writers, copies, scopes. */

import type { Lease } from "./lease.js";

export interface LeaseSource {
  /** A lease of exactly `byteLength` zero bytes. Throws as `arena.acquire` does. */
  acquire(byteLength: number): Lease;
  /**
   * The same, with bytes of earlier leases in it. For code that overwrites or zeroes
   * every byte before anyone sees the lease.
   */
  acquireUnzeroed(byteLength: number): Lease;
}
