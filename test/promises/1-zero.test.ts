/**
 * Promise 1: a lease's bytes are all zero when handed out, or are exactly what the producer
 * wrote, whatever stale views of leases did before.
 */

import type { Arena, Lease, RevokeMode } from "cleanslab";
import { describe, expect, test } from "vitest";
import {
  exhaust,
  isAll,
  isZero,
  LONGEST_SHORT_BYTES,
  MODES,
  memoryNow,
  REVOKING_MODES,
  releaseAll,
  SEGMENT_BYTES,
  smallArena,
  WAYS,
} from "../helpers.ts";
import { scribble, viewsOf } from "./helpers.ts";

/** Lengths at and around every border: of blocks, slabs, the longest short lease, a segment. */
const LENGTHS = [
  ...[0, 1, 15, 16, 17, 63, 64, 65, 100, 128, 129, 1000, 4095, 4096, 4097, 10_000],
  ...[LONGEST_SHORT_BYTES - 1, LONGEST_SHORT_BYTES, LONGEST_SHORT_BYTES + 1, 98_304, 98_305, 131_073],
  ...[SEGMENT_BYTES - 4096, SEGMENT_BYTES],
];

/** The leased bytes, and those behind them that are in the same block for sure. */
function fillBlock(lease: Lease): void {
  if (lease.byteLength > LONGEST_SHORT_BYTES) {
    lease.bytes.fill(0xff);
    return;
  }
  const end = lease.byteOffset + Math.ceil(lease.byteLength / 16) * 16;
  memoryNow(lease).fill(0xff, lease.byteOffset, end);
}

describe.each(MODES)("revoke: %s, a lease", (revoke: RevokeMode) => {
  test.each(Object.keys(WAYS))("from %s is zero though all that was leased before it was filled", (name) => {
    const way = WAYS[name] as (arena: Arena, byteLength: number) => Lease;
    using arena = smallArena({ revoke, onExhausted: "throw" }, 6);
    for (let round = 0; round < 4; round++) {
      for (const byteLength of LENGTHS) {
        const lease = way(arena, byteLength);
        expect(lease.bytes.length).toBe(byteLength);
        expect(lease.byteOffset % 16).toBe(0);
        expect(isZero(lease.bytes), `${byteLength} bytes, round ${round}`).toBe(true);
        fillBlock(lease);
        lease.release();
      }
    }
  });

  test("is zero when every lease of the whole cap was filled before it, in other lengths", () => {
    using arena = smallArena({ revoke, onExhausted: "throw" }, 2);
    for (const byteLength of [64, 4096, 1000, LONGEST_SHORT_BYTES, 64, 100_000, 20_000, 65]) {
      const leases = exhaust(arena, byteLength);
      expect(leases.length).toBeGreaterThan(0);
      for (const lease of leases) {
        expect(isZero(lease.bytes)).toBe(true);
        fillBlock(lease);
      }
      releaseAll(leases);
    }
  });

  test("is zero though leases of unzeroed bytes lie between zeroed ones", () => {
    using arena = smallArena({ revoke, onExhausted: "throw" }, 1);
    for (let each = 0; each < 2000; each++) {
      const lease = each % 3 === 0 ? arena.acquireFilled(700, (bytes) => bytes.fill(0xff).length) : arena.acquire(700);
      expect(isAll(lease.bytes, each % 3 === 0 ? 0xff : 0)).toBe(true);
      lease.bytes.fill(0xff);
      lease.release();
    }
  });

  test("that grows is zero where it is new, in place and moved, though its producer saw old bytes there", () => {
    using arena = smallArena({ revoke, onExhausted: "throw" }, 6);
    for (const [from, to] of [
      [10, 60],
      [100, 110],
      [100, 5000],
      [4000, 4096],
      [60_000, 70_000],
      [70_000, 100_000],
      [100_000, 250_000],
      [0, 64],
    ] as const) {
      for (let round = 0; round < 6; round++) {
        const lease = arena.acquireFilled(to, (bytes) => {
          bytes.fill(0xdd);
          return from;
        });
        expect(lease.bytes.length).toBe(from);
        lease.resize(to);
        expect(isAll(lease.bytes.subarray(0, from), 0xdd)).toBe(true);
        expect(isZero(lease.bytes.subarray(from)), `${from} to ${to}, round ${round}`).toBe(true);
        lease.bytes.fill(0xff);
        lease.release();
      }
    }
  });

  test("that is filled shows what was written and nothing behind it, and a producer that fails leaves none", () => {
    using arena = smallArena({ revoke, onExhausted: "throw" }, 1);
    for (let round = 0; round < 200; round++) {
      const lease = arena.acquireFilled(4000, (bytes) => {
        bytes.set([1, 2, 3]);
        return 3;
      });
      expect([...lease.bytes]).toEqual([1, 2, 3]);
      expect(lease.bytes.length).toBe(3);
      lease.release();
      expect(() =>
        arena.acquireFilled(4000, () => {
          throw new Error("mine");
        }),
      ).toThrow("mine");
    }
    arena.assertDrained();
  });

  test("of a copy of a view that lies about its length has the bytes that the view has", () => {
    class Liar extends Uint8Array {
      override get length(): number {
        return 4000;
      }
      override get byteLength(): number {
        return 4000;
      }
    }
    using arena = smallArena({ revoke, onExhausted: "throw" }, 2);
    for (let round = 0; round < 200; round++) {
      const lease = arena.copyOf(new Liar([1, 2, 3]));
      expect([...lease.bytes]).toEqual([1, 2, 3]);
      lease.resize(3000);
      lease.bytes.fill(0xff);
      lease.release();
    }
  });

  test("with wipeOnRelease or trace all is zero for its producer, too", () => {
    for (const options of [{ wipeOnRelease: true }, { trace: "all" }] as const) {
      using arena = smallArena({ revoke, onExhausted: "throw", ...options }, 1);
      for (let round = 0; round < 200; round++) {
        const lease = arena.acquireFilled(4000, (bytes) => {
          expect(isZero(bytes)).toBe(true);
          return bytes.fill(0xff).length;
        });
        lease.release();
      }
    }
  });
});

