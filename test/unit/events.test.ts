/**
 * What the arena tells its listeners. The leaks here are real ones: leases that
 * nobody holds, and the garbage collector.
 */

import { execFileSync } from "node:child_process";
import { setImmediate } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { Arena, DirtyEvent, ExhaustedEvent, LeakEvent, Lease } from "cleanslab";
import { describe, expect, test, vi } from "vitest";
import {
  collectGarbageUntil,
  expectSound,
  expectUsable,
  isAll,
  isSettled,
  isZero,
  MODES,
  PAGE_BYTES,
  promptly,
  REVOKING_MODES,
  releaseAll,
  SEGMENT_BYTES,
  SEGMENT_MEMORY_BYTES,
  SEGMENT_MODES,
  smallArena,
} from "../helpers.ts";

/** Acquires and forgets: on its own stack frame, so that nothing here keeps the leases alive. */
function leak(arena: Arena, count: number, byteLength: number): void {
  for (let each = 0; each < count; each++) arena.acquire(byteLength).bytes.fill(7);
}

function listenToLeaks(arena: Arena): { events: LeakEvent[]; leases(): number; byteLength(): number } {
  const events: LeakEvent[] = [];
  arena.addEventListener("leak", (event) => events.push(event));
  return {
    events,
    leases: () => events.reduce((sum, { leases }) => sum + leases, 0),
    byteLength: () => events.reduce((sum, { byteLength }) => sum + byteLength, 0),
  };
}

describe.each(REVOKING_MODES)("revoke: %s, a leak", (revoke) => {
  test("is reported with its leases and bytes, which come back under the cap", async () => {
    using arena = smallArena({ revoke, onExhausted: "throw" });
    const leaks = listenToLeaks(arena);
    leak(arena, 4, PAGE_BYTES);
    // Holds nothing but itself; in before-reuse mode the segment of the four is let go for it.
    const held = arena.acquire(PAGE_BYTES);
    held.bytes.fill(9);
    const before = arena.stats();
    expect(before).toMatchObject({ liveLeases: 5, liveBytes: 5 * PAGE_BYTES, leakedLeases: 0 });

    await collectGarbageUntil(() => leaks.leases() === 4);
    expect(leaks.leases()).toBe(4);
    expect(leaks.byteLength()).toBe(4 * PAGE_BYTES);
    expect(leaks.events).toHaveLength(revoke === "on-release" ? 4 : 1);
    for (const event of leaks.events) expect(event).toMatchObject({ type: "leak", sites: [] });
    expect(arena.stats()).toMatchObject({
      liveLeases: 1,
      liveBytes: PAGE_BYTES,
      acquired: 5,
      released: 0,
      leakedLeases: 4,
      reservedBytes: revoke === "on-release" ? PAGE_BYTES : SEGMENT_MEMORY_BYTES,
      peakReservedBytes: before.reservedBytes,
    });
    expectSound(arena);
    expect(isAll(held.bytes, 9)).toBe(true);
    held.release();
    arena.assertDrained();
    expectUsable(arena);
  });

  test("is reported with the stacks of the traced leases, which are then no longer out", async () => {
    using arena = smallArena({ revoke, trace: "all" });
    const leaks = listenToLeaks(arena);
    leak(arena, 4, PAGE_BYTES);
    const held = arena.acquire(PAGE_BYTES);
    await collectGarbageUntil(() => leaks.leases() === 4);
    const sites = leaks.events.flatMap((event) => event.sites);
    const total = (of: "leases" | "byteLength"): number => sites.reduce((sum, site) => sum + site[of], 0);
    expect([total("leases"), total("byteLength")]).toEqual([4, 4 * PAGE_BYTES]);
    for (const { stack } of sites) expect(stack).toMatch(/\bleak .*events\.test/);
    held.release();
    arena.assertDrained();
  });

  test("serves who waits for the room it took", async () => {
    using arena = smallArena({ revoke }, 1);
    const leaks = listenToLeaks(arena);
    leak(arena, revoke === "on-release" ? 5 : 4, PAGE_BYTES);
    const promise = arena.acquireAsync(2 * PAGE_BYTES);
    expect(arena.stats()).toMatchObject({ waiting: 1, overflowed: 0 });
    let lease: Lease | undefined;
    promise.then((served) => {
      lease = served;
    });
    await collectGarbageUntil(() => lease !== undefined);
    expect(lease?.origin).toBe("arena");
    expect(lease !== undefined && isZero(lease.bytes)).toBe(true);
    expect(leaks.leases()).toBeGreaterThanOrEqual(2);
    expect(arena.stats().waiting).toBe(0);
    lease?.release();
    expectUsable(arena);
  });

  test("is none as long as one of the segment's or memory's leases can be reached", async () => {
    using arena = smallArena({ revoke, onExhausted: "throw" });
    const leaks = listenToLeaks(arena);
    const leases = Array.from({ length: 4 }, (_value, each) => {
      const lease = arena.acquire(PAGE_BYTES);
      lease.bytes.fill(each + 1);
      return lease;
    });
    const next = arena.acquire(PAGE_BYTES);
    await collectGarbageUntil(() => leaks.events.length > 0, 20);
    expect(leaks.events).toEqual([]);
    for (const [each, lease] of leases.entries()) expect(isAll(lease.bytes, each + 1)).toBe(true);
    releaseAll([...leases, next]);
    expect(arena.stats()).toMatchObject({ liveLeases: 0, leakedLeases: 0 });
    expectSound(arena);
  });

  test("leaves a view that was kept without its lease working, with its bytes to itself", async () => {
    using arena = smallArena({ revoke });
    const leaks = listenToLeaks(arena);
    const views = ((): Uint8Array[] => Array.from({ length: 4 }, () => arena.acquire(PAGE_BYTES).bytes.fill(7)))();
    const next = arena.acquire(PAGE_BYTES);
    await collectGarbageUntil(() => leaks.leases() === 4);
    expect(leaks.leases()).toBe(4);
    next.release();
    for (let round = 0; round < 20; round++) arena.use(PAGE_BYTES, (bytes) => bytes.fill(1));
    for (const view of views) {
      expect(view.length).toBe(PAGE_BYTES);
      expect(isAll(view, 7)).toBe(true);
      view.fill(8);
    }
    expectUsable(arena);
  });

  test("is not reported for what a disposed arena dropped", async () => {
    const arena = smallArena({ revoke });
    const leaks = listenToLeaks(arena);
    leak(arena, 8, PAGE_BYTES);
    arena[Symbol.dispose]();
    await collectGarbageUntil(() => leaks.events.length > 0, 20);
    expect(leaks.events).toEqual([]);
    expect(arena.stats()).toMatchObject({ liveLeases: 0, released: 8, leakedLeases: 0, reservedBytes: 0 });
  });
});

