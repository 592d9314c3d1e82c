/**
 * The numbers that `ByteWriter` and `ByteFiller` write. Owns their ranges and widths. Where
 * they lie is growing.ts.
 *
 * Named and ordered as in `DataView`, big-endian unless asked, because every JavaScript
 * programmer knows that convention. The 64-bit ones have no `Big` in their names, since
 * they take numbers and bigints.
 *
 * W5  A write checks its value before it makes room.
 */

import type { AnyLease, Lease } from "../lease/lease.js";
import { requireInt64, requireInteger, requireNumber, requireUint64 } from "./encoding.js";
import type { GrowingBlock } from "./growing.js";

/** What `ByteWriter` and `ByteFiller` have in common: numbers, one after another, and the end. */
export class NumberWriter<L extends AnyLease = Lease> {
  readonly #block: GrowingBlock<L>;

  /** @internal */
  constructor(block: GrowingBlock<L>) {
    this.#block = block;
  }

  /** Whether it has ended: what was written was taken, or the block released. */
  get released(): boolean {
    return this.#block.ended;
  }

  /** Releases the block unless it has ended. */
  [Symbol.dispose](): void {
    this.#block.dispose();
  }

  /** Writes one byte: 0 to 255. */
  writeUint8(value: number): void {
    requireInteger(value, 0, 0xff);
    const at = this.#block.room(1);
    this.#block.view.setUint8(at, value);
    this.#block.length = at + 1;
  }

  /** Writes one byte: -128 to 127. */
  writeInt8(value: number): void {
    requireInteger(value, -0x80, 0x7f);
    const at = this.#block.room(1);
    this.#block.view.setInt8(at, value);
    this.#block.length = at + 1;
  }

  /** Writes two bytes. */
  writeUint16(value: number, littleEndian?: boolean): void {
    requireInteger(value, 0, 0xffff);
    const at = this.#block.room(2);
    this.#block.view.setUint16(at, value, littleEndian);
    this.#block.length = at + 2;
  }

  /** Writes two bytes. */
  writeInt16(value: number, littleEndian?: boolean): void {
    requireInteger(value, -0x8000, 0x7fff);
    const at = this.#block.room(2);
    this.#block.view.setInt16(at, value, littleEndian);
    this.#block.length = at + 2;
  }

  /** Writes four bytes. */
  writeUint32(value: number, littleEndian?: boolean): void {
    requireInteger(value, 0, 0xffffffff);
    const at = this.#block.room(4);
    this.#block.view.setUint32(at, value, littleEndian);
    this.#block.length = at + 4;
  }

  /** Writes four bytes. */
  writeInt32(value: number, littleEndian?: boolean): void {
    requireInteger(value, -0x80000000, 0x7fffffff);
    const at = this.#block.room(4);
    this.#block.view.setInt32(at, value, littleEndian);
    this.#block.length = at + 4;
  }

  /** Writes eight bytes. A number must be a safe integer. */
  writeUint64(value: number | bigint, littleEndian?: boolean): void {
    requireUint64(value);
    const at = this.#block.room(8);
    this.#block.view.setBigUint64(at, BigInt(value), littleEndian);
    this.#block.length = at + 8;
  }

  /** Writes eight bytes. A number must be a safe integer. */
  writeInt64(value: number | bigint, littleEndian?: boolean): void {
    requireInt64(value);
    const at = this.#block.room(8);
    this.#block.view.setBigInt64(at, BigInt(value), littleEndian);
    this.#block.length = at + 8;
  }

  /** Writes four bytes: the nearest float, infinite where there is none. */
  writeFloat32(value: number, littleEndian?: boolean): void {
    requireNumber(value);
    const at = this.#block.room(4);
    this.#block.view.setFloat32(at, value, littleEndian);
    this.#block.length = at + 4;
  }

  /** Writes eight bytes. */
  writeFloat64(value: number, littleEndian?: boolean): void {
    requireNumber(value);
    const at = this.#block.room(8);
    this.#block.view.setFloat64(at, value, littleEndian);
    this.#block.length = at + 8;
  }
}
