/** What a lease's holder writes and does not own up to is in no other lease. */

import type { Arena, Lease } from "cleanslab";
import { describe, expect, test } from "vitest";
import { expectSound, expectUsable, isZero, PAGE_BYTES, releaseAll, SEGMENT_BYTES, smallArena } from "../helpers.ts";

/** Leases of one slab each: all of the only segment. */
function everySlab(arena: Arena): Lease[] {
  return Array.from({ length: 64 }, () => arena.acquire(4096));
}

describe("what a lease's holder left behind", () => {
  test("is not in the next lease when written was too small, in before-reuse mode", () => {
    using arena = smallArena({ revoke: "before-reuse" }, 1);
    const lease = arena.acquire(4096);
    lease.bytes.fill(7);
    lease.release({ written: 1 });
    arena.acquire(SEGMENT_BYTES - 4096).release();
    const next = everySlab(arena);
    expect(next.map(({ byteOffset }) => byteOffset)).toContain(lease.byteOffset);
    expect(next.every(({ bytes }) => isZero(bytes))).toBe(true);
    releaseAll(next);
    expectSound(arena);
  });

  test("is not in the next lease when written was too small, in on-release mode", () => {
    using arena = smallArena({ revoke: "on-release" }, 1);
    const lease = arena.acquire(4096);
    lease.bytes.fill(7);
    lease.release({ written: 1 });
    const next = arena.acquire(4096);
    expect(next.memory).toBe(lease.memory);
    expect(isZero(next.bytes)).toBe(true);
  });

  test("is not in the next lease when the whole memory was written to through .buffer, in on-release mode", () => {
    using arena = smallArena({ revoke: "on-release" }, 1);
    const lease = arena.acquire(100);
    new Uint8Array(lease.bytes.buffer).fill(7);
    lease.release();
    const next = arena.acquire(PAGE_BYTES);
    expect(next.memory).toBe(lease.memory);
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

  test("is not in the next lease when that begins where a shorter one was revoked before its wipe", () => {
    using arena = smallArena({ revoke: "before-reuse" }, 1);
    // Long enough to be revoked before it is wiped, whatever the limit for that is.
    const alone = arena.acquire(128 * 1024);
    const neighbour = arena.acquire(16 * 1024);
    expect(neighbour.byteOffset).toBe(alone.byteOffset + alone.byteLength);
    const stale = neighbour.bytes;
    neighbour.release();
    stale.fill(7);
    alone.release();
    const next = arena.acquire(160 * 1024);
    expect(next.byteOffset).toBe(alone.byteOffset);
    expect(isZero(next.bytes)).toBe(true);
  });
});
