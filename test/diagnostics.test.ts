/** What the arena tells of misuse: trace levels, sites, histories, stale writes, guards, channels, leaks that never end. */

import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { setImmediate } from "node:timers/promises";
import { Arena, type DirtyEvent, type LeakEvent, type Lease } from "cleanslab";
import { describe, expect, test } from "vitest";
import {
  bytesNow,
  collectGarbageUntil,
  expectArenaError,
  expectSound,
  expectThrow,
  expectUsable,
  isZero,
  MODES,
  SEGMENT_MODES,
  settle,
  smallArena,
  thrownBy,
  wrong,
} from "./helpers.ts";
import { operations } from "./seeded.ts";

const MiB = 1024 * 1024;

describe.each(MODES)("revoke: %s, trace on a running arena", (revoke) => {
  test("names what is acquired from then on, and forgets nothing when it is switched off again", () => {
    using arena = smallArena({ revoke }, 8);
    const early = arena.acquire(10);
    arena.trace = "all";
    const watched = arena.acquire(20);
    arena.trace = "off";
    const late = arena.acquire(30);
    expect(arena.trace).toBe("off");
    const message = String(thrownBy(() => arena.assertDrained()));
    expect(message).toContain("1 lease of 20 bytes, acquired\n");
    expect(message).not.toContain("of 10 bytes");
    expect(message).not.toContain("of 30 bytes");
    for (const lease of [early, watched, late]) lease.release();
    arena.assertDrained();
    expectUsable(arena);
  });

  test("is refused for a level that is none, and after the arena was disposed", () => {
    const arena = smallArena({ revoke });
    expectThrow(() => (arena.trace = wrong("loud")), "ERR_INVALID_ARGUMENT", 'trace is "loud"');
    expect(arena.trace).toBe("off");
    arena[Symbol.dispose]();
    expectThrow(() => (arena.trace = "all"), "ERR_ARENA_DISPOSED", "set trace");
  });

  test("leaves guards where they were to come", () => {
    using arena = smallArena({ revoke: revoke === "on-release" ? "before-reuse" : revoke, guardEvery: 4 }, 8);
    const origins = ["all", "off", "sampled", "all", "off", "off", "off", "off"].map((level) => {
      arena.trace = level as "all";
      const lease = arena.acquire(100);
      lease.release();
      return lease.origin;
    });
    expect(origins.map((origin) => origin === "guard")).toEqual([false, false, false, true, false, false, false, true]);
  });

  test("groups leases by where they were acquired, most bytes first", () => {
    using arena = smallArena({ revoke, trace: "all" }, 8);
    const leases: Lease[] = [];
    for (const byteLength of [10, 10, 10]) leases.push(arena.acquire(byteLength));
    for (const byteLength of [500, 600]) leases.push(arena.acquire(byteLength));
    const message = String(thrownBy(() => arena.assertDrained()));
    const [large, small] = ["2 leases of 1100 bytes, acquired\n", "3 leases of 30 bytes, acquired\n"].map((each) =>
      message.indexOf(each),
    );
    expect(large).toBeGreaterThan(0);
    expect(small).toBeGreaterThan(large as number);
    for (const lease of leases) lease.release();
  });

  test("a use after release names who acquired and who released", () => {
    using arena = smallArena({ revoke, trace: "all" });
    function acquires(): Lease {
      return arena.acquire(100);
    }
    function releases(lease: Lease): void {
      lease.release();
    }
    const lease = acquires();
    releases(lease);
    for (const use of [() => lease.bytes, () => lease.release(), () => lease.pin()]) {
      const error = thrownBy(use);
      expectArenaError(error, "ERR_LEASE_RELEASED");
      expect(String(error)).toMatch(
        /\nacquired\n.*\bacquires .*diagnostics[\s\S]*\nreleased\n.*\breleases .*diagnostics/,
      );
    }
  });
});

