/** Channels: order, tags, room, waiting, closing. What becomes of them when a thread dies is in death.test.ts. */

import { SharedArena, type SharedLease, type SharedPort } from "cleanslab/shared";
import { describe, expect, test } from "vitest";
import { clearRing, Inbox, Outbox, ringWords } from "../../src/shared/ring.ts";
import { expectArenaError, expectThrow, isAll, isSettled, promptly, rejectionOf } from "../helpers.ts";
import { expectAllBack, expectSound } from "./helpers.ts";
import { Thread } from "./threads.ts";

/** Both ends in this thread, of two attachments. */
function ends(capacity?: number) {
  const here = new SharedArena({ maxBytes: 1 << 22 });
  const there = SharedArena.attach(here.handle);
  const { port1, port2 } = here.channel(capacity === undefined ? {} : { capacity });
  return { here, there, port1, port2: there.open(port2) };
}

const message = (arena: SharedArena, value: number): SharedLease => arena.copyOf(Uint8Array.of(value));

function receiveAll(port: SharedPort): number[] {
  const tags: number[] = [];
  for (let lease = port.tryReceive(); lease !== undefined; lease = port.tryReceive()) {
    tags.push(lease.tag);
    lease.release();
  }
  return tags;
}

test.each([1, 2, 3, 4, 7, 64])(
  "a channel with room for %i takes so many, keeps their order, and goes round",
  (capacity) => {
    const { here, there, port1, port2 } = ends(capacity);
    for (let round = 0; round < 10; round++) {
      const tags = Array.from({ length: capacity }, (_, each) => round * 1000 - each);
      for (const tag of tags) expect(port1.trySend(message(here, 1), tag)).toBe(true);
      const late = message(here, 2);
      expect(port1.trySend(late)).toBe(false);
      expect(late.bytes[0]).toBe(2);
      expect(here.stats().blocks.inTransit).toBe(capacity);
      expect(receiveAll(port2)).toEqual(tags);
      late.release();
      // The other way.
      expect(port2.trySend(message(there, 3), round)).toBe(true);
      expect(receiveAll(port1)).toEqual([round]);
    }
    there.trim();
    expectAllBack(here);
  },
);

test("a lease goes with its bytes and its tag, which resize keeps", () => {
  const { here, there, port1, port2 } = ends();
  const sent = here.acquire(70_000);
  sent.bytes.fill(7);
  port1.trySend(sent, -5);
  expectThrow(() => sent.bytes, "ERR_LEASE_RELEASED");
  const lease = port2.tryReceive() as SharedLease;
  expect([lease.byteLength, lease.tag, isAll(lease.bytes, 7)]).toEqual([70_000, -5, true]);
  lease.resize(1000);
  expect([lease.byteLength, lease.tag, isAll(lease.bytes, 7)]).toEqual([1000, -5, true]);
  lease.release();
  expectThrow(() => lease.tag, "ERR_LEASE_RELEASED");
  const next = there.acquire(1000);
  expect(next.tag).toBe(0);
  next.release();
});

describe("sending to a full channel", () => {
  test("waits until half of it is free, in the order of the calls", async () => {
    const { here, port1, port2 } = ends(4);
    const sends = Array.from({ length: 7 }, (_, tag) => port1.send(message(here, 1), tag));
    for (const send of sends.slice(0, 4)) await promptly(send);
    const late = message(here, 1);
    expect(port1.trySend(late)).toBe(false);
    port2.tryReceive()?.release();
    expect(await isSettled(sends[4] as Promise<void>)).toBe(false);
    port2.tryReceive()?.release();
    // There is room, and others come first.
    expect(port1.trySend(late)).toBe(false);
    sends.push(port1.send(message(here, 1), 7));
    await promptly(sends[5] as Promise<void>);
    expect(await isSettled(sends[6] as Promise<void>)).toBe(false);
    expect(receiveAll(port2)).toEqual([2, 3, 4, 5]);
    await promptly(sends[7] as Promise<void>);
    expect(receiveAll(port2)).toEqual([6, 7]);
    expect(port1.trySend(late)).toBe(true);
  });

  test("ends with the channel, and the leases are the sender's", async () => {
    for (const close of [0, 1]) {
      const { here, port1, port2 } = ends(1);
      port1.trySend(message(here, 1));
      const late = [message(here, 2), message(here, 3)];
      const rejections = late.map((lease) => rejectionOf(port1.send(lease)));
      expect(await isSettled(rejections[0] as Promise<unknown>)).toBe(false);
      (close === 0 ? port1 : port2).close();
      for (const rejection of rejections) expectArenaError(await promptly(rejection), "ERR_PORT_CLOSED", "still yours");
      expect(late.map((lease) => lease.bytes[0])).toEqual([2, 3]);
      for (const lease of late) lease.release();
      // The one that was sent: the receiver's, or released by it.
      expect(receiveAll(port2)).toHaveLength(close === 0 ? 1 : 0);
      expect(here.stats().blocks.inTransit).toBe(0);
    }
  });
});

