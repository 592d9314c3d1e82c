/** The cap: what it bounds, what a lease costs when it is reached, and how long leases may be. */

import { Arena, type Lease } from "cleanslab";
import { describe, expect, test } from "vitest";
import {
  codeOf,
  collectGarbage,
  countSteps,
  fillUp,
  KiB,
  LiveLeases,
  MiB,
  MODES,
  SEGMENT_BYTES,
  seeded,
  settle,
  small,
  thrownCode,
  turn,
} from "./helpers.ts";

/** Iterator steps, memories made and revocations for `count` leases of `byteLength` bytes that are released at once. */
function workOf(arena: Arena, byteLength: number, count: number): { steps: number; revocations: number } {
  const before = arena.stats().revocations;
  const steps = countSteps(() => {
    for (let each = 0; each < count; each++) {
      try {
        arena.acquire(byteLength).release();
      } catch (error) {
        if (codeOf(error) !== "ERR_ARENA_EXHAUSTED") throw error;
      }
    }
  });
  return { steps: steps / count, revocations: arena.stats().revocations - before };
}

describe("a lease at the cap", () => {
  // Once it looked at every segment, and cost 50 µs under a cap of 1 GiB.
  test.for(["before-reuse", "never"] as const)(
    'costs the same under any cap, one short lease in each segment, in "%s"',
    (revoke) => {
      const work = [4, 16, 64].map((segments) => {
        const arena = new Arena(small(segments, { revoke }));
        const long: Lease[] = [];
        for (let isFull = false; !isFull; ) {
          const lease = arena.acquire(64);
          if (lease.origin === "heap") break;
          long.push(lease);
          for (let each = 0; each < 63 && !isFull; each++) {
            const short = arena.acquire(4 * KiB);
            isFull = short.origin === "heap";
            short.release();
          }
          // "never" uses the released blocks again.
          isFull ||= long.length >= 64 * segments;
        }
        for (let each = 0; each < 200; each++) arena.acquire(KiB).release();
        const measured = [KiB, 64, 40 * KiB].map((byteLength) => workOf(arena, byteLength, 100));
        arena[Symbol.dispose]();
        return measured;
      });
      for (const each of [0, 1, 2]) {
        const few = work[0]?.[each] as { steps: number; revocations: number };
        const many = work[2]?.[each] as { steps: number; revocations: number };
        expect(many.steps).toBeLessThan(2 * few.steps + 60);
        expect(many.revocations).toBeLessThanOrEqual(101);
      }
    },
  );

  // Once free blocks of other lengths were searched in all segments for each lease that found no room.
  test('costs the same under any cap where half of it is free in pieces that are too short, in "never"', () => {
    const work = [4, 16, 64].map((segments) => {
      const arena = new Arena(small(segments, { revoke: "never", onExhausted: "throw" }));
      const held = fillUp(arena, 4 * KiB);
      held.forEach((lease, each) => {
        if (each % 2 === 1) lease.release();
      });
      // What the stacks held goes back to the book.
      workOf(arena, 20 * KiB, 3);
      const measured = { short: workOf(arena, 4 * KiB, 100), long: workOf(arena, 20 * KiB, 100) };
      arena[Symbol.dispose]();
      return measured;
    });
    expect(work[2]?.short.steps).toBeLessThan(2 * (work[0]?.short.steps ?? 0) + 60);
    expect(work[2]?.long.steps).toBeLessThan(2 * (work[0]?.long.steps ?? 0) + 60);
  });

  // Once long leases that came and went left every segment to be walked by each lease without room.
  test("costs the same under any cap after long leases came and went in each segment", () => {
    const work = [4, 32].map((segments) => {
      const next = seeded(1);
      const arena = new Arena(small(segments));
      const long: Lease[] = [];
      const traffic = (): boolean => {
        for (let each = 0; each < 64; each++) {
          const lease = arena.acquire(4 * KiB);
          const isFull = lease.origin === "heap";
          lease.release();
          if (isFull) return true;
        }
        return false;
      };
      for (let full = 0; full < 3; ) {
        long.push(arena.acquire(64));
        if (traffic()) full++;
      }
      for (let each = 0; each < 4 * long.length; each++) {
        const at = next(long.length);
        long[at]?.release();
        traffic();
        long[at] = arena.acquire(64);
        traffic();
      }
      const measured = workOf(arena, KiB, 100);
      arena[Symbol.dispose]();
      return measured;
    });
    expect(work[1]?.steps).toBeLessThan(2 * (work[0]?.steps ?? 0) + 60);
    expect(work[1]?.revocations).toBeLessThanOrEqual(101);
  });

  // Once each lease past the cap tried everything again, and told listeners inside acquire.
  test("revokes nothing, makes no memory, and is one event for all of a job", async () => {
    const arena = new Arena(small(4));
    const held: Lease[] = [];
    while (arena.stats().overflowed === 0) held.push(arena.acquire(16 * KiB));
    await turn();
    const events: number[] = [];
    arena.addEventListener("exhausted", (event) => events.push(event.count));
    const before = arena.stats();
    for (let each = 0; each < 500; each++) arena.acquire(KiB).release();
    const { revocations, overflowed, reservedBytes } = arena.stats();
    expect(events).toEqual([]);
    await turn();
    expect(reservedBytes).toBe(before.reservedBytes);
    const more = overflowed - before.overflowed;
    expect(more).toBeGreaterThan(300);
    expect(revocations - before.revocations).toBeLessThanOrEqual(2);
    expect(events).toEqual([more]);
    for (const lease of held) lease.release();
    expect(arena.acquire(KiB).origin).toBe("arena");
  });

  // Once a pool for each length that a peer chose was kept, with a block of each.
  test.for(MODES)('of any of many lengths from pools keeps nothing, in "%s"', (revoke) => {
    const arena = new Arena({ revoke, trace: "off" });
    const use = (lengths: number): number => {
      for (let byteLength = 1; byteLength <= lengths; byteLength++) arena.pool(byteLength).acquire().release();
      collectGarbage();
      return process.memoryUsage().heapUsed;
    };
    const before = use(5000);
    expect(use(20_000) - before).toBeLessThan(3 * MiB);
    expect(arena.stats().reservedBytes).toBeLessThanOrEqual(8 * MiB);
    expect(arena.stats().sizeClasses.length).toBeLessThan(128);
  });
});

