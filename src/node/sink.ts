/**
 * Writing leases in loops: one stream, one write callback, one queue. Owns when a
 * written block may be reused: not before the stream is done with it.
 *
 * K1  A stream calls back for writes that succeed in their order, so the queue's front is done.
 * K2  Everything in the queue is returned at `'close'`: not every stream calls back
 *     for what it drops.
 * K3  A block may be returned before its callback: its place in the queue is `null` then.
 */

import type { Writable } from "node:stream";
import { requireLease, requireOptions } from "../checks.js";
import { invalidArgument } from "../errors.js";
import type { Lease } from "../lease/lease.js";
import type { Pin } from "../lease/pin.js";
import { hasSentAll, isTrusted, requireWritable } from "./completion.js";

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
  #pending = 0;

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
      while (this.#front < this.#pins.length) this.#released();
    });
  }

  /** Leases written whose blocks the stream still uses: for backpressure, beside what `write` answers. */
  get pending(): number {
    return this.#pending;
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
    this.#pending++;
    let goesOn: boolean;
    try {
      goesOn = this.#stream.write(bytes, this.#written);
    } catch (error) {
      this.#pins.pop();
      this.#return(pin);
      throw error;
    }
    if (hasSentAll(this.#stream)) this.#returnAll();
    return goesOn;
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

  /** Before the callbacks, which come in a later tick: a loop of writes would hold all its blocks until then. */
  #returnAll(): void {
    for (let each = this.#pins.length - 1; each >= this.#front; each--) {
      const pin = this.#pins[each];
      if (!pin) return;
      this.#pins[each] = null;
      this.#return(pin);
    }
  }

  #released(): void {
    const pin = this.#pins[this.#front];
    this.#pins[this.#front++] = null;
    if (this.#front === this.#pins.length) {
      this.#pins.length = this.#front = 0;
    } else if (this.#front >= 64) {
      this.#pins.splice(0, this.#front);
      this.#front = 0;
    }
    if (pin) this.#return(pin);
    this.#onReleased?.(this);
  }

  #return(pin: Pin): void {
    this.#pending--;
    pin[Symbol.dispose]();
  }
}
