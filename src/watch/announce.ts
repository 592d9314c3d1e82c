/** Follows a lease to its release for the subscribers of a diagnostics channel. */

import { type Lease, watchLease } from "../lease/lease.js";
import type { BlockOwner, LeaseWatch } from "../lease/owner.js";
import type { Notices } from "./notices.js";

class Announcement implements LeaseWatch {
  readonly history = "";
  readonly #notices: Notices;
  #byteLength: number;

  constructor(notices: Notices, byteLength: number) {
    this.#notices = notices;
    this.#byteLength = byteLength;
  }

  resized(_owner: BlockOwner, _ptr: number, byteLength: number): void {
    this.#byteLength = byteLength;
  }

  pinned(): void {}

  ended(): void {
    this.#notices.tally("release", this.#byteLength);
  }
}

/** Says that `lease` was acquired, and will say that it ended. */
export function announce(lease: Lease, notices: Notices): void {
  notices.tally("acquire", lease.byteLength);
  watchLease(lease, () => new Announcement(notices, lease.byteLength));
}
