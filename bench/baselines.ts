/**
 * The loops that are measured without an allocator's interface: the floor under
 * every lease, and a lease as a program has it. The rivals are allocators.ts.
 */

import type { Batch } from "./harness.ts";
import { type Library, loadBoundary, loadLibrary } from "./library.ts";
import { ownCopy } from "./own-copy.ts";

/** What no lease can do without: two calls into the module, one view, one fill. */
export async function floor(byteLength: number): Promise<Batch> {
  const { createMemory, createSegmentExports, headerBytes, segmentMemoryBytes } = await loadBoundary();
  const slabShift = 14;
  const memory = createMemory(segmentMemoryBytes(slabShift));
  if (memory === null) throw new Error("no memory for the floor");
  const { liveBlocks, wipe } = createSegmentExports(memory, slabShift);
  // The sum is the loop's own: one in the module would cost half as much as the floor does.
  return ownCopy(
    (count: typeof liveBlocks, clear: typeof wipe, buffer: ArrayBuffer, start: number, length: number): Batch =>
      (operations) => {
        let sum = 0;
        for (let each = 0; each < operations; each++) {
          sum += count();
          const bytes = new Uint8Array(buffer, start, length);
          bytes[0] = each;
          sum += bytes.length;
          clear(start, length);
        }
        return sum;
      },
  )(liveBlocks, wipe, memory.buffer, headerBytes(slabShift), byteLength);
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
