/** At the cap every way to a lease throws or goes to the heap, and nothing is lost. */

import type { ExhaustedEvent } from "cleanslab";
import { describe, expect, test } from "vitest";
import {
  exhaust,
  expectSound,
  expectThrow,
  expectUnharmed,
  expectUsable,
  isAll,
  isZero,
  MODES,
  PAGE_BYTES,
  releaseAll,
  SEGMENT_BYTES,
  SEGMENT_MODES,
  settle,
  smallArena,
} from "../helpers.ts";

describe.each(MODES)("revoke: %s, at the cap", (revoke) => {
  const SLABS = 16384;

  test("every way to a lease throws ERR_ARENA_EXHAUSTED with onExhausted: throw, and nothing is lost", async () => {
    using arena = smallArena({ revoke, onExhausted: "throw" }, 2);
    const events: unknown[] = [];
    arena.addEventListener("exhausted", (event) => events.push(event));
    const leases = exhaust(arena, SLABS);
    expect(leases.length).toBeGreaterThanOrEqual(8);
    for (const [value, { bytes }] of leases.entries()) bytes.fill(value + 1);
    const before = arena.stats();
    const pool = arena.pool(SLABS);
    const scope = arena.scope();
    const doors = [
      () => arena.acquire(SLABS),
      () => pool.acquire(),
      () => arena.use(SLABS, () => expect.unreachable("fn was called")),
      () => arena.copyOf(new Uint8Array(SLABS)),
      () => scope.acquire(SLABS),
      () => arena.acquireFilled(SLABS, () => expect.unreachable("write was called")),
      () => arena.filler(SLABS),
      () => arena.writer(SLABS),
    ];
    for (const door of [...doors, ...doors]) {
      expectThrow(
        door,
        "ERR_ARENA_EXHAUSTED",
        `no room for ${SLABS} bytes`,
        `${before.reservedBytes} of maxBytes = ${before.maxBytes}`,
        "release leases",
        "raise maxBytes",
        "acquireAsync",
        "'allocate'",
      );
    }
    await settle();
    expect(arena.stats()).toEqual(before);
    expect(events).toEqual([]);
    expectSound(arena);
    for (const [value, { bytes }] of leases.entries()) expect(isAll(bytes, value + 1)).toBe(true);
    scope.release();
    releaseAll(leases);
    const again = exhaust(arena, SLABS);
    expect(again.length).toBe(leases.length);
    releaseAll(again);
    expectUsable(arena);
  });

  test("a lease too long for the room that is left does not keep shorter ones from it", () => {
    using arena = smallArena({ revoke, onExhausted: "throw" }, 1);
    const first = arena.acquire(64);
    first.bytes.fill(7);
    for (let round = 0; round < 5; round++) {
      expectThrow(() => arena.acquire(SEGMENT_BYTES), "ERR_ARENA_EXHAUSTED", "no room");
      const short = [arena.acquire(64), arena.acquire(4096), arena.pool(100).acquire()];
      for (const { bytes } of short) {
        expect(isZero(bytes)).toBe(true);
        bytes.fill(8);
      }
      releaseAll(short);
      expectSound(arena);
    }
    expect(isAll(first.bytes, 7)).toBe(true);
    first.release();
    const whole = arena.acquire(SEGMENT_BYTES);
    expect(isZero(whole.bytes)).toBe(true);
    whole.release();
    expectUsable(arena);
  });

  test.each(["throw", "allocate"] as const)(
    "a lease longer than all of the cap throws with onExhausted: %s, and drops no lease",
    async (onExhausted) => {
      using arena = smallArena({ revoke, onExhausted }, 1);
      const events: unknown[] = [];
      arena.addEventListener("exhausted", (event) => events.push(event));
      const lease = arena.acquire(100);
      lease.bytes.fill(7);
      const before = arena.stats();
      for (const byteLength of [SEGMENT_BYTES + 1, 2 ** 32 - 1]) {
        expectThrow(
          () => arena.acquire(byteLength),
          "ERR_ARENA_EXHAUSTED",
          `${byteLength} bytes can never fit`,
          `maxBytes = ${SEGMENT_BYTES}`,
          "raise maxBytes",
        );
      }
      await settle();
      expect(events).toEqual([]);
      expect(arena.stats()).toEqual(before);
      expect(isAll(lease.bytes, 7)).toBe(true);
      lease.release();
      expectUsable(arena);
    },
  );

  test("a lease becomes a heap buffer with onExhausted: allocate, counted, reported, and dead on release", async () => {
    using arena = smallArena({ revoke, onExhausted: "allocate" }, 1);
    const events: ExhaustedEvent[] = [];
    arena.addEventListener("exhausted", (event) => events.push(event));
    const held = arena.acquire(SEGMENT_BYTES);
    const before = arena.stats();
    expect(before.overflowed).toBe(0);
    const lease = arena.acquire(PAGE_BYTES + 1);
    expect(lease.origin).toBe("heap");
    expect(lease.memory).toBeUndefined();
    expect(lease.byteOffset).toBe(0);
    expect(lease.bytes.length).toBe(PAGE_BYTES + 1);
    expect(isZero(lease.bytes)).toBe(true);
    expect(events).toEqual([]);
    await settle();
    expect(events).toHaveLength(1);
    expect(events[0]).toMatchObject({
      type: "exhausted",
      count: 1,
      byteLength: PAGE_BYTES + 1,
      reservedBytes: before.reservedBytes,
    });
    expect(arena.stats()).toMatchObject({
      overflowed: 1,
      acquired: before.acquired + 1,
      liveLeases: 2,
      liveBytes: SEGMENT_BYTES + PAGE_BYTES + 1,
      reservedBytes: before.reservedBytes,
    });
    expectSound(arena);

    const view = lease.bytes.fill(7);
    lease.release();
    if (revoke === "never") expect(view.length === PAGE_BYTES + 1 && isAll(view, 7)).toBe(true);
    else expect(view.length).toBe(0);
    expect(arena.stats()).toMatchObject({ overflowed: 1, released: 1, liveLeases: 1, liveBytes: SEGMENT_BYTES });
    expectUnharmed(arena, () => expectThrow(() => lease.release(), "ERR_LEASE_RELEASED", "cannot release"));
    held.release();
    expect(arena.acquire(PAGE_BYTES + 1).origin).toBe("arena");
  });

  test("a heap lease whose buffer its holder transferred away says so, and can be released", () => {
    using arena = smallArena({ revoke }, 1);
    const held = arena.acquire(SEGMENT_BYTES);
    const lease = arena.acquire(PAGE_BYTES + 1);
    expect(lease.origin).toBe("heap");
    structuredClone(lease.bytes.buffer, { transfer: [lease.bytes.buffer] });
    expectThrow(() => lease.bytes, "ERR_LEASE_DETACHED", `${PAGE_BYTES + 1} bytes`, "transferred");
    lease.release();
    held.release();
    expect(arena.stats()).toMatchObject({ liveLeases: 0, released: 2 });
    expectUsable(arena);
  });

  test("a heap lease is zero at release with wipeOnRelease, where its view lives", () => {
    using arena = smallArena({ revoke, wipeOnRelease: true }, 1);
    const held = arena.acquire(SEGMENT_BYTES);
    const lease = arena.acquire(PAGE_BYTES + 1);
    expect(lease.origin).toBe("heap");
    const view = lease.bytes.fill(7);
    lease.release();
    if (revoke === "never") expect(view.length === PAGE_BYTES + 1 && isZero(view)).toBe(true);
    else expect(view.length).toBe(0);
    held.release();
  });

  test("a lease that cannot grow for want of room is as it was", () => {
    using arena = smallArena({ revoke, onExhausted: "throw" }, 1);
    const lease = arena.acquire(100);
    const bytes = lease.bytes.fill(7);
    for (let round = 0; round < 3; round++) {
      expectThrow(() => lease.resize(SEGMENT_BYTES), "ERR_ARENA_EXHAUSTED", "no room");
      expectThrow(() => lease.resize(SEGMENT_BYTES + 1), "ERR_ARENA_EXHAUSTED", "can never fit");
    }
    expect(lease.bytes).toBe(bytes);
    expect(isAll(bytes, 7)).toBe(true);
    lease.release();
    expectUsable(arena);
  });
});

test.each(SEGMENT_MODES)(
  "revoke: %s, guards are at most 32 memories, and the others are counted as missed",
  (revoke) => {
    using arena = smallArena({ revoke, guardEvery: 1 }, 40);
    const leases = Array.from({ length: 40 }, () => arena.acquire(100));
    expect(leases.filter(({ origin }) => origin === "guard")).toHaveLength(32);
    expect(arena.stats()).toMatchObject({ missedGuards: 8, overflowed: 0 });
    releaseAll(leases);
    expect(arena.acquire(100).origin).toBe("guard");
  },
);
