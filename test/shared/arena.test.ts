/**
 * Leases of shared memory, in one thread: `here` and `there` are two attachments, which
 * to the book are two threads. Lengths, bytes, counts and overlap at random: test/model/shared.
 */

import { SharedArena, type SharedLease } from "cleanslab/shared";
import { expect, test } from "vitest";
import { collectGarbageUntil, expectThrow, isAll, MiB, rejectionOf } from "../helpers.ts";
import { expectAllBack, expectSound } from "./helpers.ts";

function pair(maxBytes = 4 * MiB): { here: SharedArena; there: SharedArena } {
  const here = new SharedArena({ maxBytes });
  return { here, there: SharedArena.attach(here.handle) };
}

const WAYS: Record<string, (arena: SharedArena, byteLength: number) => SharedLease | Promise<SharedLease>> = {
  acquire: (arena, byteLength) => arena.acquire(byteLength),
  acquireAsync: (arena, byteLength) => arena.acquireAsync(byteLength),
  scope: (arena, byteLength) => arena.scope().acquire(byteLength),
  acquireFilled: (arena, byteLength) => arena.acquireFilled(byteLength, (bytes) => bytes.fill(0).length),
  copyOf: (arena, byteLength) => arena.copyOf(new Uint8Array(byteLength)),
  writer: (arena, byteLength) => {
    const writer = arena.writer();
    writer.reserve(byteLength);
    return writer.take();
  },
  adopt: (arena, byteLength) => arena.adopt(arena.acquire(byteLength).handOver()),
};

test.each(Object.entries(WAYS))("a lease from %s is exactly as long as was asked, and back once", async (_, way) => {
  const { here, there } = pair();
  for (const byteLength of [0, 1, 32_769, 65_537, MiB]) {
    const lease = await way(here, byteLength);
    expect([lease.bytes.length, lease.byteLength, lease.byteOffset % 16]).toEqual([byteLength, byteLength, 0]);
    expect(lease.bytes).toBe(lease.bytes);
    expect(lease.bytes.buffer).toBeInstanceOf(SharedArrayBuffer);
    expect(lease.memory?.buffer.byteLength).toBe(here.stats().reservedBytes);
    expect(here.stats()).toMatchObject({ liveLeases: 1, liveBytes: byteLength });
    lease.release();
    expectThrow(() => lease.release(), "ERR_LEASE_RELEASED");
  }
  expectAllBack(here);
  expectSound(there);
});

test("acquireFilled shows bytes that are not zeroed, and then only those that were written", async () => {
  const { here } = pair();
  const dirty = here.acquire(1000);
  dirty.bytes.fill(0xee);
  dirty.release();
  const lease = here.acquireFilled(1000, (bytes) => {
    expect(isAll(bytes, 0xee)).toBe(true);
    bytes.fill(7, 0, 10);
    return 10;
  });
  expect([...lease.bytes]).toEqual(Array(10).fill(7));
  const later = await here.acquireFilled(1000, async (bytes) => bytes.fill(8).length);
  expect(isAll(later.bytes, 8) && later.byteLength === 1000).toBe(true);
  for (const answer of [-1, 1001, 1.5, "10", undefined]) {
    expectThrow(() => here.acquireFilled(1000, () => answer as number), "ERR_INVALID_ARGUMENT");
  }
  expect(await rejectionOf(here.acquireFilled(9, () => Promise.reject(new Error("mine"))))).toMatchObject({
    message: "mine",
  });
  expect(here.stats().liveLeases).toBe(2);
});

test("use lends bytes and takes them back, also when the function throws", async () => {
  const { here } = pair();
  expect(here.use(100, (bytes) => bytes.fill(1).length)).toBe(100);
  expect(await here.use(100, async (bytes) => bytes.length)).toBe(100);
  expect(() =>
    here.use(100, () => {
      throw new TypeError("mine");
    }),
  ).toThrow("mine");
  expect(here.stats().liveLeases).toBe(0);
});

test("a lease that is handed over is the adopter's, as it was and where it was, with what resize left of it", () => {
  const { here, there } = pair();
  const lease = here.acquire(40_000);
  lease.bytes.fill(9);
  lease.resize(30_000);
  const { byteOffset } = lease;
  const token = lease.handOver();
  expect([Number.isSafeInteger(token), lease.released]).toEqual([true, true]);
  for (const use of [() => lease.bytes, () => lease.release(), () => lease.handOver(), () => lease.tag]) {
    expectThrow(use, "ERR_LEASE_RELEASED", "30000 bytes was handed over or sent");
  }
  expect(here.stats()).toMatchObject({ liveLeases: 0, handedOver: 1, blocks: { inTransit: 1 } });
  const adopted = there.adopt(token);
  expect([adopted.byteLength, adopted.byteOffset, adopted.tag]).toEqual([30_000, byteOffset, 0]);
  expect(isAll(adopted.bytes, 9)).toBe(true);
  expectThrow(() => here.adopt(token), "ERR_TOKEN_USED", token);
  adopted.release();
});

