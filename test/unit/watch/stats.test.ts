/** What `stats()` counts and `audit()` walks. */

import { Arena, type RevokeMode } from "cleanslab";
import { describe, expect, test } from "vitest";
import { Account } from "../../../src/memory/account.ts";
import { auditArena } from "../../../src/watch/stats.ts";
import {
  collectGarbageUntil,
  exhaust,
  expectSound,
  MODES,
  PAGE_BYTES,
  promptly,
  releaseAll,
  SEGMENT_BYTES,
  SEGMENT_MODES,
  settle,
  smallArena,
} from "../../helpers.ts";
import { openTable } from "../helpers.ts";

const NO_COUNTS = {
  liveLeases: 0,
  liveBytes: 0,
  pinnedLeases: 0,
  reservedBytes: 0,
  peakReservedBytes: 0,
  idleBytes: 0,
  restingBytes: 0,
  acquired: 0,
  released: 0,
  hitRate: 1,
  overflowed: 0,
  revocations: 0,
  leakedLeases: 0,
  leakedBytes: 0,
  dirtyBlocks: 0,
  strayWrites: 0,
  missedGuards: 0,
  waiting: 0,
  waitingBytes: 0,
  waitingMs: 0,
  waited: { count: 0, totalMs: 0, longestMs: 0 },
  segments: { active: 0, retired: 0, drained: 0, retiredBytes: 0, retiredLiveBytes: 0 },
  oneLease: { leased: 0, idle: 0 },
  sizeClasses: [],
  requestedLengths: [],
};

