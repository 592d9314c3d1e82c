/** What becomes of leases, tokens and channels when a thread ends without a word. */

import { SharedArena, type SharedArenaHandle, type SharedLease } from "cleanslab/shared";
import { describe, expect, test } from "vitest";
import { expectArenaError, expectThrow, isAll, isSettled, rejectionOf } from "../helpers.ts";
import { expectAllBack, expectSound } from "./helpers.ts";
import { Thread } from "./threads.ts";

const MAX_BYTES = 1 << 20;

function arenaHere(): SharedArena {
  return new SharedArena({ maxBytes: MAX_BYTES });
}

interface Held {
  readonly threadId: number;
  readonly token: number;
}

describe("what a thread held comes back when it", () => {
  test.each<[string, (thread: Thread) => Promise<unknown>]>([
    [
      "exits",
      (thread) => {
        thread.say("exit");
        return thread.exited;
      },
    ],
    ["is terminated", (thread) => thread.end()],
  ])("%s, and what it had handed over stays until room is needed", async (_, end) => {
    const here = arenaHere();
    const threads = [1, 2].map((count) => new Thread("hold", { handle: here.handle, count }));
    const [first, second] = (await Promise.all(threads.map((thread) => thread.hear<Held>()))) as [Held, Held];
    expect(here.stats().blocks).toMatchObject({ leased: 5, inTransit: 2 });
    for (const thread of threads) await end(thread);
    expect(here.stats().blocks).toEqual({ leased: 0, inTransit: 2, kept: 0 });
    expectSound(here);
    const adopted = here.adopt(first.token);
    expect([adopted.byteLength, isAll(adopted.bytes, 7)]).toEqual([10, true]);
    adopted.release();
    here.trim();
    here.acquire(MAX_BYTES).release();
    expectThrow(() => here.adopt(second.token), "ERR_TOKEN_USED");
    expect(here.stats().threads).toBe(1);
    expectAllBack(here);
  });

  test("throws", async () => {
    const here = arenaHere();
    const thread = new Thread("fail", { handle: here.handle });
    await thread.hear();
    thread.say("now");
    expect(await rejectionOf(thread.exited)).toMatchObject({ message: "as the test wants" });
    await thread.end();
    expectAllBack(here);
  });

  test("ends with the thread that started it", async () => {
    const here = arenaHere();
    const parent = new Thread("parent", { handle: here.handle });
    const child = await parent.hear<Held>();
    expect(here.stats()).toMatchObject({ threads: 3, blocks: { leased: 7, inTransit: 1 } });
    await parent.end();
    expect(here.stats()).toMatchObject({ threads: 1, blocks: { leased: 0, inTransit: 1 } });
    here.adopt(child.token).release();
    expectAllBack(here);
  });
});

