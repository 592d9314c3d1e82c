/** Bodies of an announced length, and bodies that wait for room. */

import { Readable } from "node:stream";
import { Arena, type Lease } from "cleanslab";
import { collect } from "cleanslab/node";
import { describe, expect, test } from "vitest";
import { exhaust, expectArenaError, rejectionOf, releaseAll, settle, wrong } from "../helpers.ts";
import { expectDrained, pattern } from "./helpers.ts";

function streamOf(body: Buffer, chunkBytes: number): Readable {
  const chunks: Buffer[] = [];
  for (let at = 0; at < body.length; at += chunkBytes) chunks.push(body.subarray(at, at + chunkBytes));
  return Readable.from(chunks, { objectMode: false });
}

describe("collect with byteLength", () => {
  test.each([0, 1, 1000, 100_000, 300_000])("puts %i bytes straight into one lease", async (byteLength) => {
    const arena = new Arena();
    const body = pattern(byteLength);
    const before = arena.stats().acquired;
    const lease = await collect(streamOf(body, 7000), arena, { byteLength });
    expect(Buffer.compare(Buffer.from(lease.bytes), body)).toBe(0);
    expect(arena.stats().acquired - before).toBe(1);
    lease.release();
    expectDrained(arena);
  });

  test.each([
    ["more", 999],
    ["less", 1001],
  ])("rejects a body with %s than was announced", async (_, byteLength) => {
    const arena = new Arena();
    const error = await rejectionOf(collect(streamOf(pattern(1000), 300), arena, { byteLength, limit: 5000 }));
    expectArenaError(error, "ERR_LENGTH_MISMATCH", byteLength);
    expectDrained(arena);
  });

  test("refuses an announced length over the limit before it reads anything", async () => {
    const stream = streamOf(pattern(1000), 300);
    const error = await rejectionOf(collect(stream, new Arena(), { byteLength: 1000, limit: 999 }));
    expectArenaError(error, "ERR_LIMIT_EXCEEDED", 999);
    expect(stream.readableFlowing).toBe(null);
  });

  test("calls onChunk with each chunk in order, and rejects with what it throws", async () => {
    const arena = new Arena();
    const body = pattern(10_000);
    const seen: Buffer[] = [];
    const lease = await collect(streamOf(body, 3000), arena, {
      byteLength: 10_000,
      onChunk: (chunk) => seen.push(Buffer.from(chunk)),
    });
    expect(Buffer.compare(Buffer.concat(seen), body)).toBe(0);
    lease.release();
    const mine = new Error("mine");
    const onChunk = (): void => {
      throw mine;
    };
    expect(await rejectionOf(collect(streamOf(body, 3000), arena, { byteLength: 10_000, onChunk }))).toBe(mine);
    expectDrained(arena);
  });

  test.each([
    ["byteLength", { byteLength: -1 }],
    ["byteLength", { byteLength: 1.5 }],
    ["limit", {}],
    ["onChunk", { limit: 1, onChunk: 1 }],
    ["waitForRoom", { byteLength: 1, waitForRoom: 1 }],
    ["byteLength", { limit: 1, waitForRoom: true }],
  ])("refuses a wrong %s", async (name, options) => {
    expectArenaError(
      await rejectionOf(collect(streamOf(pattern(1), 1), new Arena(), wrong(options))),
      "ERR_INVALID_ARGUMENT",
      name,
    );
  });
});

test("a body longer than its exact length is a mismatch, whether or not there is a limit", async () => {
  for (const limit of [undefined, 5, 1000]) {
    const arena = new Arena();
    const collected = collect(streamOf(pattern(10), 3), arena, { byteLength: 5, limit });
    expect(await rejectionOf(collected)).toMatchObject({ code: "ERR_LENGTH_MISMATCH" });
    expectDrained(arena);
  }
});

describe("collect with waitForRoom", () => {
  test("waits for room, in order, and reads nothing meanwhile", async () => {
    const arena = new Arena({ maxBytes: 1 << 20, onExhausted: "throw" });
    const held = exhaust(arena, 65536);
    const order: number[] = [];
    const bodies = [200_000, 100_000, 300_000].map((byteLength, each) => {
      const stream = streamOf(pattern(byteLength), 10_000);
      const collected = collect(stream, arena, { byteLength, waitForRoom: true }).then((lease: Lease) => {
        order.push(each);
        expect(Buffer.compare(Buffer.from(lease.bytes), pattern(byteLength))).toBe(0);
        lease.release();
      });
      return { stream, collected };
    });
    await settle();
    expect(arena.stats().waiting).toBe(3);
    expect(bodies.every(({ stream }) => stream.readableFlowing !== true)).toBe(true);
    releaseAll(held);
    await Promise.all(bodies.map(({ collected }) => collected));
    expect(arena.stats().waited.count).toBe(3);
    expectDrained(arena);
  });

  test("gives up with its signal, and leaves the queue", async () => {
    const arena = new Arena({ maxBytes: 1 << 20, onExhausted: "throw" });
    const held = exhaust(arena, 65536);
    const abort = new AbortController();
    const collected = collect(streamOf(pattern(200_000), 1000), arena, {
      byteLength: 200_000,
      waitForRoom: true,
      signal: abort.signal,
    });
    abort.abort(new Error("enough"));
    expect(await rejectionOf(collected)).toMatchObject({ message: "enough" });
    expect(arena.stats().waiting).toBe(0);
    releaseAll(held);
    expectDrained(arena);
  });

  test("rejects a stream that is destroyed while it waits, at once, and leaves the queue", async () => {
    const arena = new Arena({ maxBytes: 1 << 20, onExhausted: "throw" });
    const held = exhaust(arena, 65536);
    const stream = streamOf(pattern(200_000), 1000);
    const collected = collect(stream, arena, { byteLength: 200_000, waitForRoom: true });
    stream.destroy(new Error("gone"));
    expect(await rejectionOf(collected)).toMatchObject({ message: "gone" });
    // Nobody behind it waits for a client that is not there.
    expect(arena.stats().waiting).toBe(0);
    expect(stream.listenerCount("close")).toBe(0);
    releaseAll(held);
    expectDrained(arena);
  });

  test("does not make an uncaught error of a client that goes away after the wait was given up", async () => {
    const arena = new Arena({ maxBytes: 1 << 20, onExhausted: "throw" });
    const held = exhaust(arena, 65536);
    const stream = streamOf(pattern(200_000), 1000);
    const abort = new AbortController();
    const { signal } = abort;
    const collected = collect(stream, arena, { byteLength: 200_000, waitForRoom: true, signal });
    abort.abort(new Error("enough"));
    expect(await rejectionOf(collected)).toMatchObject({ message: "enough" });
    await settle();
    // Without a listener the error would be thrown.
    expect(stream.listenerCount("error")).toBe(1);
    stream.destroy(new Error("gone"));
    await settle();
    releaseAll(held);
    expectDrained(arena);
  });

  test("rejects a stream that was destroyed before, and does not wait", async () => {
    const arena = new Arena({ maxBytes: 1 << 20, onExhausted: "throw" });
    const held = exhaust(arena, 65536);
    const stream = streamOf(pattern(200_000), 1000);
    stream.destroy();
    await settle();
    const collected = collect(stream, arena, { byteLength: 200_000, waitForRoom: true });
    expect(await rejectionOf(collected)).toMatchObject({ code: "ERR_STREAM_PREMATURE_CLOSE" });
    expect(arena.stats().waiting).toBe(0);
    releaseAll(held);
    expectDrained(arena);
  });
});
