/**
 * Bytes that arrive in pieces, put together in one lease. Owns that lease until
 * `take` or `destroy`. Knows no format.
 *
 * G1  Only the first `byteLength` bytes of the lease were ever written, so a
 *     release wipes no more than those.
 * G2  What an announced length can make it acquire is at most `EAGER_BYTES`, or
 *     twice what has really come: a peer who announces a gigabyte and sends
 *     nothing gets no gigabyte.
 */

import type { BytesSource, HeldBytes } from "./source.ts";

/** Bytes acquired at once on the word of the other side. */
export const EAGER_BYTES = 1024 * 1024;
/** The first capacity where no length was announced. */
const LEAST_BYTES = 256;

export class Gather<L extends HeldBytes> {
  readonly #source: BytesSource<L>;
  #lease: L | null = null;
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
    return this.#lease === null ? new Uint8Array(0) : this.#lease.bytes.subarray(0, this.#byteLength);
  }

  /** Says that there will be `byteLength` bytes in all, so that the lease can be made as long at once. */
  expect(byteLength: number): void {
    this.#expected = byteLength;
  }

  /** Copies `chunk[start, end)` behind what is there, and gives the copy; it is valid as `bytes` is. */
  append(chunk: Uint8Array, start: number, end: number): Uint8Array<ArrayBuffer> {
    const from = this.#byteLength;
    const to = from + end - start;
    const { bytes } = this.#withRoomFor(to);
    const copy = bytes.subarray(from, to);
    copy.set(start === 0 && end === chunk.length ? chunk : chunk.subarray(start, end));
    this.#byteLength = to;
    return copy;
  }

  /** A lease of exactly what was gathered; it is the caller's. The gather is empty again. */
  take(): L {
    const lease = this.#lease;
    const byteLength = this.#byteLength;
    if (lease !== null && lease.byteLength === byteLength) {
      this.#lease = null;
      this.#reset();
      return lease;
    }
    const exact = this.#source.acquire(byteLength);
    if (lease !== null) exact.bytes.set(this.bytes);
    this.destroy();
    return exact;
  }

  /** Releases what was gathered. The gather is empty again. */
  destroy(): void {
    const lease = this.#lease;
    const written = this.#byteLength;
    this.#lease = null;
    this.#reset();
    lease?.release({ written });
  }

  #withRoomFor(byteLength: number): L {
    const lease = this.#lease;
    if (lease !== null && lease.byteLength >= byteLength) return lease;
    const longer = this.#source.acquire(this.#capacityFor(byteLength));
    this.#lease = longer;
    if (lease !== null) {
      longer.bytes.set(lease.bytes.subarray(0, this.#byteLength));
      lease.release({ written: this.#byteLength });
    }
    return longer;
  }

  /** No shorter than `byteLength`; see G2. */
  #capacityFor(byteLength: number): number {
    if (this.#expected <= EAGER_BYTES && this.#expected >= byteLength) return this.#expected;
    const doubled = Math.max(byteLength, 2 * this.#byteLength, LEAST_BYTES);
    if (this.#expected < byteLength) return doubled;
    return Math.min(Math.max(doubled, EAGER_BYTES), this.#expected);
  }

  #reset(): void {
    this.#byteLength = 0;
    this.#expected = 0;
  }
}
