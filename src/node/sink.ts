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
  /** What ends each write under way. */
  readonly #writes = new Set<() => void>();
  /** Those of them whose streams have a lease's own bytes. */
  readonly #pins = new Set<Pin>();
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
    if (!goesOn) {
      this.#isFull = true;
      whenever("drain", this.#stream, () => {
        this.#isFull = false;
      });
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

  /** False if it had ended. */
  #end(end: () => void, pin: Pin | null): boolean {
    if (pin !== null && this.#pins.delete(pin)) pin[Symbol.dispose]();
    return this.#writes.delete(end);
  }
}
