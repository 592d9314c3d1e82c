/** Every number of `stats()`, and what `audit()` finds. */

import type { ArenaStats } from "cleanslab";
import { describe, expect, test } from "vitest";
import {
  expectSound,
  isAll,
  MODES,
  memoryNow,
  PAGE_BYTES,
  REVOKING_MODES,
  releaseAll,
  SEGMENT_BYTES,
  SEGMENT_MEMORY_BYTES,
  SEGMENT_MODES,
  settle,
  smallArena,
} from "../helpers.ts";

describe.each(MODES)("revoke: %s, stats", (revoke) => {
  test("of a new arena are all zero, and it holds nothing", () => {
    using arena = smallArena({ revoke });
    const expected: ArenaStats = {
      liveLeases: 0,
      liveBytes: 0,
      peakLiveBytes: 0,
      reservedBytes: 0,
      peakReservedBytes: 0,
      maxBytes: 4 * SEGMENT_MEMORY_BYTES,
      acquired: 0,
      released: 0,
      overflowed: 0,
      revocations: 0,
      leakedLeases: 0,
      dirtyBlocks: 0,
      missedGuards: 0,
      corruptSegments: 0,
      waiting: 0,
      segments: { active: 0, retired: 0, drained: 0, corrupt: 0, retiredBytes: 0, retiredLiveBytes: 0 },
      dedicated: { leased: 0, idle: 0 },
      sizeClasses: [],
      requestedLengths: [],
    };
    expect(arena.stats()).toEqual(expected);
  });

  test("are a plain object of the caller's own", () => {
    using arena = smallArena({ revoke });
    arena.acquire(100);
    const stats = arena.stats();
    expect(structuredClone(stats)).toEqual(stats);
    stats.liveLeases = 1000;
    stats.segments.active = 1000;
    stats.requestedLengths.length = 0;
    expect(arena.stats()).toMatchObject({ liveLeases: 1 });
    expect(arena.stats().requestedLengths).toHaveLength(1);
    expect(arena.stats().segments.active).not.toBe(1000);
  });

  test("count leases and the bytes asked for, not the blocks they lie in", () => {
    using arena = smallArena({ revoke });
    const leases = [0, 1, 100, 5000].map((byteLength) => arena.acquire(byteLength));
    expect(arena.stats()).toMatchObject({ acquired: 4, released: 0, liveLeases: 4, liveBytes: 5101 });
    leases[3]?.release();
    expect(arena.stats()).toMatchObject({ acquired: 4, released: 1, liveLeases: 3, liveBytes: 101 });
    releaseAll(leases.slice(0, 3));
    expect(arena.stats()).toMatchObject({ acquired: 4, released: 4, liveLeases: 0, liveBytes: 0 });
  });

  test("keep the peaks when what made them is gone", () => {
    using arena = smallArena({ revoke });
    const leases = [arena.acquire(3000), arena.acquire(4000)];
    const { reservedBytes } = arena.stats();
    releaseAll(leases);
    arena.acquire(100).release();
    arena.trim();
    expect(arena.stats()).toMatchObject({
      liveBytes: 0,
      peakLiveBytes: 7000,
      reservedBytes: 0,
      peakReservedBytes: reservedBytes,
    });
    const longer = arena.acquire(8000);
    expect(arena.stats().peakLiveBytes).toBe(8000);
    longer.release();
  });

  test("count a pinned lease as out until its last pin is released", () => {
    using arena = smallArena({ revoke });
    const lease = arena.acquire(100);
    const pin = lease.pin();
    lease.release();
    expect(arena.stats()).toMatchObject({ liveLeases: 1, liveBytes: 100, released: 0 });
    pin.release();
    expect(arena.stats()).toMatchObject({ liveLeases: 0, liveBytes: 0, released: 1 });
  });

  test("count overflows, which reserve nothing", () => {
    using arena = smallArena({ revoke }, 1);
    const held = arena.acquire(SEGMENT_BYTES);
    const { reservedBytes } = arena.stats();
    const leases = [arena.acquire(2 * PAGE_BYTES), arena.acquire(2 * PAGE_BYTES)];
    expect(arena.stats()).toMatchObject({ overflowed: 2, reservedBytes, liveLeases: 3, acquired: 3 });
    releaseAll(leases);
    expect(arena.stats()).toMatchObject({ overflowed: 2, reservedBytes, liveLeases: 1, released: 2 });
    held.release();
  });

  test("count those who wait", async () => {
    using arena = smallArena({ revoke }, 1);
    const held = arena.acquire(SEGMENT_BYTES);
    const waiting = [arena.acquireAsync(SEGMENT_BYTES), arena.acquireAsync(SEGMENT_BYTES)];
    expect(arena.stats()).toMatchObject({ waiting: 2, acquired: 1 });
    held.release();
    await settle();
    expect(arena.stats()).toMatchObject({ waiting: 1, acquired: 2 });
    (await waiting[0])?.release();
    (await waiting[1])?.release();
    expect(arena.stats()).toMatchObject({ waiting: 0, acquired: 3, released: 3 });
  });

  test("count memories of one lease as leased or idle", () => {
    using arena = smallArena({ revoke });
    const leases = [arena.acquire(SEGMENT_BYTES + 1), arena.acquire(SEGMENT_BYTES + 1)];
    expect(arena.stats().dedicated).toEqual({ leased: 2, idle: 0 });
    leases[0]?.release();
    expect(arena.stats().dedicated).toEqual({ leased: 1, idle: 1 });
    leases[1]?.release();
    expect(arena.stats().dedicated).toEqual({ leased: 0, idle: 2 });
    arena.trim();
    expect(arena.stats().dedicated).toEqual({ leased: 0, idle: 0 });
  });

  test("have a histogram of requested lengths that counts every lease once, under the bar that holds it", () => {
    using arena = smallArena({ revoke }, 100);
    const lengths = [0, 1, 64, 65, 80, 81, 1000, 1024, 1025, 4096, 30_000, SEGMENT_BYTES, SEGMENT_BYTES + 1, 10 ** 6];
    for (const byteLength of lengths) arena.acquire(byteLength).release();
    const { requestedLengths } = arena.stats();
    expect(requestedLengths.reduce((sum, { count }) => sum + count, 0)).toBe(lengths.length);
    let below = -1;
    for (const { maxByteLength, count } of requestedLengths) {
      expect(maxByteLength).toBeGreaterThan(below);
      const floor = below;
      const counted = lengths.filter((byteLength) => byteLength > floor && byteLength <= maxByteLength).length;
      expect(count, `up to ${maxByteLength}`).toBe(counted);
      below = maxByteLength;
    }
  });

  test("count the reasons nobody wants to see as zero in a life without misuse", () => {
    using arena = smallArena({ revoke, trace: "all" });
    for (let cycle = 0; cycle < 500; cycle++) arena.use(1000, (bytes) => bytes.fill(7));
    expect(arena.stats()).toMatchObject({ leakedLeases: 0, dirtyBlocks: 0, corruptSegments: 0, overflowed: 0 });
    expectSound(arena);
  });
});

