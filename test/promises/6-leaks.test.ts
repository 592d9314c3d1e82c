/**
 * Promise 6: a leak never becomes permanent, and is reported. The leaks here are real ones:
 * leases that nobody holds, and the garbage collector.
 */

import { Arena, type LeakEvent, type RevokeMode } from "cleanslab";
import { describe, expect, test } from "vitest";
import {
  collectGarbageUntil,
  exhaust,
  expectArenaError,
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
  settle,
  smallArena,
} from "../helpers.ts";

/** Acquires and forgets: on its own stack frame, so that nothing here keeps the leases alive. */
function leak(arena: Arena, count: number, byteLength: number): void {
  for (let each = 0; each < count; each++) arena.acquire(byteLength).bytes.fill(7);
}

function listenToLeaks(arena: Arena) {
  const events: LeakEvent[] = [];
  arena.addEventListener("leak", (event) => events.push(event));
  return {
    events,
    leases: () => events.reduce((sum, { leases }) => sum + leases, 0),
    byteLength: () => events.reduce((sum, { byteLength }) => sum + byteLength, 0),
  };
}

describe.each(REVOKING_MODES)("revoke: %s, a leak", (revoke: RevokeMode) => {
  test("is reported with its leases and bytes, which come back under the cap", async () => {
    using arena = smallArena({ revoke, onExhausted: "throw" });
    const leaks = listenToLeaks(arena);
    leak(arena, 3, PAGE_BYTES);
    // In before-reuse mode the segment of the three is let go of for it.
    const held = arena.acquire(PAGE_BYTES);
    held.bytes.fill(9);
    await collectGarbageUntil(() => leaks.leases() === 3);
    expect([leaks.leases(), leaks.byteLength()]).toEqual([3, 3 * PAGE_BYTES]);
    for (const event of leaks.events) expect(event).toMatchObject({ type: "leak", sites: [] });
    expect(arena.stats()).toMatchObject({
      liveLeases: 1,
      liveBytes: PAGE_BYTES,
      acquired: 4,
      released: 0,
      leakedLeases: 3,
      leakedBytes: 3 * PAGE_BYTES,
      reservedBytes: revoke === "on-release" ? PAGE_BYTES : SEGMENT_BYTES,
    });
    expect(isAll(held.bytes, 9)).toBe(true);
    held.release();
    arena.assertDrained();
    expectUsable(arena);
  });

  test("is reported with where the traced leases were acquired, which are then no longer out", async () => {
    using arena = smallArena({ revoke, trace: "all" });
    const leaks = listenToLeaks(arena);
    leak(arena, 3, PAGE_BYTES);
    const held = arena.acquire(PAGE_BYTES);
    await collectGarbageUntil(() => leaks.leases() === 3);
    const sites = leaks.events.flatMap((event) => event.sites);
    const total = (of: "leases" | "byteLength"): number => sites.reduce((sum, site) => sum + site[of], 0);
    expect([total("leases"), total("byteLength")]).toEqual([3, 3 * PAGE_BYTES]);
    for (const { stack } of sites) expect(stack).toMatch(/\bleak .*6-leaks\.test/);
    held.release();
    arena.assertDrained();
  });

  test("is none as long as a lease of its segment or memory is reachable", async () => {
    using arena = smallArena({ revoke, onExhausted: "throw" });
    const leaks = listenToLeaks(arena);
    const leases = [1, 2, 3].map((value) => {
      const lease = arena.acquire(PAGE_BYTES);
      lease.bytes.fill(value);
      return lease;
    });
    const next = arena.acquire(PAGE_BYTES);
    await collectGarbageUntil(() => leaks.events.length > 0, 10);
    expect(leaks.events).toEqual([]);
    for (const [each, lease] of leases.entries()) expect(isAll(lease.bytes, each + 1)).toBe(true);
    releaseAll([...leases, next]);
    expect(arena.stats()).toMatchObject({ liveLeases: 0, leakedLeases: 0 });
    expectSound(arena);
  });

  test.each(["bytes", "subarray", "DataView", "buffer"] as const)(
    "is none as long as %s of one is reachable, though no lease is: its bytes stay its own, and charged",
    async (what) => {
      using arena = smallArena({ revoke, onExhausted: "throw" });
      const leaks = listenToLeaks(arena);
      let kept: Uint8Array | DataView | ArrayBuffer | null = (() => {
        const lease = arena.acquire(PAGE_BYTES);
        lease.bytes.fill(7);
        if (what === "subarray") return lease.bytes.subarray(10, 20);
        if (what === "DataView") return lease.view(DataView);
        return what === "buffer" ? lease.bytes.buffer : lease.bytes;
      })();
      arena.trim();
      await collectGarbageUntil(() => leaks.events.length > 0, 10);
      expect(leaks.events).toEqual([]);
      expect(arena.stats()).toMatchObject({
        liveLeases: 1,
        reservedBytes: revoke === "on-release" ? PAGE_BYTES : SEGMENT_BYTES,
      });
      for (let round = 0; round < 20; round++) arena.use(PAGE_BYTES, (bytes) => bytes.fill(1));
      const bytes =
        kept instanceof ArrayBuffer
          ? new Uint8Array(kept).subarray(-PAGE_BYTES, -8192)
          : new Uint8Array(kept.buffer, kept.byteOffset, kept.byteLength);
      if (what !== "buffer") expect(isAll(bytes, 7)).toBe(true);
      expect(bytes.length).toBeGreaterThan(0);
      kept = null;
    },
  );

  test("is found once the last view of it is forgotten as well", async () => {
    using arena = smallArena({ revoke });
    const leaks = listenToLeaks(arena);
    const views: Uint8Array[] = [];
    (() => void views.push(arena.acquire(PAGE_BYTES).bytes))();
    arena.trim();
    await collectGarbageUntil(() => leaks.leases() > 0, 8);
    expect(leaks.leases()).toBe(0);
    views.pop();
    await collectGarbageUntil(() => leaks.leases() > 0);
    expect([leaks.leases(), arena.stats().reservedBytes]).toEqual([1, 0]);
  });

  test("in a memory that was recycled or lengthened before is none while a view is reachable", async () => {
    using arena = smallArena({ revoke, onExhausted: "throw" }, 2);
    const leaks = listenToLeaks(arena);
    for (const byteLength of [4096, 100_000]) releaseAll(exhaust(arena, byteLength));
    releaseAll(exhaust(arena, 4096));
    const views = (() => exhaust(arena, 4096).map(({ bytes }) => bytes.fill(7)))();
    const some = [views[0], views.at(-1)];
    views.length = 0;
    // In on-release mode each lease has a memory of its own, of which only two are kept.
    const expected = revoke === "on-release" ? arena.stats().liveLeases - 2 : 0;
    await collectGarbageUntil(() => expected > 0 && leaks.leases() === expected, expected > 0 ? 200 : 8);
    for (const view of some) expect(view !== undefined && isAll(view, 7)).toBe(true);
    expect(leaks.leases()).toBe(expected);
  });

  test("is told as one event for all that one turn of the collector finds", async () => {
    using arena = smallArena({ revoke }, 8);
    const leaks = listenToLeaks(arena);
    leak(arena, 20, 200_000);
    await collectGarbageUntil(() => leaks.leases() >= 8);
    expect(leaks.events.length).toBeLessThan(8);
  });

  test("is not reported for what a disposed arena dropped", async () => {
    const arena = smallArena({ revoke });
    const leaks = listenToLeaks(arena);
    leak(arena, 8, PAGE_BYTES);
    arena[Symbol.dispose]();
    await collectGarbageUntil(() => leaks.events.length > 0, 10);
    expect(leaks.events).toEqual([]);
    expect(arena.stats()).toMatchObject({ liveLeases: 0, released: 8, leakedLeases: 0, reservedBytes: 0 });
  });

  test("gives its room to one who waits, for a lease of another kind too", async () => {
    for (const byteLength of [64, 2 * PAGE_BYTES, SEGMENT_BYTES]) {
      using arena = smallArena({ revoke }, 1);
      leak(arena, revoke === "on-release" ? 4 : 3, PAGE_BYTES);
      const served: number[] = [];
      arena.acquireAsync(byteLength).then((lease) => {
        served.push(lease.byteLength);
        expect(isZero(lease.bytes)).toBe(true);
        lease.release();
      });
      await collectGarbageUntil(() => served.length > 0);
      expect(served).toEqual([byteLength]);
    }
  });

  test("is waited for by nobody who waits until no lease is out", async () => {
    using arena = smallArena({ revoke });
    leak(arena, 3, 1000);
    const drained = arena.drained();
    expect(await isSettled(drained)).toBe(false);
    await collectGarbageUntil(() => arena.stats().liveLeases === 0);
    await promptly(drained);
  });

  test("gives its room to a plain acquire that finds none", async () => {
    using arena = smallArena({ revoke }, 1);
    leak(arena, revoke === "on-release" ? 4 : 1, 64);
    await collectGarbageUntil(() => {
      const lease = arena.acquire(SEGMENT_BYTES);
      const { origin } = lease;
      lease.release();
      return origin === "arena";
    }, 60);
    expect(arena.acquire(SEGMENT_BYTES).origin).toBe("arena");
  });
});