describe("closing", () => {
  test("leaves what was sent to the receiver, and then its messages end", async () => {
    const { here, there, port1, port2 } = ends();
    for (const tag of [1, 2, 3]) port1.trySend(message(here, 1), tag);
    const tags: number[] = [];
    const reading = (async () => {
      for await (const lease of port2) {
        tags.push(lease.tag);
        lease.release();
      }
    })();
    port1.close();
    port1.close();
    await promptly(reading);
    expect(tags).toEqual([1, 2, 3]);
    expect([await promptly(port2.receive()), port2.tryReceive(), port2.receiveSync()]).toEqual(
      Array(3).fill(undefined),
    );
    expect([port1.closed, port2.closed]).toEqual([true, true]);
    const lease = message(there, 1);
    expectThrow(() => port2.trySend(lease), "ERR_PORT_CLOSED");
    expectArenaError(await rejectionOf(port2.send(lease)), "ERR_PORT_CLOSED");
    lease.release();
    port2.close();
    there.trim();
    expectAllBack(here);
  });

  test("wakes whoever waits, at either end", async () => {
    const { here, there, port1, port2 } = ends();
    const waits = [port1.receive(), port2.receive()];
    for (const wait of waits) expect(await isSettled(wait)).toBe(false);
    port1.trySend(message(here, 1));
    (await promptly(waits[1] as Promise<SharedLease>)).release();
    const own = port2.receive();
    expect(await isSettled(own)).toBe(false);
    port2[Symbol.dispose]();
    expect(await promptly(own)).toBe(undefined);
    expect(await promptly(waits[0] as Promise<undefined>)).toBe(undefined);
    expect(here.stats().blocks.inTransit).toBe(0);
    there.trim();
    expectAllBack(here);
  });

  test("happens to the ports of an arena that is detached", async () => {
    const { here, there, port1, port2 } = ends();
    const wait = port2.receive();
    port2.trySend(message(there, 1), 8);
    here.detach();
    expect(await promptly(wait)).toBe(undefined);
    expect(there.stats().blocks.inTransit).toBe(0);
    expectThrow(() => port1.trySend(message(there, 1)), "ERR_INVALID_ARGUMENT");
    expectSound(there);
  });
});

test("closing releases what was not received", () => {
  const { here, there, port1, port2 } = ends();
  for (const tag of [1, 2]) port1.trySend(message(here, 1), tag);
  port2.close();
  expect(here.stats().blocks.inTransit).toBe(0);
  expectThrow(() => port1.trySend(message(here, 1)), "ERR_PORT_CLOSED");
  there.trim();
  expectSound(here, there);
});

test("a loop that stops early leaves the other messages where they are", async () => {
  const { here, port1, port2 } = ends();
  for (const tag of [1, 2, 3]) port1.trySend(message(here, 1), tag);
  for await (const lease of port2) {
    lease.release();
    break;
  }
  expect(receiveAll(port2)).toEqual([2, 3]);
});

test("receiveSync gives up after its time, and takes what is there at once", () => {
  const { here, port1, port2 } = ends();
  expect(port2.receiveSync(20)).toBe(undefined);
  port1.trySend(message(here, 1), 4);
  expect(port2.receiveSync(0)?.tag).toBe(4);
});

describe.each(["echo", "echoSync"] as const)("with another thread that does %s", (job) => {
  test("every message comes back, in order, and then the channel ends", async () => {
    const here = new SharedArena({ maxBytes: 1 << 22 });
    const { port1, port2 } = here.channel({ capacity: 8 });
    const thread = new Thread(job, { handle: here.handle, port2 });
    await thread.hear();
    expect(await thread.stays()).toBe(true);
    for (let tag = 0; tag < 500; tag++) {
      const lease = here.acquire(1 + ((tag * 37) % 3000));
      lease.bytes[0] = tag & 255;
      await port1.send(lease, tag);
      const back = (await port1.receive()) as SharedLease;
      expect([back.tag, back.bytes[0]]).toEqual([tag, (tag + 1) & 255]);
      back.release();
    }
    port1.close();
    expect(await thread.hear()).toBe("end");
    expect(await thread.exited).toBe(0);
    expectAllBack(here);
  });
});

test("positions go round", () => {
  const words = new Int32Array(new SharedArrayBuffer(4 * ringWords(4)));
  clearRing(words);
  // Head and tail, just before they wrap.
  words[0] = words[16] = 2 ** 30 - 6;
  const [out, into] = [new Outbox(words, 4), new Inbox(words, 4)];
  for (let each = 0; each < 20; each += 2) {
    for (const id of [each, each + 1]) {
      expect(out.hasRoom).toBe(true);
      expect(out.put(id, 2 * id, 3 * id)).toBe(true);
    }
    expect(out.unreceived).toBe(2);
    for (const id of [each, each + 1]) expect(into.take((...message) => message)).toEqual([id, 2 * id, 3 * id]);
    expect([out.unreceived, into.take(() => 0)]).toEqual([0, null]);
  }
  out.close();
  expect(into.isDone).toBe(true);
});

test("a full channel and a slow reader: thousands of messages, none lost, none twice", async () => {
  const here = new SharedArena({ maxBytes: 1 << 20 });
  const { port1, port2 } = here.channel({ capacity: 4 });
  const thread = new Thread("echo", { handle: here.handle, port2 });
  await thread.hear();
  const count = 20_000;
  const sending = (async () => {
    for (let tag = 0; tag < count; tag++) await port1.send(await here.acquireAsync(100), tag);
  })();
  let expected = 0;
  for await (const lease of port1) {
    if (lease.tag !== expected || !isAll(lease.bytes, 1))
      throw new Error(`message ${lease.tag} in place of ${expected}`);
    lease.release();
    if (++expected === count) break;
  }
  await sending;
  port1.close();
  expect(await thread.exited).toBe(0);
  expectAllBack(here);
});