describe.each(SEGMENT_MODES)("revoke: %s, stats", (revoke) => {
  test("reserve a segment and its bookkeeping when it is needed", () => {
    using arena = smallArena({ revoke });
    arena.acquire(1);
    expect(arena.stats()).toMatchObject({
      reservedBytes: SEGMENT_MEMORY_BYTES,
      peakReservedBytes: SEGMENT_MEMORY_BYTES,
      segments: { active: 1 },
    });
    arena.acquire(SEGMENT_BYTES);
    expect(arena.stats()).toMatchObject({
      reservedBytes: 2 * SEGMENT_MEMORY_BYTES,
      peakReservedBytes: 2 * SEGMENT_MEMORY_BYTES,
    });
  });

  test("list the size classes that were used, shortest first, with the blocks that are live in each", () => {
    using arena = smallArena({ revoke });
    const leases = [5000, 100, 101, 64, 1, 100].map((byteLength) => arena.acquire(byteLength));
    expect(arena.stats().sizeClasses).toEqual([
      { blockBytes: 64, acquired: 2, liveBlocks: 2 },
      { blockBytes: 112, acquired: 3, liveBlocks: 3 },
      { blockBytes: 5120, acquired: 1, liveBlocks: 1 },
    ]);
    releaseAll(leases.slice(0, 3));
    expect(arena.stats().sizeClasses).toEqual([
      { blockBytes: 64, acquired: 2, liveBlocks: 2 },
      { blockBytes: 112, acquired: 3, liveBlocks: 1 },
      { blockBytes: 5120, acquired: 1, liveBlocks: 0 },
    ]);
    expect(arena.stats().requestedLengths).toEqual([
      { maxByteLength: 64, count: 2 },
      { maxByteLength: 112, count: 3 },
      { maxByteLength: 5120, count: 1 },
    ]);
  });
});

