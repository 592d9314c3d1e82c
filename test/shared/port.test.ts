/**
 * Channels, as far as the contract (test/contract/shared.ts) and the random model
 * (test/model/shared) do not show them. Their wake-ups are in ring.test.ts, deaths in death.test.ts.
 */

import { SharedArena, type SharedLease, type SharedPort } from "cleanslab/shared";
import { expect, test } from "vitest";
import { clearRing, Inbox, Outbox, ringWords } from "../../src/shared/ring.ts";
import { expectThrow, isAll, isSettled, promptly } from "../helpers.ts";
import { expectAllBack } from "./helpers.ts";
import { Thread } from "./threads.ts";

/** Both ends in this thread, of two attachments. */
function ends(capacity = 64) {
  const here = new SharedArena({ maxBytes: 1 << 22 });
  const there = SharedArena.attach(here.handle);
  const { port1, port2 } = here.channel({ capacity });
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

test("a lease goes with its bytes and its tag, which resize keeps", () => {
  const { here, there, port1, port2 } = ends();
  const sent = here.acquire(70_000);
  sent.bytes.fill(7);
  port1.trySend(sent, -5);
  expectThrow(() => sent.bytes, "ERR_LEASE_RELEASED", "cannot read bytes", "70000 bytes was handed over or sent");
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

test("sending to a full channel waits until half of it is free, in the order of the calls", async () => {
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

test("a loop that stops early leaves the other messages where they are", async () => {
  const { here, port1, port2 } = ends();
  for (const tag of [1, 2, 3]) port1.trySend(message(here, 1), tag);
  for await (const lease of port2) {
    lease.release();
    break;
  }
  expect(receiveAll(port2)).toEqual([2, 3]);
});

test("a thread stays alive that waits for a message, or for room to send one, until its channel ends", async () => {
  const here = new SharedArena({ maxBytes: 1 << 22 });
  const { port1, port2 } = here.channel({ capacity: 1 });
  const thread = new Thread("echo", { handle: here.handle, port2 });
  await thread.hear();
  expect(await thread.stays()).toBe(true);
  for (const tag of [7, 8]) await port1.send(message(here, 1), tag);
  expect(await thread.stays()).toBe(true);
  for (const tag of [7, 8]) {
    const back = (await port1.receive()) as SharedLease;
    expect([back.tag, ...back.bytes]).toEqual([tag, 1]);
    back.release();
  }
  port1.close();
  expect(await thread.exited).toBe(0);
  expectAllBack(here);
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
