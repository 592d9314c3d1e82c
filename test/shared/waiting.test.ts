/** `acquireAsync`: room that this thread makes, another attachment, or another thread. */

import { SharedArena } from "cleanslab/shared";
import { describe, expect, test } from "vitest";
import { BELL } from "../../src/shared/abi.ts";
import { expectArenaError, expectThrow, isSettled, isZero, rejectionOf, settle } from "../helpers.ts";
import { expectAllBack } from "./helpers.ts";
import { Thread } from "./threads.ts";

const SLAB = 65536;

function full(slabs = 2) {
  const here = new SharedArena({ maxBytes: slabs * SLAB });
  return {
    here,
    there: SharedArena.attach(here.handle),
    leases: Array.from({ length: slabs }, () => here.acquire(SLAB)),
  };
}

describe("a wait for room", () => {
  test("ends with a release in the same thread, first come, first served", async () => {
    const { here, leases } = full();
    const served: string[] = [];
    const wait = async (name: string, byteLength: number) => {
      const lease = await here.acquireAsync(byteLength);
      served.push(name);
      return lease;
    };
    const [first, second] = [wait("first", SLAB), wait("second", 10)];
    expect(await isSettled(first)).toBe(false);
    expect(here.stats().waiting).toBe(2);
    leases[0]?.bytes.fill(1);
    leases[0]?.release();
    const lease = await first;
    expect(isZero(lease.bytes)).toBe(true);
    expect(await isSettled(second)).toBe(false);
    lease.release();
    (await second).release();
    expect(served).toEqual(["first", "second"]);
    expect(here.stats()).toMatchObject({ waiting: 0, waited: { count: 2 } });
    leases[1]?.release();
    expectAllBack(here);
  });

  test("ends with a release of another attachment, and with a token that comes back", async () => {
    const { here, there, leases } = full();
    const waiting = there.acquireAsync(SLAB);
    expect(await isSettled(waiting)).toBe(false);
    leases[0]?.release();
    const lease = await waiting;
    const again = here.acquireAsync(2 * SLAB);
    const token = lease.handOver();
    leases[1]?.release();
    expect(await isSettled(again)).toBe(false);
    there.adopt(token).release();
    (await again).release();
    expectAllBack(here);
  });

  test("ends with the release of a short lease, which is not kept then", async () => {
    const here = new SharedArena({ maxBytes: SLAB });
    const there = SharedArena.attach(here.handle);
    const leases = Array.from({ length: 4 }, () => here.acquire(SLAB / 4));
    const waiting = there.acquireAsync(SLAB / 4);
    expect(await isSettled(waiting)).toBe(false);
    leases.pop()?.release();
    (await waiting).release();
    for (const lease of leases) lease.release();
    there.trim();
    expectAllBack(here);
  });

  test("ends with what another thread kept, which does nothing itself", async () => {
    const here = new SharedArena({ maxBytes: 4 * SLAB });
    const keeper = new Thread("keep", { handle: here.handle, count: 8000 });
    expect(await keeper.hear<number>()).toBeGreaterThan(10);
    expectThrow(() => here.acquire(4 * SLAB), "ERR_ARENA_EXHAUSTED");
    (await here.acquireAsync(4 * SLAB)).release();
    keeper.say("end");
    expect(await keeper.exited).toBe(0);
    expectAllBack(here);
  });

  test("ends with what a thread kept that is never idle", async () => {
    const here = new SharedArena({ maxBytes: 4 * SLAB });
    const flag = new Int32Array(new SharedArrayBuffer(4));
    const busy = new Thread("busy", { handle: here.handle, flag });
    await busy.hear();
    (await here.acquireAsync(3 * SLAB)).release();
    Atomics.store(flag, 0, 1);
    await busy.exited;
    expectAllBack(here);
  });

  test("ends with a release in another thread", async () => {
    const here = new SharedArena({ maxBytes: 4 * SLAB });
    const filler = new Thread("fill", { handle: here.handle, count: SLAB });
    expect(await filler.hear()).toEqual(["ERR_ARENA_EXHAUSTED", 4]);
    const waiting = here.acquireAsync([SLAB, SLAB + 1]);
    expect(await isSettled(waiting)).toBe(false);
    for (const left of [3, 2]) {
      filler.say("release");
      expect(await filler.hear()).toBe(left);
      expect(await isSettled(waiting)).toBe(false);
    }
    filler.say("release");
    for (const lease of await waiting) lease.release();
    filler.say("end");
    await filler.exited;
    expectAllBack(here);
  });

  test("in another thread keeps that thread alive, and ends with a release here", async () => {
    const { here, leases } = full();
    const waiter = new Thread("wait", { handle: here.handle, count: 2 * SLAB });
    expect(await waiter.hear()).toBe("waiting");
    leases[0]?.release();
    expect(await waiter.stays()).toBe(true);
    leases[1]?.release();
    expect(await waiter.hear()).toBe(2 * SLAB);
    waiter.say("end");
    expect(await waiter.exited).toBe(0);
    expectAllBack(here);
  });

  test("ends with the death of the thread that had the room", async () => {
    const here = new SharedArena({ maxBytes: 4 * SLAB });
    const filler = new Thread("fill", { handle: here.handle, count: SLAB });
    await filler.hear();
    const waiting = here.acquireAsync(4 * SLAB);
    expect(await isSettled(waiting)).toBe(false);
    await filler.end();
    (await waiting).release();
    expectAllBack(here);
  });
});

