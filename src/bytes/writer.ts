/**
 * A message that grows as it is written. Owns what a write is: which values it takes,
 * and which bytes they become. Where those lie, and the invariants W1 to W4, are
 * growing.ts; numbers of fixed widths are numbers.ts. Must not know stores or the arena.
 *
 * W6  What is written whole is not zeroed first. `reserve` zeroes what it reserves.
 */

import { lengthOf, subarrayOf } from "../builtins.js";
import { MAX_BYTE_LENGTH } from "../checks.js";
import { invalidArgument } from "../errors.js";
import { bytesUnder } from "../lease/filled.js";
import type { AnyLease, Lease } from "../lease/lease.js";
import type { LeaseSource } from "../lease/source.js";
import {
  encodeInto,
  leb128Length,
  putLeb128,
  putShortAscii,
  requireInt64,
  requireInteger,
  requireUint64,
  utf8Length,
  zigzag,
} from "./encoding.js";
import { GrowingBlock, putBytes } from "./growing.js";
import { NumberWriter } from "./numbers.js";

const DEFAULT_BYTE_LENGTH = 1024;

/**
 * Builds a message in leased memory, as `bytes.Buffer` does in Go. Made by
 * `arena.writer()`. It grows by doubling, and by less where the cap leaves no room for
 * that. While it moves to the longer block, both blocks are leased. On every path
 * take what was written, or release or dispose of the writer.
 *
 * Every `write` appends, and throws an ArenaError: `ERR_INVALID_ARGUMENT` for a value
 * out of range; `ERR_LEASE_RELEASED` after `take` or `release`; `ERR_LEASE_DETACHED` if
 * other code revoked its memory; and as `arena.acquire` does when it has to grow. What
 * was written before stays.
 */
export class ByteWriter<L extends AnyLease = Lease> extends NumberWriter<L> {
  readonly #source: LeaseSource<L>;
  readonly #block: GrowingBlock<L>;

  /** @internal */
  constructor(source: LeaseSource<L>, byteLength = DEFAULT_BYTE_LENGTH) {
    const block = new GrowingBlock(source, byteLength);
    super(block);
    this.#source = source;
    this.#block = block;
  }

  /** Bytes written so far. */
  get byteLength(): number {
    return this.#block.length;
  }

