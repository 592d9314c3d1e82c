/** The queue of those who wait, with a stand-in for the room. Waiting through an arena is test/misuse/waiting.test.ts's. */

import { beforeEach, describe, expect, test } from "vitest";
import { ArenaError } from "../../src/errors.ts";
import type { Lease } from "../../src/lease/lease.ts";
import { type RoomRequest, WaitQueue } from "../../src/waiting.ts";
import { expectArenaError, isSettled, promptly, rejectionOf, wrong } from "../helpers.ts";
import { FakeOwner } from "./helpers.ts";

describe("who waits", () => {
  const owner = new FakeOwner();
  let roomBytes = 0;
  let live = 1;
  let asked: (readonly number[])[] = [];
  let wakes = 0;
  let ends: unknown[];
  let error: ArenaError | undefined;
  let queue: WaitQueue;

  beforeEach(() => {
    roomBytes = 0;
    live = 1;
    asked = [];
    wakes = 0;
    ends = [];
    error = undefined;
    queue = new WaitQueue({
      take: ({ byteLengths }) => {
        asked.push(byteLengths);
        const total = byteLengths.reduce((sum, byteLength) => sum + byteLength, 0);
        if (total > roomBytes) return null;
        roomBytes -= total;
        return byteLengths.map((byteLength) => owner.lease(byteLength));
      },
      cannotServe: () => error,
      liveLeases: () => live,
      waited: ({ byteLengths }, _since, isServed) => void ends.push([byteLengths, isServed]),
      wake: () => void wakes++,
    });
  });

  const request = (...byteLengths: number[]): RoomRequest => ({ byteLengths, isZeroed: true, callSite: undefined });
  const wait = (byteLength: number, signal?: AbortSignal): Promise<Lease[]> =>
    queue.waitForRoom(request(byteLength), signal);

  function serve(bytes: number): void {
    roomBytes = bytes;
    asked = [];
    queue.serve();
  }

  test("is counted when it comes and when it is served, with how long it waited", async () => {
    const waiting = [wait(10), wait(20)];
    expect([queue.length, queue.waiters, queue.counts.count]).toEqual([2, 2, 0]);
    await new Promise((resolve) => setTimeout(resolve, 5));
    serve(100);
    expect([queue.length, queue.waiters, queue.counts.count]).toEqual([0, 0, 2]);
    expect(queue.counts.totalMs).toBeGreaterThanOrEqual(queue.counts.longestMs);
    expect(queue.counts.longestMs).toBeGreaterThan(2);
    const leases = (await promptly(Promise.all(waiting))).flat();
    expect(leases.map(({ byteLength }) => byteLength)).toEqual([10, 20]);
  });

  test("waits in line: the head blocks the others, however little they want", async () => {
    const long = wait(50);
    const short = wait(1);
    serve(49);
    expect(asked).toEqual([[50]]);
    expect(await isSettled(Promise.race([long, short]))).toBe(false);
    serve(50);
    expect(asked).toEqual([[50], [1]]);
    expect((await promptly(long))[0]?.byteLength).toBe(50);
    expect(await isSettled(short)).toBe(false);
    serve(1);
    await promptly(short);
  });

  test("gets all of several lengths, or waits for all of them", async () => {
    const waiting = queue.waitForRoom(request(10, 20), undefined);
    serve(29);
    expect(await isSettled(waiting)).toBe(false);
    serve(30);
    expect((await promptly(waiting)).map(({ byteLength }) => byteLength)).toEqual([10, 20]);
  });

  test("leaves with the signal's reason, and the others keep their order and are served soon", async () => {
    const controller = new AbortController();
    const first = wait(50, controller.signal);
    const waiting = [wait(10), wait(20)];
    const reason = new Error("enough");
    controller.abort(reason);
    expect(await rejectionOf(first)).toBe(reason);
    expect([queue.length, wakes]).toEqual([2, 1]);
    serve(30);
    expect(asked).toEqual([[10], [20]]);
    await promptly(Promise.all(waiting));
  });

  test("that was served does not leave again, and its listener is gone", async () => {
    let listeners = 0;
    const controller = new AbortController();
    const signal = Object.assign(controller.signal, {
      addEventListener: () => void listeners++,
      removeEventListener: () => void listeners--,
    });
    const served = wait(10, signal);
    expect(listeners).toBe(1);
    serve(10);
    controller.abort();
    expect((await promptly(served))[0]?.byteLength).toBe(10);
    expect(listeners).toBe(0);
  });

  test("is out of the queue before its signal's own code runs", async () => {
    const lengths: number[] = [];
    const signal = wrong<AbortSignal>({
      aborted: false,
      addEventListener: () => lengths.push(queue.length),
      removeEventListener: () => lengths.push(queue.length),
    });
    const waiting = wait(10, signal);
    serve(10);
    await promptly(waiting);
    expect(lengths).toEqual([1, 0]);
  });

  test("whose signal's own code throws gets that error, and its lease goes back", async () => {
    const { length } = owner.ends;
    const mine = new Error("mine");
    const fail = (): never => {
      throw mine;
    };
    const leaving = wait(10, wrong({ aborted: false, addEventListener() {}, removeEventListener: fail }));
    const coming = wait(10, wrong({ aborted: false, addEventListener: fail, removeEventListener() {} }));
    const other = wait(10);
    expect(await rejectionOf(coming)).toBe(mine);
    serve(20);
    expect(await rejectionOf(leaving)).toBe(mine);
    await promptly(other);
    expect(owner.ends).toHaveLength(length + 1);
    expect([queue.length, queue.waiters]).toEqual([0, 0]);
  });

  test("that shares an aborted signal is served nothing, though its own listener was not called yet", async () => {
    const signal = { aborted: false, reason: "both", addEventListener() {}, removeEventListener() {} };
    const waiting = wait(10, wrong(signal));
    const other = wait(10);
    signal.aborted = true;
    serve(10);
    expect(await rejectionOf(waiting)).toBe("both");
    await promptly(other);
  });

  test("is told when taking throws: the error is that waiter's, and the next is served", async () => {
    const mine = new Error("mine");
    const takes = [
      () => {
        throw mine;
      },
      () => [owner.lease(5)],
    ];
    const waitQueue = new WaitQueue({
      take: () => takes.shift()?.() ?? null,
      cannotServe: () => undefined,
      liveLeases: () => 1,
      waited() {},
      wake() {},
    });
    const waiting = [
      waitQueue.waitForRoom(request(1), undefined),
      waitQueue.waitForRoom(request(2), undefined),
    ] as const;
    waitQueue.serve();
    expect(await rejectionOf(waiting[0])).toBe(mine);
    await promptly(waiting[1]);
  });

  test("is told when nobody can make room any more", async () => {
    error = new ArenaError("ERR_ARENA_EXHAUSTED", "no lease is out");
    const waiting = wait(10);
    serve(0);
    expect(await rejectionOf(waiting)).toBe(error);
  });

  test("is rejected when the arena ends, and those who wait for that moment are not", async () => {
    const waiting = [wait(10), wait(20)];
    const drained = queue.waitUntilDrained(undefined);
    live = 0;
    const reason = new ArenaError("ERR_ARENA_DISPOSED", "closed");
    queue.close(reason);
    expect(await Promise.all(waiting.map(rejectionOf))).toEqual([reason, reason]);
    expect(ends).toEqual([
      [[10], false],
      [[20], false],
    ]);
    await promptly(drained);
    expect(queue.waiters).toBe(0);
  });
});

describe("who waits until no lease is out", () => {
  let live = 1;
  const queue = new WaitQueue({
    take: () => null,
    cannotServe: () => undefined,
    liveLeases: () => live,
    waited() {},
    wake() {},
  });

  test("is served once there is none, at once if there was none", async () => {
    live = 1;
    const drained = queue.waitUntilDrained(undefined);
    queue.serve();
    expect(await isSettled(drained)).toBe(false);
    expect(queue.waiters).toBe(1);
    live = 0;
    queue.serve();
    await promptly(drained);
    await promptly(queue.waitUntilDrained(undefined));
    expect([queue.waiters, queue.length, queue.counts.count]).toEqual([0, 0, 0]);
  });

  test("gives up with its signal, which is checked", async () => {
    live = 1;
    const controller = new AbortController();
    const drained = queue.waitUntilDrained(controller.signal);
    controller.abort("enough");
    expect(await rejectionOf(drained)).toBe("enough");
    expect(await rejectionOf(queue.waitUntilDrained(controller.signal))).toBe("enough");
    const error = await rejectionOf((async () => queue.waitUntilDrained(wrong({})))());
    expectArenaError(error, "ERR_INVALID_ARGUMENT", "signal");
    expect(queue.waiters).toBe(0);
  });
});
