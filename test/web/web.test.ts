/**
 * cleanslab/web on Node's own web streams, bodies, blobs and message ports. A real
 * access handle exists in browsers' workers only; here its part is played by a real
 * file behind the same two methods.
 */

import { getEventListeners } from "node:events";
import { closeSync, ftruncateSync, mkdtempSync, openSync, readFileSync, readSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MessageChannel, receiveMessageOnPort } from "node:worker_threads";
import type { Arena, Lease } from "cleanslab";
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
  exhaust,
  expectArenaError,
  expectSound,
  expectThrow,
  isSettled,
  isZero,
  MODES,
  promptly,
  rejectionOf,
  releaseAll,
  settle,
  smallArena,
  thrownBy,
  wrong,
} from "../helpers.ts";
import { pattern } from "../node/helpers.ts";

function expectDrained(arena: Arena): void {
  arena.assertDrained();
  expectSound(arena);
}

/** A stream of the chunks, and what it was cancelled with. */
function streamOf(chunks: unknown[], after: "close" | "stall" | Error = "close") {
  const state: { cancelled: boolean } = { cancelled: false };
  const stream = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(chunk as Uint8Array);
      if (after === "close") controller.close();
    },
    pull(controller) {
      if (after instanceof Error) controller.error(after);
    },
    cancel() {
      state.cancelled = true;
    },
  });
  return { stream, state };
}

const BODY = pattern(100_000);
const LIMIT = { limit: 200_000 };

/** What a body can come from. */
const SOURCES: Record<string, () => Parameters<typeof collect>[0]> = {
  ReadableStream: () => streamOf([BODY.subarray(0, 1), BODY.subarray(1, 70_000), BODY.subarray(70_000)]).stream,
  "byte stream": () =>
    new ReadableStream({
      type: "bytes",
      start(controller) {
        controller.enqueue(new Uint8Array(BODY));
        controller.close();
      },
    }),
  Response: () => new Response(BODY),
  Request: () => new Request("http://localhost/", { method: "POST", body: BODY }),
  Blob: () => new Blob([BODY]),
};

