/** Those who wait for room: that they are served, that nothing of theirs runs inside a release, and what waiting costs. */

import { type AbortSignalLike, Arena, type ArenaOptions, type Lease } from "cleanslab";
import { describe, expect, test } from "vitest";
import {
  codeOf,
  countSteps,
  fillUp,
  inChild,
  KiB,
  LiveLeases,
  MiB,
  MODES,
  REVOKING_MODES,
  rejectedCode,
  SEGMENT_BYTES,
  StepCounter,
  seeded,
  settle,
  small,
  thrownCode,
  turn,
} from "./helpers.ts";

/** Acquires a lease that nobody holds afterwards. */
function leak(arena: Arena, byteLength: number): void {
  arena.acquire(byteLength);
}

/** A signal of the caller's own, whose methods do what a test wants. */
function signal(parts: Partial<AbortSignalLike>): AbortSignalLike {
  return Object.create(
    { aborted: false, addEventListener() {}, removeEventListener() {} },
    Object.getOwnPropertyDescriptors(parts),
  );
}

describe("a leaked lease", () => {
  // Once the segment of a leaked lease stayed active while everybody waited for its room.
  test.for(REVOKING_MODES)('gives its room to one who waits for a longer lease, in "%s"', async (revoke) => {
    const arena = new Arena({ maxBytes: 4 * MiB, segmentBytes: 2 * MiB, revoke, trace: "off" });
    let leaked = 0;
    arena.addEventListener("leak", (event) => {
      leaked += event.leases;
    });
    leak(arena, 100);
    let served = 0;
    const all = Array.from({ length: 20 }, () =>
      arena.acquireAsync(4 * MiB).then((lease) => {
        served++;
        lease.release();
      }),
    );
    await settle(() => served > 0);
    await Promise.all(all);
    expect({ served, leaked }).toEqual({ served: 20, leaked: 1 });
    expect(arena.stats()).toMatchObject({ waiting: 0, liveLeases: 0, leakedLeases: 1 });
  });

  // Once only further acquires, not the waiting itself, retired the leak's segment.
  test("gives its room to one who waits, beside other traffic", async () => {
    const arena = new Arena({ maxBytes: 4 * MiB, trace: "off" });
    leak(arena, 100);
    let isServed = false;
    const waiting = arena.acquireAsync(4 * MiB - 64 * KiB).then((lease) => {
      isServed = true;
      lease.release();
    });
    for (let each = 0; each < 200 && !isServed; each++) {
      arena.acquire(1000).release();
      await settle(() => isServed, 1);
    }
    expect(isServed).toBe(true);
    await waiting;
  });

  test("gives its room to one who waits for several leases", async () => {
    const arena = new Arena({ maxBytes: 4 * MiB, trace: "off" });
    leak(arena, 100);
    let isServed = false;
    const waiting = arena.acquireAsync([MiB, MiB, 2 * MiB - 64 * KiB]).then((leases) => {
      isServed = true;
      for (const lease of leases) lease.release();
    });
    await settle(() => isServed);
    expect(isServed).toBe(true);
    await waiting;
  });
});

