/**
 * A message whose length is known beforehand and whose bytes come in pieces: what
 * `acquireFilled` is, over many events. Owns one lease and how much of it was
 * written. Must not know stores or the arena.
 *
 *   ┌ written ┬ anyone's bytes ┐
 *   0         └ #written       └ byteLength
 *
 * F1  Bytes behind `#written` may be those of earlier leases. Nobody outside sees the
 *     block before `#written` is `byteLength`: so there is no way to read into it.
 * F2  A write checks its value and the room, then sets bytes, then raises `#written`.
 *     One that throws changes nothing.
 * F3  `#bytes` is the whole block while it can be written to. Ended or revoked, it has
 *     length 0.
 */

import { lengthOf, plainBytes, subarrayOf } from "../builtins.js";
import { ArenaError, invalidArgument } from "../errors.js";
import { bytesUnder } from "../lease/filled.js";
import type { Lease } from "../lease/lease.js";
import type { LeaseSource } from "../lease/source.js";
import { encodeInto, requireInt64, requireInteger, requireNumber, requireUint64 } from "./encoding.js";
import { putBytes } from "./growing.js";

const NO_BYTES = new Uint8Array(0);

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
export class ByteFiller {
  /** Bytes in all. */
  readonly byteLength: number;
  #lease: Lease | null;
  #bytes: Uint8Array<ArrayBuffer>;
  /** Of `#bytes`, once a number is written. */
  #view: DataView | null = null;
  #written = 0;

  /** @internal */
  constructor(source: Pick<LeaseSource, "acquireUnzeroed">, byteLength: number) {
    this.#lease = source.acquireUnzeroed(byteLength);
    this.#bytes = this.#lease.bytes;
    this.byteLength = this.#lease.byteLength;
  }

  /** Bytes written so far. */
  get written(): number {
    return this.#written;
  }

  /** Bytes still missing. */
  get rest(): number {
    return this.byteLength - this.#written;
  }

  /** Whether every byte was written. */
  get full(): boolean {
    return this.#written === this.byteLength;
  }

