/**
 * Promise 1: a lease's bytes are all zero when handed out, or are exactly what the producer
 * wrote, whatever stale views of leases did before. test/contract has more of it, for every
 * engine; what a stray write may change is stray-writes.test.ts's.
 */

import type { Lease, RevokeMode } from "cleanslab";
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
  const { byteLength, byteOffset } = lease;
  if (byteLength > LONGEST_SHORT_BYTES) lease.bytes.fill(0xff);
  else memoryNow(lease).fill(0xff, byteOffset, byteOffset + Math.ceil(byteLength / 16) * 16);
}

describe.each(MODES)("revoke: %s, a lease", (revoke: RevokeMode) => {
  test.each(Object.entries(WAYS))("from %s is zero though all that was leased before was filled", (_name, way) => {
    using arena = smallArena({ revoke, onExhausted: "throw" }, 6);
    for (let round = 0; round < 4; round++) {
      for (const byteLength of LENGTHS) {
        const lease = way(arena, byteLength);
        expect([lease.bytes.length, lease.byteOffset % 16]).toEqual([byteLength, 0]);
        expect(isZero(lease.bytes), `${byteLength} bytes, round ${round}`).toBe(true);
        fillBlock(lease);
        lease.release();
      }
    }
  });

  test("is zero when every lease of the whole cap was filled before it, in other lengths", () => {
    using arena = smallArena({ revoke, onExhausted: "throw" }, 2);
    for (const byteLength of [64, 4096, 1000, LONGEST_SHORT_BYTES, 64, 100_000, 20_000, 2 * SEGMENT_BYTES, 200_000]) {
      const leases = exhaust(arena, byteLength);
      expect(leases.length).toBeGreaterThan(0);
      for (const lease of leases) {
        expect(isZero(lease.bytes)).toBe(true);
        fillBlock(lease);
      }
      releaseAll(leases);
    }
  });

  test.each([
    [10, 60],
    [100, 110],
    [100, 5000],
    [4000, 4096],
    [60_000, 70_000],
    [70_000, 100_000],
    [100_000, 250_000],
    [0, 64],
  ])("that grows from %i to %i bytes is zero where it is new, though its producer wrote there", (from, to) => {
    using arena = smallArena({ revoke, onExhausted: "throw" }, 6);
    for (let round = 0; round < 6; round++) {
      const lease = arena.acquireFilled(to, (bytes) => {
        bytes.fill(0xdd);
        return from;
      });
      expect(lease.bytes.length).toBe(from);
      lease.resize(to);
      expect(isAll(lease.bytes.subarray(0, from), 0xdd)).toBe(true);
      expect(isZero(lease.bytes.subarray(from))).toBe(true);
      lease.bytes.fill(0xff);
      lease.release();
    }
  });

  test.each([{ wipeOnRelease: true }, { trace: "all" }] as const)(
    "with %j is zero for its producer, too",
    (options) => {
      using arena = smallArena({ revoke, onExhausted: "throw", ...options }, 1);
      for (let round = 0; round < 200; round++) {
        const lease = arena.acquireFilled(4000, (bytes) => {
          expect(isZero(bytes)).toBe(true);
          return bytes.fill(0xff).length;
        });
        lease.release();
      }
    },
  );
});

test.each(REVOKING_MODES)(
  "revoke: %s, a lease is zero whenever views of earlier ones are written through",
  (revoke) => {
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
  },
);
