/** The queue of those who wait, with a stand-in for the room. How waiting ends is test/misuse/waiting.test.ts's. */

import { beforeEach, describe, expect, test } from "vitest";
import { ArenaError } from "../../src/errors.ts";
import type { Lease } from "../../src/lease/lease.ts";
import { WaitQueue } from "../../src/waiting.ts";
import { isSettled, promptly, rejectionOf, wrong } from "../helpers.ts";
import { FakeOwner } from "./helpers.ts";

const owner = new FakeOwner();
let roomBytes = 0;
let live = 1;
let asked: (readonly number[])[] = [];
let ends: unknown[];
let error: ArenaError | undefined;
/** Thrown when this length is taken. */
let broken: { byteLength: number; mine: Error } | undefined;
let queue: WaitQueue;

beforeEach(() => {
  roomBytes = 0;
  live = 1;
  asked = [];
  ends = [];
  error = broken = undefined;
  queue = new WaitQueue({
    take: ({ byteLengths }) => {
      asked.push(byteLengths);
      if (broken !== undefined && byteLengths.includes(broken.byteLength)) throw broken.mine;
      const total = byteLengths.reduce((sum, byteLength) => sum + byteLength, 0);
      if (total > roomBytes) return null;
      roomBytes -= total;
      return byteLengths.map((byteLength) => owner.lease(byteLength));
    },
    cannotServe: () => error,
    liveLeases: () => live,
    waited: ({ byteLengths }, _since, isServed) => void ends.push([byteLengths, isServed]),
    wake() {},
  });
});

function wait(wanted: number | number[], signal?: object): Promise<Lease[]> {
  const request = { byteLengths: [wanted].flat(), isZeroed: true, callSite: undefined };
  return queue.waitForRoom(request, wrong(signal));
}

function serve(bytes: number): void {
  roomBytes = bytes;
  asked = [];
  queue.serve();
}

describe("who waits", () => {
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

  test("waits in line for all that it wants: the head blocks the others, however little they want", async () => {
    const long = wait([20, 30]);
    const short = wait(1);
    serve(49);
    expect(asked).toEqual([[20, 30]]);
    expect(await isSettled(Promise.race([long, short]))).toBe(false);
    serve(50);
    expect(asked).toEqual([[20, 30], [1]]);
    expect((await promptly(long)).map(({ byteLength }) => byteLength)).toEqual([20, 30]);
    expect(await isSettled(short)).toBe(false);
    serve(1);
    await promptly(short);
  });

  test("is out of the queue before its signal's own code runs, and its listener is gone", async () => {
    const lengths: number[] = [];
    const listen = (): unknown => lengths.push(queue.length);
    const waiting = wait(10, { aborted: false, addEventListener: listen, removeEventListener: listen });
    serve(10);
    await promptly(waiting);
    expect(lengths).toEqual([1, 0]);
  });

  test("is told when taking throws, and the next is served; or when nobody can make room any more", async () => {
    broken = { byteLength: 7, mine: new Error("mine") };
    const waiting = [wait(7), wait(2), wait(10)] as const;
    serve(2);
    expect(await rejectionOf(waiting[0])).toBe(broken.mine);
    await promptly(waiting[1]);
    expect(await isSettled(waiting[2])).toBe(false);
    error = new ArenaError("ERR_ARENA_EXHAUSTED", "no lease is out");
    serve(0);
    expect(await rejectionOf(waiting[2])).toBe(error);
    expect(ends).toEqual([
      [[7], false],
      [[2], true],
      [[10], false],
    ]);
  });
});
