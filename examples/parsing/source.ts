/**
 * Where a parser takes its memory from. An `Arena` is one; so is `freshBuffers`,
 * the trivial one, which tests use as an oracle and benchmarks as a baseline.
 * Nothing here is zeroed first: a parser shows only bytes that it has written.
 */

import type { Lease } from "cleanslab";

/** Bytes that somebody holds until they release them. A `Lease` is one. */
export interface HeldBytes {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly byteLength: number;
  release(): void;
}

export interface BytesSource<L extends HeldBytes = Lease> {
  /** All of `bytes`, copied. */
  copyOf(bytes: Uint8Array): L;
  /** As many bytes as `write` answers that it wrote, from the front of `byteLength`. */
  acquireFilled(byteLength: number, write: (bytes: Uint8Array<ArrayBuffer>) => number): L;
  /** For a message of a known length that comes in pieces. */
  filler(byteLength: number): BytesFiller<L>;
  /** For a message whose length is not known, or not trusted. */
  writer(byteLength: number): BytesWriter<L>;
}

/** A `ByteFiller` is one. */
export interface BytesFiller<L extends HeldBytes> extends Disposable {
  readonly full: boolean;
  /** Copies as much of `source`, from its byte `from` on, as there is room for, and answers how much that was. */
  put(source: Uint8Array, from?: number): number;
  take(): L;
}

/** A `ByteWriter` is one. */
export interface BytesWriter<L extends HeldBytes> extends Disposable {
  /** What was written so far. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  writeBytes(bytes: Uint8Array): void;
  take(): L;
}

/** A new `Uint8Array` each time; releasing it lets the garbage collector have it. */
class FreshBytes implements HeldBytes, BytesFiller<FreshBytes>, BytesWriter<FreshBytes> {
  #block: Uint8Array<ArrayBuffer>;
  #written: number;

  constructor(block: Uint8Array<ArrayBuffer>, written = 0) {
    this.#block = block;
    this.#written = written;
  }

  get bytes(): Uint8Array<ArrayBuffer> {
    return this.full ? this.#block : this.#block.subarray(0, this.#written);
  }

  get byteLength(): number {
    return this.#written;
  }

  get full(): boolean {
    return this.#written === this.#block.length;
  }

  put(source: Uint8Array, from = 0): number {
    const count = Math.min(source.length - from, this.#block.length - this.#written);
    this.#block.set(source.subarray(from, from + count), this.#written);
    this.#written += count;
    return count;
  }

  writeBytes(bytes: Uint8Array): void {
    const end = this.#written + bytes.length;
    if (end > this.#block.length) {
      const longer = new Uint8Array(Math.max(end, 2 * this.#block.length));
      longer.set(this.bytes);
      this.#block = longer;
    }
    this.put(bytes);
  }

  take(): FreshBytes {
    return this;
  }

  release(): void {}

  [Symbol.dispose](): void {}
}

const fresh = (byteLength: number): FreshBytes => new FreshBytes(new Uint8Array(byteLength));

export const freshBuffers: BytesSource<FreshBytes> = {
  copyOf: (bytes) => new FreshBytes(new Uint8Array(bytes), bytes.length),
  acquireFilled(byteLength, write) {
    const bytes = new Uint8Array(byteLength);
    return new FreshBytes(bytes, write(bytes));
  },
  filler: fresh,
  writer: fresh,
};