test("a lease that is pinned is not handed over", () => {
  const { here } = pair();
  const lease = here.acquire(10);
  const pin = lease.pin();
  expectThrow(() => lease.handOver(), "ERR_LEASE_PINNED");
  expect(lease.released).toBe(false);
  pin.release();
  here.adopt(lease.handOver()).release();
});

test("what one thread keeps is another's once it trims, and at the cap not before", () => {
  const { here, there } = pair(2 * 65536);
  const leases = Array.from({ length: 8 }, () => here.acquire(16384));
  for (const lease of leases) lease.release();
  expect(here.stats().blocks.kept).toBe(8);
  expectThrow(() => there.acquire(16384), "ERR_ARENA_EXHAUSTED", 16384, 131072);
  expect(here.trim()).toBe(8 * 16384);
  there.acquire(2 * 65536).release();
});

test.each([
  [256, 32],
  [16384, 8],
  [32769, 2],
  [65536, 2],
  [65537, 0],
])("of %i bytes a thread keeps %i blocks at most", (byteLength, most) => {
  const { here } = pair(8 * MiB);
  const leases = Array.from({ length: 2 * most + 1 }, () => here.acquire(byteLength));
  const kept = leases.map((lease) => {
    lease.release();
    return here.stats().blocks.kept;
  });
  expect(Math.max(...kept)).toBe(most);
  expectAllBack(here);
});

test("detach is refused while a lease is out, and changes nothing", () => {
  const { here, there } = pair();
  const lease = here.acquire(1000);
  expectThrow(() => here.detach(), "ERR_LEASES_OUTSTANDING", "1 lease of 1000 bytes");
  expect(lease.bytes.length).toBe(1000);
  lease.release();
  const token = here.acquire(10).handOver();
  here.detach();
  // In the table as long as its token is out.
  expect(there.stats()).toMatchObject({ threads: 2, blocks: { leased: 0, inTransit: 1, kept: 0 } });
  expect(there.adopt(token).byteLength).toBe(10);
  expectThrow(() => here.acquire(1), "ERR_ARENA_DISPOSED");
  expectSound(there);
});

test("leases that are out when their arena is disposed stay good, and come back", () => {
  const { here, there } = pair();
  const lease = here.acquire(1000);
  const long = here.acquire(100_000);
  here[Symbol.dispose]();
  here[Symbol.dispose]();
  lease.bytes.fill(1);
  expect(there.stats()).toMatchObject({ threads: 2, blocks: { leased: 2 } });
  expectThrow(() => lease.resize(90_000), "ERR_ARENA_DISPOSED");
  lease.release();
  expect(there.stats()).toMatchObject({ threads: 2, blocks: { leased: 1, kept: 0 } });
  long.release();
  expect(there.stats().threads).toBe(1);
  expectAllBack(there);
});

test("attaching and detaching leaves no trace, however often", () => {
  const { here } = pair();
  for (let round = 0; round < 1100; round++) {
    const there = SharedArena.attach(here.handle);
    there.acquire(1000).release();
    there.detach();
  }
  expect(here.stats()).toMatchObject({ threads: 2, blocks: { leased: 0, inTransit: 0, kept: 0 } });
  expectSound(here);
});

test("drained waits for the leases of this thread, not for tokens or other threads", async () => {
  const { here, there } = pair();
  const theirs = there.acquire(10);
  await here.drained();
  const [a, b] = [here.acquire(10), here.acquire(10)];
  const order: string[] = [];
  const drained = here.drained().then(() => order.push("drained"));
  a.release();
  await Promise.resolve();
  order.push("one left");
  const token = b.handOver();
  await drained;
  expect(order).toEqual(["one left", "drained"]);
  there.adopt(token).release();
  theirs.release();
});

test("an arena that nobody has any more is collected, without detach", async () => {
  let collected = 0;
  const registry = new FinalizationRegistry(() => collected++);
  for (let each = 0; each < 5; each++) {
    const arena = new SharedArena();
    arena.acquire(10).release();
    arena.channel().port1.close();
    registry.register(arena, undefined);
  }
  // One may still lie on the stack.
  await collectGarbageUntil(() => collected >= 4);
  expect(collected).toBeGreaterThanOrEqual(4);
});

test("memory grows as it is needed, up to the cap", () => {
  const here = new SharedArena({ maxBytes: 8 * MiB });
  expect(here.stats().reservedBytes).toBe(MiB);
  const leases = Array.from({ length: 8 }, () => here.acquire(MiB));
  expect(here.stats()).toMatchObject({ reservedBytes: 8 * MiB, maxBytes: 8 * MiB });
  expectThrow(() => here.acquire(1), "ERR_ARENA_EXHAUSTED");
  for (const lease of leases) lease.release();
  expectSound(here);
});
