/**
 * The contenders: the one thing in which the compared programs differ, where a
 * buffer comes from and where it goes. A `Lease` is a `HeldBuffer` as it stands.
 */

import { Arena } from "cleanslab";

export const CONTENDERS = ["fresh", "before-reuse", "on-release", "never"] as const;
export type Contender = (typeof CONTENDERS)[number];

/** The cap of an arena; past it a lease is a heap buffer, and counted. */
export const MAX_ARENA_BYTES = 256 * 1024 * 1024;

export interface HeldBuffer {
  readonly bytes: Uint8Array<ArrayBuffer>;
  release(): void;
}

export interface BufferSource {
  acquire(byteLength: number): HeldBuffer;
}

/** Given back by nobody: it is gone when the garbage collector has found it. */
class FreshBuffer implements HeldBuffer {
  readonly bytes: Uint8Array<ArrayBuffer>;

  constructor(byteLength: number) {
    this.bytes = new Uint8Array(byteLength);
  }

  release(): void {}
}

const freshSource: BufferSource = { acquire: (byteLength) => new FreshBuffer(byteLength) };

/** `arena` is there for its counters, where the contender has one. */
export function openSource(contender: Contender): { source: BufferSource; arena: Arena | null } {
  if (contender === "fresh") return { source: freshSource, arena: null };
  const arena = new Arena({ revoke: contender, maxBytes: MAX_ARENA_BYTES });
  return { source: arena, arena };
}
