/**
 * cleanslab/web on Node's own web streams, bodies, blobs and message ports. A real
 * access handle exists in browsers' workers only; here its part is played by a real
 * file behind the same two methods.
 */

import { getEventListeners } from "node:events";
import { ftruncateSync, openSync, readFileSync, readSync, writeSync } from "node:fs";
import { join } from "node:path";
import { MessageChannel, receiveMessageOnPort } from "node:worker_threads";
import type { Arena } from "cleanslab";
import {
  type AccessHandleLike,
  collect,
  ownedCopy,
  readAccessHandle,
  readLeases,
  writeAccessHandle,
  writeAndRelease,
} from "cleanslab/web";
import { describe, expect, test } from "vitest";
import {
  deferred,
  exhaust,
  expectArenaError,
  expectThrow,
  MODES,
  promptly,
  rejectionOf,
  releaseAll,
  settle,
  smallArena,
  wrong,
} from "../helpers.ts";
import { expectDrained, pattern, temporaryFolder } from "../node/helpers.ts";

const folder = temporaryFolder();
const BODY = pattern(100_000);
const LIMIT = { limit: 200_000 };

type Source = Parameters<typeof collect>[0];
type Options = Pick<Parameters<typeof collect>[2], "byteLengthHint" | "signal">;

/** A stream of the chunks; whether it was cancelled and is locked. */
function streamOf(chunks: unknown[], after: "close" | "stall" | Error = "close") {
  let isCancelled = false;
  const stream = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(chunk as Uint8Array);
      if (after === "close") controller.close();
    },
    pull(controller) {
      if (after instanceof Error) controller.error(after);
    },
    cancel() {
      isCancelled = true;
    },
  });
  const expectCancelled = (): void => expect([isCancelled, stream.locked]).toEqual([true, false]);
  return { stream, expectCancelled };
}

/** What a body can come from. */
const SOURCES: Record<string, () => Source> = {
  ReadableStream: () => streamOf([BODY.subarray(0, 1), BODY.subarray(1, 70_000), BODY.subarray(70_000)]).stream,
  "byte stream": () => new Blob([BODY]).stream(),
  Response: () => new Response(BODY),
  Request: () => new Request("http://localhost/", { method: "POST", body: BODY }),
  Blob: () => new Blob([BODY]),
};

/** Reads all of the source, and releases. */
const READERS: Record<string, (source: Source, arena: Arena, options?: Options) => Promise<Buffer>> = {
  async collect(source, arena, options) {
    using lease = await collect(source, arena, { ...LIMIT, ...options });
    return Buffer.from(lease.bytes);
  },
  async readLeases(source, arena, options) {
    const chunks: Buffer[] = [];
    for await (using lease of readLeases(source, arena, options)) chunks.push(Buffer.from(lease.bytes));
    return Buffer.concat(chunks);
  },
};