describe("a waiter's own signal", () => {
  // Once its removeEventListener ran inside the release that made room, and released that lease a second time.
  test.for(MODES)('that releases the lease under release finds it ended, in "%s"', async (revoke) => {
    for (const [leased, wanted] of [
      [16 * KiB, 16 * KiB],
      [16 * KiB, 100],
      [60 * KiB, 60 * KiB],
    ] as const) {
      const arena = new Arena(small(2, { revoke, onExhausted: "throw" }));
      const held = fillUp(arena, leased);
      const victim = held[0] as Lease;
      let inner = "not called";
      const waiting = arena.acquireAsync(wanted, {
        signal: signal({
          removeEventListener() {
            inner = thrownCode(() => victim.release());
          },
        }),
      });
      if (victim.memory !== undefined) new Uint8Array(victim.memory.buffer, 0, 2048).fill(0x55);
      for (const lease of held.splice(0)) lease.release();
      const lease = await waiting;
      expect(inner).toBe(wanted === 100 && inner === "not called" ? "not called" : "ERR_LEASE_RELEASED");
      lease.release();
      const { liveLeases, liveBytes, acquired, released } = arena.stats();
      expect({ liveLeases, liveBytes, open: acquired - released }).toEqual({ liveLeases: 0, liveBytes: 0, open: 0 });
      expect(arena.audit().problems).toEqual([]);
    }
  });

  // Once what it threw came out of somebody else's release().
  test("that throws from removeEventListener makes no release throw, and leaks nothing", async () => {
    const arena = new Arena(small(2, { onExhausted: "throw" }));
    const held = fillUp(arena, 16 * KiB);
    const waiting = arena.acquireAsync(16 * KiB, {
      signal: signal({
        removeEventListener() {
          throw new Error("remove threw");
        },
      }),
    });
    const next = arena.acquireAsync(16 * KiB);
    for (const lease of held) lease.release();
    await expect(waiting).rejects.toThrow("remove threw");
    (await next).release();
    expect(arena.stats()).toMatchObject({ liveLeases: 0, waiting: 0 });
  });

  // Once a getter that threw left its waiter at the head of the line, before everybody else.
  test.for([1, 2, 3, 4, 5])("whose aborted throws when read for the %ith time harms nobody else", async (throwsAt) => {
    const arena = new Arena(small(2, { onExhausted: "throw" }));
    const held = fillUp(arena, 16 * KiB);
    let reads = 0;
    const uncaught: unknown[] = [];
    const listeners = process.listeners("uncaughtException");
    process.removeAllListeners("uncaughtException");
    process.on("uncaughtException", (error) => uncaught.push(error));
    try {
      let outcome = "pending";
      arena
        .acquireAsync(16 * KiB, {
          signal: signal({
            get aborted() {
              if (++reads === throwsAt) throw new Error("aborted threw");
              return false;
            },
          }),
        })
        .then(
          (lease) => {
            outcome = "served";
            lease.release();
          },
          () => {
            outcome = "rejected";
          },
        );
      let isNextServed = false;
      arena.acquireAsync(16 * KiB).then((lease) => {
        isNextServed = true;
        lease.release();
      });
      for (const lease of held) lease.release();
      await turn();
      await turn();
      expect({ uncaught, outcome: outcome !== "pending", isNextServed }).toEqual({
        uncaught: [],
        outcome: true,
        isNextServed: true,
      });
      expect(arena.stats()).toMatchObject({ liveLeases: 0, waiting: 0 });
    } finally {
      process.removeAllListeners("uncaughtException");
      for (const listener of listeners) process.on("uncaughtException", listener);
    }
  });

  // As above, for the getter that is read once it has aborted.
  test("whose reason throws harms nobody else", async () => {
    const arena = new Arena(small(2, { onExhausted: "throw" }));
    const held = fillUp(arena, 16 * KiB);
    const uncaught: unknown[] = [];
    const listeners = process.listeners("uncaughtException");
    process.removeAllListeners("uncaughtException");
    process.on("uncaughtException", (error) => uncaught.push(error));
    try {
      let isAborted = false;
      const waiting = arena.acquireAsync(16 * KiB, {
        signal: signal({
          get aborted() {
            return isAborted;
          },
          get reason(): unknown {
            throw new Error("reason threw");
          },
        }),
      });
      const first = rejectedCode(waiting);
      const next = arena.acquireAsync(16 * KiB);
      isAborted = true;
      for (const lease of held) lease.release();
      const served = await Promise.race([next, turn().then(turn)]);
      expect({ uncaught, isServed: served !== undefined }).toEqual({ uncaught: [], isServed: true });
      served?.release();
      expect(await first).toContain("reason threw");
      expect(arena.stats()).toMatchObject({ liveLeases: 0, waiting: 0 });
    } finally {
      process.removeAllListeners("uncaughtException");
      for (const listener of listeners) process.on("uncaughtException", listener);
    }
  });

  // Once a lease given at the moment of an abort was lost, and so was the room of those who gave up.
  test("that aborts many at once rejects all of them with its reason, and holds nothing", async () => {
    const warnings: string[] = [];
    const warn = (warning: Error): void => void warnings.push(warning.message);
    process.on("warning", warn);
    const arena = new Arena(small(2, { onExhausted: "throw" }));
    const held = fillUp(arena, 60 * KiB);
    const controller = new AbortController();
    const timeout = AbortSignal.timeout(60_000);
    const any = AbortSignal.any([timeout, controller.signal]);
    const each = [controller.signal, any].flatMap((one) =>
      Array.from({ length: 50 }, () => arena.acquireAsync(60 * KiB, { signal: one })),
    );
    const reason = new Error("stop");
    controller.abort(reason);
    for (const outcome of await Promise.allSettled(each)) expect(outcome).toMatchObject({ status: "rejected", reason });
    expect(arena.stats()).toMatchObject({ waiting: 0, liveLeases: held.length });

    const late = new AbortController();
    const served = arena.acquireAsync(60 * KiB, { signal: late.signal });
    for (const lease of held) lease.release();
    await turn();
    late.abort();
    (await served).release();
    expect(arena.stats().liveLeases).toBe(0);
    await turn();
    process.off("warning", warn);
    expect(warnings.filter((message) => !message.includes("MaxListeners"))).toEqual([]);
  });
});