test("a guarded lease is dead at release, and says who acquired and released it", () => {
  using arena = smallArena({ guardEvery: 1, trace: "all" });
  const lease = arena.acquire(100);
  const stale = lease.bytes;
  lease.release();
  expect([lease.origin, stale.length, stale[0]]).toEqual(["guard", 0, undefined]);
  expect(() => stale.set([1])).toThrow(TypeError);
  expect(String(thrownBy(() => lease.bytes))).toMatch(/acquired\n[\s\S]*released\n/);
});

test("guards leave memories for others: beyond 32 at once a lease is ordinary, and counted", () => {
  using arena = new Arena({ guardEvery: 1 });
  const leases = Array.from({ length: 40 }, () => arena.acquire(100));
  expect(leases.filter(({ origin }) => origin === "guard")).toHaveLength(32);
  expect(arena.stats()).toMatchObject({ missedGuards: 8, overflowed: 0 });
  for (const lease of leases) lease.release();
  const again = arena.acquire(100);
  expect(again.origin).toBe("guard");
  again.release();
  expectSound(arena);
});

describe.each(MODES)("revoke: %s, a write after release", (revoke) => {
  test("is reported with its offset and with who had the block", async () => {
    using arena = smallArena({ revoke, trace: "all" });
    const events: DirtyEvent[] = [];
    arena.addEventListener("dirty", (event) => events.push(event));
    function acquires(): Lease {
      return arena.acquire(1000);
    }
    const lease = acquires();
    lease.release();
    // As a read still under way would, where the view itself is dead.
    bytesNow(lease)[10] = 7;
    let found = false;
    for (let each = 0; each < 2000 && !found; each++) {
      const next = arena.acquire(1000);
      expect(isZero(next.bytes)).toBe(true);
      next.release();
      await (each % 100 === 0 ? settle() : undefined);
      found = events.length > 0;
    }
    expect(arena.stats().dirtyBlocks).toBe(1);
    expect(events[0]).toMatchObject({ type: "dirty", byteOffset: lease.byteOffset + 10 });
    expect(events[0]?.acquired).toContain("acquires");
    expect(events[0]?.released).toContain("diagnostics");
  });
});