describe.each(MODES)("revoke: %s, stats", (revoke: RevokeMode) => {
  test("of a new arena are all zero, and the whole cap is left", () => {
    using arena = smallArena({ revoke });
    expect(arena.stats()).toEqual({
      ...NO_COUNTS,
      maxBytes: 4 * SEGMENT_BYTES,
      headroomBytes: 4 * SEGMENT_BYTES,
      bookBytes: arena.stats().bookBytes,
    });
    expect(arena.stats().bookBytes).toBe(revoke === "on-release" ? 0 : PAGE_BYTES);
  });

  test("are a plain object of the caller's own", () => {
    using arena = smallArena({ revoke });
    const stats = arena.stats();
    stats.segments.active = 99;
    stats.waited.count = 99;
    stats.sizeClasses.push({ blockBytes: 1, acquired: 1 });
    expect(structuredClone(stats)).toEqual(stats);
    expect(arena.stats()).toMatchObject({ segments: { active: 0 }, waited: { count: 0 }, sizeClasses: [] });
  });

  test("count leases and the bytes asked for, not the blocks they lie in", () => {
    using arena = smallArena({ revoke });
    const leases = [1, 100, 5000].map((byteLength) => arena.acquire(byteLength));
    expect(arena.stats()).toMatchObject({ liveLeases: 3, liveBytes: 5101, acquired: 3, released: 0 });
    leases[2]?.resize(50);
    expect(arena.stats()).toMatchObject({ liveLeases: 3, liveBytes: 151 });
    leases[2]?.resize(60);
    expect(arena.stats()).toMatchObject({ liveLeases: 3, liveBytes: 161 });
    releaseAll(leases);
    const { acquired, released } = arena.stats();
    expect(arena.stats()).toMatchObject({ liveLeases: 0, liveBytes: 0 });
    expect(released).toBe(acquired);
  });

  test("keep the peak when what made it is gone", () => {
    using arena = smallArena({ revoke });
    releaseAll([1, 2, 3].map(() => arena.acquire(SEGMENT_BYTES)));
    const { reservedBytes } = arena.stats();
    expect(arena.trim()).toBe(reservedBytes);
    expect(arena.stats()).toMatchObject({ reservedBytes: 0, peakReservedBytes: reservedBytes });
  });

  test("say what fits under the cap: idle memory counts as room", () => {
    using arena = smallArena({ revoke });
    const lease = arena.acquire(SEGMENT_BYTES);
    expect(arena.stats().headroomBytes).toBe(3 * SEGMENT_BYTES);
    lease.release();
    expect(arena.stats()).toMatchObject({ headroomBytes: 4 * SEGMENT_BYTES, oneLease: { leased: 0, idle: 1 } });
    expect(arena.stats().reservedBytes).toBe(SEGMENT_BYTES);
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
    if (revoke === "before-reuse") {
      expect(restingBytes).toBe(segments.retired * SEGMENT_BYTES - segments.retiredLiveBytes);
      expect(restingBytes).toBeGreaterThan(0);
    } else expect(restingBytes).toBe(0);
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

  test("count overflows, which reserve nothing", () => {
    using arena = smallArena({ revoke }, 1);
    const held = arena.acquire(SEGMENT_BYTES);
    const { reservedBytes } = arena.stats();
    const over = arena.acquire(100);
    expect(arena.stats()).toMatchObject({ liveLeases: 2, overflowed: 1, acquired: 2, reservedBytes });
    releaseAll([held, over]);
  });

  test("count those who wait, how many had waited, and how long", async () => {
    using arena = smallArena({ revoke, onExhausted: "throw" }, 1);
    const held = exhaust(arena, PAGE_BYTES);
    const waiting = [arena.acquireAsync(PAGE_BYTES), arena.acquireAsync([100, 100])] as const;
    expect(arena.stats()).toMatchObject({ waiting: 2, waited: { count: 0 } });
    await new Promise((resolve) => setTimeout(resolve, 10));
    expect(arena.stats().waitingBytes).toBe(PAGE_BYTES + 200);
    expect(arena.stats().waitingMs).toBeGreaterThan(5);
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
    using arena = smallArena({ revoke }, 16);
    const lengths = [0, 1, 64, 100, 112, 113, 4096, 65_536, 65_537, 300_000];
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
});

describe("stats in before-reuse mode", () => {
  test("follow a segment from active over retired and drained back to active, and to dropped", () => {
    using arena = smallArena({ onExhausted: "throw" }, 2);
    const state = () => arena.stats().segments;
    const first = Array.from({ length: 63 }, () => arena.acquire(4096));
    expect(state()).toMatchObject({ active: 1, retired: 0, drained: 0 });
    const second = arena.acquire(4096);
    expect(state()).toMatchObject({ active: 1, retired: 1, retiredBytes: SEGMENT_BYTES, retiredLiveBytes: 63 * 4096 });
    const last = first.splice(0, 1);
    releaseAll(first);
    expect(state()).toMatchObject({ retired: 1, retiredLiveBytes: 4096 });
    releaseAll(last);
    expect(state()).toMatchObject({ active: 1, retired: 0, drained: 1 });
    const { revocations } = arena.stats();
    const third = Array.from({ length: 63 }, () => arena.acquire(4096));
    expect(state()).toMatchObject({ active: 1, retired: 1, drained: 0 });
    expect(arena.stats().revocations).toBe(revocations + 1);
    releaseAll([second, ...third]);
    expect(arena.trim()).toBe(2 * SEGMENT_BYTES);
    expect(state()).toEqual({ active: 0, retired: 0, drained: 0, retiredBytes: 0, retiredLiveBytes: 0 });
  });
});

describe("stats in never mode", () => {
  test("count no revocation and know active segments only", () => {
    using arena = smallArena({ revoke: "never" });
    for (let round = 0; round < 3; round++) releaseAll(Array.from({ length: 100 }, () => arena.acquire(4096)));
    expect(arena.stats()).toMatchObject({ revocations: 0, segments: { active: 2, retired: 0, drained: 0 } });
  });
});

describe.each(MODES)("revoke: %s, an audit", (revoke: RevokeMode) => {
  test("walks every segment there is, finds nothing wrong, and changes nothing", () => {
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

describe.each(SEGMENT_MODES)("revoke: %s, a segment of 64 KiB blocks", (revoke: RevokeMode) => {
  test("of the default length leaves at least 0.9 of the cap to leases of 64 KiB, and 0.88 from 1 MiB on", () => {
    for (const [byteLength, least] of [
      [PAGE_BYTES, 0.9],
      [1024 * 1024, 0.88],
      [1_300_000, 0.88],
      [5_000_000, 0.88],
      [32 * 1024 * 1024, 0.88],
    ] as const) {
      using arena = new Arena({ revoke, onExhausted: "throw", trace: "off" });
      const leases = exhaust(arena, byteLength);
      expect((leases.length * byteLength) / arena.stats().maxBytes, `${byteLength} bytes`).toBeGreaterThan(least);
      releaseAll(leases);
      expectSound(arena);
    }
  });

  test("leaves at least 0.62 of the cap to leases of any length", () => {
    for (const byteLength of [64, 65, 81, 1025, 4097, 5121, 10_241, 16_385, 20_481, 40_961, 65_537, 98_305, 131_073]) {
      using arena = new Arena({ revoke, maxBytes: 16 * 1024 * 1024, onExhausted: "throw", trace: "off" });
      const leases = exhaust(arena, byteLength);
      expect((leases.length * byteLength) / arena.stats().maxBytes, `${byteLength} bytes`).toBeGreaterThan(0.62);
      arena[Symbol.dispose]();
    }
  });
});

describe("an audit of counts that do not fit", () => {
  test("names each: bytes reserved, bytes above the cap, leases below zero, more leases than were acquired", () => {
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
});

test("leaks leave the counts: what was leaked is neither out nor released", async () => {
  using arena = smallArena({ onExhausted: "throw" }, 1);
  (() => {
    for (let each = 0; each < 63; each++) arena.acquire(4096);
  })();
  const served = arena.acquireAsync(PAGE_BYTES);
  await collectGarbageUntil(() => arena.stats().leakedLeases > 0);
  (await promptly(served)).release();
  await settle();
  expect(arena.stats()).toMatchObject({ liveLeases: 0, liveBytes: 0, acquired: 64, released: 1, leakedLeases: 63 });
});
