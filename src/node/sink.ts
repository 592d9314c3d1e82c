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
 *
 * All writes share their callbacks: with a closure and a listener for each, an echo server had
 * twice as many collections.
 */

import type { Writable } from "node:stream";
import { checkFunction, requireLease, requireOptions } from "../checks.js";
import type { AnyLease } from "../lease/lease.js";
import type { Pin } from "../lease/pin.js";
import {
  hasSentAll,
  isGone,
  isTrusted,
  prematureClose,
  requireWritable,
  settled,
  type WriteDone,
  whenClosed,
  whenever,
  writeTo,
} from "./completion.js";

export interface LeaseSinkOptions {
  /** Called after each write that is done: the place to write more. */
  onReleased?: ((sink: LeaseSink) => void) | undefined;
}

/**
 * Writes leases to one stream, and ends them: for you at once, their blocks are
 * returned when the stream is done with them. For loops: no promise per write. Errors are
 * the stream's `'error'` event. Which streams get a copy: as `writeAndRelease`.
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
  /** Whether `write` last answered that the stream wants a wait: a replaced `write` may be all that tells. */
  #isFull = false;

  /** @throws ArenaError `ERR_INVALID_ARGUMENT`. */
  constructor(stream: Writable, options: LeaseSinkOptions = {}) {
    requireWritable(stream);
    requireOptions(options, ["onReleased"]);
    const { onReleased } = options;
    checkFunction("options.onReleased", onReleased, "a function of the sink");
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
   * @returns false if the stream wants you to wait, or takes nothing any more: `await sink.ready()`.
   * @throws ArenaError `ERR_INVALID_ARGUMENT`, and as `lease.bytes`; what the stream's
   *   `write` throws: the lease has ended then, too.
   */
  write(lease: AnyLease): boolean {
    requireLease(lease);
    const isShared = isTrusted(this.#stream);
    const bytes = isShared ? lease.bytes : lease.copy();
    const pin = isShared ? lease.pin() : null;
    lease.release();
    if (isGone(this.#stream)) return false;
    const goesOn = pin === null ? this.#writeCopy(bytes) : this.#writeOwn(bytes, pin);
    if (!goesOn && !this.#isFull) {
      this.#isFull = true;
      whenever("drain", this.#stream, this.#drained);
    }
    return goesOn;
  }

  /**
   * For loops: `if (!sink.write(lease)) await sink.ready()`. A closed stream emits no `'drain'`.
   *
   * @returns a promise for when the stream takes more. Rejects if it takes nothing any more, with
   *   its error, which then needs no listener, or `ERR_STREAM_PREMATURE_CLOSE`.
   */
  async ready(): Promise<void> {
    const stream = this.#stream;
    if (stream.writableEnded && !isGone(stream)) throw prematureClose("it took more");
    const wait = (done: WriteDone): void => {
      if (this.#isFull || stream.writableNeedDrain) whenever("drain", stream, () => done());
      else done();
    };
    await settled(stream, "it took more", wait, true);
  }

  readonly #drained = (): void => {
    this.#isFull = false;
  };

  #writeOwn(bytes: Uint8Array, pin: Pin): boolean {
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