describe("diagnostics channels", () => {
  const NAMES = ["acquire", "release", "revoke", "leak", "dirty", "exhausted"] as const;

  test.each(MODES)("tell of every lease, overflow and revocation, in %s mode", async (revoke) => {
    using arena = smallArena({ revoke }, 1);
    const seen: Record<string, object[]> = {};
    const listeners = NAMES.map((name) => {
      const messages: object[] = [];
      seen[name] = messages;
      return (message: unknown): void => {
        if ((message as { arena: unknown }).arena === arena) messages.push(message as object);
      };
    });
    for (const [each, name] of NAMES.entries()) subscribe(`cleanslab:${name}`, listeners[each] as () => void);
    try {
      const leases = [100, 200_000, 300_000].map((byteLength) => arena.acquire(byteLength));
      for (const lease of leases) lease.release();
      await settle();
    } finally {
      for (const [each, name] of NAMES.entries()) unsubscribe(`cleanslab:${name}`, listeners[each] as () => void);
    }
    arena.acquire(50).release();
    const lengths = (name: string): number[] =>
      (seen[name] ?? []).map((each) => (each as { byteLength: number }).byteLength);
    expect(lengths("acquire")).toEqual([100, 200_000, 300_000]);
    expect(lengths("release")).toEqual([100, 200_000, 300_000]);
    expect(seen["exhausted"]).toHaveLength(arena.stats().overflowed);
    expect(arena.stats().overflowed).toBeGreaterThan(0);
    if (revoke !== "never") expect(lengths("revoke").length).toBeGreaterThan(0);
  });

  /** Calls `fn` with `listener` subscribed to `name`. */
  function listening(name: string, listener: () => void, fn: () => void): void {
    subscribe(name, listener);
    try {
      fn();
    } finally {
      unsubscribe(name, listener);
    }
  }

  test.each(MODES)("tell of the leases of an arena that was made while somebody listens, in %s mode", (revoke) => {
    let acquired = 0;
    listening(
      "cleanslab:acquire",
      () => acquired++,
      () => {
        using arena = smallArena({ revoke });
        for (let each = 0; each < 3; each++) arena.acquire(100).release();
      },
    );
    expect(acquired).toBe(3);
  });

  test.each(MODES)("tell of a release when the lease has ended, and not before, in %s mode", (revoke) => {
    using arena = smallArena({ revoke });
    const states: [boolean, number][] = [];
    let lease: Lease | undefined;
    listening(
      "cleanslab:release",
      () => states.push([lease?.released ?? false, arena.stats().liveLeases]),
      () => {
        lease = arena.acquire(100);
        lease.release();
      },
    );
    expect(states).toEqual([[true, 0]]);
  });

  test.each(SEGMENT_MODES)("do not swallow the error of a damaged segment, in %s mode", (revoke) => {
    using arena = smallArena({ revoke });
    let released = 0;
    listening(
      "cleanslab:release",
      () => released++,
      () => {
        const lease = arena.acquire(100);
        new Uint8Array(lease.bytes.buffer, 0, 65536).fill(0xab);
        expectThrow(() => lease.release(), "ERR_ARENA_CORRUPT");
      },
    );
    expect(released).toBe(1);
    expectUsable(arena);
  });

  test("may be used to release, acquire and dispose in the middle of things", async () => {
    const arena = smallArena({}, 1);
    const held = arena.acquire(262_144);
    const waiting = [arena.acquireAsync(262_144), arena.acquireAsync(262_144)];
    let depth = 0;
    const onAcquire = (): void => {
      if (depth++ > 0) return;
      arena.acquire(10).release();
    };
    subscribe("cleanslab:acquire", onAcquire);
    try {
      held.release();
      const [first, second] = waiting;
      (await (first as Promise<Lease>)).release();
      (await (second as Promise<Lease>)).release();
      expect(arena.stats()).toMatchObject({ liveLeases: 0, waiting: 0 });
      expectSound(arena);
    } finally {
      unsubscribe("cleanslab:acquire", onAcquire);
    }
    const onRelease = (): void => arena[Symbol.dispose]();
    subscribe("cleanslab:release", onRelease);
    arena.acquire(10).release();
    unsubscribe("cleanslab:release", onRelease);
    expectThrow(() => arena.acquire(10), "ERR_ARENA_DISPOSED");
  });
});