describe("stats in before-reuse mode", () => {
  test("follow a segment from active over retired and drained back to active, and to dropped", () => {
    using arena = smallArena({ revoke: "before-reuse" });
    const quarter = SEGMENT_BYTES / 4;
    const first = Array.from({ length: 4 }, () => arena.acquire(quarter));
    expect(arena.stats().segments).toMatchObject({ active: 1, retired: 0, drained: 0 });

    const second = Array.from({ length: 4 }, () => arena.acquire(quarter));
    expect(arena.stats().segments).toEqual({
      active: 1,
      retired: 1,
      drained: 0,
      corrupt: 0,
      retiredBytes: SEGMENT_MEMORY_BYTES,
      retiredLiveBytes: SEGMENT_BYTES,
    });

    releaseAll(first.slice(0, 3));
    expect(arena.stats().segments).toMatchObject({
      retired: 1,
      drained: 0,
      retiredBytes: SEGMENT_MEMORY_BYTES,
      retiredLiveBytes: quarter,
    });

    first[3]?.release();
    expect(arena.stats().segments).toEqual({
      active: 1,
      retired: 0,
      drained: 1,
      corrupt: 0,
      retiredBytes: 0,
      retiredLiveBytes: 0,
    });
    expect(arena.stats().reservedBytes).toBe(2 * SEGMENT_MEMORY_BYTES);

    // The second one is full: its successor is the drained one, not a new one.
    const third = arena.acquire(quarter);
    expect(third.memory).toBe(first[0]?.memory);
    expect(arena.stats()).toMatchObject({
      reservedBytes: 2 * SEGMENT_MEMORY_BYTES,
      segments: { active: 1, retired: 1, drained: 0 },
    });

    releaseAll(second);
    third.release();
    expect(arena.stats().segments).toMatchObject({ active: 1, retired: 0, drained: 1 });
    expect(arena.trim()).toBe(2 * SEGMENT_MEMORY_BYTES);
    expect(arena.stats()).toMatchObject({
      reservedBytes: 0,
      segments: { active: 0, retired: 0, drained: 0 },
      peakReservedBytes: 2 * SEGMENT_MEMORY_BYTES,
    });
  });

  test("show one lease held for long as a retired segment with few live bytes", () => {
    using arena = smallArena({ revoke: "before-reuse" });
    const kept = arena.acquire(64);
    const full = Array.from({ length: 63 }, () => arena.acquire(4096));
    const next = arena.acquire(4096);
    releaseAll(full);
    expect(arena.stats().segments).toMatchObject({
      retired: 1,
      retiredBytes: SEGMENT_MEMORY_BYTES,
      retiredLiveBytes: 64,
    });
    releaseAll([kept, next]);
    expect(arena.stats().segments).toMatchObject({ retired: 0, retiredBytes: 0, retiredLiveBytes: 0 });
  });

  test("count one revocation for a whole segment of leases", () => {
    using arena = smallArena({ revoke: "before-reuse" }, 1);
    for (let round = 1; round <= 3; round++) {
      const leases = Array.from({ length: 64 }, () => arena.acquire(4096));
      releaseAll(leases);
      // Revoked as it drained, or as it is next used.
      arena.acquire(4096).release();
      expect(arena.stats().revocations).toBeGreaterThanOrEqual(round);
      expect(arena.stats().revocations).toBeLessThanOrEqual(2 * round);
    }
  });
});

