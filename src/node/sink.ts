/**
 * Writing leases in loops: one stream, one write callback, one queue. Owns when a
 * written block may be reused: not before the stream is done with it.
 *
 * K1  A stream calls back for writes that succeed in their order, so the queue's front is done.
 * K2  A write that fails may be called back before an earlier one that is still under way.
 *     What has failed is returned once nothing else is left, or at `'close'`: not every
 *     stream calls back for what it drops.
 * K3  A block may be returned before its write's callback: its place is `null` then.
 * K4  A copy's write tells nothing of those before it: `write` may have been replaced meanwhile.
 */

import type { Writable } from "node:stream";
import { requireLease, requireOptions } from "../checks.js";
import { invalidArgument } from "../errors.js";
import type { Lease } from "../lease/lease.js";
import type { Pin } from "../lease/pin.js";
import { hasSentAll, isGone, isTrusted, requireWritable, whenClosed, writeTo } from "./completion.js";

export interface LeaseSinkOptions {
  /** Called after each write that is done: the place to write more. */
  onReleased?: ((sink: LeaseSink) => void) | undefined;
}

/**
 * Writes leases to one stream, and ends them: for you at once, their blocks are
 * returned when the stream is done with them. For loops: no promise per write. Errors are the stream's `'error'` event.
 *
 * Sockets, files, and HTTP/1 requests and responses that have a socket get the bytes
 * themselves. Any other stream may use a chunk after it has said that the write is done:
 * it gets a copy, and the block is returned at once.
 */
export class LeaseSink {
  readonly #stream: Writable;
  readonly #onReleased: ((sink: LeaseSink) => void) | undefined;
  /** One for each write of a lease's own bytes that is under way. K3 */
  readonly #pins: (Pin | null)[] = [];
  #front = 0;
  /** Writes of copies under way. K4 */
  #copies = 0;
  /** Writes under way that have failed. K2 */
  #failed = 0;

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
    whenClosed(stream, () => {
      this.#releaseAll();
      for (let left = this.#copies; left > 0; left--) this.#copied();
    });
  }

  /** Writes that the stream is not done with: for backpressure, beside what `write` answers. */
  get pending(): number {
    return this.#pins.length - this.#front + this.#copies;
  }

  /**
   * Writes the lease's bytes and ends the lease.
   *
   * @returns false if the stream wants you to wait for `'drain'`, or has closed.
   * @throws ArenaError `ERR_INVALID_ARGUMENT`, and as `lease.bytes`; what the stream's
   *   `write` throws: the lease has ended then, too.
   */
  write(lease: Lease): boolean {
    requireLease(lease);
    const isShared = isTrusted(this.#stream);
    const bytes = isShared ? lease.bytes : lease.copy();
    const pin = isShared ? lease.pin() : null;
    lease.release();
    if (isGone(this.#stream)) return false;
    if (pin === null) return this.#writeCopy(bytes);
    this.#pins.push(pin);
    let goesOn: boolean;
    try {
      goesOn = writeTo(this.#stream, bytes, this.#written);
    } catch (error) {
      this.#pins.pop();
      pin.release();
      throw error;
    }
    if (hasSentAll(this.#stream)) this.#returnSent();
    return goesOn;
  }

  #writeCopy(bytes: Uint8Array): boolean {
    this.#copies++;
    try {
      return writeTo(this.#stream, bytes, this.#copied);
    } catch (error) {
      this.#copies--;
      throw error;
    }
  }

  readonly #copied = (): void => {
    if (this.#copies === 0) return;
    this.#copies--;
    this.#onReleased?.(this);
  };

  /** The callbacks come in a later tick: a loop of writes would hold all its blocks until then. */
  #returnSent(): void {
    for (let each = this.#pins.length - 1; each >= this.#front; each--) {
      const pin = this.#pins[each];
      if (!pin) return;
      this.#pins[each] = null;
      pin[Symbol.dispose]();
    }
  }

  readonly #written = (error?: Error | null): void => {
    if (error) this.#failed++;
    else this.#released();
    if (this.#failed > 0 && this.#failed >= this.#pins.length - this.#front) this.#releaseAll();
  };

  #releaseAll(): void {
    this.#failed = 0;
    // Not what `onReleased` writes meanwhile.
    for (let left = this.#pins.length - this.#front; left > 0; left--) this.#released();
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