describe("several lengths at once", () => {
  // Once taking some and giving them back, for want of room for the rest, called for another try in the next microtask: for ever.
  test.for(MODES)('that do not fit leave the event loop alone, in "%s"', async (revoke) => {
    const source = `
      import { Arena } from "cleanslab";
      const arena = new Arena({ revoke: "${revoke}", segmentBytes: 2 ** 18, maxBytes: 2 ** 19, onExhausted: "throw", trace: "off" });
      const tiny = arena.acquire(16);
      const held = [];
      try { for (;;) held.push(arena.acquire(16384)); } catch {}
      held.pop().release();
      let served = 0;
      arena.acquireAsync([16384, 16384, 16384]).then((leases) => { served = leases.length; for (const lease of leases) lease.release(); });
      tiny.release();
      await new Promise(setImmediate);
      for (const lease of held) lease.release();
      for (let turns = 0; turns < 10 && served === 0; turns++) await new Promise(setImmediate);
      console.log(served, arena.stats().liveLeases);
    `;
    expect(await inChild(source)).toMatchObject({ code: 0, output: "3 0\n" });
  });
});

describe("the work of waiting", () => {
  // Once each release tried every segment for the one who waited: 60 µs instead of 50 ns.
  test("does not grow with the cap, for each lease that comes and goes meanwhile", () => {
    const steps = (["before-reuse", "never"] as const).map((revoke) =>
      [8, 64].map((segments) => {
        const arena = new Arena(small(segments, { revoke, onExhausted: "throw" }));
        const held = fillUp(arena, 48 * KiB);
        // Half of each segment stays out of use, none is free.
        held.forEach((lease, each) => {
          if (each % 2 === 0) lease.release();
        });
        arena.acquireAsync(90 * KiB).then(
          (lease) => lease.release(),
          () => {},
        );
        const count = countSteps(() => {
          for (let each = 0; each < 100; each++)
            if (thrownCode(() => arena.acquire(KiB).release()) !== "no error") break;
        });
        arena[Symbol.dispose]();
        return count;
      }),
    );
    for (const [few, many] of steps as [number, number][]) expect(many).toBeLessThan(4 * few + 400);
  });

  // Once serving one of 100,000 who wait cost more, the more of them there were.
  test.for(MODES)('is the same for each of many who wait, in "%s"', async (revoke) => {
    const work: number[] = [];
    for (const waiters of [100, 2000]) {
      const arena = new Arena(small(2, { revoke, onExhausted: "throw" }));
      const held = fillUp(arena, 60 * KiB);
      let served = 0;
      const all = Array.from({ length: waiters }, () =>
        arena.acquireAsync(60 * KiB).then((lease) => {
          served++;
          lease.release();
        }),
      );
      const { revocations } = arena.stats();
      let steps = 0;
      const counting = new StepCounter();
      for (const lease of held) lease.release();
      await Promise.all(all);
      steps = counting.end();
      expect(served).toBe(waiters);
      expect(arena.stats().revocations - revocations).toBeLessThan(3 * waiters + 10);
      work.push(steps / waiters);
      arena[Symbol.dispose]();
    }
    expect(work[1]).toBeLessThan(3 * (work[0] as number) + 100);
  });
});

