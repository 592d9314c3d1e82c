/** What `"before-reuse"` does with segments beyond what the random programs see: leaks without pressure, lost revocation. */

import { setImmediate } from "node:timers/promises";
import { Arena, type LinearMemory } from "cleanslab";
import { expect, test } from "vitest";

const segmentBytes = 256 * 1024;

async function collectUntil(isDone: () => boolean): Promise<void> {
  for (let turn = 0; turn < 50 && !isDone(); turn++) {
    await setImmediate();
    gc?.();
  }
}

test.each(["trim", "a round of turnovers"])(
  "a leak in a segment that still has room is found after %s",
  async (how) => {
    using arena = new Arena({ segmentBytes, maxBytes: 16 * (segmentBytes + 65536) });
    // In a function of its own, so that nothing on this one's stack holds it.
    (() => arena.acquire(200_000))();
    await collectUntil(() => {
      if (how === "trim") arena.trim();
      else for (let each = 0; each < 200; each++) arena.acquire(100_000).release();
      return arena.stats().leakedLeases > 0;
    });
    expect(arena.stats()).toMatchObject({ leakedLeases: 1, liveLeases: 0, liveBytes: 0 });
    expect(arena.audit().ok).toBe(true);
  },
);

test("a lease that is held while its segment is let go of keeps its bytes and ends as usual", async () => {
  using arena = new Arena({ segmentBytes });
  const held = arena.acquire(5000);
  held.bytes.fill(7);
  arena.trim();
  arena.acquire(5000).bytes.fill(9);
  expect(held.bytes.every((byte) => byte === 7)).toBe(true);
  held.release();
  expect(arena.audit().problems).toEqual([]);
});

test("one request that can never fit drops nothing that is idle", () => {
  using arena = new Arena({ segmentBytes });
  const leases = Array.from({ length: 100 }, () => arena.acquire(10_000));
  for (const lease of leases) lease.release();
  const { reservedBytes } = arena.stats();
  expect(arena.acquire(200 * 1024 * 1024).origin).toBe("heap");
  expect(arena.stats().reservedBytes).toBe(reservedBytes);
});

type Resizable = LinearMemory & { toResizableBuffer?: () => ArrayBuffer };

test.each(["before-reuse", "on-release"] as const)(
  "a memory that cannot be revoked any more serves nobody else, in %s mode",
  (revoke) => {
    using arena = new Arena({ segmentBytes, revoke });
    const lease = arena.acquire(100_000);
    const memory = lease.memory as Resizable;
    if (memory.toResizableBuffer === undefined) return; // engines without it have no such trap
    const stale = new Uint8Array(memory.toResizableBuffer());
    lease.release();
    for (let each = 0; each < 20; each++) {
      const next = arena.acquire(100_000);
      expect(next.memory).not.toBe(memory);
      next.bytes.fill(9);
      expect(stale.includes(9)).toBe(false);
      next.release();
    }
  },
);

test("guards and plain leases of one length stand in one bar of the histogram", () => {
  using arena = new Arena({ guardEvery: 2 });
  for (const byteLength of [100, 100, 112, 128, 128]) arena.acquire(byteLength).release();
  expect(arena.stats().requestedLengths).toEqual([
    { maxByteLength: 112, count: 3 },
    { maxByteLength: 128, count: 2 },
  ]);
});
