/**
 * Bytes that arrive in pieces, put together in one lease. Owns that lease until
 * `take` or `destroy`. Knows no format.
 *
 * GA1  Bytes that come all at once are copied once, into a lease of just their length.
 * GA2  What an announced length can make it acquire is at most `EAGER_BYTES`, or
 *      twice what has really come: a peer who announces a gigabyte and sends
 *      nothing gets no gigabyte.
 */

import type { BytesSource, BytesWriter, HeldBytes } from "./source.ts";

/** Bytes acquired at once on the word of the other side. */
export const EAGER_BYTES = 1024 * 1024;
/** Room for what comes in pieces without a length. */
const LEAST_BYTES = 256;

const NOTHING = new Uint8Array(0);

export class Gather<L extends HeldBytes> {
  readonly #source: BytesSource<L>;
  /** All that was announced, which came at once. */
  #whole: L | null = null;
  /** Or the pieces so far. */
  #pieces: BytesWriter<L> | null = null;
  #byteLength = 0;
  #expected = 0;

  constructor(source: BytesSource<L>) {
    this.#source = source;
  }

  /** Bytes gathered so far. */
  get byteLength(): number {
    return this.#byteLength;
  }

  /** What was gathered, for as long as nothing is appended, taken or destroyed. */
  get bytes(): Uint8Array<ArrayBuffer> {
    return (this.#whole ?? this.#pieces)?.bytes ?? NOTHING;
  }

  /** Says that there will be `byteLength` bytes in all. */
  expect(byteLength: number): void {
    this.#expected = byteLength;
  }

  /** Copies `chunk[start, end)` behind what is there, and gives the copy; it is valid as `bytes` is. */
  append(chunk: Uint8Array, start: number, end: number): Uint8Array<ArrayBuffer> {
    const from = this.#byteLength;
    const piece = start === 0 && end === chunk.length ? chunk : chunk.subarray(start, end);
    if (piece.length === 0) return NOTHING;
    if (from === 0 && piece.length === this.#expected) {
      this.#whole = this.#source.copyOf(piece);
    } else {
      this.#pieces ??= this.#source.writer(Math.max(Math.min(this.#expected, EAGER_BYTES), piece.length, LEAST_BYTES));
      this.#pieces.writeBytes(piece);
    }
    this.#byteLength = from + piece.length;
    return from === 0 ? this.bytes : this.bytes.subarray(from);
  }

  /** A lease of exactly what was gathered; it is the caller's. The gather is empty again. */
  take(): L {
    const taken = this.#whole ?? this.#pieces?.take() ?? this.#source.copyOf(NOTHING);
    this.#reset();
    return taken;
  }

  /** Releases what was gathered. The gather is empty again. */
  destroy(): void {
    const whole = this.#whole;
    const pieces = this.#pieces;
    this.#reset();
    whole?.release();
    pieces?.[Symbol.dispose]();
  }

  #reset(): void {
    this.#whole = null;
    this.#pieces = null;
    this.#byteLength = 0;
    this.#expected = 0;
  }
}
