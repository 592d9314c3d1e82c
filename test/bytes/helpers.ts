/**
 * Where the leases of these tests come from, and what they all ask. The fake source's
 * blocks lie on the heap, are full of 0xA5 when they are handed out unzeroed, and are
 * detached once something else is acquired after their release, as `"before-reuse"`
 * does.
 */

import { ByteFiller } from "../../src/bytes/filler.ts";
import { ByteWriter } from "../../src/bytes/writer.ts";
import { arenaDisposed, arenaExhausted } from "../../src/errors.ts";
import type { Lease } from "../../src/lease/lease.ts";
import type { LeaseSource } from "../../src/lease/source.ts";
import { FakeOwner } from "../unit/helpers.ts";

/** What unzeroed bytes are. No test writes it. */
export const DIRT = 0xa5;

class FakeBlock extends FakeOwner {
  readonly #source: FakeSource;

  constructor(buffer: ArrayBuffer, source: FakeSource) {
    super(buffer);
    this.#source = source;
  }

  override get closed(): boolean {
    return this.#source.isDisposed;
  }

  override get source(): LeaseSource {
    return this.#source;
  }

  override ended(): void {
    if (this.closed) throw arenaDisposed("release");
    if (!this.#source.live.has(this)) throw new Error("a block was returned twice");
    this.#source.ended(this);
  }

  override blockBytes(): number {
    return this.buffer.byteLength;
  }
}

export class FakeSource implements LeaseSource {
  /** Bytes of all blocks that are not detached, at most. */
  maxBytes = Number.POSITIVE_INFINITY;
  /** The lengths acquired so far, in order. */
  readonly acquired: number[] = [];
  /** Runs inside the next `acquire`, after all else, as a hook of `async_hooks` does. */
  insideNextAcquire: (() => void) | undefined;
  isDisposed = false;
  readonly live = new Set<FakeBlock>();
  #resting: FakeBlock[] = [];

  get liveLeases(): number {
    return this.live.size;
  }

  get liveBytes(): number {
    return [...this.live].reduce((sum, { buffer }) => sum + buffer.byteLength, 0);
  }

  acquire(byteLength: number): Lease {
    return this.#acquire(byteLength, 0);
  }

  acquireUnzeroed(byteLength: number): Lease {
    return this.#acquire(byteLength, DIRT);
  }

  zero(bytes: Uint8Array<ArrayBuffer>, start: number, end: number): void {
    bytes.fill(0, start, end);
  }

  writer(byteLength?: number): ByteWriter {
    return new ByteWriter(this, byteLength);
  }

  filler(byteLength: number): ByteFiller {
    return new ByteFiller(this, byteLength);
  }

  ended(block: FakeBlock): void {
    this.live.delete(block);
    this.#resting.push(block);
  }

  dispose(): void {
    this.isDisposed = true;
    this.detachLive();
  }

  /** As other code can that revokes the memory. */
  detachLive(): void {
    for (const { buffer } of this.live) detach(buffer);
  }

  #acquire(byteLength: number, content: number): Lease {
    if (this.isDisposed) throw arenaDisposed("acquire");
    for (const { buffer } of this.#resting.splice(0)) detach(buffer);
    const blockBytes = Math.ceil(Math.max(byteLength, 1) / 64) * 64;
    if (this.liveBytes + blockBytes > this.maxBytes) throw arenaExhausted(byteLength, this.liveBytes, this.maxBytes);
    const block = new FakeBlock(new ArrayBuffer(blockBytes), this);
    new Uint8Array(block.buffer).fill(content);
    this.live.add(block);
    this.acquired.push(byteLength);
    const lease = block.lease(byteLength);
    const act = this.insideNextAcquire;
    this.insideNextAcquire = undefined;
    act?.();
    return lease;
  }
}

export function detach(buffer: ArrayBuffer): void {
  structuredClone(buffer, { transfer: [buffer] });
}

export const MAX_INT64 = 2n ** 63n - 1n;
export const MAX_UINT64 = 2n ** 64n - 1n;

/** The kinds of numbers: bytes, and the least and most that is taken. */
export const INTEGERS = {
  Uint8: [1, 0, 0xff],
  Int8: [1, -0x80, 0x7f],
  Uint16: [2, 0, 0xffff],
  Int16: [2, -0x8000, 0x7fff],
  Uint32: [4, 0, 0xffffffff],
  Int32: [4, -0x80000000, 0x7fffffff],
} as const;
export const WIDE = { Uint64: [8, 0n, MAX_UINT64], Int64: [8, -MAX_INT64 - 1n, MAX_INT64] } as const;
export const FLOATS = { Float32: [4], Float64: [8] } as const;
const ALL = { ...INTEGERS, ...WIDE, ...FLOATS };
export const KINDS = Object.entries(ALL).map(([kind, [byteLength]]) => [kind as keyof typeof ALL, byteLength] as const);

/** `byteLength` bytes that are neither 0 nor DIRT. */
export function content(byteLength: number, start = 1): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length: byteLength }, (_, each) => ((start + each) % 100) + 1);
}

/** Bytes that say that they are fewer, or more, than they are. */
class LyingBytes extends Uint8Array {
  claimed = 0;

  override get length(): number {
    return this.claimed;
  }

  override get byteLength(): number {
    return this.claimed;
  }

  override subarray(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(0);
  }
}

export function lying(bytes: Uint8Array, claimed: number): Uint8Array {
  return Object.assign(new LyingBytes(bytes), { claimed });
}
