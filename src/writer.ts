/**
 * A growing run of bytes. Owns one lease at a time and how much of it was
 * written; moves to a longer one when it is full. Knows of the arena only how to
 * acquire.
 *
 * W1  The bytes behind what was written are zero, after a failed write too: so
 *     `reserve` need not wipe, and nothing of a message outlives it.
 * W2  A write checks its value, then makes room, then changes anything: one that
 *     throws leaves what was written before it.
 * W3  `#bytes` is the whole block while it can be written to. Ended or revoked it
 *     has length 0, so that a write finds no room and comes through `#grow`, which
 *     says why; one of no bytes asks for itself. `#bytes` and the view of it are
 *     looked up after `reserve`, never before: the block may be another one by then.
 *
 * Numbers are named and ordered as in `DataView`, big-endian unless asked, because
 * that is the pair of conventions every JavaScript programmer already has:
 * `setUint16(offset, value, littleEndian)` patches, `writeUint16(value, littleEndian)`
 * appends. The 64-bit ones have no `Big` in their names, since they take both forms.
 */

import { bytesUnder, copyInto } from "./copying.js";
import {
  encodeInto,
  leb128Length,
  putLeb128,
  putShortAscii,
  requireInt64,
  requireInteger,
  requireNumber,
  requireUint64,
  utf8Length,
  zigzag,
} from "./encoding.js";
import { ArenaError, invalidArgument } from "./errors.js";
import { Lease } from "./lease.js";

/** What an arena acquires at the most: doubling stops there. */
const MAX_BYTE_LENGTH = 2 ** 32 - 1;
/** The shortest block there is. */
const LEAST_BYTE_LENGTH = 64;
const DEFAULT_BYTE_LENGTH = 1024;

const NO_BYTES = new Uint8Array(0);

/**
 * Builds a message in leased memory, as `bytes.Buffer` does in Go. Made by
 * `arena.writer()`. Grows by doubling: each block that becomes too short is wiped
 * and returned as soon as its bytes were copied, so that while it grows both are
 * leased. Dispose of it, release it or take what was written, on every path.
 *
 * Every `write` appends, and throws an ArenaError: `ERR_INVALID_ARGUMENT` for a
 * value out of range; `ERR_LEASE_RELEASED` after `take` or `release`; whatever
 * `arena.acquire` throws when it has to grow. What was written before then stays.
 */
export class ByteWriter {
  readonly #acquire: (byteLength: number) => Lease;
  #lease: Lease | null;
  #bytes: Uint8Array<ArrayBuffer>;
  /** Of `#bytes`, once a number is written. */
  #view: DataView | null = null;
  #length = 0;

  /** @internal */
  constructor(acquire: (byteLength: number) => Lease, byteLength = DEFAULT_BYTE_LENGTH) {
    this.#acquire = acquire;
    this.#lease = acquire(byteLength);
    this.#bytes = this.#lease.bytes;
  }

  /** Bytes written so far. */
  get byteLength(): number {
    return this.#length;
  }

  /** Whether the writer has ended: by `take`, `release` or dispose. */
  get released(): boolean {
    return this.#lease === null;
  }

