/**
 * The contenders: the one thing in which the compared programs differ, where a
 * buffer comes from and where it goes. A `Lease` is a `HeldBuffer` as it stands.
 */

import { Arena } from "cleanslab";

export const CONTENDERS = ["fresh", "allocUnsafe", "before-reuse", "on-release", "never"] as const;
export type Contender = (typeof CONTENDERS)[number];

/** The cap of an arena; past it a lease is a heap buffer, and counted. */
export const MAX_ARENA_BYTES = 256 * 1024 * 1024;

export interface HeldBuffer {
  readonly bytes: Uint8Array<ArrayBuffer>;
  release(): void;
}

/** Writes into the bytes from the front, and answers how many it wrote. */
export type Fill = (bytes: Uint8Array<ArrayBuffer>) => Promise<number>;

export interface BufferSource {
  acquire(byteLength: number): HeldBuffer;
  /** A buffer of what `fill` wrote, of `byteLength` bytes at the most. If `fill` fails, nothing is held. */
  fill(byteLength: number, fill: Fill): Promise<HeldBuffer>;
}

/** Given back by nobody: it is gone when the garbage collector has found it. */
class FreshBuffer implements HeldBuffer {
  readonly bytes: Uint8Array<ArrayBuffer>;

  constructor(bytes: Uint8Array<ArrayBuffer>) {
    this.bytes = bytes;
  }

  release(): void {}
}

/** @param allocate what Node has for it. */
function freshSource(allocate: (byteLength: number) => Uint8Array<ArrayBuffer>): BufferSource {
  return {
    acquire: (byteLength) => new FreshBuffer(allocate(byteLength)),
    async fill(byteLength, fill) {
      const bytes = allocate(byteLength);
      const filled = await fill(bytes);
      return new FreshBuffer(filled === byteLength ? bytes : bytes.subarray(0, filled));
    },
  };
}

/** `arena` is there for its counters, where the contender has one. */
export function openSource(contender: Contender): { source: BufferSource; arena: Arena | null } {
  if (contender === "fresh") return { source: freshSource((byteLength) => new Uint8Array(byteLength)), arena: null };
  if (contender === "allocUnsafe") return { source: freshSource(Buffer.allocUnsafe), arena: null };
  const arena = new Arena({ revoke: contender, maxBytes: MAX_ARENA_BYTES });
  const source: BufferSource = {
    acquire: (byteLength) => arena.acquire(byteLength),
    // Not zeroed first: all of it is written before anyone sees it.
    fill: (byteLength, fill) => arena.acquireFilled(byteLength, fill),
  };
  return { source, arena };
}
