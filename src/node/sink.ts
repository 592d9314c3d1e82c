/**
 * Writing leases in loops: one stream, one write callback, one queue. Owns when a
 * written block may be reused: not before the stream is done with it.
 *
 * K1  A write is over when the stream calls back for it, or closes: whichever comes first.
 *     Not every stream calls back for what it drops.
 * K2  A block may be returned before its write's callback, once the system has all bytes.
 */

import type { Writable } from "node:stream";
import { checkFunction, requireLease, requireOptions } from "../checks.js";
import type { AnyLease } from "../lease/lease.js";
import type { Pin } from "../lease/pin.js";
import {
  ErrorHold,
  hasSentAll,
  isGone,
  isTrusted,
  prematureClose,
  requireWritable,
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
 * returned when the stream is done with them. For loops: no promise per write. Errors are the stream's `'error'` event.
 *
 * Sockets, files, and HTTP/1 requests and responses that have a socket get the bytes
 * themselves. Any other stream may use a chunk after it has said that the write is done:
 * it gets a copy, and the block is returned at once.
 */
export class LeaseSink {
  readonly #stream: Writable;
  readonly #onReleased: ((sink: LeaseSink) => void) | undefined;
  /** What ends each write under way. */
  readonly #writes = new Set<() => void>();
  /** Those of them whose streams have a lease's own bytes. */
  readonly #pins = new Set<Pin>();
  /** Whether `write` last answered that the stream wants a wait: a replaced `write` may be all that tells. */
  #isFull = false;
  #whenReady: Promise<void> | null = null;

  /** @throws ArenaError `ERR_INVALID_ARGUMENT`. */
  constructor(stream: Writable, options: LeaseSinkOptions = {}) {
    requireWritable(stream);
    requireOptions(options, ["onReleased"]);
    const { onReleased } = options;
    checkFunction("options.onReleased", onReleased, "a function of the sink");
    this.#stream = stream;
    this.#onReleased = onReleased;
    whenClosed(stream, () => {
      // Not what `onReleased` writes meanwhile.
      for (const end of [...this.#writes]) end();
    });
  }

  /** Writes that the stream is not done with: for backpressure, beside what `write` answers. */
  get pending(): number {
    return this.#writes.size;
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
    const end = (): void => {
      if (this.#end(end, pin)) this.#onReleased?.(this);
    };
    this.#writes.add(end);
    if (pin !== null) this.#pins.add(pin);
    let goesOn: boolean;
    try {
      goesOn = writeTo(this.#stream, bytes, end);
    } catch (error) {
      this.#end(end, pin);
      throw error;
    }
    // K2. The callbacks come in a later tick: a loop of writes would hold all its blocks until then.
    if (pin !== null && hasSentAll(this.#stream)) {
      for (const each of this.#pins) each[Symbol.dispose]();
      this.#pins.clear();
    }
    if (!goesOn) this.#waitForDrain();
    return goesOn;
  }

  /**
   * Backpressure in a loop: `if (!sink.write(lease)) await sink.ready()`. Ended streams never
   * emit `'drain'`, so waiting for that alone may wait for ever.
   *
   * @returns a promise for when the stream takes more. Rejects when it takes nothing any more, with
   *   its error or `ERR_STREAM_PREMATURE_CLOSE`; the error then needs no listener.
   */
  async ready(): Promise<void> {
    const stream = this.#stream;
    if (isGone(stream) || stream.writableEnded) {
      const { errored } = stream;
      // Its event may still come.
      if (errored) ErrorHold.of(stream).end(true);
      throw errored ?? prematureClose("it took more");
    }
    if (!this.#isFull && !stream.writableNeedDrain) return;
    this.#whenReady ??= this.#drained().finally(() => {
      this.#whenReady = null;
    });
    await this.#whenReady;
  }

  #waitForDrain(): void {
    this.#isFull = true;
    whenever("drain", this.#stream, () => {
      this.#isFull = false;
    });
  }

  #drained(): Promise<void> {
    const stream = this.#stream;
    return new Promise((resolve, reject) => {
      const fail = (error: Error): void => {
        forget();
        reject(error);
      };
      const forgetDrain = whenever("drain", stream, () => {
        forget();
        resolve();
      });
      const forgetClose = whenClosed(stream, () => fail(stream.errored ?? prematureClose("it took more")));
      // Not every stream closes when it fails.
      stream.once("error", fail);
      const forget = (): void => {
        forgetDrain();
        forgetClose();
        stream.off("error", fail);
      };
    });
  }

  /** False if it had ended. */
  #end(end: () => void, pin: Pin | null): boolean {
    if (pin !== null && this.#pins.delete(pin)) pin[Symbol.dispose]();
    return this.#writes.delete(end);
  }
}
