/** Pools of one length: what they keep, and that they hand out nothing but what `acquire` would. */

import type { Lease } from "cleanslab";
import { describe, expect, test } from "vitest";
import {
  bytesNow,
  collectGarbageUntil,
  exhaust,
  expectSound,
  expectThrow,
  expectUsable,
  growUnder,
  isAll,
  isZero,
  MODES,
  memoryNow,
  PAGE_BYTES,
  promptly,
  releaseAll,
  SEGMENT_BYTES,
  SEGMENT_MEMORY_BYTES,
  SEGMENT_MODES,
  smallArena,
} from "../helpers.ts";

/** Blocks live to the modules: leases, and what pools keep between them. */
function liveBlocks(arena: ReturnType<typeof smallArena>): number {
  return arena.stats().sizeClasses.reduce((sum, each) => sum + each.liveBlocks, 0);
}

describe.each(MODES)("revoke: %s, a pool", (revoke) => {
  test("is the same object for the same length, and another one for any other", () => {
    using arena = smallArena({ revoke });
    const pool = arena.pool(100);
    expect(arena.pool(100)).toBe(pool);
    expect(arena.pool(101)).not.toBe(pool);
    expect(pool.byteLength).toBe(100);
    expect(arena.pool(101).byteLength).toBe(101);
    expect(arena.pool(2 * SEGMENT_BYTES)).toBe(arena.pool(2 * SEGMENT_BYTES));
  });

  test("takes nothing from the cap until it is used", () => {
    using arena = smallArena({ revoke });
    arena.pool(100);
    expect(arena.stats()).toMatchObject({ reservedBytes: 0, acquired: 0 });
  });

  test.each([1, 64, 1000, 4096, 20000, PAGE_BYTES])(
    "of %i bytes hands out zeros each time, to one holder at a time, with ten alive",
    (byteLength) => {
      using arena = smallArena({ revoke, onExhausted: "throw" }, 20);
      const pool = arena.pool(byteLength);
      const alive: { lease: Lease; value: number }[] = [];
      for (let cycle = 0; cycle < 1000; cycle++) {
        const lease = pool.acquire();
        const { bytes } = lease;
        expect(bytes.length).toBe(byteLength);
        if (!isZero(bytes)) expect.fail(`not zero at cycle ${cycle}`);
        const value = (cycle % 255) + 1;
        bytes.fill(value);
        alive.push({ lease, value });
        if (alive.length < 10) continue;
        const oldest = alive.shift();
        if (oldest === undefined || !isAll(oldest.lease.bytes, oldest.value)) expect.fail(`overwritten at ${cycle}`);
        oldest?.lease.release();
      }
      expect(arena.stats()).toMatchObject({ acquired: 1000, released: 991, liveLeases: 9, overflowed: 0 });
      releaseAll(alive.map(({ lease }) => lease));
      expectSound(arena);
    },
  );

  test("lets go of all it keeps at trim, and works on", () => {
    using arena = smallArena({ revoke });
    const pool = arena.pool(1000);
    releaseAll(Array.from({ length: 10 }, () => pool.acquire()));
    const { reservedBytes } = arena.stats();
    expect(reservedBytes).toBeGreaterThan(0);
    expect(arena.trim()).toBe(reservedBytes);
    expect(arena.stats()).toMatchObject({
      reservedBytes: 0,
      segments: { active: 0, drained: 0 },
      dedicated: { idle: 0 },
    });
    expect(arena.trim()).toBe(0);
    const lease = pool.acquire();
    expect(isZero(lease.bytes)).toBe(true);
    lease.release();
    expectUsable(arena, 1000);
  });

  test("keeps its leases through a trim", () => {
    using arena = smallArena({ revoke });
    const pool = arena.pool(1000);
    const lease = pool.acquire();
    lease.bytes.fill(7);
    const { reservedBytes } = arena.stats();
    expect(arena.trim()).toBe(0);
    expect(arena.stats().reservedBytes).toBe(reservedBytes);
    expect(isAll(lease.bytes, 7)).toBe(true);
    lease.release();
    expectSound(arena);
  });

  test("keeps to the cap, and goes past it to the heap", () => {
    using arena = smallArena({ revoke }, 1);
    const pool = arena.pool(PAGE_BYTES);
    const leases = Array.from({ length: 8 }, () => pool.acquire());
    const fit = revoke === "on-release" ? 5 : 4;
    expect(leases.map(({ origin }) => origin)).toEqual([
      ...Array<string>(fit).fill("arena"),
      ...Array<string>(8 - fit).fill("heap"),
    ]);
    expect(arena.stats()).toMatchObject({ reservedBytes: SEGMENT_MEMORY_BYTES, overflowed: 8 - fit });
    releaseAll(leases);
    expect(pool.acquire().origin).toBe("arena");
    expectSound(arena);
  });

  test("gives up what it keeps for leases of another length", () => {
    using arena = smallArena({ revoke, onExhausted: "throw" }, 1);
    const pool = arena.pool(4096);
    const leases = Array.from({ length: revoke === "on-release" ? 5 : 64 }, () => pool.acquire());
    releaseAll(leases);
    for (const byteLength of [SEGMENT_BYTES, 8192, SEGMENT_MEMORY_BYTES, 100]) {
      const lease = arena.acquire(byteLength);
      expect(lease.origin).toBe("arena");
      expect(isZero(lease.bytes)).toBe(true);
      lease.release();
    }
    expect(isZero(pool.acquire().bytes)).toBe(true);
    expectSound(arena);
  });

  test("gives up what it keeps for an acquireAsync of another length", async () => {
    using arena = smallArena({ revoke }, 1);
    const pool = arena.pool(4096);
    releaseAll(Array.from({ length: revoke === "on-release" ? 5 : 64 }, () => pool.acquire()));
    expect(arena.stats().liveLeases).toBe(0);
    const lease = await promptly(arena.acquireAsync(SEGMENT_BYTES));
    expect(lease.bytes.length).toBe(SEGMENT_BYTES);
  });

  test("keeps nothing from those who wait", async () => {
    using arena = smallArena({ revoke }, 1);
    const pool = arena.pool(4096);
    const leases = Array.from({ length: revoke === "on-release" ? 5 : 64 }, () => pool.acquire());
    const promise = arena.acquireAsync(SEGMENT_BYTES);
    expect(arena.stats().waiting).toBe(1);
    releaseAll(leases);
    const lease = await promptly(promise);
    expect(isZero(lease.bytes)).toBe(true);
    lease.release();
    expectUsable(arena);
  });

  test("counts as acquire does", () => {
    using arena = smallArena({ revoke });
    const pool = arena.pool(1000);
    const leases = [pool.acquire(), pool.acquire(), arena.acquire(1000)];
    expect(arena.stats()).toMatchObject({ acquired: 3, liveLeases: 3, liveBytes: 3000, peakLiveBytes: 3000 });
    releaseAll(leases);
    expect(arena.stats()).toMatchObject({ acquired: 3, released: 3, liveLeases: 0, liveBytes: 0, peakLiveBytes: 3000 });
    expectSound(arena);
  });

  test("hands out zeros after a view of a kept block was revoked through lease.memory", () => {
    using arena = smallArena({ revoke });
    const pool = arena.pool(100);
    const lease = pool.acquire();
    lease.release();
    growUnder(lease, 0);
    const next = pool.acquire();
    expect(next.bytes.length).toBe(100);
    expect(isZero(next.bytes)).toBe(true);
    next.release();
  });

  test("is traced like any other way", () => {
    using arena = smallArena({ revoke, trace: "all" });
    const pool = arena.pool(100);
    const lease = pool.acquire();
    expect(() => arena.assertDrained()).toThrow(
      /^not released: 1 lease of 100 bytes .*\n1 lease of 100 bytes, acquired\n/,
    );
    lease.release();
    arena.assertDrained();
    expect(isZero(pool.acquire().bytes)).toBe(true);
  });
});