describe("stats in never mode", () => {
  test("count no revocation and know active segments only", () => {
    using arena = smallArena({ revoke: "never" });
    for (let round = 0; round < 3; round++) {
      releaseAll(Array.from({ length: 6 }, () => arena.acquire(PAGE_BYTES)));
      releaseAll([arena.acquire(SEGMENT_BYTES + 1)]);
    }
    expect(arena.stats()).toMatchObject({
      revocations: 0,
      segments: { active: 2, retired: 0, drained: 0 },
      acquired: 21,
      released: 21,
    });
  });
});

describe.each(REVOKING_MODES)("revoke: %s, stats", (revoke) => {
  test("count revocations", () => {
    using arena = smallArena({ revoke }, 1);
    const views: Uint8Array[] = [];
    for (let round = 0; round < 8; round++) {
      const lease = arena.acquire(SEGMENT_BYTES);
      views.push(lease.bytes);
      lease.release();
    }
    arena.acquire(SEGMENT_BYTES);
    expect(views.every(({ length }) => length === 0)).toBe(true);
    expect(arena.stats().revocations).toBe(8);
  });
});

describe.each(MODES)("revoke: %s, audit", (revoke) => {
  test("walks every segment there is and finds nothing wrong", () => {
    using arena = smallArena({ revoke }, 6);
    expect(arena.audit()).toEqual({ ok: true, segments: 0, problems: [] });
    const leases = Array.from({ length: 10 }, () => arena.acquire(PAGE_BYTES));
    const { active, retired } = arena.stats().segments;
    expect(active + retired).toBe(revoke === "on-release" ? 0 : 3);
    expect(arena.audit()).toEqual({ ok: true, segments: active + retired, problems: [] });
    releaseAll(leases.filter((_lease, each) => each % 3 !== 0));
    expectSound(arena);
    releaseAll(leases.filter((_lease, each) => each % 3 === 0));
    expectSound(arena);
  });

  test("counts heap leases, guards and pinned leases as leases", () => {
    using arena = smallArena({ revoke, guardEvery: 2 }, 1);
    const leases = Array.from({ length: 12 }, () => arena.acquire(PAGE_BYTES));
    expect(arena.stats().overflowed).toBeGreaterThan(0);
    const pins = leases.map((lease) => lease.pin());
    expectSound(arena);
    releaseAll(leases);
    expectSound(arena);
    for (const pin of pins) pin.release();
    expectSound(arena);
    expect(arena.stats()).toMatchObject({ liveLeases: 0, released: 12 });
  });

  test("changes nothing", () => {
    using arena = smallArena({ revoke });
    const lease = arena.acquire(100);
    lease.bytes.fill(7);
    const before = arena.stats();
    arena.audit();
    expect(arena.stats()).toEqual(before);
    expect(isAll(lease.bytes, 7)).toBe(true);
  });
});

describe("audit in never mode", () => {
  test("finds a write after release, and says where", () => {
    using arena = smallArena({ revoke: "never" });
    const keepsSlab = arena.acquire(100);
    const lease = arena.acquire(100);
    const view = lease.bytes;
    lease.release();
    expectSound(arena);
    view[42] = 7;
    const { ok, problems } = arena.audit();
    expect(ok).toBe(false);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(`byte at ${lease.byteOffset + 42}`);
    view[42] = 0;
    expectSound(arena);
    keepsSlab.release();
  });
});

describe.each(SEGMENT_MODES)("revoke: %s, audit", (revoke) => {
  test("finds bookkeeping that was written over, and says in which segment", () => {
    using arena = smallArena({ revoke });
    const lease = arena.acquire(SEGMENT_BYTES);
    const damaged = arena.acquire(100);
    expect(damaged.memory).not.toBe(lease.memory);
    expectSound(arena);
    memoryNow(damaged).fill(0xab, 0, 4096);
    const { ok, problems } = arena.audit();
    expect(ok).toBe(false);
    expect(problems.join("\n")).toMatch(/^segment 2 \(active\): invariant I\d/);
    expect(problems.join("\n")).not.toContain("segment 1");
  });
});