  /** Whether the filler has ended: by `take`, `drop` or dispose. */
  get released(): boolean {
    return this.#lease === null;
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
    this.#require("put bytes");
    const count = Math.min(length - from, this.rest);
    if (count === 0) return 0;
    // A plain view: `subarray` of a subclass may make anything.
    const part = count === length ? bytes : subarrayOf(plainBytes(bytes), from, from + count);
    putBytes(this.#bytes, part, this.#written, count);
    this.#written += count;
    return count;
  }

  /**
   * Writes all of `text` as UTF-8.
   *
   * @returns how many bytes that were.
   */
  writeString(text: string): number {
    if (typeof text !== "string") throw invalidArgument("text", text, "a string");
    this.#require("write");
    const { read, written } = encodeInto(text, this.#bytes, this.#written);
    if (read < text.length) {
      throw new ArenaError(
        "ERR_OUT_OF_BOUNDS",
        `a text of ${text.length} characters does not fit in the ${this.rest} bytes left of ${this.byteLength}`,
      );
    }
    this.#written += written;
    return written;
  }

  /** Writes one byte: 0 to 255. */
  writeUint8(value: number): void {
    requireInteger(value, 0, 0xff);
    this.#room(1).setUint8(this.#written, value);
    this.#written += 1;
  }

  /** Writes one byte: -128 to 127. */
  writeInt8(value: number): void {
    requireInteger(value, -0x80, 0x7f);
    this.#room(1).setInt8(this.#written, value);
    this.#written += 1;
  }

  /** Writes two bytes. */
  writeUint16(value: number, littleEndian?: boolean): void {
    requireInteger(value, 0, 0xffff);
    this.#room(2).setUint16(this.#written, value, littleEndian);
    this.#written += 2;
  }

  /** Writes two bytes. */
  writeInt16(value: number, littleEndian?: boolean): void {
    requireInteger(value, -0x8000, 0x7fff);
    this.#room(2).setInt16(this.#written, value, littleEndian);
    this.#written += 2;
  }

  /** Writes four bytes. */
  writeUint32(value: number, littleEndian?: boolean): void {
    requireInteger(value, 0, 0xffffffff);
    this.#room(4).setUint32(this.#written, value, littleEndian);
    this.#written += 4;
  }

  /** Writes four bytes. */
  writeInt32(value: number, littleEndian?: boolean): void {
    requireInteger(value, -0x80000000, 0x7fffffff);
    this.#room(4).setInt32(this.#written, value, littleEndian);
    this.#written += 4;
  }

  /** Writes eight bytes. A number must be a safe integer. */
  writeUint64(value: number | bigint, littleEndian?: boolean): void {
    requireUint64(value);
    this.#room(8).setBigUint64(this.#written, BigInt(value), littleEndian);
    this.#written += 8;
  }

  /** Writes eight bytes. A number must be a safe integer. */
  writeInt64(value: number | bigint, littleEndian?: boolean): void {
    requireInt64(value);
    this.#room(8).setBigInt64(this.#written, BigInt(value), littleEndian);
    this.#written += 8;
  }

  /** Writes four bytes: the nearest float, infinite where there is none. */
  writeFloat32(value: number, littleEndian?: boolean): void {
    requireNumber(value);
    this.#room(4).setFloat32(this.#written, value, littleEndian);
    this.#written += 4;
  }

  /** Writes eight bytes. */
  writeFloat64(value: number, littleEndian?: boolean): void {
    requireNumber(value);
    this.#room(8).setFloat64(this.#written, value, littleEndian);
    this.#written += 8;
  }

  /**
   * Ends the filler and gives the lease, yours to release. Only once every byte was
   * written.
   *
   * @throws ArenaError `ERR_OUT_OF_BOUNDS` if bytes are missing: the filler goes on then.
   */
  take(): Lease {
    const lease = this.#require("take the lease");
    if (!this.full) {
      throw new ArenaError(
        "ERR_OUT_OF_BOUNDS",
        `cannot take the lease: ${this.rest} of ${this.byteLength} bytes are missing; write them, or drop the filler`,
      );
    }
    this.#end();
    return lease;
  }

  /**
   * Ends the filler and releases its block.
   *
   * @throws ArenaError as `lease.release()` does; `ERR_LEASE_RELEASED` if it has ended.
   */
  drop(): void {
    const lease = this.#lease;
    if (lease === null) throw fillerEnded("drop");
    try {
      lease.release();
    } finally {
      if (lease.released) this.#end();
    }
  }

  /** Drops unless already ended. */
  [Symbol.dispose](): void {
    const lease = this.#lease;
    try {
      lease?.[Symbol.dispose]();
    } finally {
      if (lease?.released) this.#end();
    }
  }

  /** A view of the whole block, which has room for `byteLength` more bytes. */
  #room(byteLength: number): DataView {
    // F3
    if (this.#bytes.length === 0) this.#require("write");
    if (byteLength > this.rest) {
      throw new ArenaError(
        "ERR_OUT_OF_BOUNDS",
        `${byteLength} bytes do not fit in the ${this.rest} bytes left of ${this.byteLength}`,
      );
    }
    if (this.#view === null) {
      const { buffer, byteOffset, length } = this.#bytes;
      this.#view = new DataView(buffer, byteOffset, length);
    }
    return this.#view;
  }

  /** The lease, attached and ours. Otherwise its own error says what became of it. */
  #require(action: string): Lease {
    const lease = this.#lease;
    if (lease === null) throw fillerEnded(action);
    void lease.bytes;
    return lease;
  }

  #end(): void {
    this.#lease = null;
    this.#bytes = NO_BYTES;
    this.#view = null;
  }
}

function fillerEnded(action: string): ArenaError {
  return new ArenaError("ERR_LEASE_RELEASED", `cannot ${action}: this filler has ended; ask the arena for a new one`);
}
