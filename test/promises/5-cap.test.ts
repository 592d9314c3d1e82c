/**
 * Promise 5: the arena never holds more linear memory than `maxBytes`, memory that only a
 * forgotten view keeps included, and lets go of what it dropped.
 */

import { Arena, type Lease, type RevokeMode } from "cleanslab";
import { describe, expect, test } from "vitest";
import {
  collectGarbageUntil,
  exhaust,
  expectArenaError,
  expectSound,
  expectThrow,
  expectUsable,
  growUnder,
  isAll,
  isSettled,
  MODES,
  PAGE_BYTES,
  promptly,
  rejectionOf,
  releaseAll,
  SEGMENT_BYTES,
  settle,
  smallArena,
} from "../helpers.ts";

/** No memory can be made while `body` runs. */
function refusingMemory<T>(body: () => T): T {
  const original = WebAssembly.Memory;
  const spare = smallArena();
  spare.acquire(10).release();
  Reflect.set(WebAssembly, "Memory", function refuse(): never {
    throw new RangeError("WebAssembly.Memory(): out of memory");
  });
  try {
    return body();
  } finally {
    Reflect.set(WebAssembly, "Memory", original);
    // The engine is asked again as soon as a memory is let go of.
    spare[Symbol.dispose]();
  }
}

describe.each(MODES)("revoke: %s, the cap", (revoke: RevokeMode) => {
  test("is never exceeded, whatever is asked for, and the rest is heap buffers that are counted", () => {
    using arena = smallArena({ revoke, guardEvery: 7 }, 3);
    const held: Lease[] = [];
    for (let each = 0; each < 400; each++) {
      held.push(arena.acquire([100, 5000, 64 * 1024, 100_000, 300_000][each % 5] as number));
      if (each % 3 === 0) held.shift()?.release();
      const { reservedBytes, maxBytes } = arena.stats();
      expect(reservedBytes).toBeLessThanOrEqual(maxBytes);
    }
    const { overflowed, acquired } = arena.stats();
    expect(overflowed).toBeGreaterThan(100);
    expect(acquired).toBe(400);
    for (const lease of held) if (lease.origin === "heap") expect(lease.memory).toBeUndefined();
    releaseAll(held);
    expectUsable(arena);
  });

  test("is one for short and long leases: the idle memories of either give way", () => {
    using arena = smallArena({ revoke, onExhausted: "throw" }, 2);
    for (let round = 0; round < 4; round++) {
      for (const byteLength of [4096, 2 * SEGMENT_BYTES, 64, 150_000]) {
        const leases = exhaust(arena, byteLength);
        expect(leases.length, `${byteLength} bytes`).toBeGreaterThan(0);
        releaseAll(leases);
      }
    }
    expectSound(arena);
  });

  test("counts a memory that only a forgotten view keeps", async () => {
    using arena = smallArena({ revoke, onExhausted: "throw" }, 1);
    const view = (() => arena.acquire(200_000).bytes.fill(7))();
    await collectGarbageUntil(() => arena.stats().reservedBytes === 0, 10);
    expect(arena.stats()).toMatchObject({ reservedBytes: SEGMENT_BYTES, leakedLeases: 0, liveLeases: 1 });
    expectThrow(() => arena.acquire(200_000), "ERR_ARENA_EXHAUSTED");
    expect(isAll(view, 7)).toBe(true);
  });

  test("refuses a length above it, whatever the policy says", async () => {
    for (const onExhausted of ["allocate", "throw"] as const) {
      using arena = smallArena({ revoke, onExhausted });
      const { maxBytes } = arena.stats();
      expectThrow(() => arena.acquire(maxBytes + 1), "ERR_ARENA_EXHAUSTED", "can never fit", maxBytes);
      expectArenaError(await rejectionOf(arena.acquireAsync(maxBytes + 1)), "ERR_ARENA_EXHAUSTED", "can never fit");
      expectArenaError(await rejectionOf(arena.acquireAsync([maxBytes, 1])), "ERR_ARENA_EXHAUSTED", "can never fit");
      arena.acquire(maxBytes).release();
    }
  });

  test("is where memories run out, if the engine has fewer: heap, error or waiting, as the policy says", async () => {
    using arena = smallArena({ revoke });
    using strict = smallArena({ revoke, onExhausted: "throw" });
    const heap = refusingMemory(() => {
      expectThrow(() => strict.acquire(10), "ERR_ARENA_EXHAUSTED");
      return arena.acquire(10);
    });
    expect(heap.origin).toBe("heap");
    await settle();
    const waiting = refusingMemory(() => arena.acquireAsync(10));
    expect(await isSettled(waiting)).toBe(false);
    heap.release();
    (await promptly(waiting)).release();
    expect(arena.stats()).toMatchObject({ overflowed: 1, liveLeases: 0 });
    expectUsable(arena);
    expectUsable(strict);
  });

  test("takes what idle memory there is when the engine has no more", () => {
    using arena = smallArena({ revoke, onExhausted: "throw" });
    releaseAll([1, 2].map(() => arena.acquire(200_000)));
    const before = arena.stats().reservedBytes;
    const refused = refusingMemory(() => [arena.acquire(200_000), arena.acquire(150_000)]);
    expect(arena.stats().reservedBytes).toBe(before);
    releaseAll(refused);
  });
});

