/** The tracks of an arena in DevTools: what is measured, when, and on which track. */

import { PerformanceObserver, performance } from "node:perf_hooks";
import { Arena, Timeline } from "cleanslab";
import { beforeEach, describe, expect, test } from "vitest";
import { collectGarbageUntil, PAGE_BYTES, promptly, SEGMENT_BYTES, settle, smallArena } from "../../helpers.ts";

interface Measured {
  name: string;
  start: number;
  end: number;
  detail: { devtools: { track: string; trackGroup: string; dataType: string; color: string; properties: string[][] } };
}

describe("a time line", () => {
  let now: number;
  let measured: Measured[];
  let cleared: string[];
  let timeline: Timeline;

  beforeEach(() => {
    now = 0;
    measured = [];
    cleared = [];
    timeline = new Timeline("t", {
      now: () => now,
      measure: (name, options) => measured.push({ name, ...options } as Measured),
      clearMeasures: (name) => cleared.push(name),
    });
  });

  const rows = () => measured.map(({ name, start, end, detail }) => [detail.devtools.track, name, start, end]);

  test("shows the life of a segment: active, full, drained, and its revocation", async () => {
    using arena = new Arena({ segmentBytes: SEGMENT_BYTES, maxBytes: SEGMENT_BYTES, trace: "off", timeline });
    now = 10;
    const leases = Array.from({ length: 3 }, () => arena.acquire(PAGE_BYTES));
    now = 20;
    // No room: the segment retires, and the lease lies on the heap.
    const heap = arena.acquire(PAGE_BYTES);
    now = 30;
    for (const lease of leases) lease.release();
    now = 40;
    arena.acquire(PAGE_BYTES).release();
    expect(measured).toEqual([]);
    await settle();
    const segment = rows().filter(([track]) => track === "segment 1");
    expect(segment).toEqual([
      ["segment 1", "t: active", 10, 20],
      ["segment 1", "t: full, leases out", 20, 30],
      ["segment 1", "t: drained, idle", 30, 40],
    ]);
    expect(rows()).toContainEqual(["revocations", "t: revoked", 39.95, 40]);
    expect(
      measured.every(({ detail: { devtools } }) => devtools.trackGroup === "t" && devtools.dataType === "track-entry"),
    ).toBe(true);
    expect(cleared).toEqual(measured.map(({ name }) => name));
    heap.release();
  });

  test("shows a memory of one lease as leased and idle, and what lasts when it is flushed", async () => {
    using arena = smallArena({ timeline });
    const lease = arena.acquire(SEGMENT_BYTES);
    now = 5;
    lease.release();
    now = 8;
    timeline.flush();
    now = 9;
    timeline.flush();
    expect(rows().filter(([track]) => track === "memory 1")).toEqual([
      ["memory 1", "t: leased", 0, 5],
      ["memory 1", "t: idle", 5, 8],
      ["memory 1", "t: idle", 8, 9],
    ]);
    expect(measured.at(-1)?.detail.devtools.properties).toEqual([
      ["reserved", expect.stringMatching(/^\d+ bytes$/)],
      ["at its start", "0 leases of 0 bytes"],
    ]);
  });

  test("shows waits at the cap, served and given up", async () => {
    using arena = smallArena({ timeline }, 1);
    const held = arena.acquire(SEGMENT_BYTES);
    const stop = new AbortController();
    const before = performance.now();
    const waiting = arena.acquireAsync(1000);
    const hopeless = arena.acquireAsync(2000, { signal: stop.signal }).catch(() => {});
    stop.abort();
    await hopeless;
    held.release();
    const lease = await promptly(waiting);
    await settle();
    const waits = measured.filter(({ detail }) => detail.devtools.track === "waits at the cap");
    expect(waits.map(({ name, detail }) => [name, detail.devtools.color, detail.devtools.properties])).toEqual([
      ["t: waited in vain", "error", [["bytes", "2000"]]],
      ["t: waited for room", "warning", [["bytes", "1000"]]],
    ]);
    for (const { start } of waits) expect(start).toBeGreaterThanOrEqual(before);
    lease.release();
  });

  test("marks a leak where the collector found it, and holds no memory for it", async () => {
    using arena = smallArena({ timeline, revoke: "on-release" });
    (() => void arena.acquire(100))();
    await collectGarbageUntil(() => measured.some(({ name }) => name === "t: leaked"));
    expect(rows()).toContainEqual(["memory 1", "t: leaked", -0.05, 0]);
  });
});

test("without a performance of its own, an arena's time line is seen by an observer, and kept nowhere", async () => {
  const seen: PerformanceEntry[] = [];
  const observer = new PerformanceObserver((list) => void seen.push(...list.getEntries()));
  observer.observe({ entryTypes: ["measure"] });
  const timeline = new Timeline();
  {
    using arena = smallArena({ timeline });
    arena.acquire(10).release();
  }
  await settle();
  observer.disconnect();
  expect(seen.map(({ name }) => name)).toContain("cleanslab: active");
  expect((seen[0] as PerformanceMeasure).detail).toMatchObject({ devtools: { trackGroup: "cleanslab" } });
  expect(performance.getEntriesByType("measure")).toEqual([]);
});
