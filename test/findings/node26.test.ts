/** Memories that other code made resizable, where the engine can do that: revoking them takes a second step. */

import { Arena, type Lease } from "cleanslab";
import { describe, expect, test } from "vitest";
import { fillUp, isZero, LiveLeases, MODES, REVOKING_MODES, small, thrownCode, turn } from "./helpers.ts";

interface ResizableMemory {
  readonly buffer: ArrayBuffer;
  grow(pages: number): number;
  toResizableBuffer(): ArrayBuffer;
  toFixedLengthBuffer(): ArrayBuffer;
}

function memoryOf(lease: Lease): ResizableMemory {
  return lease.memory as unknown as ResizableMemory;
}

const isResizable = "toResizableBuffer" in WebAssembly.Memory.prototype;

/** What other code may do to a memory that it was given, or to its buffer. */
const TRICKS: Record<string, (lease: Lease) => void> = {
  "grow(1)": (lease) => void thrownCode(() => memoryOf(lease).grow(1)),
  "grow(0)": (lease) => void thrownCode(() => memoryOf(lease).grow(0)),
  "structuredClone with a transfer": (lease) =>
    void thrownCode(() => structuredClone(lease.bytes, { transfer: [lease.bytes.buffer] })),
  "buffer.transfer()": (lease) =>
    void thrownCode(() => (lease.bytes.buffer as unknown as { transfer(): void }).transfer()),
};

describe("a memory that its holder changed", () => {
  // Once some of these were an untyped error at release, or stayed in the counts.
  test.for(MODES.flatMap((mode) => Object.keys(TRICKS).map((name) => [name, mode] as const)))(
    'by %s is released, and harms nobody, in "%s"',
    ([name, revoke]) => {
      const arena = new Arena(small(4, { revoke }));
      const live = new LiveLeases();
      live.add(arena.acquire(100));
      const lease = arena.acquire(100);
      TRICKS[name]?.(lease);
      lease.release();
      for (let each = 0; each < 50; each++) live.add(arena.acquire(100));
      live.checkAll();
      live.releaseAll();
      // A revocation by other code is what the leases of that memory say.
      expect(live.problems.filter((problem) => !problem.includes("ERR_LEASE_DETACHED"))).toEqual([]);
      arena.assertDrained();
      expect(arena.audit().problems).toEqual([]);
    },
  );
});

describe.skipIf(!isResizable)("a memory made resizable", () => {
  // Once views of it survived the revocation, and read what later leases wrote.
  test.for(REVOKING_MODES)('keeps no stale view alive past its reuse, in "%s"', (revoke) => {
    for (const byteLength of [100, 60_000, 300_000]) {
      const arena = new Arena(small(4, { revoke }));
      const lease = arena.acquire(byteLength);
      const memory = memoryOf(lease);
      const buffer = memory.toResizableBuffer();
      const stale = new Uint8Array(buffer, lease.byteOffset, byteLength);
      lease.release();
      for (let round = 0; round < 3; round++) {
        const others = Array.from({ length: 40 }, () => arena.acquire(byteLength));
        for (const other of others) {
          expect(isZero(other.bytes)).toBe(true);
          other.bytes.fill(9);
        }
        // Detached, or its own bytes of before.
        expect(stale.length > 0 && stale.includes(9)).toBe(false);
        if (stale.length > 0) stale.fill(5);
        for (const other of others) {
          expect(other.bytes.every((byte) => byte === 9)).toBe(true);
          other.release();
        }
      }
      arena.assertDrained();
      expect(arena.audit().problems).toEqual([]);
    }
  });

  // Once an own byteLength on the buffer hid that the revocation had failed.
  test.for(REVOKING_MODES)('cannot hide from the revocation, in "%s"', (revoke) => {
    const arena = new Arena(small(2, { revoke }));
    const lease = arena.acquire(100);
    const buffer = memoryOf(lease).toResizableBuffer();
    const stale = new Uint8Array(buffer, lease.byteOffset, 100);
    Object.defineProperty(buffer, "byteLength", { value: 0 });
    lease.release();
    let seen = 0;
    for (let each = 0; each < 20_000; each++) {
      const other = arena.acquire(100);
      other.bytes.fill(9);
      if (stale[0] === 9) seen++;
      other.release();
    }
    expect(seen).toBe(0);
  });

  test.for(MODES)('and fixed again is like any other, in "%s"', (revoke) => {
    const arena = new Arena(small(2, { revoke }));
    const lease = arena.acquire(100);
    memoryOf(lease).toResizableBuffer();
    memoryOf(lease).toFixedLengthBuffer();
    lease.release();
    const next = arena.acquire(100);
    expect(isZero(next.bytes)).toBe(true);
    next.bytes.fill(1);
    next.release();
    arena.assertDrained();
    expect(arena.audit().problems).toEqual([]);
  });

  test.for(MODES)('can be used through its live lease all the same, in "%s"', (revoke) => {
    const arena = new Arena(small(2, { revoke }));
    const lease = arena.acquire(100);
    memoryOf(lease).toResizableBuffer();
    const other = arena.acquire(100);
    other.bytes.fill(2);
    other.release();
    expect(["no error", "ERR_LEASE_DETACHED"]).toContain(thrownCode(() => lease.bytes.fill(1)));
    lease.release();
    arena.assertDrained();
  });

  // Once a waiter's signal, called in the middle of such a release, released the lease again.
  test.for(MODES)('is released once, whoever waits, in "%s"', async (revoke) => {
    for (const byteLength of [100, 60_000]) {
      const arena = new Arena(small(4, { revoke, onExhausted: "throw" }));
      const lease = arena.acquire(byteLength);
      const rest = fillUp(arena, 16_384);
      memoryOf(lease).toResizableBuffer();
      let inner = "not called";
      const waiting = arena.acquireAsync(60_000, {
        signal: {
          aborted: false,
          addEventListener() {},
          removeEventListener() {
            inner = thrownCode(() => lease.release());
          },
        },
      });
      for (const each of rest) each.release();
      lease.release();
      await turn();
      const served = await Promise.race([waiting, turn()]);
      served?.release();
      expect(["ERR_LEASE_RELEASED", "not called"]).toContain(inner);
      await turn();
      expect(arena.stats().liveLeases).toBe(0);
      expect(arena.audit().problems).toEqual([]);
      arena[Symbol.dispose]();
      await Promise.allSettled([waiting]);
    }
  });
});
