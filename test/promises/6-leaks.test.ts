/**
 * Promise 6 against what may hide a leak from the collector: traffic, those who wait, stacks
 * that are kept, other arenas. That a leak is reported and its bytes come back, and not while
 * a view is held, is test/contract/leaks.ts's.
 */

import { Arena, type LeakEvent, type RevokeMode } from "cleanslab";
import { describe, expect, test } from "vitest";
import { inChild } from "../child.ts";
import {
  collectGarbageUntil,
  exhaust,
  expectArenaError,
  expectSound,
  expectThrow,
  expectUsable,
  isSettled,
  isZero,
  MODES,
  PAGE_BYTES,
  promptly,
  REVOKING_MODES,
  releaseAll,
  SEGMENT_BYTES,
  smallArena,
} from "../helpers.ts";

/** Acquires and forgets: on its own stack frame, so that nothing here keeps the leases alive. */
function leak(arena: Arena, count: number, byteLength: number): void {
  for (let each = 0; each < count; each++) arena.acquire(byteLength).bytes.fill(7);
}

function listenToLeaks(arena: Arena) {
  const events: LeakEvent[] = [];
  arena.addEventListener("leak", (event) => events.push(event));
  return {
    events,
    leases: () => events.reduce((sum, { leases }) => sum + leases, 0),
    byteLength: () => events.reduce((sum, { byteLength }) => sum + byteLength, 0),
  };
}

describe.each(REVOKING_MODES)("revoke: %s, a leak", (revoke: RevokeMode) => {
  test("is reported with where the traced leases were acquired, which are then no longer out", async () => {
    using arena = smallArena({ revoke, trace: "all" });
    const leaks = listenToLeaks(arena);
    leak(arena, 3, PAGE_BYTES);
    const held = arena.acquire(PAGE_BYTES);
    await collectGarbageUntil(() => leaks.leases() === 3);
    const sites = leaks.events.flatMap((event) => event.sites);
    const total = (of: "leases" | "byteLength"): number => sites.reduce((sum, site) => sum + site[of], 0);
    expect([total("leases"), total("byteLength")]).toEqual([3, 3 * PAGE_BYTES]);
    for (const { stack } of sites) expect(stack).toMatch(/\bleak .*6-leaks\.test/);
    held.release();
    const words = ["collected as garbage: 3 leases", "acquired at leak "];
    expectThrow(() => arena.assertDrained(), "ERR_LEASES_OUTSTANDING", ...words);
    arena.assertDrained(); // each is said once
  });

  // Once the segment of a leaked lease stayed active while everybody waited for its room.
  test.each([[[64]], [[SEGMENT_BYTES]]])(
    "gives its room to all who wait for %j, beside traffic",
    async (byteLengths) => {
      using arena = smallArena({ revoke }, 1);
      leak(arena, revoke === "on-release" ? 4 : 3, PAGE_BYTES);
      const served: boolean[] = [];
      const waiting = [1, 2].map(async () => {
        const leases = await arena.acquireAsync(byteLengths);
        served.push(leases.every(({ bytes }) => isZero(bytes)));
        releaseAll(leases);
      });
      await collectGarbageUntil(() => {
        arena.acquire(1000).release();
        return served.length === 2;
      });
      expect(served).toEqual([true, true]);
      await Promise.all(waiting);
    },
  );

  // Once the segment was held again by the next acquire, and a leak in it was never found.
  test.each([
    ["before", () => {}],
    ["before, with traffic after it,", (arena: Arena) => arena.acquire(1000).release()],
    ["after", (arena: Arena) => leak(arena, 3, 1000)],
  ] as const)("%s somebody waits until no lease is out keeps them only until it is found", async (when, then) => {
    using arena = smallArena({ revoke });
    const held = arena.acquire(1000);
    if (when !== "after") leak(arena, 3, 1000);
    const drained = arena.drained();
    then(arena);
    held.release();
    expect(await isSettled(drained)).toBe(false);
    await collectGarbageUntil(() => arena.stats().liveLeases === 0);
    await promptly(drained);
  });
});

