/**
 * Where a parser takes its memory from. An `Arena` is one; so is `freshBuffers`,
 * the trivial one, which tests use as an oracle and benchmarks as a baseline.
 */

import type { Lease } from "cleanslab";

/** Bytes that somebody holds until they release them. A `Lease` is one. */
export interface HeldBytes {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly byteLength: number;
  /** `written`: the caller vouches that only the first this many bytes were touched. */
  release(options?: { written?: number }): void;
}

export interface BytesSource<L extends HeldBytes = Lease> {
  /** Exactly `byteLength` zeroed bytes, the caller's until released. */
  acquire(byteLength: number): L;
  /** The same for a length that is asked for again and again. */
  pool(byteLength: number): { acquire(): L };
}

/** A new `Uint8Array` each time; releasing it lets the garbage collector have it. */
export class FreshBytes implements HeldBytes {
  readonly bytes: Uint8Array<ArrayBuffer>;

  constructor(byteLength: number) {
    this.bytes = new Uint8Array(byteLength);
  }

  get byteLength(): number {
    return this.bytes.length;
  }

  release(): void {}
}

export const freshBuffers: BytesSource<FreshBytes> = {
  acquire: (byteLength) => new FreshBytes(byteLength),
  pool: (byteLength) => ({ acquire: () => new FreshBytes(byteLength) }),
};