describe.each(MODES)("revoke: %s, a leak", (revoke) => {
  test("of a lease longer than a segment is reported in every mode", async () => {
    using arena = smallArena({ revoke });
    const leaks = listenToLeaks(arena);
    leak(arena, 2, SEGMENT_BYTES + 1);
    await collectGarbageUntil(() => leaks.leases() === 2);
    expect(leaks.byteLength()).toBe(2 * (SEGMENT_BYTES + 1));
    expect(arena.stats()).toMatchObject({ leakedLeases: 2, liveLeases: 0, reservedBytes: 0, dedicated: { leased: 0 } });
    expectUsable(arena);
  });

  test("of a heap lease is reported in every mode", async () => {
    using arena = smallArena({ revoke }, 1);
    const leaks = listenToLeaks(arena);
    const held = arena.acquire(SEGMENT_BYTES);
    leak(arena, 3, 2 * PAGE_BYTES);
    expect(arena.stats().overflowed).toBe(3);
    await collectGarbageUntil(() => leaks.leases() === 3);
    expect(leaks.byteLength()).toBe(6 * PAGE_BYTES);
    expect(arena.stats()).toMatchObject({ leakedLeases: 3, liveLeases: 1, overflowed: 3 });
    held.release();
    expectUsable(arena);
  });
});

describe("revoke: before-reuse, a leak", () => {
  test.each([
    ["acquire", SEGMENT_BYTES],
    ["acquireAsync", SEGMENT_BYTES],
  ] as const)(
    "in a segment with free slabs is reported when %s of %i bytes needs the room",
    async (way, byteLength) => {
      using arena = smallArena({ revoke: "before-reuse" }, 1);
      const leaks = listenToLeaks(arena);
      leak(arena, 1, 64);
      const promise = way === "acquireAsync" ? arena.acquireAsync(byteLength) : undefined;
      await collectGarbageUntil(() => {
        if (way === "acquire") arena.acquire(byteLength).release();
        return leaks.leases() > 0;
      }, 40);
      promise?.catch(() => {});
      expect(leaks.leases()).toBe(1);
    },
  );
});

