/**
 * Waiting with what gets in its way: signals at any moment, signals of the caller's own whose
 * code interferes, and lengths that can never fit. Its order is test/contract/waiting.ts's.
 */

import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { AbortSignalLike, Arena, Lease } from "cleanslab";
import { describe, expect, test } from "vitest";
import {
  exhaust,
  expectArenaError,
  expectSound,
  expectThrow,
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
} from "../helpers.ts";

const WHOLE = SEGMENT_BYTES;

/** A signal of the caller's own, whose methods do what a test wants. */
function signalOf(parts: Partial<AbortSignalLike>): AbortSignalLike {
  const signal = { aborted: false, addEventListener() {}, removeEventListener() {} };
  return Object.create(signal, Object.getOwnPropertyDescriptors(parts)) as AbortSignalLike;
}

describe.each(MODES)("revoke: %s, acquireAsync with a signal", (revoke) => {
  test.each(["before the call", "right before the room is free", "right after it is free"] as const)(
    "aborted %s rejects with its reason, loses no lease, and the next in line is served",
    async (when) => {
      using arena = smallArena({ revoke }, 1);
      const held = arena.acquire(WHOLE);
      const controller = new AbortController();
      const { signal } = controller;
      const reason = { why: "too slow" };
      if (when === "before the call") controller.abort(reason);
      const first = rejectionOf(arena.acquireAsync(WHOLE, { signal }));
      const late = new AbortController();
      const second = arena.acquireAsync(WHOLE, { signal: late.signal });
      if (when === "right before the room is free") controller.abort(reason);
      held.release();
      // Nothing is served inside the release, so the abort comes first.
      if (when === "right after it is free") controller.abort(reason);
      expect(await first).toBe(reason);
      const lease = await promptly(second);
      // Of no use any more.
      late.abort();
      expect(isZero(lease.bytes)).toBe(true);
      expect(arena.stats()).toMatchObject({ waiting: 0, liveLeases: 1, acquired: 2, released: 1 });
      lease.release();
      expectUsable(arena);
    },
  );

  test("or drained rejects with a reason given before, even if no lease is out", async () => {
    using arena = smallArena({ revoke });
    const reason = new Error("changed my mind");
    expect(await rejectionOf(arena.drained({ signal: AbortSignal.abort(reason) }))).toBe(reason);
  });

  test("serves those behind one that gave up, but none that waits with the same signal", async () => {
    using arena = smallArena({ revoke }, 1);
    const held = [arena.acquire(64), arena.acquire(64)];
    const controller = new AbortController();
    const long = arena.acquireAsync(WHOLE, { signal: controller.signal });
    const same = arena.acquireAsync(64, { signal: controller.signal });
    const short = arena.acquireAsync(64);
    expect(arena.stats().waiting).toBe(3);
    controller.abort();
    for (const each of [long, same]) expect(await rejectionOf(each)).toMatchObject({ name: "AbortError" });
    (await promptly(short)).release();
    expect(arena.stats()).toMatchObject({ waiting: 0, liveLeases: 2 });
    releaseAll(held);
  });
});

describe.each(MODES)("revoke: %s, the room beside leases that stay out", (revoke) => {
  test.each([[[64]], [[64, 1000]]])("is found for %j once one in front gave up", async (byteLengths) => {
    using arena = smallArena({ revoke, onExhausted: "throw" }, 1);
    using _held = arena.acquire(64);
    const controller = new AbortController();
    const long = rejectionOf(arena.acquireAsync(WHOLE, { signal: controller.signal }));
    const short = arena.acquireAsync(byteLengths);
    expect(await isSettled(short)).toBe(false);
    controller.abort();
    await long;
    releaseAll(await promptly(short));
  });
});

/** Ends `arena` should it acquire and release for ever in microtasks, where no timer of the test's would come. */
function stopIfEndless(arena: Arena): Disposable {
  let messages = 0;
  const listener = (): void => {
    if (messages++ > 10_000) arena[Symbol.dispose]();
  };
  subscribe("cleanslab:acquire", listener);
  return { [Symbol.dispose]: () => void unsubscribe("cleanslab:acquire", listener) };
}