describe("long leases", () => {
  const GiB = 1024 * MiB;

  // Once lengths from 2 GiB on were handed out with another length, or refused with an error of the engine.
  test.for(MODES)('of 2 to 4 GiB are exact or a typed error, whatever the cap, in "%s"', (revoke) => {
    for (const maxBytes of [4 * GiB, 4 * GiB + 64 * KiB, 16 * GiB]) {
      for (const byteLength of [2 ** 31 - 1, 2 ** 31, 2 ** 31 + 1, 2 ** 32 - 1]) {
        const arena = new Arena({ revoke, maxBytes, trace: "off" });
        let outcome: string;
        try {
          // Not touched, so that no memory is really taken.
          const lease = arena.acquireFilled(byteLength, () => byteLength);
          const { bytes } = lease;
          bytes[0] = bytes[byteLength - 1] = 5;
          outcome = `${bytes.length} ${bytes[0]} ${bytes[byteLength - 1]}`;
          expect(arena.stats().reservedBytes).toBeLessThanOrEqual(maxBytes);
          // "on-release" would zero 4 GiB.
          if (revoke !== "on-release") lease.release();
        } catch (error) {
          outcome = codeOf(error) === "ERR_ARENA_EXHAUSTED" ? `${byteLength} 5 5` : String(error);
        }
        arena[Symbol.dispose]();
        expect(outcome, `${byteLength} bytes under a cap of ${maxBytes}`).toBe(`${byteLength} 5 5`);
      }
    }
  });

  // The longest memory there can be has 65536 pages, however high the cap.
  test.for(MODES)('have memories of their own under a cap above 4 GiB, in "%s"', (revoke) => {
    const arena = new Arena({ revoke, maxBytes: 8 * GiB, trace: "off" });
    const lease = arena.acquire(MiB);
    expect(lease.origin).toBe("arena");
    lease.release();
  });

  test.for(MODES)('above the cap are refused, whatever the policy, in "%s"', (revoke) => {
    for (const onExhausted of ["allocate", "throw"] as const) {
      const arena = new Arena({ revoke, onExhausted });
      expect(thrownCode(() => arena.acquire(2 ** 32 - 1))).toBe("ERR_ARENA_EXHAUSTED");
      expect(thrownCode(() => arena.acquire(64 * MiB + 1))).toBe("ERR_ARENA_EXHAUSTED");
      expect(arena.stats()).toMatchObject({ liveLeases: 0, overflowed: 0 });
    }
  });

  // Once a cap one byte from a whole segment refused what fits, or let in what does not.
  test("fit under a cap around one segment", () => {
    for (const more of [0, 1]) {
      const arena = new Arena({ segmentBytes: SEGMENT_BYTES, maxBytes: SEGMENT_BYTES + more, onExhausted: "throw" });
      arena.acquire(1).release();
      arena.acquire(SEGMENT_BYTES).release();
      expect(thrownCode(() => arena.acquire(SEGMENT_BYTES + 1))).toBe("ERR_ARENA_EXHAUSTED");
      arena.acquire(1).release();
    }
    expect(thrownCode(() => new Arena({ segmentBytes: SEGMENT_BYTES, maxBytes: SEGMENT_BYTES - 1 }))).toBe(
      "ERR_INVALID_ARGUMENT",
    );
  });
});

