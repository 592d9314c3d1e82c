/** Waiting for room: signals, order, and what can never fit. */

import type { AbortSignalLike, Arena, ArenaOptions } from "cleanslab";
import { describe, expect, test } from "vitest";
import {
  expectArenaError,
  expectUnharmedAsync,
  expectUsable,
  isSettled,
  isZero,
  MODES,
  promptly,
  rejectionOf,
  releaseAll,
  SEGMENT_BYTES,
  settle,
  smallArena,
  wrong,
} from "../helpers.ts";

/** An arena with room for one lease of `SEGMENT_BYTES` at a time, in every mode. */
function singleLeaseArena(options: ArenaOptions): Arena {
  return smallArena(options, 1);
}

/** An `AbortSignal` that shows who listens. */
class CountingSignal implements AbortSignalLike {
  aborted = false;
  reason: unknown = undefined;
  readonly listeners = new Set<() => void>();
  addEventListener(_type: "abort", listener: () => void): void {
    this.listeners.add(listener);
  }
  removeEventListener(_type: "abort", listener: () => void): void {
    this.listeners.delete(listener);
  }
}

describe.each(MODES)("revoke: %s, acquireAsync", (revoke) => {
  test("rejects with the reason of a signal that was aborted before, and acquires nothing", async () => {
    using arena = singleLeaseArena({ revoke });
    await expectUnharmedAsync(arena, async () => {
      const reason = new Error("changed my mind");
      expect(await rejectionOf(arena.acquireAsync(100, { signal: AbortSignal.abort(reason) }))).toBe(reason);
      const plain = await rejectionOf(arena.acquireAsync(100, { signal: AbortSignal.abort() }));
      expect(plain).toMatchObject({ name: "AbortError" });
    });
  });

  test("rejects with the reason of a signal aborted while it waited, and the next in line is served", async () => {
    using arena = singleLeaseArena({ revoke });
    const held = arena.acquire(SEGMENT_BYTES);
    const controller = new AbortController();
    const first = arena.acquireAsync(SEGMENT_BYTES, { signal: controller.signal });
    const second = arena.acquireAsync(SEGMENT_BYTES);
    expect(arena.stats().waiting).toBe(2);
    const reason = { why: "too slow" };
    controller.abort(reason);
    expect(await rejectionOf(first)).toBe(reason);
    expect(arena.stats()).toMatchObject({ waiting: 1, liveLeases: 1, acquired: 1 });
    expect(await isSettled(second)).toBe(false);
    held.release();
    const lease = await promptly(second);
    expect(isZero(lease.bytes)).toBe(true);
    expect(arena.stats()).toMatchObject({ waiting: 0, liveLeases: 1, acquired: 2, released: 1 });
    lease.release();
    expectUsable(arena);
  });

  test("serves those behind one that gave up, who were waiting for its turn alone", async () => {
    using arena = singleLeaseArena({ revoke });
    const held = [arena.acquire(64), arena.acquire(64)];
    const controller = new AbortController();
    const long = arena.acquireAsync(SEGMENT_BYTES, { signal: controller.signal });
    const short = arena.acquireAsync(64);
    expect(arena.stats().waiting).toBe(2);
    controller.abort();
    await rejectionOf(long);
    expect(await isSettled(short)).toBe(true);
    releaseAll(held);
  });

  test("gives none of those a lease who wait with the same signal, once that is aborted", async () => {
    using arena = singleLeaseArena({ revoke });
    const held = [arena.acquire(64), arena.acquire(64)];
    const controller = new AbortController();
    const { signal } = controller;
    const long = arena.acquireAsync(SEGMENT_BYTES, { signal });
    const short = arena.acquireAsync(64, { signal });
    controller.abort();
    expect(await rejectionOf(long)).toMatchObject({ name: "AbortError" });
    expect(await rejectionOf(short)).toMatchObject({ name: "AbortError" });
    expect(arena.stats()).toMatchObject({ waiting: 0, liveLeases: 2 });
    releaseAll(held);
  });

  test("loses no lease when the signal is aborted right after the room came free", async () => {
    using arena = singleLeaseArena({ revoke });
    const held = arena.acquire(SEGMENT_BYTES);
    const controller = new AbortController();
    const promise = arena.acquireAsync(SEGMENT_BYTES, { signal: controller.signal });
    held.release();
    // Nothing is served inside the release, so the abort comes first.
    controller.abort();
    expect(await rejectionOf(promise)).toMatchObject({ name: "AbortError" });
    expect(arena.stats()).toMatchObject({ waiting: 0, liveLeases: 0, acquired: 1 });
    expectUsable(arena);
  });

  test("gives the lease when the signal is aborted after it was served", async () => {
    using arena = singleLeaseArena({ revoke });
    const held = arena.acquire(SEGMENT_BYTES);
    const controller = new AbortController();
    const promise = arena.acquireAsync(SEGMENT_BYTES, { signal: controller.signal });
    held.release();
    await settle();
    controller.abort();
    const lease = await promptly(promise);
    expect(arena.stats()).toMatchObject({ waiting: 0, liveLeases: 1, acquired: 2, waited: { count: 1 } });
    lease.release();
    expectUsable(arena);
  });

  test("loses no lease when the signal is aborted right before the room comes free", async () => {
    using arena = singleLeaseArena({ revoke });
    const held = arena.acquire(SEGMENT_BYTES);
    const controller = new AbortController();
    const promise = arena.acquireAsync(SEGMENT_BYTES, { signal: controller.signal });
    controller.abort();
    held.release();
    expect(await rejectionOf(promise)).toMatchObject({ name: "AbortError" });
    expect(arena.stats()).toMatchObject({ waiting: 0, liveLeases: 0, acquired: 1 });
    expectUsable(arena);
  });

  test("is not disturbed by an abort after it was served", async () => {
    using arena = singleLeaseArena({ revoke });
    const controller = new AbortController();
    const lease = await promptly(arena.acquireAsync(100, { signal: controller.signal }));
    controller.abort();
    await settle();
    expect(lease.bytes.length).toBe(100);
    lease.release();
    expectUsable(arena);
  });

  test("stops listening to its signal however the waiting ends", async () => {
    using arena = singleLeaseArena({ revoke });
    const held = arena.acquire(SEGMENT_BYTES);
    const served = new CountingSignal();
    const aborted = new CountingSignal();
    const first = arena.acquireAsync(SEGMENT_BYTES, { signal: served });
    const rejection = rejectionOf(arena.acquireAsync(SEGMENT_BYTES, { signal: aborted }));
    expect([served.listeners.size, aborted.listeners.size]).toEqual([1, 1]);
    aborted.aborted = true;
    aborted.reason = "enough";
    for (const listener of aborted.listeners) listener();
    held.release();
    (await promptly(first)).release();
    expect(await rejection).toBe("enough");
    expect([served.listeners.size, aborted.listeners.size]).toEqual([0, 0]);
  });

  test("serves in the order of the calls", async () => {
    using arena = singleLeaseArena({ revoke });
    const held = arena.acquire(SEGMENT_BYTES);
    const served: number[] = [];
    const promises = [0, 1, 2, 3].map(async (caller) => {
      const lease = await arena.acquireAsync(SEGMENT_BYTES);
      served.push(caller);
      return lease;
    });
    expect(arena.stats().waiting).toBe(4);
    held.release();
    for (const [caller, promise] of promises.entries()) {
      const lease = await promptly(promise);
      expect(served).toEqual([0, 1, 2, 3].slice(0, caller + 1));
      expect(arena.stats()).toMatchObject({ waiting: 3 - caller, liveLeases: 1 });
      lease.release();
    }
    expectUsable(arena);
  });

  test("does not let a call that would fit overtake one that waits", async () => {
    using arena = singleLeaseArena({ revoke });
    const held = [arena.acquire(64), arena.acquire(64)];
    const served: string[] = [];
    const long = arena.acquireAsync(SEGMENT_BYTES).then((lease) => {
      served.push("long");
      lease.release();
    });
    const short = arena.acquireAsync(64).then((lease) => {
      served.push("short");
      lease.release();
    });
    await settle();
    expect(served).toEqual([]);
    releaseAll(held);
    await promptly(Promise.all([long, short]));
    expect(served).toEqual(["long", "short"]);
    expect(arena.stats()).toMatchObject({ waiting: 0, liveLeases: 0 });
    expectUsable(arena);
  });

  test("lets a plain acquire go first, which does not queue", async () => {
    using arena = singleLeaseArena({ revoke, onExhausted: "throw" });
    const held = [arena.acquire(64), arena.acquire(64)];
    const waiting = arena.acquireAsync(SEGMENT_BYTES);
    const lease = arena.acquire(64);
    expect(await isSettled(waiting)).toBe(false);
    releaseAll([...held, lease]);
    (await promptly(waiting)).release();
    expectUsable(arena);
  });

  test("rejects at once what can never fit under the cap", async () => {
    using arena = singleLeaseArena({ revoke });
    await expectUnharmedAsync(arena, async () => {
      for (const byteLength of [SEGMENT_BYTES + 1, 10 * SEGMENT_BYTES, 2 ** 32 - 1]) {
        expectArenaError(
          await rejectionOf(arena.acquireAsync(byteLength)),
          "ERR_ARENA_EXHAUSTED",
          `${byteLength} bytes can never fit`,
          `maxBytes = ${SEGMENT_BYTES}`,
          "raise maxBytes",
        );
      }
      expect(arena.stats().waiting).toBe(0);
    });
  });

  test("takes what just fits under the cap, and drops what is idle for it", async () => {
    using arena = singleLeaseArena({ revoke });
    arena.acquire(100).release();
    const lease = await promptly(arena.acquireAsync(SEGMENT_BYTES));
    expect(lease.origin).toBe("arena");
    lease.release();
    expectUsable(arena);
  });

  test("rejects, and loses its place in the line, when its signal is none", async () => {
    using arena = singleLeaseArena({ revoke });
    const held = arena.acquire(SEGMENT_BYTES);
    await rejectionOf(arena.acquireAsync(SEGMENT_BYTES, { signal: wrong({}) }));
    expect(arena.stats()).toMatchObject({ waiting: 0, liveLeases: 1 });
    held.release();
    expectUsable(arena);
  });
});
