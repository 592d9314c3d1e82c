/**
 * The reading half of `ByteWriter`. Owns a position in bytes of somebody else's. Holds
 * no lease: it cannot keep one alive or end it. Must not know stores or the arena.
 *
 * RD1  A read finds its bytes before it moves the position, and decodes what may be no
 *     such thing. One that throws leaves the position where it was.
 * RD2  The length that reads are checked against is that of the bytes as they are at
 *     that read, as the engine knows it: a released lease reads nothing, and a
 *     subclass cannot lie.
 * RD3  `ERR_OUT_OF_BOUNDS` means that more bytes are needed; `ERR_INVALID_ARGUMENT`
 *     means that no more bytes can make these right.
 */

import { Bytes, isBytes, isView, plainBytes, subarrayOf } from "../builtins.js";
import { ArenaError, invalidArgument } from "../errors.js";
import { bytesUnder } from "../lease/filled.js";
import {
  decodeUtf8,
  getLeb128,
  getShortAscii,
  getWideLeb128,
  leb128End,
  requireInteger,
  unzigzag,
} from "./encoding.js";

const NO_BYTES = new Uint8Array(0);

/** What lends its bytes for as long as it has them: a lease, or a writer. */
export interface BytesLender {
  readonly bytes: Uint8Array;
}

/**
 * Reads numbers, text and bytes one after another: `new ByteReader(lease)`, or of any
 * view. Big-endian unless asked, as `ByteWriter` and `DataView`. It owns nothing and
 * need not be disposed of.
 *
 * Given a lease, it looks at `lease.bytes` at every read, so that a read after release
 * throws as `lease.bytes` does. Given a view of a lease it finds out only if the view
 * was detached: prefer the lease.
 *
 * Every method throws an ArenaError: `ERR_OUT_OF_BOUNDS` if there are fewer bytes than
 * it needs; `ERR_LEASE_DETACHED` for a detached view; `ERR_INVALID_ARGUMENT` for a bad
 * argument, or bytes that are not what was asked for. The position is unchanged then.
 */
export class ByteReader {
  readonly #lender: BytesLender;
  /** What `#lender` lent last. */
  #lent: Uint8Array | null = null;
  /** All the bytes, as a plain view. */
  #bytes: Uint8Array = NO_BYTES;
  /** Of `#bytes`. */
  #view: DataView | null = null;
  /** How long `#bytes` was at first: another length means that it was detached. */
  #byteLength = 0;
  #offset = 0;

  /** @throws ArenaError `ERR_INVALID_ARGUMENT` if `source` is no view and has no `bytes`; as `lease.bytes`. */
  constructor(source: ArrayBufferView | BytesLender) {
    if (typeof source !== "object" || source === null) throw noBytes(source);
    this.#lender = isView(source) ? { bytes: plainBytes(bytesUnder(source)) } : source;
    this.#enter(this.#lender.bytes);
  }

  /** Bytes read or skipped so far: where the next read starts. */
  get offset(): number {
    return this.#offset;
  }

  /** Bytes in all. */
  get byteLength(): number {
    return this.#look().length;
  }