  /**
   * What was written so far, without a copy. Valid until the writer next grows, is
   * reset or ends: read it, then drop it. Growing wipes it and, sooner or later,
   * detaches it.
   *
   * @throws ArenaError `ERR_LEASE_RELEASED`, `ERR_ARENA_DISPOSED`, `ERR_ARENA_CORRUPT`.
   */
  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#requireLease("read what was written").bytes.subarray(0, this.#length);
  }

  /** Appends the bytes of any view, which may be of this writer. They stay the caller's. */
  writeBytes(bytes: ArrayBufferView): void {
    const source = bytesUnder(bytes);
    const end = this.#length + source.length;
    if (end > this.#bytes.length) this.#grow(end, source);
    else if (end > this.#length) this.#bytes.set(source, this.#length);
    else this.#requireLease("write");
    this.#length = end;
  }

  /**
   * Appends `text` as UTF-8, encoded in place. A surrogate without its other half
   * becomes U+FFFD, as with `TextEncoder`.
   *
   * @returns how many bytes that were.
   */
  writeString(text: string): number {
    if (typeof text !== "string") throw invalidArgument("text", text, "a string");
    const at = this.#length;
    // What it puts and then gives up on, the encoder writes anew: W1.
    if (putShortAscii(text, this.#bytes, at)) this.#length = at + text.length;
    else this.#encode(text);
    return this.#length - at;
  }

  /** Appends one byte: 0 to 255. */
  writeUint8(value: number): void {
    requireInteger(value, 0, 0xff);
    const at = this.reserve(1);
    this.#dataView.setUint8(at, value);
  }

  /** Appends one byte: -128 to 127. */
  writeInt8(value: number): void {
    requireInteger(value, -0x80, 0x7f);
    const at = this.reserve(1);
    this.#dataView.setInt8(at, value);
  }

  /** Appends two bytes. */
  writeUint16(value: number, littleEndian?: boolean): void {
    requireInteger(value, 0, 0xffff);
    const at = this.reserve(2);
    this.#dataView.setUint16(at, value, littleEndian);
  }

  /** Appends two bytes. */
  writeInt16(value: number, littleEndian?: boolean): void {
    requireInteger(value, -0x8000, 0x7fff);
    const at = this.reserve(2);
    this.#dataView.setInt16(at, value, littleEndian);
  }

  /** Appends four bytes. */
  writeUint32(value: number, littleEndian?: boolean): void {
    requireInteger(value, 0, 0xffffffff);
    const at = this.reserve(4);
    this.#dataView.setUint32(at, value, littleEndian);
  }

  /** Appends four bytes. */
  writeInt32(value: number, littleEndian?: boolean): void {
    requireInteger(value, -0x80000000, 0x7fffffff);
    const at = this.reserve(4);
    this.#dataView.setInt32(at, value, littleEndian);
  }

  /** Appends eight bytes. A number must be a safe integer. */
  writeUint64(value: number | bigint, littleEndian?: boolean): void {
    requireUint64(value);
    const at = this.reserve(8);
    this.#dataView.setBigUint64(at, BigInt(value), littleEndian);
  }

  /** Appends eight bytes. A number must be a safe integer. */
  writeInt64(value: number | bigint, littleEndian?: boolean): void {
    requireInt64(value);
    const at = this.reserve(8);
    this.#dataView.setBigInt64(at, BigInt(value), littleEndian);
  }

  /** Appends four bytes: the nearest float, infinite where there is none. */
  writeFloat32(value: number, littleEndian?: boolean): void {
    requireNumber(value);
    const at = this.reserve(4);
    this.#dataView.setFloat32(at, value, littleEndian);
  }

  /** Appends eight bytes. */
  writeFloat64(value: number, littleEndian?: boolean): void {
    requireNumber(value);
    const at = this.reserve(8);
    this.#dataView.setFloat64(at, value, littleEndian);
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
    const at = this.#length;
    const end = at + byteLength;
    if (end > this.#bytes.length) this.#grow(end);
    else if (byteLength === 0) this.#requireLease("write");
    this.#length = end;
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
    this.#bytes.set(source, this.#requireWritten(offset, source.length));
  }

  /** Sets one byte written or reserved before; else as `set`. */
  setUint8(offset: number, value: number): void {
    requireInteger(value, 0, 0xff);
    const at = this.#requireWritten(offset, 1);
    this.#dataView.setUint8(at, value);
  }

  /** Sets two bytes written or reserved before; else as `set`. */
  setUint16(offset: number, value: number, littleEndian?: boolean): void {
    requireInteger(value, 0, 0xffff);
    const at = this.#requireWritten(offset, 2);
    this.#dataView.setUint16(at, value, littleEndian);
  }

  /** Sets four bytes written or reserved before; else as `set`. */
  setUint32(offset: number, value: number, littleEndian?: boolean): void {
    requireInteger(value, 0, 0xffffffff);
    const at = this.#requireWritten(offset, 4);
    this.#dataView.setUint32(at, value, littleEndian);
  }

  /** Sets eight bytes written or reserved before; else as `set`. A number must be a safe integer. */
  setUint64(offset: number, value: number | bigint, littleEndian?: boolean): void {
    requireUint64(value);
    const at = this.#requireWritten(offset, 8);
    this.#dataView.setBigUint64(at, BigInt(value), littleEndian);
  }

  /**
   * Ends the writer and makes what was written a lease of exactly that length,
   * yours to release. Without a copy: it keeps the writer's block, which is up to
   * twice as long, or as long as was asked for. All of it is wiped on release, and
   * counts in `stats().liveBytes` until then.
   *
   * @throws ArenaError `ERR_LEASE_RELEASED`, `ERR_ARENA_DISPOSED`, `ERR_ARENA_CORRUPT`.
   */
  take(): Lease {
    const lease = Lease.shorten(this.#requireLease("take what was written"), this.#length);
    this.#end();
    return lease;
  }

  /**
   * Wipes what was written and starts anew, in the block that the writer has.
   *
   * @throws ArenaError as `take` does.
   */
  reset(): void {
    this.#requireLease("reset").bytes.fill(0, 0, this.#length);
    this.#length = 0;
  }

  /**
   * Ends the writer: what was written is wiped.
   *
   * @throws ArenaError as `lease.release()` does; `ERR_LEASE_RELEASED` if it has ended.
   */
  release(): void {
    const lease = this.#lease;
    if (lease === null) throw writerEnded("release");
    try {
      lease.release();
    } finally {
      if (lease.released) this.#end();
    }
  }

  /** Releases unless already ended. */
  [Symbol.dispose](): void {
    const lease = this.#lease;
    try {
      lease?.[Symbol.dispose]();
    } finally {
      if (lease?.released) this.#end();
    }
  }

  get #dataView(): DataView {
    if (this.#view !== null) return this.#view;
    const { buffer, byteOffset, length } = this.#bytes;
    this.#view = new DataView(buffer, byteOffset, length);
    return this.#view;
  }

  #encode(text: string): void {
    const at = this.#length;
    if (this.#bytes.length === 0 || text === "") this.#requireLease("write");
    let { read, written } = encodeInto(text, this.#bytes, at);
    if (read < text.length) {
      try {
        this.#grow(at + written + this.#roomFor(text, read));
      } catch (error) {
        // Growing may have ended the arena, and the block's views with it; or a listener wrote in this text's place.
        if (this.#bytes.length > 0 && this.#length === at) this.#bytes.fill(0, at, at + written);
        throw error;
      }
      ({ read, written } = encodeInto(text, this.#bytes, at));
    }
    this.#length = at + written;
  }

  /** Bytes that are enough for the rest of `text`: counted only if doubling might not be. */
  #roomFor(text: string, from: number): number {
    const atMost = (text.length - from) * 3;
    return atMost < this.#bytes.length ? atMost : utf8Length(text, from);
  }

  #writeLeb128(value: number | bigint): number {
    const byteLength = leb128Length(value);
    const at = this.reserve(byteLength);
    putLeb128(value, this.#bytes, at);
    return byteLength;
  }

  /** Moves to a block of at least `byteLength` bytes, with `source` behind what was written: it may lie in the old one. */
  #grow(byteLength: number, source: Uint8Array = NO_BYTES): void {
    const old = this.#requireLease("write");
    const oldBytes = old.bytes;
    const length = this.#length;
    const lease = this.#acquireLonger(byteLength, oldBytes.length);
    // Whoever was told of the lease may have ended the writer meanwhile, or written with it.
    if (this.#lease !== old || this.#length !== length) {
      lease[Symbol.dispose]();
      throw this.#lease === null ? writerEnded("write") : usedMeanwhile();
    }
    const { bytes } = lease;
    bytes.set(oldBytes.subarray(0, this.#length));
    copyInto(lease, source, this.#length);
    this.#lease = lease;
    this.#bytes = bytes;
    this.#view = null;
    try {
      old.release();
    } catch (error) {
      bytes.fill(0, this.#length);
      throw error;
    }
  }

  /** Twice as much if there is room for it, else as much as is needed. */
  #acquireLonger(byteLength: number, blockBytes: number): Lease {
    const doubled = Math.min(Math.max(2 * blockBytes, LEAST_BYTE_LENGTH), MAX_BYTE_LENGTH);
    if (doubled > byteLength) {
      try {
        return this.#acquire(doubled);
      } catch (error) {
        if (!(error instanceof ArenaError) || error.code !== "ERR_ARENA_EXHAUSTED") throw error;
      }
    }
    return this.#acquire(byteLength);
  }

  /** The lease, attached and ours: else its own error says what became of it. */
  #requireLease(action: string): Lease {
    const lease = this.#lease;
    if (lease === null) throw writerEnded(action);
    void lease.bytes;
    return lease;
  }

  #requireWritten(offset: number, byteLength: number): number {
    this.#requireLease("set bytes");
    requireInteger(offset, 0, this.#length - byteLength, "offset");
    return offset;
  }

  #end(): void {
    this.#lease = null;
    this.#bytes = NO_BYTES;
    this.#view = null;
  }
}

function usedMeanwhile(): ArenaError {
  return new ArenaError(
    "ERR_LEASE_RELEASED",
    "cannot write: a listener of the arena used this writer while it grew; the message is as the listener left it",
  );
}

function writerEnded(action: string): ArenaError {
  return new ArenaError("ERR_LEASE_RELEASED", `cannot ${action}: this writer has ended; ask the arena for a new one`);
}