describe.each(MODES)("revoke: %s, those who wait", (revoke) => {
  test("are refused at once for what can never fit, and hold nothing", async () => {
    using arena = smallArena({ revoke }, 2);
    await expectUnharmedAsync(arena, async () => {
      for (const wanted of [2 * WHOLE + 1, [WHOLE, WHOLE, 1], [1, 2 ** 32 - 1]]) {
        const total = [wanted].flat().reduce((sum, each) => sum + each, 0);
        const error = await rejectionOf(arena.acquireAsync(wanted as number));
        expectArenaError(error, "ERR_ARENA_EXHAUSTED", `${total} bytes can never fit`, `maxBytes = ${2 * WHOLE}`);
      }
    });
  });

  test("get the lengths as they were at the call", async () => {
    using arena = smallArena({ revoke }, 2);
    const held = arena.acquire(WHOLE);
    const byteLengths = [WHOLE, WHOLE];
    const promise = arena.acquireAsync(byteLengths);
    byteLengths[0] = 3;
    byteLengths.push(-1);
    held.release();
    const leases = await promptly(promise);
    expect(leases.map(({ byteLength }) => byteLength)).toEqual([WHOLE, WHOLE]);
    releaseAll(leases);
  });

  // Once taking some and giving them back, for want of room for the rest, called for another try: for ever.
  test.each<[number[], (arena: Arena) => Lease[]]>([
    [[100, 4096, WHOLE, 100], (arena) => [arena.acquire(WHOLE)]],
    [[16_384, 16_384, 16_384], (arena) => exhaust(arena, 16_384).filter((lease, each) => each > 0 || lease.release())],
  ])("for %j use up no room by trying, and try only when there is a reason to", async (byteLengths, fill) => {
    using arena = smallArena({ revoke, onExhausted: "throw" }, 2);
    using _stop = stopIfEndless(arena);
    const tiny = arena.acquire(16);
    const held = fill(arena);
    const promise = arena.acquireAsync(byteLengths);
    const { acquired, revocations } = arena.stats();
    for (let round = 0; round < 50; round++) {
      try {
        // Each release is a reason to try once more.
        arena.acquire(100).release();
      } catch {
        // No room even for that.
      }
      await settle();
    }
    const after = arena.stats();
    expect(after).toMatchObject({ liveLeases: held.length + 1, waiting: 1 });
    // In "never" mode only trying tells whether there is room: some leases a round, not endlessly many.
    expect(after.acquired - acquired).toBeLessThanOrEqual(revoke === "never" ? 10 * 50 : 50);
    expect(after.revocations - revocations).toBeLessThanOrEqual(51);
    tiny.release();
    await settle();
    releaseAll(held);
    releaseAll(await promptly(promise));
    arena.assertDrained();
    expectUsable(arena);
  });
});

describe.each(MODES)("revoke: %s, a signal of the caller's own", (revoke) => {
  // Once its removeEventListener ran inside the release that made room, and released that lease a second time.
  test("that uses the arena finds every lease in order, after the release", async () => {
    using arena = smallArena({ revoke, onExhausted: "throw" }, 2);
    const held = exhaust(arena, 16_384);
    const steps: string[] = [];
    const signal = signalOf({
      addEventListener: () => void steps.push("added"),
      removeEventListener() {
        steps.push("removed");
        for (const lease of held) expectThrow(() => lease.release(), "ERR_LEASE_RELEASED");
        arena.acquire(64).release();
      },
    });
    const waiting = arena.acquireAsync(16_384, { signal });
    releaseAll(held);
    expect(steps).toEqual(["added"]);
    (await promptly(waiting)).release();
    expect(steps).toEqual(["added", "removed"]);
    arena.assertDrained();
    expectSound(arena);
  });
});

/** What a signal of the caller's own may throw, and when. */
const throws = (what: string) => (): never => {
  throw new Error(what);
};
const HOSTILE: [string, () => AbortSignalLike][] = [
  ["whose addEventListener throws", () => signalOf({ addEventListener: throws("mine") })],
  ["whose removeEventListener throws", () => signalOf({ removeEventListener: throws("mine") })],
  ...[1, 2, 3, 4, 5].map((throwsAt): [string, () => AbortSignalLike] => [
    `whose aborted throws when read for time ${throwsAt}`,
    () => {
      let reads = 0;
      return signalOf({
        get aborted() {
          if (++reads === throwsAt) throw new Error("mine");
          return false;
        },
      });
    },
  ]),
  [
    "whose reason throws",
    () => {
      let reads = 0;
      return signalOf({
        get aborted() {
          return ++reads > 3;
        },
        get reason() {
          throw new Error("mine");
        },
      });
    },
  ],
];

// Once what it threw came out of somebody else's release, or left its waiter at the head of the line.
test.each(HOSTILE)("a signal %s harms nobody but its waiter, and leaks nothing", async (_name, signal) => {
  using arena = smallArena({ onExhausted: "throw" }, 2);
  const held = exhaust(arena, 16_384);
  const waiting = arena.acquireAsync(16_384, { signal: signal() }).then(
    (lease) => lease.release(),
    (error: unknown) => expect(error).toMatchObject({ message: "mine" }),
  );
  const next = arena.acquireAsync(16_384);
  releaseAll(held);
  (await promptly(next)).release();
  await promptly(waiting);
  // An error that nobody caught would fail the run.
  await settle();
  expect(arena.stats()).toMatchObject({ liveLeases: 0, waiting: 0 });
});
