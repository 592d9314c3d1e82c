/**
 * The allocators under observation, behind one small interface. A probe gets an
 * `Allocator` and must not know which; each probe gets one that nobody used before.
 */

import { MemPool } from "@thi.ng/malloc";
import { Arena, type RevokeMode } from "cleanslab";

/** A buffer while it is somebody's, and the way to give it back. A `Lease` is one as it stands. */
export interface Held {
  readonly bytes: Uint8Array<ArrayBuffer>;
  release(): void;
  /** Gives back once `promise` has settled, where the allocator knows how to. */
  releaseAfter?<T>(promise: PromiseLike<T>): Promise<T>;
}

export interface Allocator {
  acquire(byteLength: number): Held;
}

/** An allocator, and how to let go of all that it has. */
export interface OpenSubject {
  readonly allocator: Allocator;
  close(): void;
}

export interface Subject {
  readonly name: string;
  open(): OpenSubject;
}

/** Enough for the most that a probe holds at a time, in every subject. */
const POOL_BYTES = 16 * 1024 * 1024;
const MAX_ARENA_BYTES = 256 * 1024 * 1024;

export const FRESH: Subject = {
  name: "fresh",
  open: () => withoutState((byteLength) => new Uint8Array(byteLength)),
};

export const SUBJECTS: readonly Subject[] = [
  { name: "allocUnsafe", open: () => withoutState((byteLength) => Buffer.allocUnsafe(byteLength)) },
  { name: "array pool", open: () => openArrayPool(() => {}) },
  { name: "array pool, fill(0)", open: () => openArrayPool((bytes) => bytes.fill(0)) },
  { name: "@thi.ng/malloc", open: openThingPool },
  { name: "before-reuse", open: () => openArena("before-reuse") },
  { name: "on-release", open: () => openArena("on-release") },
  { name: "never", open: () => openArena("never") },
];

/** What is given back to the garbage collector alone. */
function withoutState(allocate: (byteLength: number) => Uint8Array<ArrayBuffer>): OpenSubject {
  const acquire = (byteLength: number): Held => ({ bytes: allocate(byteLength), release: () => {} });
  return { allocator: { acquire }, close: () => {} };
}

/** The ten lines that everybody writes, with or without wiping on the way back. */
function openArrayPool(wipe: (bytes: Uint8Array) => void): OpenSubject {
  const idle = new Map<number, Uint8Array<ArrayBuffer>[]>();
  const acquire = (byteLength: number): Held => {
    const shelf = idle.get(byteLength) ?? [];
    idle.set(byteLength, shelf);
    const bytes = shelf.pop() ?? new Uint8Array(byteLength);
    const release = (): void => {
      wipe(bytes);
      shelf.push(bytes);
    };
    return { bytes, release };
  };
  return { allocator: { acquire }, close: () => idle.clear() };
}

/** `calloc`, which its documentation prefers to `malloc` "for safety". */
function openThingPool(): OpenSubject {
  const buffer = new ArrayBuffer(POOL_BYTES);
  const pool = new MemPool({ buf: buffer });
  const acquire = (byteLength: number): Held => {
    const address = pool.calloc(byteLength);
    if (address === 0) throw new Error(`no room for ${byteLength} bytes in ${POOL_BYTES}`);
    return { bytes: new Uint8Array(buffer, address, byteLength), release: () => void pool.free(address) };
  };
  return { allocator: { acquire }, close: () => void pool.release() };
}

function openArena(revoke: RevokeMode): OpenSubject {
  const arena = new Arena({ revoke, maxBytes: MAX_ARENA_BYTES, trace: "off" });
  return { allocator: arena, close: () => arena[Symbol.dispose]() };
}
