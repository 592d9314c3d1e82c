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
export class FreshBytes implements HeldBytes {
  readonly bytes: Uint8Array<ArrayBuffer>;

  constructor(bytes: Uint8Array<ArrayBuffer>) {
    this.bytes = bytes;
  }

  get byteLength(): number {
    return this.bytes.length;
  }

  release(): void {}
}

class FreshFiller implements BytesFiller<FreshBytes> {
  readonly #bytes: Uint8Array<ArrayBuffer>;
  #written = 0;

  constructor(byteLength: number) {
    this.#bytes = new Uint8Array(byteLength);
  }

  get full(): boolean {
    return this.#written === this.#bytes.length;
  }

  put(source: Uint8Array, from = 0): number {
    const count = Math.min(source.length - from, this.#bytes.length - this.#written);
    this.#bytes.set(source.subarray(from, from + count), this.#written);
    this.#written += count;
    return count;
  }

  take(): FreshBytes {
    return new FreshBytes(this.#bytes);
  }

  [Symbol.dispose](): void {}
}

class FreshWriter implements BytesWriter<FreshBytes> {
  #block: Uint8Array<ArrayBuffer>;
  #written = 0;

  constructor(byteLength: number) {
    this.#block = new Uint8Array(byteLength);
  }

  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#block.subarray(0, this.#written);
  }

  writeBytes(bytes: Uint8Array): void {
    const end = this.#written + bytes.length;
    if (end > this.#block.length) {
      const longer = new Uint8Array(Math.max(end, 2 * this.#block.length));
      longer.set(this.bytes);
      this.#block = longer;
    }
    this.#block.set(bytes, this.#written);
    this.#written = end;
  }

  take(): FreshBytes {
    return new FreshBytes(this.#written === this.#block.length ? this.#block : this.#block.slice(0, this.#written));
  }

  [Symbol.dispose](): void {}
}

export const freshBuffers: BytesSource<FreshBytes> = {
  copyOf: (bytes) => new FreshBytes(new Uint8Array(bytes)),
  acquireFilled(byteLength, write) {
    const bytes = new Uint8Array(byteLength);
    return new FreshBytes(bytes.subarray(0, write(bytes)));
  },
  filler: (byteLength) => new FreshFiller(byteLength),
  writer: (byteLength) => new FreshWriter(byteLength),
};