  /**
   * What was written so far, without a copy. Valid until the writer next grows, is
   * reset or ends: read it, then drop it. Growing releases the block under it.
   *
   * @throws ArenaError `ERR_LEASE_RELEASED`, `ERR_ARENA_DISPOSED`, `ERR_LEASE_DETACHED`.
   */
  get bytes(): L["bytes"] {
    return subarrayOf(this.#block.require("read what was written").bytes, 0, this.#block.length);
  }

  /**
   * Appends the bytes of any view, which may be one of this writer. They stay the caller's.
   *
   * @throws ArenaError also `ERR_INVALID_ARGUMENT` if the view is detached, or is one of
   *   a released lease and making room detaches it.
   */
  writeBytes(bytes: ArrayBufferView): void {
    this.#block.append(bytesUnder(bytes));
  }

  /**
   * Appends `text` as UTF-8, encoded in place. A surrogate without its other half
   * becomes U+FFFD, as with `TextEncoder`.
   *
   * @returns how many bytes that were.
   */
  writeString(text: string): number {
    if (typeof text !== "string") throw invalidArgument("text", text, "a string");
    const block = this.#block;
    if (!putShortAscii(text, block.bytes, block.length)) return this.#encode(text);
    block.length += text.length;
    return text.length;
  }

  /**
   * Appends an unsigned integer of up to 64 bits as LEB128, the varint of protobuf:
   * seven bits to a byte, the lowest first. A number must be a safe integer.
   *
   * @returns how many bytes that were, 1 to 10.
   */
  writeVarint(value: number | bigint): number {
    requireUint64(value);
    return this.#writeLeb128(value);
  }

  /**
   * Appends a signed integer of up to 64 bits, zigzag-coded (0, -1, 1, -2 …) and
   * then as `writeVarint` does: the `sint64` of protobuf. A number must be a safe integer.
   *
   * @returns how many bytes that were, 1 to 10.
   */
  writeZigzag(value: number | bigint): number {
    requireInt64(value);
    return this.#writeLeb128(zigzag(value));
  }

  /**
   * Appends `byteLength` zeros, to be set once their content is known: a length
   * before what it measures.
   *
   * @returns their offset from the start, for `setUint32` and its like. It stays
   *   right when the writer grows.
   */
  reserve(byteLength: number): number {
    requireInteger(byteLength, 0, MAX_BYTE_LENGTH, "byteLength");
    const block = this.#block;
    if (byteLength === 0) block.require("write");
    const at = block.room(byteLength);
    const end = at + byteLength;
    this.#source.zero(block.bytes, at, end);
    block.length = end;
    return at;
  }

  /**
   * Sets bytes that were written or reserved before.
   *
   * @param offset bytes from the start; all that is set lies before `byteLength`.
   * @throws ArenaError `ERR_INVALID_ARGUMENT`, and as `bytes` does.
   */
  set(bytes: ArrayBufferView, offset: number): void {
    const source = bytesUnder(bytes);
    const byteLength = lengthOf(source);
    const at = this.#requireWritten(offset, byteLength);
    putBytes(this.#block.bytes, source, at, byteLength);
  }

  /** Sets one byte written or reserved before; else as `set`. */
  setUint8(offset: number, value: number): void {
    requireInteger(value, 0, 0xff);
    const at = this.#requireWritten(offset, 1);
    this.#block.view.setUint8(at, value);
  }

  /** Sets two bytes written or reserved before; else as `set`. */
  setUint16(offset: number, value: number, littleEndian?: boolean): void {
    requireInteger(value, 0, 0xffff);
    const at = this.#requireWritten(offset, 2);
    this.#block.view.setUint16(at, value, littleEndian);
  }

  /** Sets four bytes written or reserved before; else as `set`. */
  setUint32(offset: number, value: number, littleEndian?: boolean): void {
    requireInteger(value, 0, 0xffffffff);
    const at = this.#requireWritten(offset, 4);
    this.#block.view.setUint32(at, value, littleEndian);
  }

  /** Sets eight bytes written or reserved before; else as `set`. A number must be a safe integer. */
  setUint64(offset: number, value: number | bigint, littleEndian?: boolean): void {
    requireUint64(value);
    const at = this.#requireWritten(offset, 8);
    this.#block.view.setBigUint64(at, BigInt(value), littleEndian);
  }

  /**
   * Ends the writer and makes what was written a lease of exactly that length, yours
   * to release. The lease keeps the writer's block, without a copy, unless the message
   * is so much shorter that a block of its own is worth one: `lease.resize` decides.
   *
   * @throws ArenaError `ERR_LEASE_RELEASED`, `ERR_ARENA_DISPOSED`, `ERR_LEASE_DETACHED`.
   */
  take(): L {
    return this.#block.take();
  }

  /**
   * Starts over, in the block that the writer has. Zeroes nothing: what was written
   * before is overwritten, or zeroed as in any block that is released.
   *
   * @throws ArenaError as `take` does.
   */
  reset(): void {
    this.#block.require("reset");
    this.#block.length = 0;
  }

  /**
   * Ends the writer and releases its block.
   *
   * @throws ArenaError as `lease.release()` does; `ERR_LEASE_RELEASED` if it has ended.
   */
  release(): void {
    this.#block.release();
  }

  #encode(text: string): number {
    const block = this.#block;
    for (;;) {
      if (text === "" || block.bytes.length === 0) block.require("write");
      const { read, written } = encodeInto(text, block.bytes, block.length);
      if (read === text.length) {
        block.length += written;
        return written;
      }
      // What was put so far lies behind `length`: it is put again in the longer block.
      this.#makeRoom(text, read, written);
    }
  }

  /** Makes room for `written` bytes and the rest of `text`. Counting it takes longer than moving the block. */
  #makeRoom(text: string, from: number, written: number): void {
    const block = this.#block;
    const atMost = (text.length - from) * 3;
    if (atMost < block.bytes.length && block.tryRoom(written + atMost)) return;
    block.room(written + utf8Length(text, from));
  }

  #writeLeb128(value: number | bigint): number {
    const block = this.#block;
    const byteLength = leb128Length(value);
    const at = block.room(byteLength);
    putLeb128(value, block.bytes, at);
    block.length = at + byteLength;
    return byteLength;
  }

  /** Where to set `byteLength` bytes, all of them written before. */
  #requireWritten(offset: number, byteLength: number): number {
    this.#block.require("set bytes");
    requireInteger(offset, 0, this.#block.length - byteLength, "offset");
    return offset;
  }
}
