/** Waiting for several leases at once, and for the moment when none is out: signals, order, and what is refused. */

import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { Arena, ArenaOptions } from "cleanslab";
import { describe, expect, test } from "vitest";
import {
  expectArenaError,
  expectSound,
  expectUnharmedAsync,
  expectUsable,
  isSettled,
  isZero,
  MODES,
  PAGE_BYTES,
  promptly,
  rejectionOf,
  releaseAll,
  SEGMENT_BYTES,
  settle,
  smallArena,
  wrong,
} from "../helpers.ts";

const PAIR = [SEGMENT_BYTES, SEGMENT_BYTES];

/** An arena with room for two leases of `SEGMENT_BYTES` at a time, in every mode. */
function pairArena(options: ArenaOptions): Arena {
  return smallArena(options, 2);
}

/** Ends `arena` should it acquire and release for ever in microtasks, where no timer of the test's would come. */
function stopIfEndless(arena: Arena): Disposable {
  let messages = 0;
  const listener = (): void => {
    if (messages++ > 10_000) arena[Symbol.dispose]();
  };
  subscribe("cleanslab:acquire", listener);
  return { [Symbol.dispose]: () => void unsubscribe("cleanslab:acquire", listener) };
}

describe.each(MODES)("revoke: %s, acquireAsync of several lengths", (revoke) => {
  test("rejects at once what can never fit together, and acquires nothing", async () => {
    using arena = pairArena({ revoke });
    await expectUnharmedAsync(arena, async () => {
      for (const byteLengths of [
        [...PAIR, 1],
        [2 * SEGMENT_BYTES + 1],
        [1, 2 ** 32 - 1],
        Array.from({ length: 9 }, () => PAGE_BYTES),
      ]) {
        const total = byteLengths.reduce((sum, each) => sum + each, 0);
        expectArenaError(
          await rejectionOf(arena.acquireAsync(byteLengths)),
          "ERR_ARENA_EXHAUSTED",
          `${total} bytes can never fit`,
          "raise maxBytes",
        );
      }
      expect(arena.stats().waiting).toBe(0);
    });
  });

  test("does not wait for ever for what fits in no layout: with no lease out it is ERR_ARENA_EXHAUSTED", async () => {
    using arena = pairArena({ revoke });
    // Not above maxBytes together, but a memory or block of its own for each takes more than there is.
    const byteLengths = [SEGMENT_BYTES - PAGE_BYTES + 1, SEGMENT_BYTES - PAGE_BYTES + 1, 1, 1, 1, PAGE_BYTES];
    const promise = arena.acquireAsync(byteLengths);
    expectArenaError(await rejectionOf(promise), "ERR_ARENA_EXHAUSTED");
    expect(arena.stats()).toMatchObject({ liveLeases: 0, waiting: 0 });

    const held = arena.acquire(100);
    const later = arena.acquireAsync(byteLengths);
    expect(await isSettled(later)).toBe(false);
    held.release();
    expectArenaError(await rejectionOf(later), "ERR_ARENA_EXHAUSTED");
    expect(arena.stats()).toMatchObject({ liveLeases: 0, waiting: 0 });
    expectUsable(arena);
  });

  test("is refused as a whole for one length that is none", async () => {
    using arena = pairArena({ revoke });
    await expectUnharmedAsync(arena, async () => {
      for (const bad of [-1, 0.5, "8", null, undefined, [8]]) {
        const promise = arena.acquireAsync(wrong([100, bad, 100]));
        expectArenaError(await rejectionOf(promise), "ERR_INVALID_ARGUMENT", "byteLength is");
      }
      const holes: number[] = [];
      holes.length = 2;
      expectArenaError(await rejectionOf(arena.acquireAsync(holes)), "ERR_INVALID_ARGUMENT", "byteLength is undefined");
    });
  });

  test("goes by the lengths as they were when it was called", async () => {
    using arena = pairArena({ revoke });
    const held = arena.acquire(SEGMENT_BYTES);
    const byteLengths = [...PAIR];
    const promise = arena.acquireAsync(byteLengths);
    byteLengths[0] = 3;
    byteLengths.push(-1);
    held.release();
    const leases = await promptly(promise);
    expect(leases.map(({ byteLength }) => byteLength)).toEqual(PAIR);
    releaseAll(leases);
  });

  test("holds nothing while it waits, and gives all when there is room for all", async () => {
    using arena = pairArena({ revoke });
    const held = [arena.acquire(SEGMENT_BYTES), arena.acquire(SEGMENT_BYTES)];
    const promise = arena.acquireAsync(PAIR);
    held.pop()?.release();
    expect(await isSettled(promise)).toBe(false);
    expect(arena.stats()).toMatchObject({ liveLeases: 1, waiting: 1 });
    expectSound(arena);
    held.pop()?.release();
    const leases = await promptly(promise);
    expect(leases.every(({ bytes, origin }) => origin === "arena" && isZero(bytes))).toBe(true);
    expect(arena.stats()).toMatchObject({ liveLeases: 2, waiting: 0, waited: { count: 1 } });
    releaseAll(leases);
    expectUsable(arena);
  });

  test("uses up no room by trying again and again, and tries only when there is a reason to", async () => {
    using arena = pairArena({ revoke });
    using _ = stopIfEndless(arena);
    const held = arena.acquire(SEGMENT_BYTES);
    const promise = arena.acquireAsync([100, 4096, SEGMENT_BYTES, 100]);
    const { acquired } = arena.stats();
    for (let round = 0; round < 50; round++) {
      // Each release is a reason to try once more.
      arena.acquire(100).release();
      await settle();
    }
    expect(arena.stats()).toMatchObject({ liveLeases: 1, waiting: 1 });
    // In "never" mode only trying tells whether there is room: some leases a round, not endlessly many.
    if (revoke === "never") expect(arena.stats().acquired).toBeLessThanOrEqual(acquired + 10 * 50);
    else expect(arena.stats().acquired).toBe(acquired + 50);
    held.release();
    releaseAll(await promptly(promise));
    expectUsable(arena);
  });

  test("rejects with its signal's reason, and the next in line is served", async () => {
    using arena = pairArena({ revoke });
    const held = arena.acquire(SEGMENT_BYTES);
    const controller = new AbortController();
    const pair = arena.acquireAsync(PAIR, { signal: controller.signal });
    const single = arena.acquireAsync(SEGMENT_BYTES);
    expect(await isSettled(single)).toBe(false);
    controller.abort("enough");
    expect(await rejectionOf(pair)).toBe("enough");
    (await promptly(single)).release();
    held.release();
    expectUsable(arena);
  });

  test("rejects when it is refused a signal, and holds nothing", async () => {
    using arena = pairArena({ revoke });
    for (const signal of [{}, 5, "abort"]) {
      const promise = arena.acquireAsync(PAIR, { signal: wrong(signal) });
      expectArenaError(await rejectionOf(promise), "ERR_INVALID_ARGUMENT", "signal is");
    }
    expect(arena.stats()).toMatchObject({ liveLeases: 0, waiting: 0, acquired: 0 });
  });
});

