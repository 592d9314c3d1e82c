/**
 * What a call costs does not grow with the cap, with what is leased, with those who wait or
 * with what was made before. Counted in steps of iterators, revocations and moves: no clock.
 */

import { Arena, type ArenaOptions, type Lease } from "cleanslab";
import { describe, expect, test } from "vitest";
import {
  collectGarbageUntil,
  countSteps,
  exhaust,
  KiB,
  MiB,
  MODES,
  releaseAll,
  seeded,
  settle,
  smallArena,
} from "../helpers.ts";

/** Steps and revocations for each of `count` leases that are released at once, or find no room. */
async function workOf(arena: Arena, byteLength: number, count = 100): Promise<{ steps: number; revocations: number }> {
  const before = arena.stats().revocations;
  const steps = await countSteps(() => {
    for (let each = 0; each < count; each++) {
      try {
        arena.acquire(byteLength).release();
      } catch {
        // No room.
      }
    }
  });
  return { steps: steps / count, revocations: (arena.stats().revocations - before) / count };
}

/** Fills the arena but for the last slab of each segment: leases of 64 bytes, each in a segment of its own. */
function oneLeaseInEachSegment(arena: Arena, segments: number): Lease[] {
  const long: Lease[] = [];
  for (let isFull = false; !isFull && long.length < 64 * segments; ) {
    long.push(arena.acquire(64));
    for (let each = 0; each < 63 && !isFull; each++) {
      const short = arena.acquire(4 * KiB);
      isFull = short.origin === "heap";
      short.release();
    }
  }
  return long;
}

/** Ways to reach a cap of so many segments. */
const CAPS: [string, ArenaOptions, (arena: Arena, segments: number) => unknown][] = [
  ["with a short lease in each segment", { revoke: "before-reuse" }, oneLeaseInEachSegment],
  ["with a short lease in each segment", { revoke: "never" }, oneLeaseInEachSegment],
  [
    "where half of it is free in pieces that are too short",
    { revoke: "never", onExhausted: "throw" },
    (arena) => exhaust(arena, 4 * KiB).filter((lease, each) => each % 2 === 0 || lease.release()),
  ],
  [
    "after long leases came and went in each segment",
    { revoke: "before-reuse" },
    (arena, segments) => {
      const next = seeded(1);
      const long = oneLeaseInEachSegment(arena, segments);
      for (let each = 0; each < 4 * long.length; each++) {
        const at = next(long.length);
        long[at]?.release();
        long[at] = oneLeaseInEachSegment(arena, 1 / 64)[0] as Lease;
      }
      return long;
    },
  ],
  [
    "while somebody waits for a longer one",
    { revoke: "before-reuse", onExhausted: "throw" },
    (arena) => {
      const held = exhaust(arena, 48 * KiB).filter((lease, each) => each % 2 === 1 || lease.release());
      arena.acquireAsync(90 * KiB).catch(() => {});
      return held;
    },
  ],
];

describe("a lease at the cap", () => {
  // Once it looked at every segment, and cost 50 µs under a cap of 1 GiB.
  test.each(CAPS)("costs the same under any cap %s: %j", async (_name, options, fill) => {
    const work = [];
    for (const segments of [4, 64]) {
      using arena = smallArena(options, segments);
      const held = fill(arena, segments);
      for (let each = 0; each < 2; each++) await workOf(arena, KiB);
      for (const byteLength of [KiB, 64, 20 * KiB, 40 * KiB]) work.push(await workOf(arena, byteLength));
      expect(held).toBeDefined();
    }
    for (const [each, few] of work.slice(0, 4).entries()) {
      expect(work[each + 4]?.steps).toBeLessThan(2 * few.steps + 60);
      expect(work[each + 4]?.revocations).toBeLessThanOrEqual(1.01);
    }
  });
});

describe.each(MODES)("revoke: %s", (revoke) => {
  // Once each drop started over from the first segment.
  test("trim goes once through the memories", async () => {
    const work: number[] = [];
    for (const segments of [20, 80]) {
      using arena = smallArena({ revoke }, 2 * segments + 4);
      const leases = Array.from({ length: 6 * segments }, () => arena.acquire(60 * KiB));
      releaseAll(leases.splice(3 * segments));
      const before = arena.stats().reservedBytes;
      let trimmed = 0;
      const steps = await countSteps(() => {
        trimmed = arena.trim();
      });
      expect(trimmed).toBe(before - arena.stats().reservedBytes);
      expect(trimmed).toBeGreaterThan(0.3 * before);
      work.push(steps / segments);
    }
    expect(work[1]).toBeLessThan(2 * (work[0] as number) + 20);
  });

  // Once serving one of 100,000 who wait cost more, the more of them there were.
  test("serving costs the same for each of many who wait", async () => {
    const work: number[] = [];
    for (const waiters of [100, 2000]) {
      using arena = smallArena({ revoke, onExhausted: "throw" }, 2);
      const held = exhaust(arena, 60 * KiB);
      const all = Array.from({ length: waiters }, async () => (await arena.acquireAsync(60 * KiB)).release());
      const { revocations } = arena.stats();
      const steps = await countSteps(() => {
        releaseAll(held);
        return Promise.all(all);
      });
      expect(arena.stats().revocations - revocations).toBeLessThan(3 * waiters + 10);
      work.push(steps / waiters);
    }
    expect(work[1]).toBeLessThan(3 * (work[0] as number) + 100);
  });
});

// Once each leaked memory that was collected looked at all traced leases: quadratic.
test("leaks of traced leases are reported with work in proportion to their number", async () => {
  const work: number[] = [];
  for (const count of [200, 800]) {
    using arena = new Arena({ trace: "all", maxBytes: 256 * MiB, revoke: "on-release" });
    const keep = Array.from({ length: count }, () => arena.acquire(16));
    const leakAll = async (): Promise<void> => {
      (() => {
        for (let each = 0; each < count; each++) arena.acquire(16);
      })();
      await collectGarbageUntil(() => arena.stats().leakedLeases === count);
    };
    work.push((await countSteps(leakAll)) / count);
    expect(arena.stats().leakedLeases).toBe(count);
    releaseAll(keep);
  }
  expect(work[1]).toBeLessThan(2 * (work[0] as number) + 50);
});

// Once making an arena looked at every one made before.
test("making an arena does not look at those made before", async () => {
  const make = (): void => {
    using arena = new Arena({ maxBytes: 4 * MiB, trace: "off" });
    arena.acquire(100).release();
  };
  make();
  const first = await countSteps(make);
  for (let each = 0; each < 2000; each++) {
    make();
    if (each % 50 === 0) await settle();
  }
  expect(await countSteps(make)).toBeLessThanOrEqual(first + 20);
});