describe("leaks", () => {
  test.each(["all", "sampled", "off"] as const)(
    "in never mode are found among the leases that are watched, with trace: %s",
    async (trace) => {
      using arena = new Arena({ revoke: "never", trace });
      const events: LeakEvent[] = [];
      arena.addEventListener("leak", (event) => events.push(event));
      (() => {
        for (let each = 0; each < 4096; each++) arena.acquire(100);
      })();
      const expected = trace === "all" ? 4096 : trace === "sampled" ? 32 : 4;
      await collectGarbageUntil(() => arena.stats().leakedLeases === expected);
      expect(arena.stats()).toMatchObject({ leakedLeases: expected, liveLeases: 4096 - expected });
      expect(events).toHaveLength(expected);
      if (trace !== "off") expect(events[0]?.sites[0]?.stack).toContain("diagnostics.test");
      // Their blocks stay out: a view may still be in use.
      expectSound(arena);
      expectUsable(arena);
    },
  );

  test("in never mode are told once for a lease with a memory of its own", async () => {
    using arena = smallArena({ revoke: "never", trace: "all" }, 8);
    const events: LeakEvent[] = [];
    arena.addEventListener("leak", (event) => events.push(event));
    (() => arena.acquire(300_000))();
    await collectGarbageUntil(() => events.length > 0);
    await collectGarbageUntil(() => false, 5);
    expect(events.map(({ leases, byteLength }) => [leases, byteLength])).toEqual([[1, 300_000]]);
    expect(arena.stats()).toMatchObject({ leakedLeases: 1, liveLeases: 0, liveBytes: 0, reservedBytes: 0 });
  });

  test.each(MODES)(
    "of every hundredth lease, for two million leases and with no collection asked for, take bounded memory in %s mode",
    async (revoke) => {
      using arena = smallArena({ revoke }, 200);
      const { maxBytes } = arena.stats();
      const count = operations * 50;
      const before = process.memoryUsage();
      const peak = { rss: 0, external: 0, reserved: 0 };
      let settled = 0;
      /** In a function of its own, so that no frame keeps the last lease. */
      const leakTenOfThousand = (): void => {
        for (let each = 0; each < 1000; each++) {
          const lease = arena.acquire(1000);
          lease.bytes[999] = 1;
          if (each % 100 !== 0) lease.release();
        }
      };
      for (let each = 1000; each <= count; each += 1000) {
        leakTenOfThousand();
        await setImmediate(); // only between jobs can the engine tell of what it collected
        const { rss, external } = process.memoryUsage();
        peak.rss = Math.max(peak.rss, rss);
        peak.external = Math.max(peak.external, external);
        peak.reserved = Math.max(peak.reserved, arena.stats().reservedBytes);
        if (each === count / 2) settled = await heapInUse(arena);
      }
      expect(peak.reserved).toBeLessThanOrEqual(maxBytes);
      expect(peak.rss - before.rss).toBeLessThan(maxBytes + 128 * MiB);
      expect(peak.external - before.external).toBeLessThan(maxBytes + 128 * MiB);
      expect((await heapInUse(arena)) - settled).toBeLessThan(MiB / 2);

      const leaked = count / 100;
      const stats = arena.stats();
      if (revoke === "never") {
        // Found among those registered only, and their blocks stay out; there was room enough for all.
        expect(stats.liveLeases + stats.leakedLeases).toBe(leaked);
        expect(stats.overflowed).toBe(0);
      } else {
        await collectGarbageUntil(() => arena.stats().reservedBytes === 0);
        expect(arena.stats()).toMatchObject({ leakedLeases: leaked, liveLeases: 0, liveBytes: 0, reservedBytes: 0 });
      }
      expectSound(arena);
      expectUsable(arena);
    },
  );
});

/** Bytes of the JavaScript heap, without what a collection takes. */
async function heapInUse(arena: Arena): Promise<number> {
  await collectGarbageUntil(() => false, 5);
  arena.trim();
  await collectGarbageUntil(() => false, 5);
  return process.memoryUsage().heapUsed;
}

describe("errors on two ways at once", () => {
  test.each(SEGMENT_MODES)("use tells of fn's error and of the release that failed, in %s mode", async (revoke) => {
    using arena = smallArena({ revoke }, 8);
    const mine = new Error("mine");
    const scribbles = (bytes: Uint8Array<ArrayBuffer>): void => {
      new Uint8Array(bytes.buffer, 0, 65536).fill(0xab);
    };
    const error = thrownBy(() =>
      arena.use(100, (bytes) => {
        scribbles(bytes);
        throw mine;
      }),
    ) as AggregateError;
    expect(error).toBeInstanceOf(AggregateError);
    expect(error.errors[0]).toBe(mine);
    expectArenaError(error.errors[1], "ERR_ARENA_CORRUPT");
    const rejected = await arena
      .use(100, async (bytes) => {
        scribbles(bytes);
        throw mine;
      })
      .catch((reason: unknown) => reason);
    expect((rejected as AggregateError).errors).toHaveLength(2);
    expectThrow(() => arena.use(100, scribbles), "ERR_ARENA_CORRUPT");
    expect(arena.stats()).toMatchObject({ liveLeases: 0, corruptSegments: 3 });
    expectUsable(arena);
  });
});