describe("an exhausted event", () => {
  test.each(MODES)("comes once for each lease past the cap, in %s mode", (revoke) => {
    using arena = smallArena({ revoke }, 1);
    const events: ExhaustedEvent[] = [];
    arena.addEventListener("exhausted", (event) => events.push(event));
    const held = arena.acquire(SEGMENT_BYTES);
    const { reservedBytes } = arena.stats();
    expect(events).toEqual([]);
    arena.acquire(2 * PAGE_BYTES).release();
    arena
      .pool(3 * PAGE_BYTES)
      .acquire()
      .release();
    arena.use(4 * PAGE_BYTES, () => {});
    expect(events.map(({ byteLength }) => byteLength / PAGE_BYTES)).toEqual([2, 3, 4]);
    for (const event of events) {
      expect(event).toBeInstanceOf(Event);
      expect(event).toMatchObject({ type: "exhausted", reservedBytes });
    }
    held.release();
    arena.acquire(2 * PAGE_BYTES).release();
    expect(events).toHaveLength(3);
  });

  test("is not sent for an acquireAsync, which waits instead", async () => {
    using arena = smallArena({}, 1);
    const listener = vi.fn();
    arena.addEventListener("exhausted", listener);
    const held = arena.acquire(SEGMENT_BYTES);
    const promise = arena.acquireAsync(SEGMENT_BYTES);
    expect(await isSettled(promise)).toBe(false);
    held.release();
    (await promptly(promise)).release();
    expect(listener).not.toHaveBeenCalled();
  });

  test("finds a listener that is an object, one that listens once, and none that was removed", () => {
    using arena = smallArena({}, 1);
    const each = vi.fn();
    const once = vi.fn();
    const removed = vi.fn();
    const object = { handleEvent: vi.fn() };
    arena.addEventListener("exhausted", each);
    arena.addEventListener("exhausted", once, { once: true });
    arena.addEventListener("exhausted", removed);
    arena.addEventListener("exhausted", object);
    arena.removeEventListener("exhausted", removed);
    arena.acquire(SEGMENT_BYTES);
    arena.acquire(PAGE_BYTES);
    arena.acquire(PAGE_BYTES);
    expect(each).toHaveBeenCalledTimes(2);
    expect(once).toHaveBeenCalledTimes(1);
    expect(object.handleEvent).toHaveBeenCalledTimes(2);
    expect(removed).not.toHaveBeenCalled();
  });

  test("lets its listener release leases and acquire others", () => {
    using arena = smallArena({}, 1);
    const held = arena.acquire(SEGMENT_BYTES);
    let inside: Lease | undefined;
    arena.addEventListener("exhausted", () => {
      held.release();
      inside = arena.acquire(PAGE_BYTES);
    });
    const lease = arena.acquire(PAGE_BYTES);
    expect(lease.origin).toBe("heap");
    expect(inside?.origin).toBe("arena");
    inside?.release();
    lease.release();
    expectUsable(arena);
  });
});

describe("a listener that throws", () => {
  test("is reported by the platform, and the lease is handed out all the same", () => {
    // In a process of its own: a test runner takes the report for a failure.
    const program = `
      import { Arena } from "cleanslab";
      const reported = [];
      process.on("uncaughtException", (error) => reported.push(error.message));
      const arena = new Arena({ segmentBytes: ${SEGMENT_BYTES}, maxBytes: ${SEGMENT_MEMORY_BYTES} });
      arena.addEventListener("exhausted", () => { throw new Error("from the listener"); });
      arena.acquire(${SEGMENT_BYTES});
      const { origin } = arena.acquire(100);
      const { liveLeases, overflowed } = arena.stats();
      setImmediate(() => console.log(JSON.stringify({ origin, liveLeases, overflowed, reported })));
    `;
    const output = execFileSync(process.execPath, ["--input-type=module", "--eval", program], {
      cwd: fileURLToPath(new URL("../..", import.meta.url)),
      encoding: "utf8",
    });
    expect(JSON.parse(output)).toEqual({
      origin: "heap",
      liveLeases: 2,
      overflowed: 1,
      reported: ["from the listener"],
    });
  });
});

describe.each(["all", "sampled"] as const)("trace: %s, a dirty event", (trace) => {
  test.each(SEGMENT_MODES)("tells where a released block was written to, in %s mode", async (revoke) => {
    using arena = smallArena({ revoke, trace }, 1);
    const events: DirtyEvent[] = [];
    arena.addEventListener("dirty", (event) => events.push(event));
    const leases = Array.from({ length: 64 }, () => arena.acquire(4096));
    const victim = leases[10];
    const stale = victim?.bytes;
    if (victim === undefined || stale === undefined) throw new Error("64 leases were acquired");
    victim.release();
    stale[1234] = 7;
    stale[4000] = 8;
    releaseAll(leases.filter((lease) => lease !== victim));
    expect(events).toEqual([]);

    const next = Array.from({ length: 64 }, () => arena.acquire(4096));
    expect(next.every(({ bytes }) => isZero(bytes))).toBe(true);
    expect(events).toEqual([]); // sent when the arena is at rest
    await setImmediate();
    expect(events).toHaveLength(1);
    expect(events[0]).toBeInstanceOf(Event);
    expect(events[0]).toMatchObject({ type: "dirty", byteOffset: victim.byteOffset + 1234 });
    expect(arena.stats().dirtyBlocks).toBe(1);
    releaseAll(next);
    expectUsable(arena);
  });
});