describe("trim()", () => {
  // Once each drop started over from the first segment.
  test.for(MODES)('goes once through the memories, in "%s"', (revoke) => {
    const work = [20, 80].map((segments) => {
      const arena = new Arena(small(2 * segments + 4, { revoke }));
      const leases = Array.from({ length: 2 * segments }, () => {
        return [arena.acquire(60 * KiB), arena.acquire(60 * KiB), arena.acquire(60 * KiB)];
      });
      for (const each of leases.slice(segments).flat()) each.release();
      const before = arena.stats().reservedBytes;
      let trimmed = 0;
      const steps = countSteps(() => {
        trimmed = arena.trim();
      });
      expect(trimmed).toBe(before - arena.stats().reservedBytes);
      expect(trimmed).toBeGreaterThan(0.3 * before);
      arena[Symbol.dispose]();
      return steps / segments;
    });
    expect(work[1]).toBeLessThan(2 * (work[0] as number) + 20);
  });
});

describe("another length", () => {
  // Once blocks of one length kept every slab, so that another length found no room until trim().
  test.for(MODES)('finds room once the leases of the first are released, in "%s"', (revoke) => {
    const arena = new Arena(small(8, { revoke, onExhausted: "throw" }));
    for (const byteLength of [64, KiB, 16 * KiB, 60 * KiB, 300 * KiB, 64]) {
      const leases = fillUp(arena, byteLength);
      expect(leases.length).toBeGreaterThan(0);
      for (const lease of leases) lease.release();
      expect(arena.stats().liveLeases).toBe(0);
    }
  });
});

describe("a writer near the cap", () => {
  // Once it grew by exactly what one write needed, and moved the whole message at each.
  test("moves seldom, though there is no room to double", () => {
    for (const [maxBytes, step] of [
      [20 * MiB, 1],
      [20 * MiB, 64 * KiB],
      [32 * MiB, 1],
      [32 * MiB, 64 * KiB],
    ] as const) {
      const arena = new Arena({ maxBytes, onExhausted: "throw", trace: "off" });
      const writer = arena.writer();
      const chunk = new Uint8Array(64 * KiB);
      while (writer.byteLength < 8 * MiB) writer.writeBytes(chunk);
      const before = arena.stats().acquired;
      for (let each = 0; each < 30; each++) writer.writeBytes(chunk.subarray(0, step));
      const moves = arena.stats().acquired - before;
      expect(moves, `${step} B under ${maxBytes / MiB} MiB`).toBeLessThanOrEqual(4);
      writer.release();
      arena.assertDrained();
    }
  });

  test("moves seldom in an arena of one segment or two", () => {
    for (const maxBytes of [2 * MiB, 8 * MiB]) {
      const arena = new Arena({ maxBytes, segmentBytes: MiB, onExhausted: "throw", trace: "off" });
      const writer = arena.writer(400 * KiB);
      writer.reserve(400 * KiB);
      const before = arena.stats().acquired;
      for (let each = 0; each < 2000; each++) writer.writeUint8(1);
      expect(arena.stats().acquired - before).toBeLessThanOrEqual(8);
      writer.release();
    }
  });

  // Once it threw, and lost what was written.
  test("that finds no room throws a typed error and keeps what was written", () => {
    const writer = new Arena({ maxBytes: 2 * MiB, onExhausted: "throw" }).writer();
    writer.writeString("kept");
    expect(
      thrownCode(() => {
        for (;;) writer.reserve(400_000);
      }),
    ).toBe("ERR_ARENA_EXHAUSTED");
    expect(writer.byteLength).toBeGreaterThanOrEqual(400_004);
    expect(Buffer.from(writer.bytes.subarray(0, 4)).toString()).toBe("kept");
    writer.release();
  });
});

