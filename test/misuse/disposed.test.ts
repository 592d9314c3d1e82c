/** A disposed arena says so on every path, and lets everything end quietly. What each method throws is test/contract/misuse.ts's. */

import { describe, expect, test } from "vitest";
import {
  deferred,
  expectArenaError,
  expectThrow,
  MODES,
  promptly,
  rejectionOf,
  releaseAll,
  SEGMENT_BYTES,
  smallArena,
  wrong,
} from "../helpers.ts";

describe.each(MODES)("revoke: %s, a disposed arena", (revoke) => {
  test("has killed every view of live leases, of memories that only leases hold too", () => {
    const arena = smallArena({ revoke }, 8);
    const leases = Array.from({ length: 100 }, (_, each) => arena.acquire(each === 0 ? 200_000 : 4096));
    const views = leases.map(({ bytes }) => bytes);
    if (revoke === "before-reuse") expect(arena.stats().segments.retired).toBe(1);
    arena[Symbol.dispose]();
    expect(views.filter(({ length }) => length > 0)).toEqual([]);
    for (const lease of leases) expectThrow(() => lease.bytes, "ERR_ARENA_DISPOSED");
  });

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
    expectThrow(() => arena.pool(0.5), "ERR_INVALID_ARGUMENT", "byteLength is 0.5");
    expectThrow(() => arena.acquireFilled(8, wrong(5)), "ERR_INVALID_ARGUMENT", "write is 5");
    for (let round = 0; round < 2; round++) {
      expectThrow(() => arena.acquire(1), "ERR_ARENA_DISPOSED", "cannot acquire", "create a new one");
      expectThrow(() => arena.trim(), "ERR_ARENA_DISPOSED", "cannot trim", "create a new one");
      expectThrow(() => Object.assign(arena, { trace: "all" }), "ERR_ARENA_DISPOSED", "cannot set trace");
    }
  });

  test("refuses what was made before it: pools that kept blocks or not, scopes, a writer, a filler", async () => {
    const arena = smallArena({ revoke });
    const pools = [100, 200, 2 * SEGMENT_BYTES].map((byteLength) => arena.pool(byteLength));
    releaseAll([pools[0], pools[0]].flatMap((pool) => pool?.acquire() ?? []));
    const scope = arena.scope();
    const lease = scope.acquire(100);
    const filler = arena.filler(100);
    const writer = arena.writer();
    const gate = deferred<number>();
    const filled = arena.acquireFilled(100, () => gate.promise);
    arena[Symbol.dispose]();
    const after = arena.stats();
    for (const use of [
      ...pools.map((pool) => () => pool.acquire()),
      () => scope.acquire(100),
      () => scope.bytes(100),
      () => filler.put(new Uint8Array(1)),
      () => writer.writeUint8(1),
    ]) {
      expectThrow(use, "ERR_ARENA_DISPOSED", "create a new one");
    }
    gate.resolve(50);
    expectArenaError(await rejectionOf(filled), "ERR_ARENA_DISPOSED", "create a new one");
    scope.release();
    filler[Symbol.dispose]();
    writer[Symbol.dispose]();
    expect([lease, filler, writer].every(({ released }) => released)).toBe(true);
    expectThrow(() => scope.release(), "ERR_LEASE_RELEASED", "this scope has ended");
    expect(arena.stats()).toEqual(after);
  });

  test("rejects those who wait for room, and resolves for those who wait until it is drained", async () => {
    const arena = smallArena({ revoke }, 1);
    arena.acquire(SEGMENT_BYTES);
    const drained = arena.drained();
    const controller = new AbortController();
    const waiting = [
      arena.acquireAsync(SEGMENT_BYTES, { signal: controller.signal }),
      arena.acquireAsync([100, 100]),
    ].map(rejectionOf);
    expect(arena.stats().waiting).toBe(2);
    arena[Symbol.dispose]();
    controller.abort(new Error("too late"));
    for (const each of waiting) expectArenaError(await promptly(each), "ERR_ARENA_DISPOSED", "create a new one");
    await promptly(drained);
    expect(arena.stats()).toMatchObject({ waiting: 0, liveLeases: 0, waited: { count: 0 } });
  });

  test("leaves the outcome of a use under way alone", async () => {
    const arena = smallArena({ revoke });
    const gate = deferred<string>();
    const lent = arena.use(100, () => gate.promise);
    const inside = arena.use(100, () => {
      arena[Symbol.dispose]();
      return "returned";
    });
    gate.resolve("fulfilled");
    expect([inside, await promptly(lent)]).toEqual(["returned", "fulfilled"]);
  });
});
