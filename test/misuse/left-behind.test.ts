/** What a lease's holder left behind, in its block or outside of it, is in no other lease. */

import type { Arena, Lease } from "cleanslab";
import { describe, expect, test } from "vitest";
import {
  expectSound,
  expectUsable,
  isZero,
  LONGEST_SHORT_BYTES,
  MODES,
  PAGE_BYTES,
  placeOf,
  releaseAll,
  SEGMENT_BYTES,
  smallArena,
} from "../helpers.ts";

/** Leases of one slab each: all of the only segment but its trap. */
function everySlab(arena: Arena): Lease[] {
  return Array.from({ length: 63 }, () => arena.acquire(4096));
}

describe("what a lease's holder left behind", () => {
  test.each(MODES)("is in no later lease of any length, in %s mode", (revoke) => {
    using arena = smallArena({ revoke }, 2);
    for (const byteLength of [1, 100, 4096, LONGEST_SHORT_BYTES, LONGEST_SHORT_BYTES + 1, SEGMENT_BYTES]) {
      for (const next of [byteLength, Math.max(1, byteLength >> 1), byteLength]) {
        const lease = arena.acquire(byteLength);
        lease.bytes.fill(7);
        lease.release();
        const later = arena.acquire(next);
        expect(isZero(later.bytes)).toBe(true);
        later.release();
      }
    }
    expectSound(arena);
  });

  test("is not in the next lease when the whole memory was written to through .buffer, in on-release mode", () => {
    using arena = smallArena({ revoke: "on-release" }, 1);
    const lease = arena.acquire(100);
    const { memory } = placeOf(lease);
    new Uint8Array(lease.bytes.buffer).fill(7);
    lease.release();
    const next = arena.acquire(PAGE_BYTES);
    expect(next.memory).toBe(memory);
    expect(isZero(next.bytes)).toBe(true);
    next.release();
    expectUsable(arena);
  });

  test("is not in the next lease when it was written after release, in before-reuse mode", () => {
    using arena = smallArena({ revoke: "before-reuse" }, 1);
    const leases = everySlab(arena);
    const stale = leases.map(({ bytes }) => bytes);
    const last = leases.pop();
    releaseAll(leases);
    for (const view of stale) view.fill(7);
    last?.release();
    const next = everySlab(arena);
    expect(next.every(({ bytes }) => isZero(bytes))).toBe(true);
    for (const view of stale) {
      expect(view.length).toBe(0);
      view[0] = 9;
    }
    expect(next.every(({ bytes }) => isZero(bytes))).toBe(true);
    releaseAll(next);
    expectSound(arena);
  });

  test("is not in the next lease when it was written outside every lease, once the trap told of it", () => {
    using arena = smallArena({ revoke: "before-reuse" }, 1);
    const lease = arena.acquire(100);
    // All of the segment: neighbours, blocks that nobody ever had, and the trap.
    new Uint8Array(lease.bytes.buffer).fill(7);
    lease.release();
    // Not promised of these: they may get what was zeroed before the write. The segment is full then.
    releaseAll(everySlab(arena));
    const slabs = everySlab(arena);
    expect(slabs.every(({ bytes, origin }) => origin === "arena" && isZero(bytes))).toBe(true);
    releaseAll(slabs);
    expect(arena.stats()).toMatchObject({ strayWrites: 1 });
    expectSound(arena);
  });

  test.each(MODES)("is not in a memory of its own that is used again for a longer lease, in %s mode", (revoke) => {
    using arena = smallArena({ revoke }, 2);
    const short = arena.acquire(2 * PAGE_BYTES);
    short.bytes.fill(7);
    short.release();
    const long = arena.acquire(2 * SEGMENT_BYTES);
    expect(isZero(long.bytes)).toBe(true);
    long.bytes.fill(7);
    long.release();
    const again = arena.acquire(3 * PAGE_BYTES);
    expect(isZero(again.bytes)).toBe(true);
    again.release();
    expectUsable(arena);
  });
});