describe("waiting, aborting, pinning and disposing in any order", () => {
  // Once some orders left somebody waiting for ever, or a lease out.
  test("leaves nobody waiting, nothing out, and every lease zero when handed out", async () => {
    const next = seeded(3);
    const untyped: string[] = [];
    const alive = setInterval(() => {}, 1000);
    for (let round = 0; round < 150; round++) {
      const options: ArenaOptions = {
        revoke: MODES[round % 3],
        maxBytes: 3 * MiB,
        segmentBytes: next(2) ? SEGMENT_BYTES : MiB,
        onExhausted: next(2) ? "throw" : "allocate",
        guardEvery: next(3),
        trace: next(4) ? "off" : "all",
        wipeOnRelease: next(2) === 0,
      };
      const arena = new Arena(options);
      const live = new LiveLeases();
      const later: (() => void)[] = [];
      let pending = 0;
      let isDisposed = false;
      const add = (lease: Lease): void => {
        if (isDisposed) return;
        live.add(lease);
      };
      for (let step = 0; step < 60; step++) {
        const byteLength = [0, 100, 3000, 70000, 600000, 1500000][next(6)] as number;
        const held = [...live.marks.keys()];
        const pick = held[next(Math.max(1, held.length))];
        try {
          switch (next(10)) {
            case 0:
            case 1:
              add(arena.acquire(byteLength));
              break;
            case 2: {
              const controller = next(2) ? new AbortController() : undefined;
              pending++;
              const isList = next(3) === 0;
              const wanted = isList
                ? arena.acquireAsync([byteLength, 100], { signal: controller?.signal })
                : arena.acquireAsync(byteLength, { signal: controller?.signal });
              (wanted as Promise<Lease | Lease[]>)
                .then((leases) => [leases].flat().forEach(add))
                .catch((error: Error) => {
                  if (!codeOf(error) && error.name !== "AbortError") untyped.push(String(error));
                })
                .finally(() => pending--);
              if (controller && next(2)) later.push(() => controller.abort());
              break;
            }
            case 3:
            case 4:
              if (pick) live.release(pick);
              break;
            case 5:
              if (pick) {
                live.check(pick);
                const mark = live.marks.get(pick) ?? 0;
                const pin = pick.pin();
                const { bytes } = pick;
                live.forget(pick);
                pick.release();
                later.push(() => {
                  if (!isDisposed && bytes.some((byte) => byte !== mark)) untyped.push("a pinned block changed");
                  pin.release();
                });
              }
              break;
            case 6:
              later.shift()?.();
              break;
            case 7:
              await turn();
              break;
            case 8:
              if (next(8) === 0) arena.trim();
              if (next(60) === 0) {
                isDisposed = true;
                arena[Symbol.dispose]();
                live.marks.clear();
              }
              break;
            case 9:
              if (pick) {
                live.check(pick);
                pick.resize(byteLength);
                live.mark(pick);
              }
              break;
          }
        } catch (error) {
          if (!codeOf(error)) untyped.push(String((error as Error).stack));
        }
        const { reservedBytes, maxBytes } = arena.stats();
        if (reservedBytes > maxBytes) untyped.push("above the cap");
        if (!isDisposed) untyped.push(...arena.audit().problems);
      }
      if (!isDisposed) live.checkAll();
      live.releaseAll();
      for (const each of later) each();
      for (let turns = 0; turns < 80 && (turns < 3 || pending > 0); turns++) {
        await turn();
        live.releaseAll();
      }
      expect({ untyped, problems: live.problems, pending, round }).toEqual({
        untyped: [],
        problems: [],
        pending: 0,
        round,
      });
      expect(arena.stats(), `round ${round}`).toMatchObject({ liveLeases: 0, liveBytes: 0, waiting: 0 });
      arena[Symbol.dispose]();
    }
    clearInterval(alive);
  });
});
