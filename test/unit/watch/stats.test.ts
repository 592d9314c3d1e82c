/**
 * What `stats()` counts and `audit()` walks. Live leases and their bytes are looked at by
 * test/model after every command, what was leaked by promises/6-leaks.test.ts.
 */

import { Arena, type RevokeMode } from "cleanslab";
import { describe, expect, test } from "vitest";
import { Account } from "../../../src/memory/account.ts";
import { auditArena } from "../../../src/watch/stats.ts";
import {
  exhaust,
  expectSound,
  MiB,
  MODES,
  PAGE_BYTES,
  promptly,
  releaseAll,
  SEGMENT_BYTES,
  SEGMENT_MODES,
  smallArena,
} from "../../helpers.ts";
import { openTable } from "../helpers.ts";

describe.each(MODES)("revoke: %s, stats", (revoke: RevokeMode) => {
  test("of a new arena are all zero, the whole cap is left, and they are a plain object of the caller's own", () => {
    using arena = smallArena({ revoke });
    const stats = arena.stats();
    const { maxBytes, headroomBytes, bookBytes, hitRate, ...counts } = stats;
    const whole = 4 * SEGMENT_BYTES;
    const book = revoke === "on-release" ? 0 : PAGE_BYTES;
    expect([maxBytes, headroomBytes, bookBytes, hitRate]).toEqual([whole, whole, book, 1]);
    expect(JSON.stringify(counts)).not.toMatch(/[1-9]/);
    const before = structuredClone(stats);
    stats.segments.active = 99;
    stats.waited.count = 99;
    stats.sizeClasses.push({ blockBytes: 1, acquired: 1 });
    expect(arena.stats()).toEqual(before);
  });

  test("say what fits under the cap, idle memory being room, and keep the peak when what made it is gone", () => {
    using arena = smallArena({ revoke });
    const lease = arena.acquire(SEGMENT_BYTES);
    expect(arena.stats().headroomBytes).toBe(3 * SEGMENT_BYTES);
    lease.release();
    expect(arena.stats()).toMatchObject({
      headroomBytes: 4 * SEGMENT_BYTES,
      reservedBytes: SEGMENT_BYTES,
      oneLease: { leased: 0, idle: 1 },
    });
    expect(arena.trim()).toBe(SEGMENT_BYTES);
    expect(arena.stats()).toMatchObject({ reservedBytes: 0, peakReservedBytes: SEGMENT_BYTES });
  });

  test("tell live, resting and idle bytes apart", () => {
    using arena = smallArena({ revoke, onExhausted: "throw" });
    const long = arena.acquire(SEGMENT_BYTES);
    expect(arena.stats()).toMatchObject({ liveBytes: SEGMENT_BYTES, idleBytes: 0, restingBytes: 0 });
    long.release();
    expect(arena.stats()).toMatchObject({ liveBytes: 0, idleBytes: SEGMENT_BYTES, restingBytes: 0 });
    arena.trim();
    const leases = exhaust(arena, PAGE_BYTES / 2);
    const last = leases.pop();
    releaseAll(leases);
    const { restingBytes, idleBytes, liveBytes, reservedBytes, segments } = arena.stats();
    expect(restingBytes).toBe(segments.retired * SEGMENT_BYTES - segments.retiredLiveBytes);
    expect(restingBytes > 0).toBe(revoke === "before-reuse");
    expect(restingBytes + idleBytes + liveBytes).toBeLessThanOrEqual(reservedBytes);
    last?.release();
  });

  test("give the share of leases that needed no new memory", () => {
    using arena = smallArena({ revoke }, 1);
    for (let each = 0; each < 10; each++) arena.acquire(1000).release();
    expect(arena.stats().hitRate).toBeCloseTo(0.9);
    const held = arena.acquire(SEGMENT_BYTES);
    const { hitRate, acquired } = arena.stats();
    arena.acquire(1000).release(); // on the heap
    expect(arena.stats().hitRate).toBeCloseTo((hitRate * acquired) / (acquired + 1));
    held.release();
  });

  test("count those who wait, how many had waited, and how long", async () => {
    using arena = smallArena({ revoke, onExhausted: "throw" }, 1);
    const held = exhaust(arena, PAGE_BYTES);
    const waiting = [arena.acquireAsync(PAGE_BYTES), arena.acquireAsync([100, 100])] as const;
    await new Promise((resolve) => setTimeout(resolve, 10));
    const { waitingMs, ...counts } = arena.stats();
    expect(counts).toMatchObject({ waiting: 2, waitingBytes: PAGE_BYTES + 200, waited: { count: 0 } });
    expect(waitingMs).toBeGreaterThan(5);
    releaseAll(held);
    (await promptly(waiting[0])).release();
    releaseAll(await promptly(waiting[1]));
    const { waited } = arena.stats();
    expect(waited.count).toBe(2);
    expect(waited.longestMs).toBeGreaterThan(5);
    expect(waited.totalMs).toBeGreaterThanOrEqual(waited.longestMs);
    // One who finds room at once has not waited.
    (await arena.acquireAsync(10)).release();
    expect(arena.stats()).toMatchObject({ waiting: 0, waited });
  });

  test("have a histogram of lengths that counts every lease once, under the bar that holds it", () => {
    // The last one finds no room, and lies on the heap.
    using arena = smallArena({ revoke }, 8);
    const lengths = [0, 1, 64, 100, 112, 113, 4096, 65_536, 65_537, 300_000, 8 * SEGMENT_BYTES];
    releaseAll(lengths.map((byteLength) => arena.acquire(byteLength)));
    const { requestedLengths, sizeClasses } = arena.stats();
    expect(requestedLengths.reduce((sum, { count }) => sum + count, 0)).toBe(lengths.length);
    let seen = 0;
    for (const { maxByteLength, count } of requestedLengths) {
      seen += count;
      expect(lengths.filter((byteLength) => byteLength <= maxByteLength)).toHaveLength(seen);
    }
    const expected = [
      [64, 3],
      [112, 2],
      [128, 1],
      [4096, 1],
      [65_536, 1],
    ];
    expect(sizeClasses.map(({ blockBytes, acquired }) => [blockBytes, acquired])).toEqual(
      revoke === "on-release" ? [] : expected,
    );
  });

  test("are not changed by an audit, which walks every segment there is, and finds nothing wrong", () => {
    using arena = smallArena({ revoke, guardEvery: 50 }, 200);
    const leases = Array.from({ length: 170 }, (_, each) => arena.acquire(each % 2 === 0 ? 100 : 4096));
    leases[0]?.pin();
    const before = arena.stats();
    const { active, retired } = before.segments;
    expect(arena.audit()).toEqual({ ok: true, segments: active + retired, problems: [] });
    expect(active + retired).toBe(revoke === "on-release" ? 0 : 2);
    expect(arena.stats()).toEqual(before);
    releaseAll(leases);
  });
});

