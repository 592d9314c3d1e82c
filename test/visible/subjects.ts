/**
 * The allocators under observation, behind one small interface. A probe gets an
 * `Allocator` and must not know which; each probe gets one that nobody used before.
 */

import type { Readable } from "node:stream";
import { Arena, type ArenaOptions } from "cleanslab";
import { collect } from "cleanslab/node";

/** `null` where it is not installed: the published package brings no rival. */
const thing = await import("@thi.ng/malloc").catch(() => null);

/** A buffer while it is somebody's, and the way to give it back. A `Lease` is one as it stands. */
export interface Held {
  /** Another object after `resize`. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  release(): void;
  /** Makes it shorter or longer, as `realloc` does; it may lie elsewhere then. */
  resize(byteLength: number): void;
  /** Gives back once `promise` has settled, where the allocator knows how to. */
  releaseAfter?<T>(promise: PromiseLike<T>): Promise<T>;
}

/** Writes into the bytes from the front, and answers how many it wrote. */
export type Write = (bytes: Uint8Array<ArrayBuffer>) => number;

export interface Allocator {
  acquire(byteLength: number): Held;
  /** A buffer of what `write` wrote, of `byteLength` bytes at the most. */
  acquireFilled(byteLength: number, write: Write): Held;
  /** All of a stream in one buffer. Where the allocator can free what the stream read, it does. */
  collect(stream: Readable): Promise<Held>;
  /** How many writes in front of its buffers it has found, where it looks for them. */
  strayWrites?(): number;
}

/** An allocator, and how to let go of all that it has. */
export interface OpenSubject<A = Allocator> {
  readonly allocator: A;
  close(): unknown;
}

export interface Subject<A = Allocator> {
  readonly name: string;
  open(): OpenSubject<A>;
}

/** Enough for the most that a probe holds at a time, in every subject. */
const POOL_BYTES = 16 * 1024 * 1024;
const MAX_ARENA_BYTES = 256 * 1024 * 1024;

export const FRESH: Subject = {
  name: "new Uint8Array",
  open: () => withoutState((byteLength) => new Uint8Array(byteLength)),
};

/** The default mode with `wipeOnRelease`. */
export const WIPED = "before-reuse, wiped";

export const SUBJECTS: readonly Subject[] = [
  { name: "allocUnsafe", open: () => withoutState((byteLength) => Buffer.allocUnsafe(byteLength)) },
  { name: "array pool", open: () => openArrayPool(() => {}) },
  { name: "array pool, fill(0)", open: () => openArrayPool((bytes) => bytes.fill(0)) },
  ...(thing === null ? [] : [{ name: "@thi.ng/malloc", open: () => openThingPool(thing) }]),
  { name: "before-reuse", open: () => openArena({ revoke: "before-reuse" }) },
  { name: WIPED, open: () => openArena({ revoke: "before-reuse", wipeOnRelease: true }) },
  { name: "on-release", open: () => openArena({ revoke: "on-release" }) },
  { name: "never", open: () => openArena({ revoke: "never" }) },
];

/** Where a rival's blocks come from and go to. */
interface Blocks {
  take(byteLength: number): Uint8Array<ArrayBuffer>;
  give(block: Uint8Array<ArrayBuffer>): void;
}

/** A block of a rival, resized as a program does that has nothing but `take` and `give`. */
class Block implements Held {
  readonly #blocks: Blocks;
  #block: Uint8Array<ArrayBuffer>;
  #byteLength: number;

  constructor(blocks: Blocks, byteLength: number) {
    this.#blocks = blocks;
    this.#block = blocks.take(byteLength);
    this.#byteLength = byteLength;
  }

  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#byteLength === this.#block.length ? this.#block : this.#block.subarray(0, this.#byteLength);
  }

  resize(byteLength: number): void {
    if (byteLength > this.#byteLength) {
      const longer = this.#blocks.take(byteLength);
      longer.set(this.bytes);
      this.#blocks.give(this.#block);
      this.#block = longer;
    }
    this.#byteLength = byteLength;
  }

  release(): void {
    this.#blocks.give(this.#block);
  }
}

function allocatorOf(blocks: Blocks): Allocator {
  const acquire = (byteLength: number): Held => new Block(blocks, byteLength);
  return {
    acquire,
    acquireFilled(byteLength, write) {
      const held = acquire(byteLength);
      held.resize(write(held.bytes));
      return held;
    },
    async collect(stream) {
      const chunks: Uint8Array[] = [];
      await new Promise((resolve, reject) => {
        stream.on("data", (chunk) => chunks.push(chunk)).on("end", resolve);
        stream.on("error", reject);
      });
      const held = acquire(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
      let at = 0;
      for (const chunk of chunks) {
        held.bytes.set(chunk, at);
        at += chunk.length;
      }
      return held;
    },
  };
}

/** What is given back to the garbage collector alone. */
function withoutState(take: (byteLength: number) => Uint8Array<ArrayBuffer>): OpenSubject {
  return { allocator: allocatorOf({ take, give: () => {} }), close: () => {} };
}

/** The ten lines that everybody writes, with or without wiping on the way back. */
function openArrayPool(wipe: (bytes: Uint8Array) => void): OpenSubject {
  const idle = new Map<number, Uint8Array<ArrayBuffer>[]>();
  const allocator = allocatorOf({
    take: (byteLength) => idle.get(byteLength)?.pop() ?? new Uint8Array(byteLength),
    give(block) {
      wipe(block);
      const shelf = idle.get(block.length) ?? [];
      idle.set(block.length, shelf);
      shelf.push(block);
    },
  });
  return { allocator, close: () => idle.clear() };
}

/** `calloc`, which its documentation prefers to `malloc` "for safety". */
function openThingPool({ MemPool }: typeof import("@thi.ng/malloc")): OpenSubject {
  const buffer = new ArrayBuffer(POOL_BYTES);
  const pool = new MemPool({ buf: buffer });
  const allocator = allocatorOf({
    take(byteLength) {
      const address = pool.calloc(byteLength);
      if (address === 0) throw new Error(`no room for ${byteLength} bytes in ${POOL_BYTES}`);
      return new Uint8Array(buffer, address, byteLength);
    },
    give: ({ byteOffset }) => void pool.free(byteOffset),
  });
  return { allocator, close: () => void pool.release() };
}

function openArena(options: ArenaOptions): OpenSubject {
  const arena = new Arena({ ...options, maxBytes: MAX_ARENA_BYTES, trace: "off" });
  const allocator: Allocator = {
    acquire: (byteLength) => arena.acquire(byteLength),
    acquireFilled: (byteLength, write) => arena.acquireFilled(byteLength, write),
    collect: (stream) => collect(stream, arena, { limit: MAX_ARENA_BYTES, freeChunks: true }),
    strayWrites() {
      // An audit looks in front of every segment's leases.
      arena.audit();
      return arena.stats().strayWrites;
    },
  };
  return { allocator, close: () => arena[Symbol.dispose]() };
}
