/** A disposed arena says so on every path, and lets everything end quietly. */

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
  settle,
  smallArena,
  wrong,
} from "../helpers.ts";

describe.each(MODES)("revoke: %s, a disposed arena", (revoke) => {
  test("throws from every method that would use memory", async () => {
    const arena = smallArena({ revoke });
    arena.acquire(100);
    arena[Symbol.dispose]();
    const after = arena.stats();
    expect(after).toMatchObject({ liveLeases: 0, liveBytes: 0, reservedBytes: 0, released: 1, leakedLeases: 0 });

    const methods: [() => unknown, string][] = [
      [() => arena.acquire(100), "cannot acquire"],
      [() => arena.acquire(10 * SEGMENT_BYTES), "cannot acquire"],
      [() => arena.use(100, () => expect.unreachable("fn was called")), "cannot acquire"],
      [() => arena.copyOf(new Uint8Array(8)), "cannot acquire"],
      [() => arena.acquireFilled(8, () => expect.unreachable("write was called")), "cannot acquire"],
      [() => arena.filler(8), "cannot acquire"],
      [() => arena.writer(), "cannot acquire"],
      [() => arena.pool(100), "cannot make a pool"],
      [() => arena.scope(), "cannot open a scope"],
      [() => arena.audit(), "cannot audit"],
      [() => arena.trim(), "cannot trim"],
      [
        () => {
          arena.trace = "all";
        },
        "cannot set trace",
      ],
    ];
    // Twice: the first call must not wear the check out.
    for (const [method, action] of [...methods, ...methods]) {
      expectThrow(method, "ERR_ARENA_DISPOSED", action, "the arena was disposed", "create a new one");
    }
    for (const byteLength of [100, SEGMENT_BYTES + 1, 2 ** 32 - 1, [], [100, 200]] as number[]) {
      const promise = arena.acquireAsync(byteLength);
      expectArenaError(await rejectionOf(promise), "ERR_ARENA_DISPOSED", "cannot acquire", "create a new one");
    }
    expect(arena.stats()).toEqual(after);
  });

  test("still refuses a wrong argument as such", () => {
    const arena = smallArena({ revoke });
    arena[Symbol.dispose]();
    expectThrow(() => arena.acquire(-1), "ERR_INVALID_ARGUMENT", "byteLength is -1");
    expectThrow(() => arena.pool(0.5), "ERR_INVALID_ARGUMENT", "byteLength is 0.5");
    expectThrow(() => arena.filler(-1), "ERR_INVALID_ARGUMENT", "byteLength is -1");
    expectThrow(() => arena.acquireFilled(8, wrong(5)), "ERR_INVALID_ARGUMENT", "write is 5");
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
      acquired: 2,
      released: 2,
      bookBytes: 0,
      segments: { active: 0, retired: 0, drained: 0, retiredBytes: 0, retiredLiveBytes: 0 },
      oneLease: { leased: 0, idle: 0 },
    });
  });

  test("throws from a pool made before it, whether it kept blocks or not", () => {
    const arena = smallArena({ revoke });
    const used = arena.pool(100);
    releaseAll([used.acquire(), used.acquire()]);
    const unused = arena.pool(200);
    const long = arena.pool(2 * SEGMENT_BYTES);
    arena[Symbol.dispose]();
    for (const pool of [used, unused, long, used]) {
      expectThrow(() => pool.acquire(), "ERR_ARENA_DISPOSED", "cannot acquire", "create a new one");
    }
    expect(used.byteLength).toBe(100);
  });

  test("lets a scope made before it end quietly, but acquires nothing in it", () => {
    const arena = smallArena({ revoke });
    const scope = arena.scope();
    const disposed = arena.scope();
    const lease = scope.acquire(100);
    disposed.bytes(100);
    arena[Symbol.dispose]();
    const after = arena.stats();
    expectThrow(() => scope.acquire(100), "ERR_ARENA_DISPOSED", "cannot acquire", "create a new one");
    expectThrow(() => scope.bytes(100), "ERR_ARENA_DISPOSED", "cannot acquire", "create a new one");
    scope.release();
    expect(lease.released).toBe(true);
    expectThrow(() => scope.release(), "ERR_LEASE_RELEASED", "this scope has ended");
    scope[Symbol.dispose]();
    disposed[Symbol.dispose]();
    expect(arena.stats()).toEqual(after);
  });

  test("rejects those who wait for room, and resolves for those who wait until it is drained", async () => {
    const arena = smallArena({ revoke }, 1);
    arena.acquire(SEGMENT_BYTES);
    const drained = arena.drained();
    const controller = new AbortController();
    const first = arena.acquireAsync(SEGMENT_BYTES, { signal: controller.signal });
    const second = arena.acquireAsync([100, 100]);
    expect(arena.stats().waiting).toBe(2);
    arena[Symbol.dispose]();
    controller.abort(new Error("too late"));
    expectArenaError(await rejectionOf(first), "ERR_ARENA_DISPOSED", "cannot acquire", "create a new one");
    expectArenaError(await rejectionOf(second), "ERR_ARENA_DISPOSED", "cannot acquire", "create a new one");
    await promptly(drained);
    expect(arena.stats()).toMatchObject({ waiting: 0, liveLeases: 0, waited: { count: 0 } });
  });

  test("gives no lease for what is written after it, and ends a filler and a writer quietly", async () => {
    const arena = smallArena({ revoke });
    const gate = deferred<number>();
    const filled = arena.acquireFilled(100, () => gate.promise);
    const filler = arena.filler(100);
    const writer = arena.writer();
    writer.writeUint8(1);
    arena[Symbol.dispose]();
    gate.resolve(50);
    expectArenaError(await rejectionOf(filled), "ERR_ARENA_DISPOSED", "create a new one");
    expectThrow(() => filler.put(new Uint8Array(1)), "ERR_ARENA_DISPOSED", "create a new one");
    expectThrow(() => writer.writeUint8(1), "ERR_ARENA_DISPOSED", "create a new one");
    filler[Symbol.dispose]();
    writer[Symbol.dispose]();
    expect(filler.released && writer.released).toBe(true);
  });

  test("sends no event that was pending", async () => {
    const arena = smallArena({ revoke }, 1);
    const events: unknown[] = [];
    arena.addEventListener("exhausted", (event) => events.push(event));
    const held = arena.acquire(SEGMENT_BYTES);
    expect(arena.acquire(100).origin).toBe("heap");
    arena[Symbol.dispose]();
    await settle();
    expect(events).toEqual([]);
    expect(held.released).toBe(false);
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
    expect(inside).toBe("returned");
    expect(await promptly(lent)).toBe("fulfilled");
    expect(arena.stats()).toMatchObject({ liveLeases: 0, released: 2 });
  });

  test("has revoked the views of leases longer than a segment, too", () => {
    const arena = smallArena({ revoke });
    const lease = arena.acquire(SEGMENT_BYTES + 1);
    const view = lease.bytes;
    arena[Symbol.dispose]();
    expect(view.length).toBe(0);
    expectThrow(() => lease.bytes, "ERR_ARENA_DISPOSED", "read bytes");
    expectThrow(() => lease.release(), "ERR_ARENA_DISPOSED", "cannot release");
  });
});
