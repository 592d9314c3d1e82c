/** Keeps a released block in place until the pin is released. Made by `lease.pin()`. */

import { ArenaError } from "../errors.js";

export class Pin {
  #unpin: (() => void) | null;

  /** @internal */
  constructor(unpin: () => void) {
    this.#unpin = unpin;
  }

  /**
   * Lets go. If the lease has ended and this was its last pin, the block is returned.
   *
   * @throws ArenaError `ERR_LEASE_RELEASED` on a second call.
   */
  release(): void {
    const unpin = this.#unpin;
    if (unpin === null)
      throw new ArenaError("ERR_LEASE_RELEASED", "this pin was already released; take one pin per use");
    this.#unpin = null;
    unpin();
  }

  /** Releases unless already released. */
  [Symbol.dispose](): void {
    if (this.#unpin !== null) this.release();
  }
}