describe.each(Object.entries(READERS))("%s", (name, read) => {
  test.each(MODES)("gives what comes out of every kind of source as leases, revoke: %s", async (revoke) => {
    using arena = smallArena({ revoke, trace: "all" }, 16);
    for (const [kind, make] of Object.entries(SOURCES)) {
      expect(BODY.equals(await read(make(), arena)), kind).toBe(true);
      expectDrained(arena);
    }
    expect((await read(new Response(null), arena)).length).toBe(0);
  });

  test("stops when the signal aborts, before or while nothing comes, and cancels the source", async () => {
    using arena = smallArena();
    const reason = new Error("enough");
    const before = streamOf([BODY], "stall");
    expect(await rejectionOf(read(before.stream, arena, { signal: AbortSignal.abort(reason) }))).toBe(reason);
    before.expectCancelled();
    const controller = new AbortController();
    const stalled = streamOf([BODY], "stall");
    const reading = rejectionOf(read(stalled.stream, arena, { signal: controller.signal }));
    await settle();
    controller.abort(reason);
    expect(await promptly(reading)).toBe(reason);
    stalled.expectCancelled();
    expectDrained(arena);
  });

  test("listens to its signal while a read is under way; takes null for none, and refuses what is none", async () => {
    using arena = smallArena();
    const { signal } = new AbortController();
    await read(streamOf([BODY, BODY]).stream, arena, { signal });
    expect(getEventListeners(signal, "abort")).toEqual([]);
    await read(new Blob([BODY]), arena, { signal: wrong(null) });
    const { stream, expectCancelled } = streamOf([BODY], "stall");
    const refused = read(stream, arena, { signal: wrong({ aborted: false }) });
    expectArenaError(await rejectionOf(refused), "ERR_INVALID_ARGUMENT", "signal is");
    expectCancelled();
    expectDrained(arena);
  });

  test("passes on the stream's error, that it is no stream of bytes, and that there is no room", async () => {
    using arena = smallArena({ onExhausted: "throw" }, 1);
    const error = new Error("broken");
    expect(await rejectionOf(read(streamOf([BODY], error).stream, arena))).toBe(error);
    const text = streamOf(["text"], "stall");
    expectArenaError(await rejectionOf(read(text.stream, arena)), "ERR_INVALID_ARGUMENT", "a stream of bytes");
    text.expectCancelled();
    expectDrained(arena);
    const full = exhaust(arena, 4096);
    const { stream, expectCancelled } = streamOf([BODY], "stall");
    expectArenaError(await rejectionOf(read(stream, arena)), "ERR_ARENA_EXHAUSTED");
    expectCancelled();
    releaseAll(full);
    expectDrained(arena);
  });

  test("refuses what is no source, was read before, or is read by someone else", async () => {
    using arena = smallArena();
    const used = new Response("text");
    await used.text();
    const { stream: locked } = streamOf([]);
    locked.getReader();
    const half = { body: streamOf([BODY]).stream, bodyUsed: true };
    for (const source of [null, undefined, "text", {}, new Uint8Array(1), used, half, locked]) {
      expectArenaError(await rejectionOf(read(wrong(source), arena)), "ERR_INVALID_ARGUMENT", "source is");
    }
    expect(name === "collect" ? arena.stats().acquired : 0).toBe(0);
  });
});

describe("collect", () => {
  test("cancels the source at the limit, or of which it reads nothing: a hint over it, and bad options", async () => {
    using arena = smallArena({}, 16);
    for (const options of [{ limit: 5, byteLengthHint: 6 }, { limit: -1 }, LIMIT]) {
      const { stream, expectCancelled } = streamOf([BODY, BODY, BODY], "stall");
      const code = options.limit === -1 ? "ERR_INVALID_ARGUMENT" : "ERR_LIMIT_EXCEEDED";
      expectArenaError(await rejectionOf(collect(stream, arena, options)), code, options.limit);
      expectCancelled();
      expectDrained(arena);
    }
  });

  test("makes room for all of a blob at once", async () => {
    using arena = smallArena();
    const blob = new Blob([BODY, BODY, BODY]);
    const lease = await collect(blob, arena, { limit: blob.size });
    expect([lease.byteLength, arena.stats().acquired]).toEqual([blob.size, 1]);
    lease.release();
    expectArenaError(await rejectionOf(collect(blob, arena, { limit: blob.size - 1 })), "ERR_LIMIT_EXCEEDED");
  });
});

test("collect waits for room before it reads, and cancels the source if it gives up", async () => {
  using arena = smallArena({ onExhausted: "throw" });
  const held = exhaust(arena, 60_000);
  const { stream } = streamOf([BODY]);
  const body = collect(stream, arena, { limit: BODY.length, waitForRoom: true });
  const other = streamOf([BODY]);
  const abort = new AbortController();
  const { signal } = abort;
  const given = rejectionOf(collect(other.stream, arena, { byteLength: BODY.length, waitForRoom: true, signal }));
  await settle();
  expect(arena.stats().waiting).toBe(2);
  abort.abort();
  expect(await promptly(given)).toBe(signal.reason);
  other.expectCancelled();
  releaseAll(held);
  const lease = await promptly(body);
  expect(BODY.equals(lease.bytes)).toBe(true);
  lease.release();
  expectDrained(arena);
});

test("readLeases cancels the source when its reader leaves early", async () => {
  using arena = smallArena();
  const { stream, expectCancelled } = streamOf([new Uint8Array(5), new Uint8Array(6)], "stall");
  for await (using lease of readLeases(stream, arena)) {
    expect(lease.byteLength).toBe(5);
    break;
  }
  expectCancelled();
  expectDrained(arena);
});

test("writeAndRelease ends the lease at once, also when the write fails, or there is no writer", async () => {
  using arena = smallArena();
  const failing = { write: () => Promise.reject(new Error("broken")) };
  for (const [writer, message] of [
    [failing, "broken"],
    [{}, "writer"],
  ] as const) {
    const writing = writeAndRelease(wrong(writer), arena.acquire(10));
    expectDrained(arena);
    expect(await rejectionOf(writing)).toMatchObject({ message: expect.stringContaining(message) });
  }
});