test("a thread whose starter has no part in the arena is declared dead by hand", async () => {
  const here = arenaHere();
  const stranger = new Thread("parent", { handle: here.handle, isStranger: true });
  const child = await stranger.hear<Held>();
  await stranger.end();
  expect(here.stats().blocks.leased).toBe(6);
  expect(here.threadEnded(child.threadId + 1000)).toBe(0);
  expect(here.threadEnded(child.threadId)).toBeGreaterThanOrEqual(6);
  here.adopt(child.token).release();
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

test("an arena outlives the thread that made it", async () => {
  arenaHere();
  const creator = new Thread("create", {});
  const { handle, token } = await creator.hear<{ handle: SharedArenaHandle; token: number }>();
  const here = SharedArena.attach(handle);
  expect(here.stats().blocks.leased).toBe(2);
  await creator.end();
  expect(here.stats()).toMatchObject({ threads: 1, blocks: { leased: 0, inTransit: 1, kept: 0 } });
  const lease = SharedArena.attach(here.handle).adopt(token);
  expect(isAll(lease.bytes, 7)).toBe(true);
  lease.release();
  expectSound(here);
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

describe("a channel whose receiver died", () => {
  async function orphan(capacity: number, received: number, sent: number) {
    const here = arenaHere();
    const { port1, port2 } = here.channel({ capacity });
    const thread = new Thread("receive", { handle: here.handle, port2, count: received });
    await thread.hear();
    for (let tag = 0; tag < sent; tag++) port1.trySend(here.copyOf(Uint8Array.of(tag, 9)), tag);
    expect(await thread.hear()).toBe("received");
    return { here, port1, thread };
  }

  test("says so, and gives back what was not received", async () => {
    const { here, port1, thread } = await orphan(8, 3, 8);
    await thread.end();
    const lease = here.acquire(1);
    expectThrow(() => port1.trySend(lease), "ERR_PEER_ENDED", "peerEnded()");
    expectArenaError(await rejectionOf(port1.send(lease)), "ERR_PEER_ENDED");
    expectArenaError(await rejectionOf(port1.receive()), "ERR_PEER_ENDED");
    lease.release();
    const back = port1.peerEnded();
    expect(back.map(({ tag, bytes }) => [tag, ...bytes])).toEqual([3, 4, 5, 6, 7].map((tag) => [tag, tag, 9]));
    expect(port1.peerEnded()).toEqual([]);
    for (const each of back) each.release();
    port1.close();
    expectAllBack(here);
  });

  test("ends a send that waits, and its lease is the sender's", async () => {
    const { here, port1, thread } = await orphan(4, 0, 4);
    const late = here.acquire(100);
    const sending = rejectionOf(port1.send(late));
    const reading = rejectionOf(port1.receive());
    expect(await isSettled(sending)).toBe(false);
    await thread.end();
    expectArenaError(await sending, "ERR_PEER_ENDED");
    expectArenaError(await reading, "ERR_PEER_ENDED");
    late.release();
    // Without peerEnded: closing releases what was not received.
    port1.close();
    expectAllBack(here);
  });

  test("after this end was closed gives all back by itself", async () => {
    const { here, port1, thread } = await orphan(8, 1, 6);
    port1.close();
    expect(here.stats().blocks.inTransit).toBe(5);
    await thread.end();
    expectAllBack(here);
  });
});

describe("a channel whose sender died", () => {
  const COUNT = 6;

  async function orphan(last: "close" | "exit") {
    const here = arenaHere();
    const { port1, port2 } = here.channel();
    const thread = new Thread("sendAndEnd", { handle: here.handle, port2, count: COUNT });
    await thread.hear();
    thread.say(last);
    await thread.exited;
    // What the dead had handed over is freed for this: not what waits in a channel.
    here.trim();
    expectThrow(() => here.acquire(MAX_BYTES), "ERR_ARENA_EXHAUSTED");
    return { here, port1 };
  }

  async function readAll(port: AsyncIterable<SharedLease>): Promise<number[]> {
    const tags: number[] = [];
    for await (const lease of port) {
      expect([...lease.bytes]).toEqual([lease.tag, 1]);
      tags.push(lease.tag);
      lease.release();
      if (tags.length === COUNT) break;
    }
    return tags;
  }

  test("delivers all that it had sent, and then says so", async () => {
    const { here, port1 } = await orphan("exit");
    expect(await readAll(port1)).toEqual([0, 1, 2, 3, 4, 5]);
    expectThrow(() => port1.tryReceive(), "ERR_PEER_ENDED", "has ended");
    expectArenaError(await rejectionOf(port1[Symbol.asyncIterator]().next()), "ERR_PEER_ENDED");
    expectThrow(() => port1.receiveSync(), "ERR_PEER_ENDED");
    port1.close();
    expect(port1.tryReceive()).toBe(undefined);
    expectAllBack(here);
  });

  test("just ends, if it had closed its port", async () => {
    const { here, port1 } = await orphan("close");
    expect(await readAll(port1)).toEqual([0, 1, 2, 3, 4, 5]);
    expect(await port1.receive()).toBe(undefined);
    expectAllBack(here);
  });

  test("wakes a receiver that blocks", async () => {
    const here = arenaHere();
    const listener = new Thread("listenSync", { handle: here.handle });
    const port2 = await listener.hear();
    const sender = new Thread("sendAndEnd", { handle: here.handle, port2, count: 3 });
    await sender.hear();
    sender.say("exit");
    expect(await listener.hear()).toEqual([[0, 1, 2], "ERR_PEER_ENDED"]);
    await listener.exited;
    expectAllBack(here);
  });
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