describe.each(MODES)("revoke: %s, drained", (revoke) => {
  test("refuses what is no signal and what are no options, with a rejection", async () => {
    using arena = smallArena({ revoke });
    const lease = arena.acquire(100);
    for (const signal of [{}, 5, "abort", { aborted: false }]) {
      const promise = arena.drained({ signal: wrong(signal) });
      expectArenaError(await rejectionOf(promise), "ERR_INVALID_ARGUMENT", "signal is", "an AbortSignal");
    }
    for (const options of [null, 5, "soon"]) {
      expectArenaError(await rejectionOf(arena.drained(wrong(options))), "ERR_INVALID_ARGUMENT", "options is");
    }
    lease.release();
    await promptly(arena.drained());
  });

  test("rejects with the reason of a signal that was aborted before, even if no lease is out", async () => {
    using arena = smallArena({ revoke });
    const reason = new Error("changed my mind");
    expect(await rejectionOf(arena.drained({ signal: AbortSignal.abort(reason) }))).toBe(reason);
    const lease = arena.acquire(100);
    expect(await rejectionOf(arena.drained({ signal: AbortSignal.abort(reason) }))).toBe(reason);
    lease.release();
  });

  test("waits for leases of every kind, and for those that are acquired meanwhile", async () => {
    using arena = smallArena({ revoke }, 1);
    const leases = [arena.acquire(SEGMENT_BYTES), arena.acquire(100)];
    expect(leases.at(-1)?.origin).toBe("heap");
    const drained = arena.drained();
    expect(await isSettled(drained)).toBe(false);
    leases.push(arena.acquire(0));
    leases.shift()?.release();
    leases.shift()?.release();
    expect(await isSettled(drained)).toBe(false);
    leases.shift()?.release();
    await promptly(drained);
    arena.assertDrained();
  });

  test("is not resolved by a lease that was released and acquired again at once", async () => {
    using arena = smallArena({ revoke });
    const first = arena.acquire(100);
    const drained = arena.drained();
    first.release();
    const second = arena.acquire(100);
    expect(await isSettled(drained)).toBe(false);
    second.release();
    await promptly(drained);
  });

  test("resolves after those who wait for room were served and have released", async () => {
    using arena = smallArena({ revoke }, 1);
    const held = arena.acquire(SEGMENT_BYTES);
    const order: string[] = [];
    const drained = arena.drained().then(() => order.push("drained"));
    const waiting = arena.acquireAsync(SEGMENT_BYTES).then((lease) => {
      order.push("served");
      lease.release();
    });
    held.release();
    await promptly(Promise.all([drained, waiting]));
    expect(order).toEqual(["served", "drained"]);
  });
});
