/**
 * Leases of shared memory, in one thread: `here` and `there` are two attachments, which
 * to the book are two threads. What only real threads show is in the other files.
 */

import { type ArenaError, SharedArena, type SharedLease } from "cleanslab/shared";
import { describe, expect, test } from "vitest";
import { collectGarbageUntil, expectThrow, isAll, isZero, rejectionOf } from "../helpers.ts";
import { expectAllBack, expectSound } from "./helpers.ts";

const MiB = 1024 * 1024;

function pair(maxBytes = 4 * MiB): { here: SharedArena; there: SharedArena } {
  const here = new SharedArena({ maxBytes });
  return { here, there: SharedArena.attach(here.handle) };
}

/** Whole slabs, the class of 32 KiB and what is just beside them; and the shortest. */
const LENGTHS = [0, 1, 255, 256, 257, 1000, 32767, 32768, 32769, 65535, 65536, 65537, 200_000, MiB];

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

describe.each(Object.entries(WAYS))("a lease from %s", (_, way) => {
  test.each(LENGTHS)("of %i bytes is exactly so long, zero, and back after its release", async (byteLength) => {
    const { here, there } = pair();
    for (let round = 0; round < 3; round++) {
      const lease = await way(here, byteLength);
      expect(lease.bytes.length).toBe(byteLength);
      expect(lease.byteLength).toBe(byteLength);
      expect(lease.bytes).toBe(lease.bytes);
      expect(lease.bytes.buffer).toBeInstanceOf(SharedArrayBuffer);
      expect(lease.byteOffset % 16).toBe(0);
      expect(lease.memory?.buffer.byteLength).toBe(here.stats().reservedBytes);
      expect(isZero(lease.bytes)).toBe(true);
      expect(here.stats()).toMatchObject({ liveLeases: 1, liveBytes: byteLength });
      lease.bytes.fill(0xee);
      lease.release();
      expectThrow(() => lease.release(), "ERR_LEASE_RELEASED");
    }
    here.trim();
    expect(here.stats()).toMatchObject({ liveLeases: 0, liveBytes: 0, blocks: { leased: 0, inTransit: 0, kept: 0 } });
    expectSound(here, there);
    there.acquire(4 * MiB).release();
  });
});

test("live leases of two threads never overlap, and all memory comes back", () => {
  const { here, there } = pair(2 * MiB);
  const arenas = [here, there];
  const live: { lease: SharedLease; mark: number }[] = [];
  let seed = 12345;
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return seed % below;
  };
  for (let step = 0; step < 4000; step++) {
    const arena = arenas[random(2)] as SharedArena;
    try {
      const lease = arena.acquire(1 + random(random(20) === 0 ? 300_000 : 9000));
      expect(isZero(lease.bytes)).toBe(true);
      const mark = 1 + random(255);
      lease.bytes.fill(mark);
      live.push({ lease, mark });
    } catch (error) {
      expect((error as ArenaError).code).toBe("ERR_ARENA_EXHAUSTED");
    }
    while (live.length > random(80)) {
      const [{ lease, mark }] = live.splice(random(live.length), 1) as [(typeof live)[number]];
      if (!isAll(lease.bytes, mark)) throw new Error(`step ${step}: somebody wrote into a live lease`);
      if (random(3) > 0) lease.release();
      else live.push({ lease: (arenas[random(2)] as SharedArena).adopt(lease.handOver()), mark });
    }
    if (random(500) === 0) expectSound(here, there);
  }
  for (const { lease } of live) lease.release();
  here.trim();
  there.trim();
  expectSound(here, there);
  here.acquire(2 * MiB).release();
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

// In place, and to other blocks.
test.each([
  [1000, 1020],
  [66_000, 120_000],
  [1000, 1300],
  [1000, 40_000],
  [40_000, 200_000],
  [200_000, 10],
  [30_000, 0],
])("resize from %i to %i bytes keeps what fits and zeroes what is new", (from, to) => {
  const { here } = pair();
  for (const byteLength of [from, to]) {
    const dirty = here.acquire(byteLength);
    dirty.bytes.fill(0xee);
    dirty.release();
  }
  const lease = here.acquire(from);
  lease.bytes.fill(5);
  lease.resize(to);
  const kept = Math.min(from, to);
  expect(lease.bytes.length).toBe(to);
  expect(isAll(lease.bytes.subarray(0, kept), 5)).toBe(true);
  expect(isZero(lease.bytes.subarray(kept))).toBe(true);
  expect(here.stats()).toMatchObject({ liveLeases: 1, liveBytes: to });
  lease.release();
  expectSound(here);
});

test("a writer grows, and its message goes to another thread", () => {
  const { here, there } = pair();
  const writer = here.writer(16);
  for (let line = 0; line < 500; line++) writer.writeString(`line ${line}\n`);
  const lease = there.adopt(writer.take().handOver());
  expect(Buffer.from(lease.bytes).toString().split("\n")).toHaveLength(501);
  lease.release();
  expectSound(here, there);
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

describe("a lease that is handed over", () => {
  test.each(LENGTHS)("of %i bytes is the adopter's, as it was", (byteLength) => {
    const { here, there } = pair();
    const lease = here.acquire(byteLength);
    lease.bytes.fill(9);
    const { byteOffset } = lease;
    const token = lease.handOver();
    expect(Number.isSafeInteger(token)).toBe(true);
    expect(lease.released).toBe(true);
    for (const use of [() => lease.bytes, () => lease.release(), () => lease.handOver(), () => lease.tag]) {
      expectThrow(use, "ERR_LEASE_RELEASED");
    }
    expect(here.stats()).toMatchObject({ liveLeases: 0, handedOver: 1, blocks: { inTransit: 1 } });
    const adopted = there.adopt(token);
    expect([adopted.byteLength, adopted.byteOffset, adopted.tag]).toEqual([byteLength, byteOffset, 0]);
    expect(isAll(adopted.bytes, 9)).toBe(true);
    expectThrow(() => here.adopt(token), "ERR_TOKEN_USED", token);
    expectThrow(() => there.adopt(token), "ERR_TOKEN_USED");
    adopted.release();
    expect(isZero(there.acquire(byteLength).bytes)).toBe(true);
    expectSound(here, there);
  });

  test("has its length, not that of its block, and keeps what resize left", () => {
    const { here, there } = pair();
    const lease = here.acquire(40_000);
    lease.bytes.fill(3);
    lease.resize(30_000);
    const adopted = there.adopt(lease.handOver());
    expect(adopted.byteLength).toBe(30_000);
    expect(isAll(adopted.bytes, 3)).toBe(true);
    adopted.release();
  });

  test("waits for nothing that still uses its bytes: a pin keeps it here", () => {
    const { here } = pair();
    const lease = here.acquire(10);
    const pin = lease.pin();
    expectThrow(() => lease.handOver(), "ERR_LEASE_PINNED");
    expect(lease.released).toBe(false);
    pin.release();
    here.adopt(lease.handOver()).release();
  });
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
  for (let round = 0; round < 3000; round++) {
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
