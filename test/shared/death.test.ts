/**
 * What becomes of leases and channels when a thread ends without a word, as far as the contract
 * (test/contract/shared.ts) and the random model (test/model/shared) do not show it.
 */

import { SharedArena } from "cleanslab/shared";
import { expect, test } from "vitest";
import { expectArenaError, expectThrow, isSettled, rejectionOf } from "../helpers.ts";
import { expectAllBack } from "./helpers.ts";
import { Thread } from "./threads.ts";

const MAX_BYTES = 1 << 20;

function arenaHere(): SharedArena {
  return new SharedArena({ maxBytes: MAX_BYTES });
}

test("what a thread held comes back when it throws", async () => {
  const here = arenaHere();
  const thread = new Thread("fail", { handle: here.handle });
  await thread.hear();
  thread.say("now");
  expect(await rejectionOf(thread.exited)).toMatchObject({ message: "as the test wants" });
  // An exit follows the error.
  await new Promise((resolve) => thread.worker.once("exit", () => setImmediate(resolve)));
  expectAllBack(here);
});

test("the dead leave their places in the table, once these are needed", async () => {
  const here = arenaHere();
  const crowd = new Thread("crowd", { handle: here.handle });
  expect(await crowd.hear()).toEqual([1022, "ERR_LIMIT_EXCEEDED"]);
  await crowd.exited;
  expect(here.stats()).toMatchObject({ threads: 1, blocks: { leased: 0, inTransit: 1022, kept: 0 } });
  SharedArena.attach(here.handle).detach();
  expectAllBack(here);
});

test("a thread that was declared dead and still runs gets errors, and gives nothing back twice", async () => {
  const here = arenaHere();
  const zombie = new Thread("zombie", { handle: here.handle });
  const threadId = await zombie.hear<number>();
  expect(threadId).toBe(zombie.threadId);
  expect(here.threadEnded(threadId)).toBeGreaterThanOrEqual(3);
  const ours = Array.from({ length: 40 }, () => here.acquire(1000));
  zombie.say("go on");
  expect(await zombie.hear()).toEqual(Array(6).fill("ERR_THREAD_ENDED"));
  await zombie.exited;
  for (const lease of ours) lease.release();
  // What it had sent stays until room is needed.
  here.acquire(here.stats().maxBytes).release();
  expectAllBack(here);
});

test("a channel delivers all that a dead sender had sent, though room was wanted, and then says so", async () => {
  const here = arenaHere();
  const { port1, port2 } = here.channel();
  const thread = new Thread("sendAndExit", { handle: here.handle, port2, count: 6 });
  await thread.exited;
  // What the dead had handed over is freed for this: not what waits in a channel.
  here.trim();
  expectThrow(() => here.acquire(MAX_BYTES), "ERR_ARENA_EXHAUSTED");
  for (let tag = 0; tag < 6; tag++) {
    const lease = await port1.receive();
    expect([lease?.tag, ...(lease?.bytes ?? [])]).toEqual([tag, tag, 1]);
    lease?.release();
  }
  expectThrow(() => port1.tryReceive(), "ERR_PEER_ENDED", "has ended");
  port1.close();
  expect(port1.tryReceive()).toBe(undefined);
  expectAllBack(here);
});

test.each([true, false])("what a dead receiver had not received comes back, closed before: %s", async (isClosed) => {
  const here = arenaHere();
  const { port1, port2 } = here.channel({ capacity: 4 });
  const thread = new Thread("openPort", { handle: here.handle, port2 });
  await thread.hear();
  for (let tag = 0; tag < 4; tag++) port1.trySend(here.acquire(100), tag);
  const late = here.acquire(100);
  const sending = rejectionOf(port1.send(late));
  if (isClosed) port1.close();
  expect(await isSettled(sending)).toBe(isClosed);
  expect(here.stats().blocks.inTransit).toBe(4);
  thread.say("exit");
  await thread.exited;
  expectArenaError(await sending, isClosed ? "ERR_PORT_CLOSED" : "ERR_PEER_ENDED");
  late.release();
  port1.close();
  expectAllBack(here);
});

test("a death wakes a receiver that blocks", async () => {
  const here = arenaHere();
  const listener = new Thread("listenSync", { handle: here.handle });
  const port2 = await listener.hear();
  new Thread("sendAndExit", { handle: here.handle, port2, count: 3 });
  expect(await listener.hear()).toEqual([[0, 1, 2], "ERR_PEER_ENDED"]);
  await listener.exited;
  expectAllBack(here);
});

test("an end that no thread has opened waits, and peerEnded gives back what was sent to it", () => {
  const here = arenaHere();
  const { port1 } = here.channel();
  port1.trySend(here.copyOf(Uint8Array.of(5)), 1);
  here.threadEnded(123_456);
  expect(port1.closed).toBe(false);
  const [lease] = port1.peerEnded();
  expect(lease?.bytes[0]).toBe(5);
  lease?.release();
  expectAllBack(here);
});