test("several leases come at once or not at all, and two that wait for them let each other be", async () => {
  const { here, there, leases } = full(3);
  const words = new Int32Array(here.handle.book.buffer);
  leases.pop()?.release();
  const waits = [here, there].map((arena) => arena.acquireAsync([1000, 2 * SLAB]));
  for (const wait of waits) expect(await isSettled(wait)).toBe(false);
  expect(here.stats()).toMatchObject({ liveLeases: 2, waiting: 1 });
  expect(there.stats()).toMatchObject({ liveLeases: 0, waiting: 1 });
  // Each takes the short one and gives it back. If that were news to the other, they would never rest.
  const rung = Atomics.load(words, BELL);
  for (let turn = 0; turn < 20; turn++) await settle();
  expect(Atomics.load(words, BELL)).toBe(rung);
  for (const lease of leases) lease.release();
  const [one, other] = await Promise.race(waits.map(async (wait, each) => [await wait, waits[1 - each]] as const));
  for (const lease of one) lease.release();
  for (const lease of (await other) ?? []) lease.release();
  there.trim();
  expectAllBack(here);
});

test("a wait is given up by its signal, and by the end of the arena", async () => {
  const { here, there, leases } = full();
  const abort = new AbortController();
  const given = rejectionOf(there.acquireAsync(10, { signal: abort.signal }));
  const ended = rejectionOf(there.acquireAsync(10));
  abort.abort("enough");
  expect(await given).toBe("enough");
  there.detach();
  expectArenaError(await ended, "ERR_ARENA_DISPOSED");
  for (const lease of leases) lease.release();
  expectAllBack(here);
});

test("what can never fit is refused at once", async () => {
  const { here, leases } = full();
  expectArenaError(await rejectionOf(here.acquireAsync(2 * SLAB + 1)), "ERR_ARENA_EXHAUSTED", "never fit");
  // The last one: fewer bytes than there are, but each length takes slabs of its own.
  for (const byteLengths of [
    [SLAB, SLAB, 1],
    [10, 300, 1000],
    [SLAB - 1, SLAB / 2 + 1, 1],
  ]) {
    expectArenaError(await rejectionOf(here.acquireAsync(byteLengths)), "ERR_ARENA_EXHAUSTED", "never fit");
  }
  expectThrow(() => here.acquire(2 * SLAB + 1), "ERR_ARENA_EXHAUSTED", "never fit");
  for (const lease of leases) lease.release();
  expectAllBack(here);
});
