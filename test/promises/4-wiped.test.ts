/**
 * Promise 4: with `wipeOnRelease`, and always in `"on-release"`, the bytes are zero the
 * moment `release()` returns, unless pinned.
 */

import type { Arena, ArenaOptions, DirtyEvent, Lease } from "cleanslab";
import { describe, expect, test } from "vitest";
import { bytesNow, growUnder, isAll, isZero, memoryNow, placeOf, releaseAll, settle, smallArena } from "../helpers.ts";

/** The arenas in which bytes are zero when release returns. */
const WIPING: [string, ArenaOptions][] = [
  ["before-reuse with wipeOnRelease", { revoke: "before-reuse", wipeOnRelease: true }],
  ["never with wipeOnRelease", { revoke: "never", wipeOnRelease: true }],
  ["on-release", { revoke: "on-release" }],
  ["before-reuse with trace: all", { revoke: "before-reuse", trace: "all" }],
  ["never with trace: all", { revoke: "never", trace: "all" }],
];
const LENGTHS = [1, 16, 100, 4096, 5000, 65_536, 100_000, 250_000];

describe.each(WIPING)("%s: the bytes", (_name, options) => {
  test.each(LENGTHS)("of %i are zero when release returns, whatever ends the lease", async (byteLength) => {
    const ends: ((lease: Lease, arena: Arena) => unknown)[] = [
      (lease) => lease.release(),
      (lease) => lease[Symbol.dispose](),
      (lease) => lease.releaseAfter(Promise.resolve()),
      (lease) => {
        lease.resize(0);
        lease.release();
      },
    ];
    for (const end of ends) {
      using arena = smallArena(options);
      const keepsSegment = arena.acquire(64);
      const lease = arena.acquire(byteLength);
      const place = placeOf(lease);
      lease.bytes.fill(7);
      await end(lease, arena);
      expect(isZero(bytesNow(place))).toBe(true);
      keepsSegment.release();
    }
  });

  test("are zero to the end of the block, where a longer lease once wrote", () => {
    using arena = smallArena(options);
    const keepsSegment = arena.acquire(64);
    for (const [from, to] of [
      [112, 100],
      [4096, 3500],
      [100_000, 80_000],
    ] as const) {
      const lease = arena.acquire(from);
      const place = placeOf(lease);
      lease.bytes.fill(7);
      lease.resize(to);
      lease.release();
      expect(isZero(memoryNow(place).subarray(place.byteOffset, place.byteOffset + from))).toBe(true);
    }
    keepsSegment.release();
  });

  test("are zero to the end of a segment's block, whoever wrote them", () => {
    using arena = smallArena(options);
    const keepsSegment = arena.acquire(64);
    // 100 bytes are served from a block of 112.
    const lease = arena.acquire(100);
    const place = placeOf(lease);
    memoryNow(place).fill(7, place.byteOffset, place.byteOffset + 112);
    lease.release();
    expect(isZero(memoryNow(place).subarray(place.byteOffset, place.byteOffset + 112))).toBe(true);
    keepsSegment.release();
  });

  test("are zero where a lease moved away", () => {
    using arena = smallArena(options);
    const keepsSegment = arena.acquire(64);
    for (const [from, to] of [
      [100, 50_000],
      [50_000, 100],
      [100_000, 200_000],
      [200_000, 100],
    ] as const) {
      const lease = arena.acquire(from);
      const place = placeOf(lease);
      lease.bytes.fill(7);
      lease.resize(to);
      expect(isAll(lease.bytes.subarray(0, Math.min(from, to)), 7)).toBe(true);
      // A memory of one lease may have grown in place.
      if (lease.memory === place.memory && lease.byteOffset === place.byteOffset) lease.release();
      expect(isZero(bytesNow(place)), `${from} to ${to}`).toBe(true);
      lease[Symbol.dispose]();
    }
    keepsSegment.release();
  });

  test("are zero though a stranger revoked the memory under the lease", () => {
    using arena = smallArena(options);
    for (const byteLength of [100, 5000, 100_000]) {
      const lease = arena.acquire(byteLength);
      const place = placeOf(lease);
      lease.bytes.fill(7);
      growUnder(lease, 0);
      lease.release();
      expect(isZero(bytesNow(place))).toBe(true);
    }
  });

  test("stay as they are while pinned, and are zero at the last pin's end", () => {
    using arena = smallArena(options);
    for (const byteLength of [100, 5000, 100_000]) {
      const lease = arena.acquire(byteLength);
      const place = placeOf(lease);
      lease.bytes.fill(7);
      const pins = [lease.pin(), lease.pin()];
      lease.release();
      pins.pop()?.release();
      expect(isAll(bytesNow(place), 7)).toBe(true);
      pins.pop()?.release();
      expect(isZero(bytesNow(place))).toBe(true);
    }
  });
});

