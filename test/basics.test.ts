/**
 * The library in two minutes: what a lease is, what becomes of a stale view, and what
 * the arena does at its limits. Every other file of this folder goes deeper into one of these.
 */

import { Arena, ArenaError } from "cleanslab";
import { expect, test } from "vitest";

test("a lease is as many zero bytes as were asked for", () => {
  const arena = new Arena();
  const lease = arena.acquire(1000);
  expect(lease.bytes).toEqual(new Uint8Array(1000));
  lease.release();
});

test("bytes are zero when they are handed out again", () => {
  const arena = new Arena({ maxBytes: 1024 * 1024 });
  for (let round = 0; round < 1000; round++) {
    const lease = arena.acquire(10_000);
    expect(lease.bytes.every((byte) => byte === 0)).toBe(true);
    lease.bytes.fill(0xff);
    lease.release();
  }
});

test("a view kept past its release is dead before its bytes are anyone else's", () => {
  const arena = new Arena({ maxBytes: 1024 * 1024 });
  const lease = arena.acquire(10_000);
  const stale = lease.bytes;
  stale.fill(7);
  lease.release();
  // For a while it keeps its own old bytes, as any forgotten array would …
  expect(stale[0]).toBe(7);
  // … and before somebody else gets them it has no bytes at all.
  for (let round = 0; round < 1000; round++) arena.acquire(10_000).release();
  expect(stale.length).toBe(0);
});

test("a lease is released once, and refuses access afterwards", () => {
  const arena = new Arena();
  const lease = arena.acquire(10);
  lease.release();
  expect(lease.released).toBe(true);
  expect(() => lease.bytes).toThrow(ArenaError);
  expect(() => lease.release()).toThrow(expect.objectContaining({ code: "ERR_LEASE_RELEASED" }));
});

test("use lends bytes to a function and takes them back whatever happens", async () => {
  const arena = new Arena();
  expect(arena.use(4, (bytes) => bytes.length)).toBe(4);
  await expect(arena.use(4, () => Promise.reject(new Error("mine")))).rejects.toThrow("mine");
  expect(arena.stats().liveLeases).toBe(0);
});

test("acquireFilled gives exactly what was written, and zeroes nothing first", () => {
  const arena = new Arena();
  const lease = arena.acquireFilled(1024, (bytes) => {
    bytes.set([1, 2, 3]);
    return 3;
  });
  expect([...lease.bytes]).toEqual([1, 2, 3]);
  lease.release();
});

test("resize keeps what fits and zeroes what is new", () => {
  const arena = new Arena();
  const lease = arena.copyOf(Uint8Array.of(1, 2, 3));
  lease.resize(5);
  expect([...lease.bytes]).toEqual([1, 2, 3, 0, 0]);
  lease.resize(2);
  expect([...lease.bytes]).toEqual([1, 2]);
  lease.release();
});

test("a pin keeps the bytes in place until the write is done", async () => {
  const arena = new Arena({ wipeOnRelease: true });
  const lease = arena.copyOf(Uint8Array.of(1, 2, 3));
  const { bytes } = lease;
  const write = new Promise<string>((resolve) => setTimeout(() => resolve([...bytes].join()), 5));
  // Ends the lease now, and returns the block when the promise settles.
  const written = lease.releaseAfter(write);
  expect(lease.released).toBe(true);
  expect(await written).toBe("1,2,3");
  expect(arena.stats().liveLeases).toBe(0);
});

test("at the cap a lease comes from the heap, throws, or waits: as the arena was told", async () => {
  const maxBytes = 1024 * 1024;
  const throwing = new Arena({ maxBytes, onExhausted: "throw" });
  const all: { release(): void }[] = [];
  expect(() => {
    for (;;) all.push(throwing.acquire(64 * 1024));
  }).toThrow(expect.objectContaining({ code: "ERR_ARENA_EXHAUSTED" }));

  const waiting = throwing.acquireAsync(64 * 1024);
  for (const lease of all) lease.release();
  (await waiting).release();

  const allocating = new Arena({ maxBytes });
  const leases = Array.from({ length: 20 }, () => allocating.acquire(64 * 1024));
  expect(leases.at(-1)?.origin).toBe("heap");
  expect(allocating.stats().reservedBytes).toBeLessThanOrEqual(maxBytes);
  for (const lease of leases) lease.release();
});

test("a scope releases several leases together", () => {
  const arena = new Arena();
  {
    using scope = arena.scope();
    scope.bytes(100).fill(1);
    scope.bytes(200).fill(2);
    expect(arena.stats().liveLeases).toBe(2);
  }
  expect(arena.stats().liveLeases).toBe(0);
});

test("a writer builds a message of any length", () => {
  const arena = new Arena();
  const writer = arena.writer();
  writer.writeUint16(3);
  writer.writeString("abc");
  const message = writer.take();
  expect([...message.bytes]).toEqual([0, 3, 97, 98, 99]);
  message.release();
});

test("assertDrained names what was never released", () => {
  const arena = new Arena({ trace: "all" });
  const lease = arena.acquire(123);
  expect(() => arena.assertDrained()).toThrow(/1 lease of 123 bytes(.|\n)*basics\.test/);
  lease.release();
  arena.assertDrained();
});

test("code that ignores byteOffset is reported", async () => {
  const arena = new Arena({ trace: "all" });
  const reported = new Promise<number>((resolve) => {
    arena.addEventListener("stray-write", ({ byteOffset }) => resolve(byteOffset));
  });
  const lease = arena.acquire(100);
  new DataView(lease.bytes.buffer).setUint32(8, 0xdeadbeef);
  lease.release();
  expect(await reported).toBe(8);
});

test("a disposed arena refuses everything, and every view of it is dead", () => {
  const arena = new Arena();
  const { bytes } = arena.acquire(10);
  arena[Symbol.dispose]();
  expect(bytes.length).toBe(0);
  expect(() => arena.acquire(10)).toThrow(expect.objectContaining({ code: "ERR_ARENA_DISPOSED" }));
});
