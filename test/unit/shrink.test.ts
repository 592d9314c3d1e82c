/** One outlier does not stay for good: memory that a load does not need goes, without a call to `trim`. */

import type { RevokeMode } from "cleanslab";
import { describe, expect, test } from "vitest";
import {
  expectSound,
  MODES,
  PAGE_BYTES,
  REVOKING_MODES,
  releaseAll,
  SEGMENT_BYTES,
  SEGMENT_MEMORY_BYTES,
  smallArena,
} from "../helpers.ts";

/** What is left after 150 000 leases of `byteLength`, one at a time, that came after an outlier of ten segments. */
function reservedAfterOutlier(revoke: RevokeMode, byteLength: number): number {
  using arena = smallArena({ revoke, onExhausted: "throw" }, 10);
  const outlier =
    revoke === "on-release" ? { count: 50, byteLength: PAGE_BYTES } : { count: 10, byteLength: SEGMENT_BYTES };
  releaseAll(Array.from({ length: outlier.count }, () => arena.acquire(outlier.byteLength)));
  // Not yet anything to do with the load.
  if (byteLength <= PAGE_BYTES) expect(arena.stats().reservedBytes).toBe(10 * SEGMENT_MEMORY_BYTES);
  for (let cycle = 0; cycle < 150_000; cycle++) arena.acquire(byteLength).release();
  expectSound(arena);
  return arena.stats().reservedBytes;
}

describe.each(MODES)("revoke: %s, after an outlier", (revoke) => {
  test.each([1000, 4096, 40_000])("a load of %i bytes shrinks the arena to what it needs", (byteLength) => {
    const needed = revoke === "on-release" ? PAGE_BYTES : SEGMENT_MEMORY_BYTES;
    expect(reservedAfterOutlier(revoke, byteLength)).toBe(needed);
  });

  test.each([PAGE_BYTES, SEGMENT_BYTES])("a load of %i bytes shrinks the arena to what it needs", (byteLength) => {
    const needed = revoke === "on-release" ? byteLength : SEGMENT_MEMORY_BYTES;
    expect(reservedAfterOutlier(revoke, byteLength)).toBe(needed);
  });
});

// In "never" mode a round drops a segment without blocks whether or not the load comes back for it.
describe.each(REVOKING_MODES)("revoke: %s, memory that is all needed again and again", (revoke) => {
  test("stays, round after round", () => {
    using arena = smallArena({ revoke, onExhausted: "throw" }, 10);
    const count = revoke === "on-release" ? 50 : 640;
    const byteLength = revoke === "on-release" ? PAGE_BYTES : 4096;
    for (let round = 0; round < 40; round++) {
      releaseAll(Array.from({ length: count }, () => arena.acquire(byteLength)));
      expect(arena.stats().reservedBytes).toBe(10 * SEGMENT_MEMORY_BYTES);
    }
    expectSound(arena);
  });
});
