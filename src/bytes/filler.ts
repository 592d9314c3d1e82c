/**
 * A message whose length is known beforehand and whose bytes come in pieces: what
 * `acquireFilled` is, over many events. Owns that its lease is shown only when every byte
 * was written: there is no way to read into it before. The rest is growing.ts and numbers.ts.
 */

import { lengthOf, plainBytes, subarrayOf } from "../builtins.js";
import { ArenaError, invalidArgument } from "../errors.js";
import { bytesUnder } from "../lease/filled.js";
import type { Lease } from "../lease/lease.js";
import type { LeaseSource } from "../lease/source.js";
import { encodeInto, requireInteger } from "./encoding.js";
import { doesNotFit, GrowingBlock } from "./growing.js";
import { NumberWriter } from "./numbers.js";

/**
 * Fills a lease of a known length piece by piece. Made by `arena.filler()`. Nothing is
 * zeroed first, and the lease is shown only when every byte was written. On every path
 * take what was filled, or drop or dispose of the filler.
 *
 * Every method throws an ArenaError: `ERR_LEASE_RELEASED` after `take` or `drop`;
 * `ERR_ARENA_DISPOSED`; `ERR_LEASE_DETACHED` if other code revoked its memory. Writes
 * of numbers and text also throw `ERR_INVALID_ARGUMENT` for a value out of range, and
 * `ERR_OUT_OF_BOUNDS` for one that does not fit: nothing is changed then.
 */
export class ByteFiller extends NumberWriter {
  /** Bytes in all. */
  readonly byteLength: number;
  readonly #block: GrowingBlock;

  /** @internal */
  constructor(source: Pick<LeaseSource, "acquireUnzeroed">, byteLength: number) {
    const block = new GrowingBlock(source, byteLength, false);
    super(block);
    this.#block = block;
    this.byteLength = block.bytes.length;
  }

  /** Bytes written so far. */
  get written(): number {
    return this.#block.length;
  }

  /** Bytes still missing. */
  get rest(): number {
    return this.byteLength - this.#block.length;
  }

  /** Whether every byte was written. */
  get full(): boolean {
    return this.rest === 0;
  }

  /**
   * Copies as much of `source` as fits, from its byte `from` on. What does not fit
   * belongs to the next message: `put` it there from where this one stopped.
   *
   * @returns how many bytes were copied, 0 once the filler is full.
   * @throws ArenaError also `ERR_INVALID_ARGUMENT` if `source` is no view or a detached
   *   one, or `from` no whole number from 0 to its length in bytes.
   */
  put(source: ArrayBufferView, from = 0): number {
    const bytes = bytesUnder(source);
    const length = lengthOf(bytes);
    requireInteger(from, 0, length, "from");
    const count = Math.min(length - from, this.rest);
    // A plain view: `subarray` of a subclass may make anything.
    this.#block.append(count === length ? bytes : subarrayOf(plainBytes(bytes), from, from + count));
    return count;
  }

  /**
   * Writes all of `text` as UTF-8.
   *
   * @returns how many bytes that were.
   */
  writeString(text: string): number {
    if (typeof text !== "string") throw invalidArgument("text", text, "a string");
    const block = this.#block;
    block.require("write");
    const { read, written } = encodeInto(text, block.bytes, block.length);
    if (read < text.length) throw doesNotFit(`a text of ${text.length} characters does`, this.rest, this.byteLength);
    block.length += written;
    return written;
  }

  /**
   * Ends the filler and gives the lease, yours to release. Only once every byte was
   * written.
   *
   * @throws ArenaError `ERR_OUT_OF_BOUNDS` if bytes are missing: the filler goes on then.
   */
  take(): Lease {
    this.#block.require("take the lease");
    if (this.full) return this.#block.take();
    throw new ArenaError(
      "ERR_OUT_OF_BOUNDS",
      `cannot take the lease: ${this.rest} of ${this.byteLength} bytes are missing; write them, or drop the filler`,
    );
  }

  /**
   * Ends the filler and releases its block.
   *
   * @throws ArenaError as `lease.release()` does; `ERR_LEASE_RELEASED` if it has ended.
   */
  drop(): void {
    this.#block.release();
  }
}