test("ownedCopy gives a copy that moves to another thread, and shows nothing else", () => {
  using arena = smallArena();
  using neighbour = arena.acquire(100);
  neighbour.bytes.fill(9);
  const lease = arena.copyOf(BODY.subarray(0, 1000));
  const { bytes, transfer } = ownedCopy(lease);
  lease.release();
  const { port1, port2 } = new MessageChannel();
  port1.postMessage(bytes, transfer);
  const { message } = receiveMessageOnPort(port2) as { message: Uint8Array };
  expect([bytes.length, message.buffer.byteLength, BODY.subarray(0, 1000).equals(message)]).toEqual([0, 1000, true]);
  port1.close();
  expect(() => ownedCopy(lease)).toThrow("already released");
});

test("Response and Blob keep what they were given of a lease that is then released", async () => {
  using arena = smallArena({ revoke: "on-release" });
  const lease = arena.copyOf(BODY);
  const kept = [new Response(lease.bytes), new Blob([lease.bytes])];
  lease.release();
  for (const each of kept) expect(BODY.equals(new Uint8Array(await each.arrayBuffer()))).toBe(true);
});

describe("an access handle", () => {
  test.each(MODES)("is written from leases and read into leases, exactly, revoke: %s", (revoke) => {
    using arena = smallArena({ revoke, trace: "all" });
    const path = join(folder, revoke);
    const file = openSync(path, "w+");
    ftruncateSync(file);
    const handle: AccessHandleLike = {
      read: (bytes, { at = 0 } = {}) => readSync(file, bytes, 0, bytes.length, at),
      // No more than so many at a time, as handles may.
      write: (bytes, { at = 0 } = {}) => writeSync(file, bytes, 0, Math.min(bytes.length, 20_000), at),
    };
    let at = 0;
    for (let from = 0; from < BODY.length; from += 30_000) {
      at = writeAccessHandle(handle, arena.copyOf(BODY.subarray(from, from + 30_000)), at);
    }
    expect([at, readFileSync(path).equals(BODY)]).toEqual([BODY.length, true]);
    for (const chunkBytes of [undefined, 1000, 99_999, 200_000]) {
      const chunks: Buffer[] = [];
      for (using lease of readAccessHandle(handle, arena, { chunkBytes })) chunks.push(Buffer.from(lease.bytes));
      expect(Buffer.concat(chunks).equals(BODY)).toBe(true);
      expect(chunks[0]?.length).toBe(Math.min(chunkBytes ?? 65_536, BODY.length));
    }
    for (using _ of readAccessHandle(handle, arena)) break;
    expectDrained(arena);
  });

  /** A handle whose methods both do that. */
  const doing = (act: () => unknown): AccessHandleLike => ({ read: () => wrong(act()), write: () => wrong(act()) });

  test("that fails, takes nothing, or answers what is no number of bytes, keeps nothing leased", () => {
    using arena = smallArena();
    const broken = doing(() => {
      throw new Error("quota");
    });
    expect(() => readAccessHandle(broken, arena).next()).toThrow("quota");
    expect(() => writeAccessHandle(broken, arena.acquire(10))).toThrow("quota");
    const takesNothing = doing(() => 0);
    expect(() => writeAccessHandle(takesNothing, arena.acquire(10))).toThrow("took 0");
    for (const answer of [1e6, -1, 0.5, Number.NaN, undefined, "5"]) {
      const handle = doing(() => answer);
      expectThrow(() => readAccessHandle(handle, arena).next(), "ERR_INVALID_ARGUMENT", "read answered");
      expectThrow(() => writeAccessHandle(handle, arena.acquire(10)), "ERR_INVALID_ARGUMENT", "write answered");
    }
    expectDrained(arena);
  });

  test("that answers with promises is refused, and keeps the block until they settle", async () => {
    using arena = smallArena();
    for (const run of [
      (handle: AccessHandleLike) => readAccessHandle(handle, arena).next(),
      (handle: AccessHandleLike) => writeAccessHandle(handle, arena.acquire(10)),
    ]) {
      const { promise, resolve } = deferred<number>();
      expectThrow(() => run(doing(() => promise)), "ERR_INVALID_ARGUMENT", "answered");
      expect(arena.stats().liveLeases).toBe(1);
      resolve(10);
      await settle();
      expectDrained(arena);
    }
  });
});
