/**
 * Writing leases in loops: one stream, one write callback, one queue. Owns when a
 * written block may be reused: not before the stream is done with it.
 *
 * K1  A stream calls back for writes that succeed in their order, so the queue's front is done.
 * K2  Everything in the queue is returned at `'close'`: not every stream calls back
 *     for what it drops.
 */

import type { Writable } from "node:stream";
import { requireLease, requireOptions } from "../checks.js";
import { invalidArgument } from "../errors.js";
import type { Lease } from "../lease/lease.js";
import type { Pin } from "../lease/pin.js";
import { isTrusted, requireWritable } from "./completion.js";

export interface LeaseSinkOptions {
  /** Called after each block was returned: the place to write more. */
  onReleased?: ((sink: LeaseSink) => void) | undefined;
}

/**
 * Writes leases to one stream, each without a copy, and ends them: for you at once,
 * their blocks are returned when the stream is done with them. For loops: no promise
 * and no closure per write. Errors are the stream's `'error'` event.
 *
 * A stream whose completion cannot be trusted, because its `write` was replaced (as
 * compression middleware does) or it has no socket yet that could tell of its end,
 * gets a copy instead, and the block is returned at once.
 */
export class LeaseSink {
  readonly #stream: Writable;
  readonly #onReleased: ((sink: LeaseSink) => void) | undefined;
  readonly #pins: (Pin | null)[] = [];
  #front = 0;

  /** @throws ArenaError `ERR_INVALID_ARGUMENT`. */
  constructor(stream: Writable, options: LeaseSinkOptions = {}) {
    requireWritable(stream);
    requireOptions(options);
    const { onReleased } = options;
    if (onReleased !== undefined && typeof onReleased !== "function") {
      throw invalidArgument("options.onReleased", onReleased, "a function of the sink, or nothing");
    }
    this.#stream = stream;
    this.#onReleased = onReleased;
    stream.once("close", () => {
      while (this.pending > 0) this.#released();
    });
  }

  /** Leases written whose blocks the stream still uses: for backpressure, beside what `write` answers. */
  get pending(): number {
    return this.#pins.length - this.#front;
  }

  /**
   * Writes the lease's bytes and ends the lease.
   *
   * @returns false if the stream wants you to wait for `'drain'`.
   * @throws ArenaError `ERR_INVALID_ARGUMENT`, and as `lease.bytes`; what the stream's
   *   `write` throws: the lease has ended then, too.
   */
  write(lease: Lease): boolean {
    requireLease(lease);
    const { bytes } = lease;
    if (!isTrusted(this.#stream)) return this.#writeCopy(lease);
    const pin = lease.pin();
    lease.release();
    this.#pins.push(pin);
    try {
      return this.#stream.write(bytes, this.#written);
    } catch (error) {
      this.#pins.pop();
      pin.release();
      throw error;
    }
  }

  /**
   * A failed write may be called back before an earlier one that is still under way; what
   * it leaves is returned at `'close'`. K2
   */
  readonly #written = (error?: Error | null): void => {
    if (!error) this.#released();
  };

  #writeCopy(lease: Lease): boolean {
    const copy = lease.copy();
    lease.release();
    return this.#stream.write(copy);
  }

  #released(): void {
    const pin = this.#pins[this.#front];
    if (pin === undefined) return;
    this.#pins[this.#front++] = null;
    if (this.#front === this.#pins.length) {
      this.#pins.length = this.#front = 0;
    } else if (this.#front >= 64) {
      this.#pins.splice(0, this.#front);
      this.#front = 0;
    }
    pin?.[Symbol.dispose]();
    this.#onReleased?.(this);
  }
}