describe("a dirty event", () => {
  test.each(SEGMENT_MODES)("comes for each block that was written to, in %s mode", async (revoke) => {
    using arena = smallArena({ revoke, trace: "all" }, 1);
    let count = 0;
    arena.addEventListener("dirty", () => count++);
    const leases = Array.from({ length: 64 }, () => arena.acquire(4096));
    const stale = leases.slice(0, 5).map(({ bytes }) => bytes);
    releaseAll(leases.slice(0, 63));
    for (const view of stale) view[0] = 1;
    leases[63]?.release();
    const next = Array.from({ length: 64 }, () => arena.acquire(4096));
    await setImmediate();
    expect(count).toBe(5);
    expect(arena.stats().dirtyBlocks).toBe(5);
    releaseAll(next);
    Array.from({ length: 64 }, () => arena.acquire(4096));
    await setImmediate();
    expect(count).toBe(5);
  });

  test.each(SEGMENT_MODES)("does no harm whatever its listener does to the arena, in %s mode", async (revoke) => {
    const arena = smallArena({ revoke, trace: "all" }, 1);
    const leases = Array.from({ length: 64 }, () => arena.acquire(4096));
    const stale = leases.map(({ bytes }) => bytes);
    const last = leases.pop();
    releaseAll(leases);
    for (const view of stale.slice(0, 63)) view.fill(7);
    last?.release();
    let trims = 0;
    arena.addEventListener("dirty", () => {
      trims++;
      arena.trim();
      arena.use(SEGMENT_BYTES + 1, () => {});
    });
    for (let each = 0; each < 10; each++) arena.acquire(4096).release();
    const held = arena.acquire(4096);
    await setImmediate();
    expect(trims).toBeGreaterThan(0);
    expect(isZero(held.bytes)).toBe(true);
    // In "never" mode the audit names what was written to and not handed out yet; nothing else is wrong.
    expect(arena.audit().problems.filter((problem) => !problem.includes("is not zero"))).toEqual([]);
    expect(arena.stats().liveLeases).toBe(1);
    arena.addEventListener("dirty", () => arena[Symbol.dispose]());
    held.release();
  });

  test.each(SEGMENT_MODES)(
    "finds the block wiped already when its listener acquires more, in %s mode",
    async (revoke) => {
      using arena = smallArena({ revoke, trace: "all" }, 1);
      const leases = Array.from({ length: 64 }, () => arena.acquire(4096));
      const stale = leases.map(({ bytes }) => bytes);
      const last = leases.pop();
      releaseAll(leases);
      for (const view of stale.slice(0, 63)) view.fill(7);
      last?.release();
      const inside: Lease[] = [];
      arena.addEventListener("dirty", () => inside.push(arena.acquire(4096)));
      const outside = arena.acquire(4096);
      await setImmediate();
      const all = [outside, ...inside];
      expect(inside.length).toBeGreaterThanOrEqual(62);
      expect(new Set(all.map(({ byteOffset, origin }) => `${origin} ${byteOffset}`)).size).toBe(all.length);
      for (const { bytes } of all) expect(isZero(bytes)).toBe(true);
      releaseAll(all);
      expectSound(arena);
    },
  );

  test("is not sent with tracing off, and the block is zero all the same", () => {
    using arena = smallArena({ revoke: "before-reuse", trace: "off" }, 1);
    const listener = vi.fn();
    arena.addEventListener("dirty", listener);
    const leases = Array.from({ length: 64 }, () => arena.acquire(4096));
    const stale = leases.map(({ bytes }) => bytes);
    releaseAll(leases.slice(0, 63));
    for (const view of stale.slice(0, 63)) view.fill(7);
    leases[63]?.release();
    const next = Array.from({ length: 64 }, () => arena.acquire(4096));
    expect(next.every(({ bytes }) => isZero(bytes))).toBe(true);
    expect(listener).not.toHaveBeenCalled();
    expect(arena.stats().dirtyBlocks).toBe(0);
  });
});
