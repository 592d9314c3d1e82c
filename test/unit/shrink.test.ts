/** One outlier does not stay for good: memory that a load does not need goes, without a call to `trim`. */

import type { RevokeMode } from "cleanslab";
import { describe, expect, test } from "vitest";
import { IDLE_ROUNDS } from "../../src/idle.ts";
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

/** Rounds enough to halve ten segments away. */
const LOAD_BYTES = 2 * 5 * IDLE_ROUNDS * 10 * SEGMENT_MEMORY_BYTES;

/** What is left after many leases of `byteLength`, one at a time, that came after an outlier of ten segments. */
function reservedAfterOutlier(revoke: RevokeMode, byteLength: number): number {
  using arena = smallArena({ revoke, onExhausted: "throw" }, 10);
  const outlier =
    revoke === "on-release" ? { count: 50, byteLength: PAGE_BYTES } : { count: 10, byteLength: SEGMENT_BYTES };
  releaseAll(Array.from({ length: outlier.count }, () => arena.acquire(outlier.byteLength)));
  // Not yet anything to do with the load.
  if (byteLength <= PAGE_BYTES) expect(arena.stats().reservedBytes).toBe(10 * SEGMENT_MEMORY_BYTES);
  // In "never" mode 1024 leases, however long, are no more than one round.
  const cycles = Math.max(150_000, LOAD_BYTES / byteLength);
  for (let cycle = 0; cycle < cycles; cycle++) arena.acquire(byteLength).release();
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

describe.each(MODES)("revoke: %s, an outlier", (revoke) => {
  test("stays at first, because the next one may come soon", () => {
    using arena = smallArena({ revoke, onExhausted: "throw" }, 10);
    const byteLength = revoke === "on-release" ? PAGE_BYTES : SEGMENT_BYTES;
    releaseAll(Array.from({ length: 10 }, () => arena.acquire(byteLength)));
    const { reservedBytes, maxBytes } = arena.stats();
    const leasesOfRound = revoke === "never" ? 1024 : maxBytes / byteLength;
    const rounds = IDLE_ROUNDS - 1;
    for (let cycle = 0; cycle < rounds * leasesOfRound; cycle++) arena.acquire(byteLength).release();
    expect(arena.stats().reservedBytes).toBe(reservedBytes);
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

  test("stays when it is needed only now and then, in bursts some rounds apart", () => {
    using arena = smallArena({ revoke, onExhausted: "throw" }, 10);
    const burst = revoke === "on-release" ? 50 : 10;
    const byteLength = revoke === "on-release" ? PAGE_BYTES : SEGMENT_BYTES;
    const betweenBursts = ((IDLE_ROUNDS / 4) * arena.stats().maxBytes) / byteLength;
    for (let each = 0; each < 20; each++) {
      releaseAll(Array.from({ length: burst }, () => arena.acquire(byteLength)));
      for (let cycle = 0; cycle < betweenBursts; cycle++) arena.acquire(byteLength).release();
      expect(arena.stats().reservedBytes).toBe(10 * SEGMENT_MEMORY_BYTES);
    }
    expectSound(arena);
  });
});
