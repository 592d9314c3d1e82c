/**
 * The loops that are measured without an allocator's interface: the floor under
 * every lease, and a lease as a program has it. The rivals are allocators.ts.
 */

import type { Batch } from "./harness.ts";
import { type Library, loadBoundary, loadLibrary } from "./library.ts";

/** Keeps what a batch computes from being optimised away. */
export let sink = 0;

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