describe.each(REVOKING_MODES)("revoke: %s, a lease", (revoke: RevokeMode) => {
  test("is zero though every view of earlier leases is written through at any time", () => {
    using arena = smallArena({ revoke, onExhausted: "throw" }, 2);
    const stale: ArrayBufferView[] = [];
    for (let round = 0; round < 600; round++) {
      const lease = arena.acquire([64, 1000, 4096, 50_000, 70_000][round % 5] as number);
      expect(isZero(lease.bytes)).toBe(true);
      for (const view of stale.slice(-200)) scribble(view);
      expect(isZero(lease.bytes), `round ${round}`).toBe(true);
      stale.push(...viewsOf(lease));
      lease.release();
      for (const view of stale.slice(-200)) scribble(view);
    }
  });
});

describe("revoke: before-reuse, a stray write over the trap", () => {
  test("does not make a lease other than zero once its segment was recycled: all of it is zeroed", () => {
    using arena = smallArena({ onExhausted: "throw" }, 1);
    const lease = arena.acquire(64);
    // Ignores byteOffset, and reaches far behind everything that was ever handed out.
    new Uint8Array(lease.bytes.buffer).fill(0xdd);
    lease.release();
    // The fourth finds no room and no lease out: the segment starts over, its end never used.
    for (let each = 0; each < 4; each++) arena.acquire(LONGEST_SHORT_BYTES).release();
    expect(arena.stats()).toMatchObject({ revocations: 1, strayWrites: 1 });
    const leases = exhaust(arena, 4096);
    expect(leases.length).toBeGreaterThan(40);
    for (const { bytes } of leases) expect(isZero(bytes)).toBe(true);
  });
});
