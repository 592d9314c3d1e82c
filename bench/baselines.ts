/**
 * The rivals, each at its best and as its documentation says, and each in a
 * function of its own: acquire, touch the first byte, give back.
 */

import type { SizeClassPool } from "cleanslab";
import type { Batch } from "./harness.ts";
import { type Library, loadBoundary, loadLibrary } from "./library.ts";

/** Keeps what a batch computes from being optimised away. */
export let sink = 0;

export function freshArray(byteLength: number): Batch {
  return (operations) => {
    for (let each = 0; each < operations; each++) {
      const bytes = new Uint8Array(byteLength);
      bytes[0] = each;
      sink += bytes.length;
    }
  };
}

export function bufferAlloc(byteLength: number): Batch {
  return (operations) => {
    for (let each = 0; each < operations; each++) {
      const bytes = Buffer.alloc(byteLength);
      bytes[0] = each;
      sink += bytes.length;
    }
  };
}

/** Dirty memory, never wiped: the fastest that Node has. */
export function bufferAllocUnsafe(byteLength: number): Batch {
  return (operations) => {
    for (let each = 0; each < operations; each++) {
      const bytes = Buffer.allocUnsafe(byteLength);
      bytes[0] = each;
      sink += bytes.length;
    }
  };
}

/** The ten lines that everybody writes, wiping on the way back. */
export function arrayPool(byteLength: number): Batch {
  const free: Uint8Array[] = [];
  return (operations) => {
    for (let each = 0; each < operations; each++) {
      const bytes = free.pop() ?? new Uint8Array(byteLength);
      bytes[0] = each;
      sink += bytes.length;
      bytes.fill(0);
      free.push(bytes);
    }
  };
}

/** What no lease can do without: two calls into the module, one view, one fill. */
export async function floor(byteLength: number): Promise<Batch> {
  const { createMemory, createSegmentExports, headerBytes, segmentMemoryBytes } = await loadBoundary();
  const slabShift = 14;
  const memory = createMemory(segmentMemoryBytes(slabShift));
  if (memory === null) throw new Error("no memory for the floor");
  const { liveBlocks, wipe } = createSegmentExports(memory, slabShift);
  const { buffer } = memory;
  const start = headerBytes(slabShift);
  return (operations) => {
    for (let each = 0; each < operations; each++) {
      sink += liveBlocks();
      const bytes = new Uint8Array(buffer, start, byteLength);
      bytes[0] = each;
      sink += bytes.length;
      wipe(start, byteLength);
    }
  };
}

type RevokeMode = "before-reuse" | "on-release" | "never";

export async function throughAcquire(revoke: RevokeMode, byteLength: number): Promise<Batch> {
  const { Arena } = await loadLibrary(`${revoke}-acquire`);
  const cycle = leaseCycle();
  const arena = new Arena({ revoke, trace: "off" });
  return (operations) => cycle(arena, byteLength, operations);
}

export async function throughPool(revoke: RevokeMode, byteLength: number): Promise<Batch> {
  const { Arena } = await loadLibrary(`${revoke}-pool`);
  const cycle = poolCycle();
  const pool = new Arena({ revoke, trace: "off" }).pool(byteLength);
  return (operations) => cycle(pool, operations);
}

/** A new function on every call, for the reason given in library.ts. */
function leaseCycle(): (arena: InstanceType<Library["Arena"]>, byteLength: number, operations: number) => number {
  return new Function(
    "arena",
    "byteLength",
    "operations",
    `let sink = 0;
     for (let each = 0; each < operations; each++) {
       const lease = arena.acquire(byteLength);
       const { bytes } = lease;
       bytes[0] = each;
       sink += bytes.length;
       lease.release();
     }
     return sink;`,
  ) as ReturnType<typeof leaseCycle>;
}

function poolCycle(): (pool: SizeClassPool, operations: number) => number {
  return new Function(
    "pool",
    "operations",
    `let sink = 0;
     for (let each = 0; each < operations; each++) {
       const lease = pool.acquire();
       const { bytes } = lease;
       bytes[0] = each;
       sink += bytes.length;
       lease.release();
     }
     return sink;`,
  ) as ReturnType<typeof poolCycle>;
}