describe.each(MODES)("revoke: %s", (revoke) => {
  test.each(Object.keys(SOURCES))("collect gives what comes out of a %s as a lease", async (name) => {
    using arena = smallArena({ revoke, trace: "all" }, 16);
    const lease = await collect((SOURCES[name] as (typeof SOURCES)[string])(), arena, LIMIT);
    expect(BODY.equals(lease.bytes)).toBe(true);
    const { bytes } = lease;
    lease.release();
    expect(bytes.length === 0 || isZero(bytes)).toBe(true);
    expectDrained(arena);
  });

  test.each(Object.keys(SOURCES))("readLeases gives what comes out of a %s as leases", async (name) => {
    using arena = smallArena({ revoke, trace: "all" }, 16);
    const chunks: Buffer[] = [];
    for await (using lease of readLeases((SOURCES[name] as (typeof SOURCES)[string])(), arena)) {
      chunks.push(Buffer.from(lease.bytes));
    }
    expect(Buffer.concat(chunks).equals(BODY)).toBe(true);
    expectDrained(arena);
  });

  test("collect cancels the source at the limit and keeps nothing", async () => {
    using arena = smallArena({ revoke }, 16);
    const { stream, state } = streamOf([BODY, BODY, BODY], "stall");
    expectArenaError(await rejectionOf(collect(stream, arena, LIMIT)), "ERR_LIMIT_EXCEEDED", "limit = 200000");
    expect([state.cancelled, stream.locked]).toEqual([true, false]);
    expectDrained(arena);
    const blob = new Blob([BODY]);
    expectArenaError(await rejectionOf(collect(blob, arena, { limit: BODY.length - 1 })), "ERR_LIMIT_EXCEEDED");
    const exact = await collect(blob, arena, { limit: BODY.length });
    expect(arena.stats().liveBytes).toBe(BODY.length);
    exact.release();
    expectDrained(arena);
  });

  test("collect and readLeases stop when the signal aborts, even while nothing comes", async () => {
    using arena = smallArena({ revoke }, 16);
    const reason = new Error("enough");
    const before = AbortSignal.abort(reason);
    expect(await rejectionOf(collect(streamOf([BODY]).stream, arena, { ...LIMIT, signal: before }))).toBe(reason);
    const controller = new AbortController();
    const { signal } = controller;
    const stalled = [streamOf([BODY], "stall"), streamOf([BODY], "stall")] as const;
    const collecting = rejectionOf(collect(stalled[0].stream, arena, { ...LIMIT, signal }));
    const reading = rejectionOf(
      (async () => {
        for await (using _ of readLeases(stalled[1].stream, arena, { signal }));
      })(),
    );
    await settle();
    controller.abort(reason);
    expect([await collecting, await reading]).toEqual([reason, reason]);
    expect(stalled.map(({ state, stream }) => [state.cancelled, stream.locked])).toEqual([
      [true, false],
      [true, false],
    ]);
    expectDrained(arena);
  });

  test("collect and readLeases pass on the stream's error, and that there is no room", async () => {
    using arena = smallArena({ revoke, onExhausted: "throw" }, 1);
    const error = new Error("broken");
    expect(await rejectionOf(collect(streamOf([BODY], error).stream, arena, LIMIT))).toBe(error);
    expect(await rejectionOf(readLeases(streamOf([], error).stream, arena).next())).toBe(error);
    expectDrained(arena);
    const full = exhaust(arena, 4096);
    const { stream, state } = streamOf([BODY], "stall");
    expectArenaError(await rejectionOf(collect(stream, arena, LIMIT)), "ERR_ARENA_EXHAUSTED");
    expect(state.cancelled).toBe(true);
    releaseAll(full);
    expectDrained(arena);
  });

  test("readLeases cancels the source when its reader leaves early", async () => {
    using arena = smallArena({ revoke });
    const { stream, state } = streamOf([new Uint8Array(5), new Uint8Array(6)], "stall");
    for await (using lease of readLeases(stream, arena)) {
      expect(lease.byteLength).toBe(5);
      break;
    }
    expect([state.cancelled, stream.locked]).toEqual([true, false]);
    expectDrained(arena);
  });

  test("writeAndRelease gives bytes that stay, however late they are read, and ends the lease at once", async () => {
    using arena = smallArena({ revoke });
    const written: Uint8Array[] = [];
    let settleWrite: (() => void) | undefined;
    const writer = {
      write(bytes: Uint8Array): Promise<void> {
        written.push(bytes);
        return new Promise((resolve) => {
          settleWrite = resolve;
        });
      },
    };
    const writing = writeAndRelease(writer, arena.copyOf(BODY));
    expect(arena.stats().liveLeases).toBe(0);
    arena.acquire(BODY.length).bytes.fill(0xff);
    expect(await isSettled(writing)).toBe(false);
    settleWrite?.();
    await promptly(writing);
    expect(written.map((bytes) => BODY.equals(bytes))).toEqual([true]);
  });

  test("writeAndRelease ends the lease when the write fails, or there is no writer", async () => {
    using arena = smallArena({ revoke });
    const failing = { write: () => Promise.reject(new Error("broken")) };
    expect(await rejectionOf(writeAndRelease(failing, arena.acquire(10)))).toMatchObject({ message: "broken" });
    expectArenaError(
      await rejectionOf(writeAndRelease(wrong({}), arena.acquire(10))),
      "ERR_INVALID_ARGUMENT",
      "writer",
    );
    expectDrained(arena);
  });

  test("ownedCopy gives a copy that moves to another thread, and shows nothing else", async () => {
    using arena = smallArena({ revoke });
    using neighbour = arena.acquire(100);
    neighbour.bytes.fill(9);
    const lease = arena.copyOf(BODY.subarray(0, 1000));
    const { bytes, transfer } = ownedCopy(lease);
    lease.release();
    const { port1, port2 } = new MessageChannel();
    port1.postMessage(bytes, transfer);
    expect(bytes.length).toBe(0);
    const { message } = receiveMessageOnPort(port2) as { message: Uint8Array };
    expect(message.buffer.byteLength).toBe(1000);
    expect(BODY.subarray(0, 1000).equals(message)).toBe(true);
    port1.close();
    expect(() => ownedCopy(lease)).toThrow("already released");
  });
});

describe("collect", () => {
  test("cancels the source of which it reads nothing: a hint over the limit, an aborted signal, bad options", async () => {
    using arena = smallArena();
    const refused = [
      { limit: 5, byteLengthHint: 6 },
      { limit: 5, signal: AbortSignal.abort() },
      { limit: 5, signal: wrong<AbortSignal>({}) },
      { limit: -1 },
    ];
    for (const options of refused) {
      const { stream, state } = streamOf([BODY], "stall");
      await rejectionOf(collect(stream, arena, options));
      expect([state.cancelled, stream.locked]).toEqual([true, false]);
    }
    expect(arena.stats().acquired).toBe(0);
  });

  test("and readLeases refuse a signal that is none, but take null for no signal", async () => {
    using arena = smallArena();
    const signal = wrong<AbortSignal>({ aborted: false });
    const { stream, state } = streamOf([BODY], "stall");
    const reading = readLeases(stream, arena, { signal }).next();
    expectArenaError(await rejectionOf(reading), "ERR_INVALID_ARGUMENT", "signal is");
    expect([state.cancelled, stream.locked]).toEqual([true, false]);
    const collecting = collect(new Blob([BODY]), arena, { ...LIMIT, signal });
    expectArenaError(await rejectionOf(collecting), "ERR_INVALID_ARGUMENT", "signal is");
    const lease = await collect(new Blob([BODY]), arena, { ...LIMIT, signal: wrong(null) });
    expect(lease.byteLength).toBe(BODY.length);
    lease.release();
    expectDrained(arena);
  });

  test("listens to its signal for as long as a read is under way, and no longer", async () => {
    using arena = smallArena();
    const { signal } = new AbortController();
    (await collect(streamOf([BODY, BODY]).stream, arena, { limit: 2 * BODY.length, signal })).release();
    for await (const lease of readLeases(streamOf([BODY, BODY]).stream, arena, { signal })) lease.release();
    expect(getEventListeners(signal, "abort")).toEqual([]);
    expectDrained(arena);
  });

  test("makes room for all of a blob at once", async () => {
    using arena = smallArena();
    const lease = await collect(new Blob([BODY, BODY, BODY]), arena, { limit: 3 * BODY.length });
    expect(lease.byteLength).toBe(3 * BODY.length);
    expect(arena.stats().acquired).toBe(1);
    lease.release();
  });

  test("gives an empty lease for a response without a body", async () => {
    using arena = smallArena();
    const lease = await collect(new Response(null), arena, { limit: 0 });
    expect(lease.byteLength).toBe(0);
    lease.release();
    for await (const _ of readLeases(new Response(null), arena)) throw new Error("there is nothing to read");
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
      expectArenaError(await rejectionOf(collect(wrong(source), arena, LIMIT)), "ERR_INVALID_ARGUMENT", "source is");
      const reading = readLeases(wrong(source), arena).next();
      expectArenaError(await rejectionOf(reading), "ERR_INVALID_ARGUMENT", "source is");
    }
    const { stream, state } = streamOf(["text"], "stall");
    expectArenaError(await rejectionOf(collect(stream, arena, LIMIT)), "ERR_INVALID_ARGUMENT", "a stream of bytes");
    expect(state.cancelled).toBe(true);
    expectArenaError(await rejectionOf(collect(new Blob([]), arena, wrong(null))), "ERR_INVALID_ARGUMENT");
    expectArenaError(await rejectionOf(collect(new Blob([]), arena, wrong({}))), "ERR_INVALID_ARGUMENT", "limit is");
    expectDrained(arena);
  });
});

