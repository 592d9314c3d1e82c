/**
 * The queue of those who wait, with a stand-in for the room. Their order, their signals and how
 * waiting ends is test/misuse/waiting.test.ts's.
 */

import { expect, test } from "vitest";
import { ArenaError } from "../../src/errors.ts";
import { WaitQueue } from "../../src/waiting.ts";
import { isSettled, promptly, rejectionOf } from "../helpers.ts";
import { FakeOwner } from "./helpers.ts";

test("who waits is told when taking throws, and the next is served; or when nobody can make room any more", async () => {
  const owner = new FakeOwner();
  const broken = new Error("taking throws");
  const ends: unknown[] = [];
  let roomBytes = 0;
  let error: ArenaError | undefined;
  const queue = new WaitQueue({
    take: ({ byteLengths: [byteLength = 0] }) => {
      if (byteLength === 7) throw broken;
      return byteLength > roomBytes ? null : [owner.lease(byteLength)];
    },
    cannotServe: () => error,
    liveLeases: () => 1,
    waited: ({ byteLengths }, _since, isServed) => void ends.push([byteLengths, isServed]),
    wake() {},
  });
  const [first, second, third] = [7, 2, 10].map((byteLength) =>
    queue.waitForRoom({ byteLengths: [byteLength], isZeroed: true, callSite: undefined }, undefined),
  ) as [Promise<unknown>, Promise<unknown>, Promise<unknown>];
  roomBytes = 2;
  queue.serve();
  expect(await rejectionOf(first)).toBe(broken);
  await promptly(second);
  expect(await isSettled(third)).toBe(false);
  error = new ArenaError("ERR_ARENA_EXHAUSTED", "no lease is out");
  queue.serve();
  expect(await rejectionOf(third)).toBe(error);
  expect(ends).toEqual([
    [[7], false],
    [[2], true],
    [[10], false],
  ]);
});