describe.each(MODES)("revoke: %s, a leak", (revoke: RevokeMode) => {
  test("of a lease with a memory of its own, and of one on the heap, is reported once in every mode", async () => {
    using arena = smallArena({ revoke }, 2);
    const leaks = listenToLeaks(arena);
    leak(arena, 5, 200_000);
    expect(arena.stats().overflowed).toBe(3);
    await collectGarbageUntil(() => leaks.leases() === 5);
    await collectGarbageUntil(() => false, 3);
    expect([leaks.leases(), leaks.byteLength()]).toEqual([5, 1_000_000]);
    expect(arena.stats()).toMatchObject({ leakedLeases: 5, liveLeases: 0, liveBytes: 0, reservedBytes: 0 });
    expectUsable(arena);
  });
});

describe("revoke: never, leaks", () => {
  test.each([
    ["all", 4096],
    ["off", 4],
  ] as const)("are found among the leases that are watched, with trace: %s", async (trace, expected) => {
    using arena = new Arena({ revoke: "never", trace });
    const leaks = listenToLeaks(arena);
    (() => {
      for (let each = 0; each < 4096; each++) arena.acquire(100);
    })();
    await collectGarbageUntil(() => leaks.leases() === expected);
    expect(arena.stats()).toMatchObject({ leakedLeases: expected, liveLeases: 4096 - expected });
    if (trace !== "off") expect(leaks.events[0]?.sites[0]?.stack).toContain("6-leaks.test");
    // Their blocks stay out: a view may still be in use.
    expectSound(arena);
    expectUsable(arena);
  });

  test("are found among the sampled leases, and their sites stand for all", async () => {
    using arena = new Arena({ revoke: "never", trace: "sampled", sampleBytes: 1000 });
    const leaks = listenToLeaks(arena);
    (() => {
      for (let each = 0; each < 4096; each++) arena.acquire(100);
    })();
    await collectGarbageUntil(() => leaks.leases() > 30);
    const { leakedLeases, liveLeases } = arena.stats();
    expect(liveLeases).toBe(4096 - leakedLeases);
    // Each stands for ten leases at least; for more once the interval has widened.
    const leases = leaks.events.flatMap(({ sites }) => sites).reduce((sum, site) => sum + site.leases, 0);
    expect(leases).toBeGreaterThan(leakedLeases * 10);
    expect(leaks.events[0]?.sites[0]?.summary).toMatch(/^about .*6-leaks\.test/);
  });

  test("tell one who waits that there is nothing left to wait for", async () => {
    using arena = smallArena({ revoke: "never", trace: "all", onExhausted: "throw" }, 1);
    (() => void exhaust(arena, PAGE_BYTES))();
    const errors: unknown[] = [];
    arena.acquireAsync(PAGE_BYTES).catch((reason: unknown) => errors.push(reason));
    await collectGarbageUntil(() => errors.length > 0);
    expectArenaError(errors[0], "ERR_ARENA_EXHAUSTED", "leaked leases hold it");
    expect(arena.stats()).toMatchObject({ liveLeases: 0, waiting: 0 });
  });
});

describe.each(MODES)("revoke: %s, an arena that nobody holds", (revoke: RevokeMode) => {
  test("is collected with its memories, though leases of it were never released", async () => {
    const collected = new Set<string>();
    const registry = new FinalizationRegistry<string>((name) => void collected.add(name));
    (() => {
      const arena = smallArena({ revoke });
      registry.register(arena, "arena");
      registry.register(arena.acquire(100).memory as object, "segment");
      registry.register(arena.acquire(200_000).memory as object, "long");
    })();
    await settle();
    await collectGarbageUntil(() => collected.size === 3);
    expect(collected.size).toBe(3);
  });
});