describe.each(SEGMENT_MODES)("revoke: %s, a pool", (revoke) => {
  test("has ten thousand leases alive at once, none of which overlaps another", () => {
    using arena = smallArena({ revoke, onExhausted: "throw" });
    const pool = arena.pool(64);
    const leases = Array.from({ length: 10_000 }, () => pool.acquire());
    for (const [value, lease] of leases.entries()) lease.view(Uint32Array).fill(value + 1);
    for (const [value, lease] of leases.entries()) {
      if (!lease.view(Uint32Array).every((each) => each === value + 1)) expect.fail(`lease ${value} was overwritten`);
    }
    expect(new Set(leases.map(({ bytes }) => bytes)).size).toBe(10_000);
    expect(arena.stats()).toMatchObject({ liveLeases: 10_000, liveBytes: 640_000 });
    releaseAll(leases);
    expect(arena.stats().liveLeases).toBe(0);
    expectUsable(arena, 64);
  });
});

describe("a pool in on-release mode", () => {
  test("has two hundred leases alive at once, each in a memory of its own", () => {
    using arena = smallArena({ revoke: "on-release", onExhausted: "throw", maxBytes: 200 * PAGE_BYTES });
    const pool = arena.pool(64);
    const leases = Array.from({ length: 200 }, () => pool.acquire());
    expect(new Set(leases.map(({ memory }) => memory)).size).toBe(200);
    expect(arena.stats()).toMatchObject({ liveLeases: 200, reservedBytes: 200 * PAGE_BYTES });
    releaseAll(leases);
    expectUsable(arena, 64);
  });
});

