/** Memories of one lease each: leases longer than a segment, guards, and all of `"on-release"`. */

import { describe, expect, test } from "vitest";
import {
  bytesNow,
  expectSound,
  expectThrow,
  expectUsable,
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

const LONGER = SEGMENT_BYTES + 1;

describe.each(MODES)("revoke: %s, a lease longer than a segment", (revoke) => {
  test("has a memory of its own under the same cap", () => {
    using arena = smallArena({ revoke, onExhausted: "throw" });
    const lease = arena.acquire(LONGER);
    expect(lease.origin).toBe("arena");
    expect(lease.byteOffset).toBe(0);
    expect(lease.bytes.length).toBe(LONGER);
    expect(isZero(lease.bytes)).toBe(true);
    expect(arena.stats()).toMatchObject({
      reservedBytes: 5 * PAGE_BYTES,
      dedicated: { leased: 1, idle: 0 },
      segments: { active: 0 },
    });
    const other = arena.acquire(LONGER);
    expect(other.memory).not.toBe(lease.memory);
    lease.bytes.fill(7);
    expect(isZero(other.bytes)).toBe(true);
    expectSound(arena);
  });

  test("comes from the same memory again, as zeros", () => {
    using arena = smallArena({ revoke, onExhausted: "throw" });
    const first = arena.acquire(LONGER);
    const view = first.bytes.fill(7);
    first.release();
    expect(isZero(bytesNow(first))).toBe(true);
    if (revoke === "never") expect(isZero(view)).toBe(true);
    else expect(view.length).toBe(0);
    expect(arena.stats()).toMatchObject({ reservedBytes: 5 * PAGE_BYTES, dedicated: { leased: 0, idle: 1 } });
    // Another length of the same five pages.
    const second = arena.acquire(5 * PAGE_BYTES);
    expect(second.memory).toBe(first.memory);
    expect(isZero(second.bytes)).toBe(true);
    expect(arena.stats()).toMatchObject({ reservedBytes: 5 * PAGE_BYTES, dedicated: { leased: 1, idle: 0 } });
    expectSound(arena);
  });

  test("comes from the memory that was released last", () => {
    using arena = smallArena({ revoke });
    const leases = [arena.acquire(LONGER), arena.acquire(LONGER), arena.acquire(LONGER)];
    releaseAll(leases);
    expect(arena.acquire(LONGER).memory).toBe(leases[2]?.memory);
    expect(arena.acquire(LONGER).memory).toBe(leases[1]?.memory);
  });

  test.each([
    [5, 5],
    [6, 6],
    [7, 7],
    [8, 8],
    [9, 10],
    [10, 10],
    [11, 12],
    [13, 14],
    [15, 16],
    [16, 16],
    [17, 20],
    [33, 40],
  ])("of %i pages takes %i of them", (pages, takes) => {
    using arena = smallArena({ revoke, onExhausted: "throw", maxBytes: 64 * PAGE_BYTES });
    for (const byteLength of [pages * PAGE_BYTES, (pages - 1) * PAGE_BYTES + 1]) {
      const lease = arena.acquire(byteLength);
      expect(lease.bytes.length).toBe(byteLength);
      expect(memoryNow(lease).length).toBe(arena.stats().reservedBytes);
      if (byteLength === pages * PAGE_BYTES) expect(memoryNow(lease).length).toBe(takes * PAGE_BYTES);
      lease.release();
      arena.trim();
    }
  });

  test("is dropped by trim when idle, and not while it is out", () => {
    using arena = smallArena({ revoke });
    const idle = arena.acquire(LONGER);
    const held = arena.acquire(2 * SEGMENT_BYTES);
    held.bytes.fill(7);
    idle.release();
    expect(arena.trim()).toBe(5 * PAGE_BYTES);
    expect(arena.stats()).toMatchObject({ reservedBytes: 8 * PAGE_BYTES, dedicated: { leased: 1, idle: 0 } });
    expect(isAll(held.bytes, 7)).toBe(true);
    held.release();
    expect(arena.trim()).toBe(8 * PAGE_BYTES);
    expect(arena.stats()).toMatchObject({ reservedBytes: 0, peakReservedBytes: 13 * PAGE_BYTES });
  });

  test("makes idle memories of other lengths give way at the cap", () => {
    using arena = smallArena({ revoke, onExhausted: "throw", maxBytes: 12 * PAGE_BYTES });
    releaseAll([arena.acquire(5 * PAGE_BYTES), arena.acquire(6 * PAGE_BYTES)]);
    expect(arena.stats()).toMatchObject({ reservedBytes: 11 * PAGE_BYTES, dedicated: { idle: 2 } });
    const lease = arena.acquire(7 * PAGE_BYTES);
    expect(lease.origin).toBe("arena");
    expect(isZero(lease.bytes)).toBe(true);
    // Five pages are left beside it.
    expectThrow(() => arena.acquire(6 * PAGE_BYTES), "ERR_ARENA_EXHAUSTED", `${6 * PAGE_BYTES} bytes`);
    const other = arena.acquire(5 * PAGE_BYTES);
    expect(arena.stats().reservedBytes).toBe(12 * PAGE_BYTES);
    releaseAll([lease, other]);
    expectUsable(arena);
  });

  test("waits for another one to be released", async () => {
    using arena = smallArena({ revoke }, 1);
    const held = arena.acquire(LONGER);
    const promise = arena.acquireAsync(LONGER);
    expect(arena.stats().waiting).toBe(1);
    held.release();
    const lease = await promptly(promise);
    expect(lease.memory).toBe(held.memory);
    expect(isZero(lease.bytes)).toBe(true);
  });

  test("keeps its bytes to itself while pinned past release", () => {
    using arena = smallArena({ revoke });
    const lease = arena.acquire(LONGER);
    const view = lease.bytes.fill(7);
    const pin = lease.pin();
    lease.release();
    const other = arena.acquire(LONGER);
    expect(other.memory).not.toBe(lease.memory);
    expect(isAll(view, 7)).toBe(true);
    pin.release();
    expect(isZero(bytesNow(lease))).toBe(true);
    expectSound(arena);
  });
});

describe.each(SEGMENT_MODES)("revoke: %s, the cap", (revoke) => {
  test("is shared by segments and memories of one lease: the idle ones of either kind give way", () => {
    using arena = smallArena({ revoke, onExhausted: "throw" }, 1);
    for (let round = 0; round < 3; round++) {
      const long = arena.acquire(LONGER);
      expectThrow(() => arena.acquire(100), "ERR_ARENA_EXHAUSTED", "no room for 100 bytes");
      long.release();
      const short = arena.acquire(100);
      expect(arena.stats()).toMatchObject({ reservedBytes: SEGMENT_MEMORY_BYTES, dedicated: { leased: 0, idle: 0 } });
      expectThrow(() => arena.acquire(LONGER), "ERR_ARENA_EXHAUSTED", `no room for ${LONGER} bytes`);
      short.release();
    }
    expect(arena.stats().peakReservedBytes).toBe(SEGMENT_MEMORY_BYTES);
    expectUsable(arena);
  });

  test("lets a segment's whole length be one lease, without a memory of its own", () => {
    using arena = smallArena({ revoke });
    arena.acquire(SEGMENT_BYTES);
    expect(arena.stats()).toMatchObject({ segments: { active: 1 }, dedicated: { leased: 0, idle: 0 } });
  });
});

describe.each(SEGMENT_MODES)("revoke: %s, the memory of a guard", (revoke) => {
  test("has zeros for the next guard, though its owner wrote behind his lease", () => {
    using arena = smallArena({ revoke, guardEvery: 1 });
    const first = arena.acquire(1000);
    memoryNow(first).fill(7);
    first.release();
    expect(isZero(bytesNow(first))).toBe(true);
    for (const byteLength of [10, 1000, 999, PAGE_BYTES]) {
      const lease = arena.acquire(byteLength);
      expect([lease.origin, lease.memory]).toEqual(["guard", first.memory]);
      expect(isZero(lease.bytes)).toBe(true);
      lease.bytes.fill(7);
      lease.release();
      expect(isZero(bytesNow(lease))).toBe(true);
    }
  });

  test("has zeros to its end for a lease that is none", () => {
    using arena = smallArena({ revoke, guardEvery: 2 });
    arena.acquire(LONGER).release();
    const guard = arena.acquire(LONGER);
    expect(guard.origin).toBe("guard");
    memoryNow(guard).fill(7);
    guard.release();
    const ordinary = arena.acquire(LONGER);
    expect([ordinary.origin, ordinary.memory]).toEqual(["arena", guard.memory]);
    expect(isZero(memoryNow(ordinary))).toBe(true);
  });
});

describe("revoke: on-release, each lease", () => {
  test("leaves zeros to the end of its memory, whatever its owner wrote behind it", () => {
    using arena = smallArena({ revoke: "on-release", guardEvery: 1 });
    const lease = arena.acquire(1000);
    memoryNow(lease).fill(7);
    lease.release();
    expect(isZero(memoryNow(lease))).toBe(true);
  });

  test("has a memory of its own, of as few pages as hold it", () => {
    using arena = smallArena({ revoke: "on-release" });
    const leases = [0, 1, PAGE_BYTES, PAGE_BYTES + 1].map((byteLength) => arena.acquire(byteLength));
    expect(new Set(leases.map(({ memory }) => memory)).size).toBe(4);
    expect(leases.map((lease) => memoryNow(lease).length / PAGE_BYTES)).toEqual([1, 1, 1, 2]);
    expect(arena.stats()).toMatchObject({ reservedBytes: 5 * PAGE_BYTES, dedicated: { leased: 4, idle: 0 } });
    releaseAll(leases);
    expect(arena.stats()).toMatchObject({ reservedBytes: 5 * PAGE_BYTES, dedicated: { leased: 0, idle: 4 } });
    expect(arena.trim()).toBe(5 * PAGE_BYTES);
  });

  test("costs one revocation", () => {
    using arena = smallArena({ revoke: "on-release" });
    for (let each = 0; each < 7; each++) arena.acquire(100).release();
    expect(arena.stats()).toMatchObject({ revocations: 7, dedicated: { leased: 0, idle: 1 } });
  });

  test("shrinks the arena back after an outlier, by turnover alone", () => {
    using arena = smallArena({ revoke: "on-release", maxBytes: 50 * PAGE_BYTES });
    releaseAll(Array.from({ length: 40 }, () => arena.acquire(100)));
    expect(arena.stats().dedicated.idle).toBe(40);
    for (let cycle = 0; cycle < 8000; cycle++) arena.acquire(100).release();
    expect(arena.stats()).toMatchObject({ reservedBytes: PAGE_BYTES, dedicated: { leased: 0, idle: 1 } });
    expectSound(arena);
  });
});
