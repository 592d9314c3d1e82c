/**
 * Promise 5 at its edges: caps that do not divide into segments, beyond 4 GiB, engines and
 * processes short of memory, and what was dropped, which nothing may keep. That no more is ever
 * reserved, test/model looks at after every command. What leases cost at the cap is
 * work.test.ts's, what leaks give back 6-leaks.test.ts's.
 */

import { Arena, type Lease, type RevokeMode } from "cleanslab";
import { describe, expect, test } from "vitest";
import {
  collectGarbageUntil,
  exhaust,
  expectSound,
  expectThrow,
  expectUsable,
  isAll,
  isSettled,
  KiB,
  LiveLeases,
  MiB,
  MODES,
  promptly,
  releaseAll,
  SEGMENT_BYTES,
  SEGMENT_MODES,
  settle,
  smallArena,
} from "../helpers.ts";

const GiB = 1024 * MiB;

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
  test("does not let a lease too long for the room that is left keep shorter ones from it", () => {
    using arena = smallArena({ revoke, onExhausted: "throw" }, 1);
    const live = new LiveLeases();
    live.add(arena.acquire(64));
    for (let round = 0; round < 5; round++) {
      expectThrow(() => arena.acquire(SEGMENT_BYTES), "ERR_ARENA_EXHAUSTED", "no room");
      const short = [arena.acquire(64), arena.acquire(4096), arena.pool(100).acquire()];
      live.add(...short);
      live.release(...short);
    }
    live.releaseAll();
    arena.acquire(SEGMENT_BYTES).release();
    expectUsable(arena);
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
    for (const each of [arena, strict]) expectUsable(each);
  });

  // Once a cap one byte from a whole segment refused what fits, or let in what does not.
  test.each([0, 1])("of %i bytes above one segment fits what it should", (more) => {
    using arena = smallArena({ revoke, maxBytes: SEGMENT_BYTES + more, onExhausted: "throw" });
    arena.acquire(1).release();
    arena.acquire(SEGMENT_BYTES).release();
    expectThrow(() => arena.acquire(SEGMENT_BYTES + 1), "ERR_ARENA_EXHAUSTED");
    arena.acquire(1).release();
  });

  // Once lengths from 2 GiB on were handed out with another length, or refused with an error of the engine.
  test.each([4 * GiB, 4 * GiB + 64 * KiB, 16 * GiB])(
    "of %i bytes serves leases up to 4 GiB exactly, or with a typed error",
    (maxBytes) => {
      for (const byteLength of [MiB, 2 ** 31 - 1, 2 ** 31, 2 ** 31 + 1, 2 ** 32 - 1]) {
        using arena = new Arena({ revoke, maxBytes, trace: "off" });
        let lease: Lease;
        try {
          // Not touched, so that no memory is really taken.
          lease = arena.acquireFilled(byteLength, () => byteLength);
        } catch (error) {
          expect(error).toMatchObject({ code: "ERR_ARENA_EXHAUSTED" });
          continue;
        }
        const { bytes } = lease;
        bytes[0] = bytes[byteLength - 1] = 5;
        expect([bytes.length, bytes[0], bytes[byteLength - 1]]).toEqual([byteLength, 5, 5]);
        expect(arena.stats().reservedBytes).toBeLessThanOrEqual(maxBytes);
        if (byteLength === MiB) expect(lease.origin).toBe("arena");
        // "on-release" would zero 4 GiB.
        if (revoke !== "on-release") lease.release();
      }
    },
  );
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

test.each(SEGMENT_MODES)("revoke: %s, guards are at most 32 memories, and the others are missed", (revoke) => {
  using arena = smallArena({ revoke, guardEvery: 1 }, 40);
  const leases = Array.from({ length: 40 }, () => arena.acquire(100));
  expect(leases.filter(({ origin }) => origin === "guard")).toHaveLength(32);
  expect(arena.stats()).toMatchObject({ missedGuards: 8, overflowed: 0 });
  releaseAll(leases);
  expect(arena.acquire(100).origin).toBe("guard");
});

// Once memories ran out, and leases went to the heap.
test("hundreds of arenas live side by side, each with memory of its own, and outlive each other", () => {
  const arenas = Array.from({ length: 600 }, (_, each) => smallArena({ revoke: MODES[each % 3] as RevokeMode }));
  const leases = arenas.map((arena) => arena.acquire(100));
  for (const { bytes } of leases) bytes.fill(1);
  for (const arena of arenas.splice(300)) arena[Symbol.dispose]();
  expect(leases.slice(0, 300).every(({ bytes, origin }) => origin === "arena" && isAll(bytes, 1))).toBe(true);
  for (const arena of arenas) arena[Symbol.dispose]();
});

describe.each(MODES)("revoke: %s, what was dropped", (revoke: RevokeMode) => {
  // Once a released lease that was kept, kept its whole memory from the system.
  test.each(["trim", "need", "dispose"] as const)("by %s is reachable from nowhere", async (how) => {
    const arena = smallArena({ revoke }, 4);
    const collected = new Set<string>();
    const registry = new FinalizationRegistry<string>((name) => void collected.add(name));
    let count = 0;
    // On its own stack frame, so that nothing here keeps a memory.
    const leases = ((): Lease[] => {
      const made = [100, 60_000, 60_000, 60_000, 60_000, 60_000, 200_000].map((each) => arena.acquire(each));
      for (const memory of new Set(made.map((lease) => lease.memory)))
        registry.register(memory as object, `${count++}`);
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
    // Leases, arena and registry are all still held here.
    expect([collected.size, leases.every(({ released }) => released), registry]).toEqual([dropped, true, registry]);
    expect(arena.stats().leakedLeases).toBe(0);
    arena[Symbol.dispose]();
  });

  test("shrinks back after an outlier, by turnover alone", () => {
    using arena = smallArena({ revoke, onExhausted: "throw" }, 16);
    releaseAll(exhaust(arena, 200_000));
    releaseAll(exhaust(arena, 40_000));
    expect(arena.stats().reservedBytes).toBeGreaterThan(8 * SEGMENT_BYTES);
    for (let round = 0; arena.stats().reservedBytes > 3 * SEGMENT_BYTES && round < 400_000; round++) {
      arena.acquire(40_000).release();
    }
    if (revoke === "never") arena.trim();
    expect(arena.stats().reservedBytes).toBeLessThanOrEqual(3 * SEGMENT_BYTES);
    expectSound(arena);
  });

  test.skipIf(process.platform !== "linux")("does not stay until the end of the job that dropped it", () => {
    using arena = new Arena({ revoke, maxBytes: 64 * MiB, trace: "off" });
    const before = process.memoryUsage().rss;
    let most = 0;
    for (let each = 0; each < 12; each++) {
      const lease = arena.acquire(32 * MiB);
      lease.bytes.fill(1);
      lease.release();
      arena.trim();
      globalThis.gc?.();
      most = Math.max(most, process.memoryUsage().rss - before);
    }
    expect(most).toBeLessThan(200 * MiB);
  });
});