test("Response and Blob keep what they were given of a lease that is then released", async () => {
  using arena = smallArena({ revoke: "on-release" });
  const lease = arena.copyOf(BODY.subarray(0, 1000));
  const response = new Response(lease.bytes);
  const blob = new Blob([lease.bytes]);
  lease.release();
  expect(BODY.subarray(0, 1000).equals(new Uint8Array(await response.arrayBuffer()))).toBe(true);
  expect(BODY.subarray(0, 1000).equals(new Uint8Array(await blob.arrayBuffer()))).toBe(true);
});

describe.each(MODES)("revoke: %s, an access handle", (revoke) => {
  test("is written from leases and read into leases, exactly", () => {
    using arena = smallArena({ revoke, trace: "all" });
    const file = handleOf();
    let at = 0;
    for (let from = 0; from < BODY.length; from += 30_000) {
      at = writeAccessHandle(file, arena.copyOf(BODY.subarray(from, from + 30_000)), at);
    }
    expect(at).toBe(BODY.length);
    expect(readFileSync(file.path).equals(BODY)).toBe(true);
    for (const chunkBytes of [undefined, 1000, 99_999, 200_000]) {
      const chunks: Buffer[] = [];
      for (using lease of readAccessHandle(file, arena, { chunkBytes })) chunks.push(Buffer.from(lease.bytes));
      expect(Buffer.concat(chunks).equals(BODY)).toBe(true);
      expect(chunks[0]?.length).toBe(Math.min(chunkBytes ?? 65_536, BODY.length));
    }
    for (using _ of readAccessHandle(file, arena)) break;
    expectDrained(arena);
    file.close();
  });

  test("that fails keeps nothing leased", () => {
    using arena = smallArena({ revoke });
    const error = new Error("quota");
    const fail = (): number => {
      throw error;
    };
    const broken: AccessHandleLike = { read: fail, write: fail };
    expect(thrownBy(() => readAccessHandle(broken, arena).next())).toBe(error);
    expect(thrownBy(() => writeAccessHandle(broken, arena.acquire(10)))).toBe(error);
    expect(String(thrownBy(() => writeAccessHandle({ ...broken, write: () => 0 }, arena.acquire(10))))).toMatch(
      "took 0",
    );
    expectDrained(arena);
    const lease: Lease = arena.acquire(10);
    expectThrow(() => readAccessHandle(wrong({}), arena), "ERR_INVALID_ARGUMENT", "workers");
    expectThrow(() => writeAccessHandle(wrong(null), lease), "ERR_INVALID_ARGUMENT", "workers");
    expectThrow(() => readAccessHandle(broken, arena, { chunkBytes: 0 }), "ERR_INVALID_ARGUMENT", "chunkBytes");
    lease.release();
    expectDrained(arena);
  });
});

/** A file with the methods of a `FileSystemSyncAccessHandle`. */
function handleOf(): AccessHandleLike & { path: string; close(): void } {
  const folder = mkdtempSync(join(tmpdir(), "cleanslab-"));
  const path = join(folder, "file");
  const file = openSync(path, "w+");
  ftruncateSync(file);
  return {
    path,
    read: (bytes, { at = 0 } = {}) => readSync(file, bytes, 0, bytes.length, at),
    // No more than so many at a time, as handles may.
    write: (bytes, { at = 0 } = {}) => writeSync(file, bytes, 0, Math.min(bytes.length, 20_000), at),
    close() {
      closeSync(file);
      rmSync(folder, { recursive: true });
    },
  };
}