// Once asking for stats() in each job kept the leaked segment reachable for ever.
test.each([
  { polls: false, lengths: 1 },
  { polls: true, lengths: 1 },
  { polls: true, lengths: 400 },
])("leaks are found under traffic whose jobs the collector interrupts: %o", async ({ polls, lengths }) => {
  using arena = smallArena({}, 1);
  const leaks = listenToLeaks(arena);
  leak(arena, 1, 100);
  for (let jobs = 0; jobs < 600 && leaks.leases() === 0; jobs++) {
    if (polls) arena.stats();
    for (let each = 0; each < 20; each++) arena.acquire(4000 + ((jobs + each) % lengths) * 40).release();
    if (jobs % 10 === 0) globalThis.gc?.();
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(leaks.leases()).toBe(1);
  expect(arena.stats()).toMatchObject({ leakedLeases: 1, liveLeases: 0 });
});

test.each(MODES)(
  "revoke: %s, a leak of a lease with a memory of its own, and of one on the heap, is reported once",
  async (revoke) => {
    using arena = smallArena({ revoke }, 2);
    const leaks = listenToLeaks(arena);
    leak(arena, 5, 200_000);
    expect(arena.stats().overflowed).toBe(3);
    await collectGarbageUntil(() => leaks.leases() === 5);
    await collectGarbageUntil(() => false, 3);
    expect([leaks.leases(), leaks.byteLength()]).toEqual([5, 1_000_000]);
    expect(arena.stats()).toMatchObject({ leakedLeases: 5, liveLeases: 0, liveBytes: 0, reservedBytes: 0 });
    expectUsable(arena);
  },
);

describe("revoke: never, leaks", () => {
  test.each([
    ["all", 4096],
    ["off", 4],
  ] as const)("are found among the leases that are watched, with trace: %s", async (trace, expected) => {
    using arena = new Arena({ revoke: "never", trace });
    const leaks = listenToLeaks(arena);
    (() => {
      for (let each = 0; each < 4096; each++) arena.acquire(100);
    })();
    await collectGarbageUntil(() => leaks.leases() === expected);
    expect(arena.stats()).toMatchObject({ leakedLeases: expected, liveLeases: 4096 - expected });
    if (trace !== "off") expect(leaks.events[0]?.sites[0]?.stack).toContain("6-leaks.test");
    // Their blocks stay out: a view may still be in use.
    expectSound(arena);
    expectUsable(arena);
  });

  // Once it counted as pinned for ever, more than there were leases.
  test("are no longer pinned once the pin was lost as well", async () => {
    using arena = new Arena({ revoke: "never", trace: "all" });
    (() => {
      const lease = arena.acquire(100);
      lease.pin();
      lease.release();
    })();
    expect(arena.stats()).toMatchObject({ liveLeases: 1, pinnedLeases: 1 });
    await collectGarbageUntil(() => arena.stats().leakedLeases === 1);
    expect(arena.stats()).toMatchObject({ liveLeases: 0, pinnedLeases: 0 });
  });

  test("tell one who waits that there is nothing left to wait for", async () => {
    using arena = smallArena({ revoke: "never", trace: "all", onExhausted: "throw" }, 1);
    (() => void exhaust(arena, PAGE_BYTES))();
    const errors: unknown[] = [];
    arena.acquireAsync(PAGE_BYTES).catch((reason: unknown) => errors.push(reason));
    await collectGarbageUntil(() => errors.length > 0);
    expectArenaError(errors[0], "ERR_ARENA_EXHAUSTED", "leaked leases hold it");
    expect(arena.stats()).toMatchObject({ liveLeases: 0, waiting: 0 });
  });
});

/** In a process of its own, because the engine's bug below would end the callbacks of all tests here. */
const COLLECTING = `
  import { Arena } from "cleanslab";
  const turn = () => new Promise(setImmediate);
  const collect = async (isDone) => {
    for (let round = 0; round < 60 && !isDone(); round++) { await turn(); gc(); await new Promise((resolve) => setTimeout(resolve, 5)); }
  };
`;

describe("an arena that nobody holds", () => {
  // Once something of it stayed reachable: a registry, a channel, a waiter.
  test.each(MODES)("is collected, though leases of it are out and somebody waits, in %s mode", async (revoke) => {
    const program = `${COLLECTING}
      const MiB = 2 ** 20, arenas = [];
      const make = (each) => {
        const arena = new Arena({ revoke: "${revoke}", trace: each % 2 ? "all" : "off", guardEvery: each % 3 });
        arenas.push(new WeakRef(arena), new WeakRef(arena.acquire(100).memory), new WeakRef(arena.acquire(MiB).memory));
        const pool = arena.pool(1000);
        for (let k = 0; k < 200; k++) { const lease = k % 2 ? pool.acquire() : arena.acquire(5000); if (k % 10) lease.release(); }
        arena.acquireAsync(60 * MiB).catch(() => {});
        arena.acquireAsync([60 * MiB, 1]).catch(() => {});
        if (each % 5 === 0) arena.writer().writeString("x");
        arena.scope().bytes(10);
      };
      for (let each = 0; each < 12; each++) { make(each); await turn(); }
      const left = () => arenas.filter((each) => each.deref() !== undefined).length;
      await collect(() => left() === 0);
      console.log(left());
    `;
    expect(await inChild(program, ["--expose-gc"])).toBe(0);
  });

  // In V8 of Node 20 and 24, a FinalizationRegistry that is collected with callbacks due ends all callbacks in the process.
  test.each(["", "arena[Symbol.dispose]();"])(
    "does not end the reports of leaks in other arenas with a report due: %s",
    async (drop) => {
      const program = `${COLLECTING}
        const leaked = (arena) => { arena.acquire(300_000); };
        let arena = (() => { const arena = new Arena({ trace: "off" }); leaked(arena); return arena; })();
        await turn();
        gc();
        ${drop}
        arena = undefined;
        gc();
        await turn();
        const other = new Arena({ trace: "off" });
        leaked(other);
        await collect(() => other.stats().leakedLeases > 0);
        console.log(other.stats().leakedLeases);
      `;
      expect(await inChild(program, ["--expose-gc"])).toBe(1);
    },
  );
});