describe("many arenas", () => {
  // Once making an arena looked at every one made before.
  test("cost no more than few: making one does not look at the others", async () => {
    const make = (): void => {
      const arena = new Arena({ maxBytes: 4 * MiB, trace: "off" });
      arena.acquire(100).release();
      arena[Symbol.dispose]();
    };
    make();
    const first = countSteps(make);
    for (let each = 0; each < 2000; each++) {
      make();
      if (each % 50 === 0) await turn();
    }
    expect(countSteps(make)).toBeLessThanOrEqual(first + 20);
  });

  // Once memories ran out, and leases went to the heap.
  test("live side by side, each with memory of its own", () => {
    const arenas = Array.from({ length: 600 }, (_, each) => {
      const arena = new Arena({ maxBytes: 4 * MiB, revoke: MODES[each % 3], trace: "off" });
      return { arena, lease: arena.acquire(100) };
    });
    expect(new Set(arenas.map(({ lease }) => lease.origin))).toEqual(new Set(["arena"]));
    for (const { arena, lease } of arenas) {
      lease.bytes.fill(1);
      lease.release();
      arena[Symbol.dispose]();
    }
  });

  // Where the engine has no more memories, that is the cap: no error of its own, no stall.
  test("of which one uses up the engine's memories: leases go to the heap, and come back", async () => {
    const arena = new Arena({ revoke: "on-release", maxBytes: 2 ** 36, trace: "off" });
    const leases: Lease[] = [];
    let heap = 0;
    const most = process.env["CLEANSLAB_OPS"] ? 40_000 : 2000;
    while (leases.length < most && heap < 3000) {
      const lease = arena.acquire(100);
      if (lease.origin === "heap") heap++;
      leases.push(lease);
    }
    expect(arena.stats().overflowed).toBe(heap);
    for (const lease of leases) lease.release();
    expect(arena.stats().liveLeases).toBe(0);
    arena.trim();
    await settle(() => false, 3);
    const lease = arena.acquire(100);
    expect(lease.origin).toBe("arena");
    lease.release();
    arena[Symbol.dispose]();
  });
});

describe("lengths around every boundary", () => {
  // Once blocks overlapped, or were not zero, at lengths one byte from a block's or a segment's.
  test.for(MODES)('are exact, aligned, zero and apart, under the cap, in "%s"', (revoke) => {
    const next = seeded(1);
    for (const segmentBytes of [SEGMENT_BYTES, MiB, 16 * MiB]) {
      for (const guardEvery of [0, 1, 7]) {
        const slab = segmentBytes / 64;
        const lengths = new Set([0, 1, 15, 16, 17, 63, 64, 65, 80, 81, 96, 97, 112, 113, 128, 129]);
        const parts = [1 / 4, 1 / 2, 1, 2, 3, 4, 5, 6, 63, 64].map((part) => part * slab);
        for (const each of [...parts, 48 * KiB, 64 * KiB, 96 * KiB, segmentBytes + 64 * KiB]) {
          for (const more of [-1, 0, 1]) lengths.add(each + more);
        }
        const all = [...lengths];
        const arena = new Arena({
          segmentBytes,
          revoke,
          guardEvery,
          maxBytes: Math.max(3 * segmentBytes, 8 * MiB),
          trace: "off",
        });
        const live = new LiveLeases();
        for (let each = 0; each < (segmentBytes > MiB ? 60 : 500); each++) {
          if ((next(3) > 0 && live.size < 50) || live.size === 0) {
            const byteLength = all[next(all.length)] as number;
            const lease = live.add(arena.acquire(byteLength));
            expect(lease.byteLength).toBe(byteLength);
            expect(lease.bytes.length).toBe(byteLength);
            if (lease.origin !== "heap") expect(lease.byteOffset % 16).toBe(0);
            expect(lease.byteLength === 0 || lease.bytes.byteOffset === lease.byteOffset).toBe(true);
          } else {
            live.release([...live.marks.keys()][next(live.size)] as Lease);
          }
          const { reservedBytes, maxBytes } = arena.stats();
          expect(reservedBytes).toBeLessThanOrEqual(maxBytes);
        }
        live.checkAll();
        expect(arena.audit().problems).toEqual([]);
        live.releaseAll();
        expect(live.problems).toEqual([]);
        arena.assertDrained();
        arena[Symbol.dispose]();
      }
    }
  });
});