  /** Bytes left to read. */
  get rest(): number {
    return Math.max(0, this.byteLength - this.#offset);
  }

  /** Reads one byte: 0 to 255. */
  readUint8(): number {
    return this.#need(1).getUint8(this.#move(1));
  }

  /** Reads one byte: -128 to 127. */
  readInt8(): number {
    return this.#need(1).getInt8(this.#move(1));
  }

  /** Reads two bytes. */
  readUint16(littleEndian?: boolean): number {
    return this.#need(2).getUint16(this.#move(2), littleEndian);
  }

  /** Reads two bytes. */
  readInt16(littleEndian?: boolean): number {
    return this.#need(2).getInt16(this.#move(2), littleEndian);
  }

  /** Reads four bytes. */
  readUint32(littleEndian?: boolean): number {
    return this.#need(4).getUint32(this.#move(4), littleEndian);
  }

  /** Reads four bytes. */
  readInt32(littleEndian?: boolean): number {
    return this.#need(4).getInt32(this.#move(4), littleEndian);
  }

  /** Reads eight bytes. Always a bigint. */
  readUint64(littleEndian?: boolean): bigint {
    return this.#need(8).getBigUint64(this.#move(8), littleEndian);
  }

  /** Reads eight bytes. Always a bigint. */
  readInt64(littleEndian?: boolean): bigint {
    return this.#need(8).getBigInt64(this.#move(8), littleEndian);
  }

  /** Reads four bytes. */
  readFloat32(littleEndian?: boolean): number {
    return this.#need(4).getFloat32(this.#move(4), littleEndian);
  }

  /** Reads eight bytes. */
  readFloat64(littleEndian?: boolean): number {
    return this.#need(8).getFloat64(this.#move(8), littleEndian);
  }

  /**
   * Reads what `writeVarint` writes, as a number. Longer codes than needed are read too,
   * up to 10 bytes.
   *
   * @throws ArenaError also `ERR_INVALID_ARGUMENT` if the value is no safe integer, which
   *   `readVarint64` reads, or takes more than 64 bits.
   */
  readVarint(): number {
    const end = this.#varintEnd();
    const value = getLeb128(this.#bytes, this.#offset, end);
    if (value > Number.MAX_SAFE_INTEGER) throw this.#unsafe("readVarint64");
    this.#offset = end;
    return value;
  }

  /** Reads what `writeVarint` writes, up to 64 bits. Always a bigint. Else as `readVarint`. */
  readVarint64(): bigint {
    const end = this.#varintEnd();
    const value = getWideLeb128(this.#bytes, this.#offset, end);
    this.#offset = end;
    return value;
  }

  /**
   * Reads what `writeZigzag` writes, as a number.
   *
   * @throws ArenaError as `readVarint` does; `readZigzag64` reads what is no safe integer.
   */
  readZigzag(): number {
    const end = this.#varintEnd();
    const coded = getLeb128(this.#bytes, this.#offset, end);
    let value: number;
    if (coded <= Number.MAX_SAFE_INTEGER) {
      value = coded % 2 === 0 ? coded / 2 : -(coded + 1) / 2;
    } else {
      value = Number(unzigzag(getWideLeb128(this.#bytes, this.#offset, end)));
      if (!Number.isSafeInteger(value)) throw this.#unsafe("readZigzag64");
    }
    this.#offset = end;
    return value;
  }

  /** Reads what `writeZigzag` writes, up to 64 bits. Always a bigint. Else as `readZigzag`. */
  readZigzag64(): bigint {
    return unzigzag(this.readVarint64());
  }

  /** Reads `byteLength` bytes, without a copy: a view, valid as long as the bytes that it is of. */
  readBytes(byteLength: number): Uint8Array {
    requireByteLength(byteLength);
    this.#need(byteLength);
    return subarrayOf(this.#bytes, this.#move(byteLength), this.#offset);
  }

  /**
   * Reads `byteLength` bytes of UTF-8. A byte order mark is part of the text.
   *
   * @param options `fatal`: invalid UTF-8 is `ERR_INVALID_ARGUMENT`. Otherwise it becomes U+FFFD.
   */
  readString(byteLength: number, options?: { fatal?: boolean | undefined }): string {
    requireByteLength(byteLength);
    this.#need(byteLength);
    const end = this.#offset + byteLength;
    const text = getShortAscii(this.#bytes, this.#offset, end) ?? this.#decode(end, options?.fatal === true);
    this.#offset = end;
    return text;
  }

  /** Passes over `byteLength` bytes. */
  skip(byteLength: number): void {
    requireByteLength(byteLength);
    this.#need(byteLength);
    this.#move(byteLength);
  }

  /** Goes to `offset` bytes from the start, back or forth. The end is allowed. */
  seek(offset: number): void {
    requireByteLength(offset, "offset");
    const { byteLength } = this;
    if (offset > byteLength) {
      throw new ArenaError("ERR_OUT_OF_BOUNDS", `cannot go to offset ${offset}: there are ${byteLength} bytes`);
    }
    this.#offset = offset;
  }

  /** The bytes as they are now: RD2. */
  #look(): Uint8Array {
    const lent = this.#lender.bytes;
    if (lent !== this.#lent) this.#enter(lent);
    if (this.#bytes.length !== this.#byteLength) throw viewDetached(this.#byteLength);
    return this.#bytes;
  }

  #enter(lent: Uint8Array): void {
    if (!isBytes(lent)) throw noBytes(this.#lender);
    this.#bytes = plainBytes(bytesUnder(lent));
    this.#byteLength = this.#bytes.length;
    this.#view = null;
    this.#lent = lent;
  }

  /** A view of all the bytes, `byteLength` of which are left. */
  #need(byteLength: number): DataView {
    const bytes = this.#look();
    if (byteLength > bytes.length - this.#offset) throw this.#tooFew(byteLength);
    if (this.#view === null) this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    return this.#view;
  }

  /** The position, which moves on by `byteLength`. */
  #move(byteLength: number): number {
    const at = this.#offset;
    this.#offset = at + byteLength;
    return at;
  }

  #decode(end: number, isFatal: boolean): string {
    const part = subarrayOf(this.#bytes, this.#offset, end);
    // Browsers' decoders refuse shared memory.
    const bytes = part.buffer instanceof ArrayBuffer ? part : new Bytes(part);
    try {
      return decodeUtf8(bytes, isFatal);
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      throw this.#invalid(`${part.length} bytes`, "they are no UTF-8; leave out { fatal: true } to read them anyway");
    }
  }

  #varintEnd(): number {
    const bytes = this.#look();
    const end = leb128End(bytes, this.#offset);
    if (end > 0) return end;
    if (end === 0) throw this.#tooFew(Math.max(0, bytes.length - this.#offset) + 1);
    throw this.#invalid("a varint", "read what takes at most 64 bits in 10 bytes");
  }

  #tooFew(byteLength: number): ArenaError {
    const rest = Math.max(0, this.#bytes.length - this.#offset);
    return new ArenaError(
      "ERR_OUT_OF_BOUNDS",
      `cannot read ${byteLength} bytes at offset ${this.#offset}: ${rest} are left of ${this.#bytes.length}`,
    );
  }

  #unsafe(instead: string): ArenaError {
    return this.#invalid("a varint", `call ${instead} for values above Number.MAX_SAFE_INTEGER`);
  }

  #invalid(what: string, advice: string): ArenaError {
    return new ArenaError("ERR_INVALID_ARGUMENT", `cannot read ${what} at offset ${this.#offset}: ${advice}`);
  }
}

function noBytes(source: unknown): ArenaError {
  return invalidArgument("source", source, "a lease, a Uint8Array or another view");
}

function requireByteLength(byteLength: number, what = "byteLength"): void {
  requireInteger(byteLength, 0, Number.MAX_SAFE_INTEGER, what);
}

function viewDetached(byteLength: number): ArenaError {
  return new ArenaError(
    "ERR_LEASE_DETACHED",
    `cannot read: the view of ${byteLength} bytes under this reader was released or transferred`,
  );
}