test.each(["before-reuse", "never"] as const)("without wipeOnRelease the old bytes stay, in %s mode", (revoke) => {
  using arena = smallArena({ revoke });
  const lease = arena.acquire(1000);
  const stale = lease.bytes.fill(7);
  lease.release();
  expect(isAll(stale, 7)).toBe(true);
});

describe("a write after release", () => {
  test.each(["before-reuse", "never", "on-release"] as const)(
    "is found with trace: all, with its offset and with who had the bytes, in %s mode",
    async (revoke) => {
      using arena = smallArena({ revoke, trace: "all" });
      const events: DirtyEvent[] = [];
      arena.addEventListener("dirty", (event) => events.push(event));
      function acquires(): Lease {
        return arena.acquire(1000);
      }
      const lease = acquires();
      const place = placeOf(lease);
      lease.release();
      // As a read still under way would, where the view itself is dead.
      bytesNow(place)[10] = 7;
      for (let each = 0; each < 500; each++) {
        const next = arena.acquire(1000);
        expect(isZero(next.bytes)).toBe(true);
        next.release();
      }
      expect(events).toEqual([]);
      await settle();
      expect(arena.stats().dirtyBlocks).toBe(1);
      expect(events).toMatchObject([{ type: "dirty", count: 1, byteOffset: place.byteOffset + 10 }]);
      expect(events[0]?.acquired).toContain("acquires");
      expect(events[0]?.released).toContain("4-wiped");
    },
  );

  test.each([{ wipeOnRelease: true, trace: "off" }, { trace: "sampled" }, {}] as ArenaOptions[])(
    "is not looked for with %o, and is nobody's bytes all the same",
    async (options) => {
      using arena = smallArena({ ...options, onExhausted: "throw" }, 1);
      let dirty = 0;
      arena.addEventListener("dirty", () => void dirty++);
      const leases = Array.from({ length: 63 }, () => arena.acquire(4096));
      const stale = leases.map(({ bytes }) => bytes);
      const last = leases.pop();
      releaseAll(leases);
      for (const view of stale.slice(0, 62)) view.fill(7);
      last?.release();
      const next = Array.from({ length: 63 }, () => arena.acquire(4096));
      expect(next.every(({ bytes }) => isZero(bytes))).toBe(true);
      await settle();
      expect([dirty, arena.stats().dirtyBlocks]).toEqual([0, 0]);
    },
  );

  test.each(["before-reuse", "never"] as const)(
    "before tracing was switched on is no find, and one after it is, in %s mode",
    async (revoke) => {
      using arena = smallArena({ revoke, onExhausted: "throw" }, 1);
      const dirty = (): number => arena.stats().dirtyBlocks;
      const round = (): Uint8Array[] => {
        const leases = Array.from({ length: 63 }, () => arena.acquire(4096));
        const views = leases.map(({ bytes }) => bytes.fill(7));
        releaseAll(leases);
        return views;
      };
      round();
      arena.trace = "all";
      round();
      round();
      expect(dirty()).toBe(0);
      const views = round();
      (views[20] as Uint8Array)[5] = 1;
      round();
      expect(dirty()).toBe(1);
      arena.trace = "off";
      (round()[20] as Uint8Array)[5] = 1;
      round();
      expect(dirty()).toBe(1);
    },
  );
});
