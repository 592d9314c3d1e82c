/**
 * Where the leases of these tests come from, and what they all ask. The fake source's
 * blocks lie on the heap, are full of 0xA5 when they are handed out unzeroed, and are
 * detached once something else is acquired after their release, as `"before-reuse"`
 * does. `SOURCES` has a line for each kind of source that the tests run with.
 */

import { expect } from "vitest";
import { Arena } from "../../src/arena.ts";
import { ByteFiller } from "../../src/bytes/filler.ts";
import { ByteWriter } from "../../src/bytes/writer.ts";
import { ArenaError, type ArenaErrorCode, arenaDisposed, arenaExhausted } from "../../src/errors.ts";
import { Lease } from "../../src/lease/lease.ts";
import type { BlockOwner, LeaseOrigin } from "../../src/lease/owner.ts";
import type { LeaseSource } from "../../src/lease/source.ts";

/** What unzeroed bytes are. No test writes it. */
export const DIRT = 0xa5;

/** The doors of an arena that these tests go through. */
export interface Doors {
  readonly liveLeases: number;
  acquire(byteLength: number): Lease;
  writer(byteLength?: number): ByteWriter;
  filler(byteLength: number): ByteFiller;
}

/** An arena of `src/` or of the built library: the same classes, of which types cannot know. */
interface ArenaLike {
  acquire(byteLength: number): unknown;
  writer(byteLength?: number): unknown;
  filler(byteLength: number): unknown;
  stats(): { readonly liveLeases: number };
}

export function doorsOf(arena: ArenaLike): Doors {
  return {
    get liveLeases() {
      return arena.stats().liveLeases;
    },
    acquire: (byteLength) => arena.acquire(byteLength) as Lease,
    writer: (byteLength) => arena.writer(byteLength) as ByteWriter,
    filler: (byteLength) => arena.filler(byteLength) as ByteFiller,
  };
}

export const SOURCES: Record<string, () => Doors> = {
  "a fake source": () => new FakeSource(),
  "an arena": () => doorsOf(new Arena()),
};

class FakeBlock implements BlockOwner {
  readonly origin: LeaseOrigin = "heap";
  readonly memory = undefined;
  readonly buffer: ArrayBuffer;
  readonly source: FakeSource;
  hasEnded = false;

  constructor(buffer: ArrayBuffer, source: FakeSource) {
    this.buffer = buffer;
    this.source = source;
  }

  get closed(): boolean {
    return this.source.isDisposed;
  }

  get place(): object {
    return this;
  }

  ended(): void {
    if (this.closed) throw arenaDisposed("release");
    if (this.hasEnded) throw new Error("a block was returned twice");
    this.hasEnded = true;
    this.source.ended(this);
  }

  blockBytes(): number {
    return this.buffer.byteLength;
  }

  view(ptr: number, byteLength: number): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.buffer, ptr, byteLength);
  }

  resized(): void {}

  heldByPins(): void {}

  inspectTrap(): void {}
}

export class FakeSource implements LeaseSource, Doors {
  /** Bytes of all blocks that are not detached, at most. */
  maxBytes = Number.POSITIVE_INFINITY;
  /** The lengths acquired so far, in order; those that were refused too. */
  readonly acquired: number[] = [];
  readonly refused: number[] = [];
  /** Runs inside `acquire`, after all else, as `Error.prepareStackTrace` does. */
  onAcquire: (() => void) | undefined;
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

  /** Detaches what was released. */
  revoke(): void {
    for (const { buffer } of this.#resting) detach(buffer);
    this.#resting = [];
  }

  dispose(): void {
    this.isDisposed = true;
    for (const { buffer } of this.live) detach(buffer);
    this.revoke();
  }

  #acquire(byteLength: number, content: number): Lease {
    if (this.isDisposed) throw arenaDisposed("acquire");
    if (!Number.isInteger(byteLength) || byteLength < 0) {
      throw new ArenaError("ERR_INVALID_ARGUMENT", `byteLength is ${byteLength}; pass another`);
    }
    this.revoke();
    const blockBytes = Math.ceil(Math.max(byteLength, 1) / 64) * 64;
    if (this.liveBytes + blockBytes > this.maxBytes) {
      this.refused.push(byteLength);
      throw arenaExhausted(byteLength, this.liveBytes, this.maxBytes);
    }
    const block = new FakeBlock(new ArrayBuffer(blockBytes), this);
    new Uint8Array(block.buffer).fill(content);
    this.live.add(block);
    this.acquired.push(byteLength);
    const lease = new Lease(block.view(0, byteLength), block, 0, byteLength);
    this.onAcquire?.();
    return lease;
  }
}

export function detach(buffer: ArrayBuffer): void {
  structuredClone(buffer, { transfer: [buffer] });
}

/** Runs `act` inside the next acquire, once. */
export function insideNextAcquire(source: FakeSource, act: () => void): void {
  source.onAcquire = () => {
    source.onAcquire = undefined;
    act();
  };
}

/** What `fn` throws: an ArenaError with `code`, whose message contains every one of `fragments`. */
export function expectThrow(fn: () => unknown, code: ArenaErrorCode, ...fragments: string[]): void {
  let thrown: unknown;
  try {
    fn();
  } catch (error) {
    thrown = error;
  }
  // Of this copy of the package or of the built one.
  if (!(thrown instanceof Error) || thrown.name !== "ArenaError") {
    throw new Error(`expected an ArenaError, got ${String(thrown)}`, { cause: thrown });
  }
  expect((thrown as ArenaError).code, thrown.message).toBe(code);
  for (const fragment of fragments) expect(thrown.message).toContain(fragment);
}

/** A value of the wrong type, where the types would not let it through. */
export function wrong<T>(value: unknown): T {
  return value as T;
}

/** LEB128, as its definition says it. */
export function leb128(value: bigint): Buffer {
  const bytes: number[] = [];
  let rest = value;
  do {
    bytes.push(Number(rest % 128n) + (rest >= 128n ? 128 : 0));
    rest /= 128n;
  } while (rest > 0n);
  return Buffer.from(bytes);
}

/** The very bytes of `model`; if not, no screenful of them. */
export function expectBytes(bytes: Uint8Array, model: Uint8Array): void {
  expect(Buffer.compare(bytes, model), `${bytes.length} bytes, and ${model.length} in the model`).toBe(0);
}

/** `byteLength` bytes that are neither 0 nor DIRT. */
export function content(byteLength: number, start = 1): Uint8Array {
  return Uint8Array.from({ length: byteLength }, (_, each) => ((start + each) % 100) + 1);
}

/** Bytes that say that they are fewer, or more, than they are. */
export class LyingBytes extends Uint8Array {
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

export function lying(bytes: Uint8Array, claimed: number): LyingBytes {
  const lie = new LyingBytes(bytes);
  lie.claimed = claimed;
  return lie;
}