describe("a pool in never mode", () => {
  test("hands out the block released last, with the very view it had, in a lease of its own", () => {
    using arena = smallArena({ revoke: "never" });
    const pool = arena.pool(100);
    const first = pool.acquire();
    const second = pool.acquire();
    const views = [first.bytes.fill(7), second.bytes.fill(8)];
    first.release();
    second.release();
    const next = [pool.acquire(), pool.acquire()];
    expect(next[0]?.bytes).toBe(views[1]);
    expect(next[1]?.bytes).toBe(views[0]);
    expect(next[0]).not.toBe(second);
    expect(views.every((view) => isZero(view))).toBe(true);
    expect([first.released, second.released]).toEqual([true, true]);
    expect(() => second.bytes).toThrow(/already released/);
  });

  test("wipes the whole block at release, behind the bytes that were asked for as well", () => {
    using arena = smallArena({ revoke: "never" });
    const lease = arena.pool(100).acquire();
    memoryNow(lease).fill(7, lease.byteOffset, lease.byteOffset + 112);
    lease.release();
    expect(isZero(memoryNow(lease).subarray(lease.byteOffset, lease.byteOffset + 112))).toBe(true);
    expectSound(arena);
  });

  test("wipes only what the holder vouches for", () => {
    using arena = smallArena({ revoke: "never" });
    const lease = arena.pool(100).acquire();
    lease.bytes.fill(7);
    lease.release({ written: 10 });
    const bytes = bytesNow(lease);
    expect(isZero(bytes.subarray(0, 10))).toBe(true);
    expect(isAll(bytes.subarray(10), 7)).toBe(true);
  });

  test("keeps released blocks, which are live to the module and to no one else", () => {
    using arena = smallArena({ revoke: "never" });
    const pool = arena.pool(1000);
    releaseAll([pool.acquire(), pool.acquire(), pool.acquire()]);
    expect(liveBlocks(arena)).toBe(3);
    expect(arena.stats()).toMatchObject({ liveLeases: 0, liveBytes: 0 });
    arena.assertDrained();
    expectSound(arena);
  });

  test.each([
    [64, 1200, 1024],
    [4096, 300, 256],
    [PAGE_BYTES, 20, 16],
    [SEGMENT_BYTES, 20, 16],
  ])("of %i bytes keeps no more than it may: of %i released, %i", (byteLength, count, keptAtMost) => {
    using arena = smallArena({ revoke: "never", onExhausted: "throw" }, 20);
    const pool = arena.pool(byteLength);
    releaseAll(Array.from({ length: count }, () => pool.acquire()));
    expect(liveBlocks(arena)).toBe(keptAtMost);
    expectSound(arena);
    arena.trim();
    expect(liveBlocks(arena)).toBe(0);
    expect(arena.stats().reservedBytes).toBe(0);
  });

  test("holds no memory once its arena was disposed, though someone holds the pool", async () => {
    let isCollected = false;
    const registry = new FinalizationRegistry(() => {
      isCollected = true;
    });
    const pool = (() => {
      using arena = smallArena({ revoke: "never" });
      const made = arena.pool(100);
      const lease = made.acquire();
      if (lease.memory !== undefined) registry.register(lease.memory, undefined);
      lease.release();
      return made;
    })();
    await collectGarbageUntil(() => isCollected);
    expect(isCollected).toBe(true);
    expectThrow(() => pool.acquire(), "ERR_ARENA_DISPOSED");
  });

  test("gives up its blocks for a lease at the cap rather than let it overflow", () => {
    using arena = smallArena({ revoke: "never", onExhausted: "throw" }, 1);
    const pool = arena.pool(4096);
    const leases = Array.from({ length: 64 }, () => pool.acquire());
    const held = leases.pop();
    releaseAll(leases);
    expect(liveBlocks(arena)).toBe(64);
    const others = exhaust(arena, 8192);
    expect(others.length).toBe(31);
    releaseAll(others);
    held?.release();
    expectUsable(arena);
  });
});