test("stats follow a segment from active over retired and drained back to active, and to dropped", () => {
  using arena = smallArena({ onExhausted: "throw" }, 2);
  const state = () => arena.stats().segments;
  const first = Array.from({ length: 63 }, () => arena.acquire(4096));
  expect(state()).toMatchObject({ active: 1, retired: 0, drained: 0 });
  const second = arena.acquire(4096);
  expect(state()).toMatchObject({ active: 1, retired: 1, retiredBytes: SEGMENT_BYTES, retiredLiveBytes: 63 * 4096 });
  releaseAll(first);
  expect(state()).toMatchObject({ active: 1, retired: 0, drained: 1 });
  const { revocations } = arena.stats();
  const third = Array.from({ length: 63 }, () => arena.acquire(4096));
  expect(state()).toMatchObject({ active: 1, retired: 1, drained: 0 });
  expect(arena.stats().revocations).toBe(revocations + 1);
  releaseAll([second, ...third]);
  expect(arena.trim()).toBe(2 * SEGMENT_BYTES);
  expect(state()).toEqual({ active: 0, retired: 0, drained: 0, retiredBytes: 0, retiredLiveBytes: 0 });
});

/** Leases, the cap, and which share of it they can have at least. That of 64 KiB is test/contract/promises.ts's. */
const SHARES: [byteLengths: number[], maxBytes: number, least: number][] = [
  [[MiB, 1_300_000, 5_000_000, 32 * MiB], 64 * MiB, 0.88],
  [[64, 65, 81, 1025, 4097, 5121, 10_241, 16_385, 20_481, 40_961, 65_537, 98_305, 131_073], 16 * MiB, 0.62],
];
test.each(SEGMENT_MODES)("revoke: %s, leases of any length have at least 0.62 of the cap, long ones 0.88", (revoke) => {
  for (const [byteLengths, maxBytes, least] of SHARES) {
    for (const byteLength of byteLengths) {
      using arena = new Arena({ revoke, maxBytes, onExhausted: "throw", trace: "off" });
      const leases = exhaust(arena, byteLength);
      expect((leases.length * byteLength) / maxBytes, `${byteLength} bytes`).toBeGreaterThan(least);
      expectSound(arena);
    }
  }
});

test("an audit names counts that do not fit: bytes reserved, or above the cap, leases below zero, or not acquired", () => {
  const { table } = openTable(1);
  const account = new Account("segment", 100, "active");
  table.accounts.add(account);
  const problems = (): string => auditArena(table, []).problems.join("\n");
  expect(problems()).toContain("M1: 0 bytes are reserved, but the memories have 100");
  table.budget.reservedBytes = 100;
  expect(problems()).toBe("");
  account.live = -1;
  expect(problems()).toContain("A1: a segment has -1 leases");
  account.live = 1;
  expect(problems()).toContain("A1: 1 leases are live and 0 leaked, of 0 acquired");
  account.live = 0;
  account.reservedBytes = table.budget.reservedBytes = SEGMENT_BYTES + 1;
  expect(problems()).toContain(`M1: ${SEGMENT_BYTES + 1} bytes are reserved, above maxBytes = ${SEGMENT_BYTES}`);
});
