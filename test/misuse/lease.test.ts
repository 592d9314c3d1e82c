/**
 * What the errors say of a lease under a pin and of all that outlives its arena. That every
 * use after an end is refused, on every kind of lease, is test/contract/misuse.ts's and the
 * model's; wrong arguments are nonsense.test.ts's.
 */

import { inspect } from "node:util";
import type { Lease } from "cleanslab";
import { describe, expect, test } from "vitest";
import {
  deferred,
  expectArenaError,
  expectThrow,
  expectUnharmed,
  isAll,
  MODES,
  promptly,
  rejectionOf,
  smallArena,
  wrong,
} from "../helpers.ts";

describe.each(MODES)("revoke: %s, a lease", (revoke) => {
  test("keeps its place until the last pin is released, each of them once", () => {
    using arena = smallArena({ revoke });
    const lease = arena.acquire(100);
    const view = lease.bytes.fill(7);
    const [early, late] = [lease.pin(), lease.pin()];
    expectUnharmed(arena, () => {
      expectThrow(() => lease.resize(50), "ERR_LEASE_PINNED", "cannot resize", "release the pin first");
      early.release();
    });
    lease.release();
    expect(inspect(lease)).toBe("Lease { 100 bytes, released }");
    expectThrow(() => lease.release(), "ERR_LEASE_RELEASED", "cannot release", "100 bytes");
    expectThrow(() => lease.pin(), "ERR_LEASE_RELEASED", "cannot pin");
    expectThrow(() => lease.releaseAfter(Promise.resolve()), "ERR_LEASE_RELEASED", "cannot releaseAfter");
    expectUnharmed(arena, () => {
      expectThrow(() => early.release(), "ERR_LEASE_RELEASED", "this pin was already released", "one pin per use");
      early[Symbol.dispose]();
    });
    expect(view.length === 100 && isAll(view, 7)).toBe(true);
    late[Symbol.dispose]();
    late[Symbol.dispose]();
    expect(arena.stats()).toMatchObject({ liveLeases: 0, pinnedLeases: 0 });
  });

  test.each(["off", "all"] as const)(
    "and its pins are let go of quietly once the arena was disposed, trace: %s",
    async (trace) => {
      const arena = smallArena({ revoke, trace });
      const [lease, ended, pinned] = [1, 2, 3].map(() => arena.acquire(100)) as [Lease, Lease, Lease];
      const pins = [ended.pin(), pinned.pin()] as const;
      ended.release();
      arena[Symbol.dispose]();
      const after = arena.stats();
      expectThrow(() => lease.bytes, "ERR_ARENA_DISPOSED", "cannot read bytes", "create a new one");
      // This releases it as far as that is possible.
      expectThrow(() => lease.release(), "ERR_ARENA_DISPOSED", "cannot release");
      expectThrow(() => lease.release(), "ERR_LEASE_RELEASED", "cannot release");
      for (const pin of pins) pin.release();
      expectThrow(() => pins[0].release(), "ERR_LEASE_RELEASED", "pin");
      expect(await pinned.releaseAfter(Promise.resolve("written"))).toBe("written");
      for (const each of [lease, ended, pinned]) each[Symbol.dispose]();
      expect([lease.released, pinned.released]).toEqual([true, true]);
      expect(arena.stats()).toEqual(after);
    },
  );
});

describe.each(MODES)("revoke: %s, a disposed arena", (revoke) => {
  test("answers stats, is drained, takes listeners, and is quietly disposed again", async () => {
    const arena = smallArena({ revoke });
    arena.acquire(100);
    arena.pool(200).acquire().release();
    arena[Symbol.dispose]();
    const after = arena.stats();
    arena[Symbol.dispose]();
    arena.assertDrained();
    await promptly(arena.drained());
    arena.addEventListener("leak", () => {});
    arena.removeEventListener("leak", () => {});
    expect(arena.stats()).toEqual(after);
    expect(after).toMatchObject({
      ...{ acquired: 2, released: 2, liveLeases: 0, liveBytes: 0, reservedBytes: 0, bookBytes: 0, leakedLeases: 0 },
      segments: { active: 0, retired: 0, drained: 0, retiredBytes: 0, retiredLiveBytes: 0 },
      oneLease: { leased: 0, idle: 0 },
    });
  });

  test("still refuses a wrong argument as such, and everything else time and again", () => {
    const arena = smallArena({ revoke });
    arena[Symbol.dispose]();
    expectThrow(() => arena.acquire(-1), "ERR_INVALID_ARGUMENT", "byteLength is -1");
    expectThrow(() => arena.acquireFilled(8, wrong(5)), "ERR_INVALID_ARGUMENT", "write is 5");
    for (let round = 0; round < 2; round++) {
      expectThrow(() => arena.acquire(1), "ERR_ARENA_DISPOSED", "cannot acquire", "create a new one");
      expectThrow(() => Object.assign(arena, { trace: "all" }), "ERR_ARENA_DISPOSED", "cannot set trace");
    }
  });

  test("ends a scope and what is filled, and leaves the outcome of a use under way alone", async () => {
    const arena = smallArena({ revoke });
    const scope = arena.scope();
    const lease = scope.acquire(100);
    const gate = deferred<number>();
    const filled = arena.acquireFilled(100, () => gate.promise);
    const lent = arena.use(100, () => gate.promise);
    const inside = arena.use(100, () => {
      arena[Symbol.dispose]();
      return "returned";
    });
    gate.resolve(50);
    expectArenaError(await rejectionOf(filled), "ERR_ARENA_DISPOSED", "create a new one");
    expect([inside, await promptly(lent)]).toEqual(["returned", 50]);
    expectThrow(() => scope.bytes(100), "ERR_ARENA_DISPOSED", "create a new one");
    scope.release();
    expect(lease.released).toBe(true);
    expectThrow(() => scope.release(), "ERR_LEASE_RELEASED", "this scope has ended");
    expect(arena.stats()).toMatchObject({ liveLeases: 0, reservedBytes: 0 });
  });
});