test("those whom the engine refused are asked again when trim lets go of memory", async () => {
  using arena = smallArena({ revoke: "on-release" }, 16);
  const held = arena.acquire(100);
  releaseAll(Array.from({ length: 10 }, () => arena.acquire(100)));
  const waiting = refusingMemory(() => arena.acquireAsync(100_000));
  expect(await isSettled(waiting)).toBe(false);
  expect(arena.trim()).toBeGreaterThan(0);
  (await promptly(waiting)).release();
  held.release();
});

describe("a memory", () => {
  test("of a segment cannot be grown by its holders, and one of a long lease not past the cap", () => {
    using arena = smallArena({}, 2);
    expect(() => growUnder(arena.acquire(100), 1)).toThrow(RangeError);
    const lease = arena.acquire(150_000);
    expect(() => growUnder(lease, (2 * SEGMENT_BYTES) / PAGE_BYTES)).toThrow(RangeError);
    using isolating = smallArena({ revoke: "on-release" });
    expect(() => growUnder(isolating.acquire(100), 1)).toThrow(RangeError);
  });

  test.each(["before-reuse", "never"] as const)("that its holder grew is dropped at release, in %s mode", (revoke) => {
    using arena = smallArena({ revoke });
    const lease = arena.acquire(200_000);
    const { memory } = lease;
    growUnder(lease, 1);
    lease.release();
    expect(arena.stats()).toMatchObject({ reservedBytes: 0, oneLease: { leased: 0, idle: 0 } });
    expect(memory?.buffer.byteLength).toBeGreaterThan(SEGMENT_BYTES);
    const next = arena.acquire(200_000);
    expect(next.memory).not.toBe(memory);
    next.release();
    expectSound(arena);
  });
});

describe.each(MODES)("revoke: %s, what was dropped", (revoke: RevokeMode) => {
  test.each(["trim", "need", "dispose"] as const)("by %s is reachable from nowhere", async (how) => {
    const arena = smallArena({ revoke }, 4);
    const collected = new Set<string>();
    const registry = new FinalizationRegistry<string>((name) => void collected.add(name));
    let count = 0;
    // On its own stack frame, so that nothing here keeps a memory.
    const leases = ((): Lease[] => {
      const made = [100, 60_000, 60_000, 60_000, 60_000, 60_000, 200_000].map((each) => arena.acquire(each));
      for (const memory of new Set(made.map((lease) => lease.memory))) {
        if (memory !== undefined) registry.register(memory, `${count++}`);
      }
      releaseAll(made);
      return made;
    })();
    if (how === "trim") arena.trim();
    else if (how === "dispose") arena[Symbol.dispose]();
    else arena.acquire(4 * SEGMENT_BYTES).release();
    // Active, drained and idle ones.
    expect(count).toBeGreaterThan(2);
    // For a longer lease an idle memory is lengthened, where it need not isolate.
    const dropped = how === "need" && revoke !== "on-release" ? count - 1 : count;
    await collectGarbageUntil(() => collected.size === dropped, 60);
    expect(collected.size).toBe(dropped);
    // Leases, arena and registry are all still held here.
    expect(leases.every(({ released }) => released)).toBe(true);
    expect(arena.stats().leakedLeases).toBe(0);
    expect(registry).toBeDefined();
    arena[Symbol.dispose]();
  });

  test("shrinks back after an outlier, by turnover alone", () => {
    using arena = smallArena({ revoke, onExhausted: "throw" }, 16);
    const byteLength = 200_000;
    releaseAll(exhaust(arena, byteLength));
    releaseAll(exhaust(arena, 40_000));
    const most = arena.stats().reservedBytes;
    expect(most).toBeGreaterThan(8 * SEGMENT_BYTES);
    const deadline = 400_000;
    let rounds = 0;
    while (arena.stats().reservedBytes > 3 * SEGMENT_BYTES && rounds++ < deadline) arena.acquire(40_000).release();
    if (revoke === "never") arena.trim();
    expect(arena.stats().reservedBytes).toBeLessThanOrEqual(3 * SEGMENT_BYTES);
    expectSound(arena);
  });
});

test.skipIf(process.platform !== "linux").each(MODES)(
  "memories dropped in %s mode do not stay until the end of the job that dropped them",
  (revoke) => {
    const { gc } = globalThis;
    using arena = new Arena({ revoke, maxBytes: 64 * 1024 * 1024, trace: "off" });
    const before = process.memoryUsage().rss;
    let most = 0;
    for (let each = 0; each < 12; each++) {
      const lease = arena.acquire(32 * 1024 * 1024);
      lease.bytes.fill(1);
      lease.release();
      arena.trim();
      gc?.();
      most = Math.max(most, process.memoryUsage().rss - before);
    }
    expect(most).toBeLessThan(200 * 1024 * 1024);
  },
);
