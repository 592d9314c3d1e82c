/**
 * Bodies in one lease: streams that end well, and those that go wrong. Requests whose client goes
 * away, or sends too much, are in test/recipes/frameworks.test.ts.
 */

import { once } from "node:events";
import { createReadStream } from "node:fs";
import http2 from "node:http2";
import net from "node:net";
import { PassThrough, Readable } from "node:stream";
import tls from "node:tls";
import { Arena, type Lease } from "cleanslab";
import { bufferOf, collect } from "cleanslab/node";
import { describe, expect, expectTypeOf, test } from "vitest";
import {
  deferred,
  exhaust,
  expectArenaError,
  growUnder,
  MODES,
  promptly,
  rejectionOf,
  releaseAll,
  settle,
  smallArena,
  wrong,
} from "../helpers.ts";
import { expectDrained, listen, pattern, quiet, selfSigned, serveHttp } from "./helpers.ts";

const LIMIT = 500_000;

function streamOf(byteLength: number, chunkBytes = 7000): Readable {
  const body = pattern(byteLength);
  const chunks: Buffer[] = [];
  for (let at = 0; at < body.length; at += chunkBytes) chunks.push(body.subarray(at, at + chunkBytes));
  return Readable.from(chunks, { objectMode: false });
}

/** What was collected, whose lease is released. */
async function bytesOf(collected: Promise<Lease>): Promise<Buffer> {
  const lease = await collected;
  const bytes = Buffer.from(lease.bytes);
  lease.release();
  return bytes;
}

test.each(MODES)("revoke: %s, collect gives a body of any length as a lease of just that length", async (revoke) => {
  using arena = smallArena({ revoke, trace: "all" }, 16);
  for (const byteLength of [0, 1, 1000, 65_536, 400_000]) {
    const hints = [undefined, 0, byteLength, LIMIT].map((byteLengthHint) => ({ limit: LIMIT, byteLengthHint }));
    for (const options of [...hints, { byteLength }, { byteLength, waitForRoom: true }]) {
      const { acquired } = arena.stats();
      const seen: Buffer[] = [];
      const onChunk = (chunk: Uint8Array): void => void seen.push(Buffer.from(chunk));
      const body = await bytesOf(collect(streamOf(byteLength), arena, { ...options, onChunk }));
      for (const bytes of [body, Buffer.concat(seen)]) expect(bytes.equals(pattern(byteLength))).toBe(true);
      if ("byteLength" in options || options.byteLengthHint === byteLength) {
        expect(arena.stats().acquired - acquired).toBe(1);
      }
      expectDrained(arena);
    }
  }
});

describe("collect", () => {
  const broken = Object.assign(new Error("broken"), { code: "EIO" });
  const mine = new Error("mine");
  const throwing = (): never => {
    throw mine;
  };
  /** A stream that fails, and does not destroy itself. */
  async function failed(): Promise<Readable> {
    const stream = new Readable({ autoDestroy: false, read: throwing });
    const failing = once(stream, "error").catch(() => {});
    stream.resume();
    await failing;
    return stream;
  }
  async function readBefore(): Promise<Readable> {
    const stream = streamOf(10);
    await stream.forEach(() => {});
    return stream;
  }

  const limit = { limit: 10 };
  /** The last is the error itself, or its code and what its message says. */
  test.each<[what: string, open: () => Readable | Promise<Readable>, options: object, wanted: Error | string]>([
    ["a byte over the limit", () => streamOf(1001), { limit: 1000 }, "ERR_LIMIT_EXCEEDED limit = 1000"],
    ["more than was announced", () => streamOf(1000, 300), { byteLength: 999 }, "ERR_LENGTH_MISMATCH 999"],
    ["more, and a limit", () => streamOf(10, 3), { byteLength: 5, limit: 5 }, "ERR_LENGTH_MISMATCH 5"],
    ["less", () => streamOf(1000, 300), { byteLength: 1001, limit: 5000 }, "ERR_LENGTH_MISMATCH 1001"],
    ["what onChunk throws", () => streamOf(1000), { byteLength: 1000, onChunk: throwing }, mine],
    ["a stream that failed before", () => new PassThrough().destroy(broken), limit, broken],
    ["one that does not destroy itself", failed, limit, mine],
    ["a file that is not there", () => createReadStream("/no/such/file"), limit, "ENOENT open"],
    ["a stream destroyed before", () => new PassThrough().destroy(), limit, "ERR_STREAM_PREMATURE_CLOSE closed"],
    ["text", () => streamOf(10).setEncoding("utf8"), limit, "ERR_INVALID_ARGUMENT setEncoding"],
    ["objects", () => Readable.from([{}]), limit, "ERR_INVALID_ARGUMENT object mode"],
    ["a stream that was read before", readBefore, limit, "ERR_INVALID_ARGUMENT before"],
    ["a signal that aborted before", () => streamOf(10), { limit: 10, signal: AbortSignal.abort(mine) }, mine],
    [
      "a word for waitForRoom",
      () => streamOf(10),
      { ...limit, waitForRoom: "yes" },
      "ERR_INVALID_ARGUMENT waitForRoom",
    ],
    ["no limit and no length", () => streamOf(10), {}, "ERR_INVALID_ARGUMENT limit"],
  ])("rejects %s, and keeps nothing", async (_, open, options, wanted) => {
    using arena = smallArena();
    const error = await rejectionOf(collect(await open(), arena, wrong(options)));
    const [code, ...words] = String(wanted).split(" ");
    if (wanted instanceof Error) expect(error).toBe(wanted);
    else expect(error).toMatchObject({ code, message: expect.stringContaining(words.join(" ")) });
    expectDrained(arena);
  });

  test("rejects a stream that is destroyed meanwhile, with its error or without", async () => {
    using arena = smallArena();
    for (const error of [undefined, broken]) {
      const stream = quiet(new PassThrough());
      stream.write("some");
      setImmediate(() => stream.destroy(error));
      expect(await rejectionOf(collect(stream, arena, { limit: 10 }))).toMatchObject({
        code: error?.code ?? "ERR_STREAM_PREMATURE_CLOSE",
      });
      expectDrained(arena);
    }
  });

  test("refuses what is announced over the limit before it reads anything", async () => {
    using arena = smallArena();
    for (const announced of [{ byteLength: 1000 }, { byteLengthHint: 1000 }]) {
      const stream = streamOf(1000);
      const error = await rejectionOf(collect(stream, arena, { ...announced, limit: 999 }));
      expectArenaError(error, "ERR_LIMIT_EXCEEDED", 999);
      expect([stream.readableFlowing, arena.stats().acquired]).toEqual([null, 0]);
    }
  });

  test("leaves a stream it gave up on to its owner, paused, and later errors are not uncaught", async () => {
    using arena = smallArena();
    const stream = new Readable({ read() {} });
    stream.push(Buffer.alloc(2000));
    const error = await rejectionOf(collect(stream, arena, { limit: 1000 }));
    expectArenaError(error, "ERR_LIMIT_EXCEEDED", '413 with "connection: close"');
    expect([stream.destroyed, stream.isPaused(), stream.listenerCount("data")]).toEqual([false, true, 0]);
    await once(stream.destroy(new Error("the client went away as well")), "close").catch(() => {});
    expectDrained(arena);
  });

  test("waits for nothing more once the signal aborts, by another listener of the same chunk too", async () => {
    using arena = smallArena();
    for (const isInside of [true, false]) {
      const controller = new AbortController();
      const { signal } = controller;
      const stream = new PassThrough();
      if (isInside) stream.once("data", () => controller.abort(mine));
      const collected = rejectionOf(collect(stream, arena, { limit: LIMIT, signal }));
      stream.write(pattern(5000));
      await settle();
      expect(arena.stats().liveLeases).toBe(isInside ? 0 : 1);
      controller.abort(mine);
      expect(await promptly(collected)).toBe(mine);
      expectDrained(arena);
    }
  });

  test.each([0, 10])("keeps no lease that it gets while its signal aborts, for %i bytes", async (byteLength) => {
    using arena = smallArena();
    const controller = new AbortController();
    // As a hook of async_hooks can, which acquiring runs.
    const acquire = (wanted: number): Lease => {
      controller.abort(mine);
      return arena.acquire(wanted);
    };
    const aborting = wrong<Arena>({ acquire, writer() {} });
    const collected = collect(streamOf(byteLength), aborting, { limit: LIMIT, signal: controller.signal });
    expect(await rejectionOf(collected)).toBe(mine);
    await settle();
    expectDrained(arena);
  });

  test("leaves no listener on a stream whose signal is none, or cannot be listened to", async () => {
    using arena = smallArena();
    const listeners = (stream: PassThrough) => ["data", "error", "close"].map((event) => stream.listenerCount(event));
    for (const signal of [{}, { aborted: false, addEventListener: throwing, removeEventListener() {} }]) {
      const stream = new PassThrough();
      await rejectionOf(collect(stream, arena, { limit: 10, signal: wrong(signal) }));
      expect(listeners(stream)).toEqual(listeners(new PassThrough()));
    }
    expectDrained(arena);
  });

  test("keeps nothing when the memory under the body was revoked by other code, or there is no room", async () => {
    using arena = smallArena({ onExhausted: "throw" }, 1);
    const neighbour = arena.acquire(64);
    const stream = new PassThrough();
    const collected = rejectionOf(collect(stream, arena, { limit: 1000 }));
    stream.write("x");
    await settle();
    growUnder(neighbour, 0);
    stream.end();
    expectArenaError(await collected, "ERR_LEASE_DETACHED", "revoked or transferred");
    neighbour.release();
    arena.assertDrained();
    const full = exhaust(arena, 4096);
    expectArenaError(await rejectionOf(collect(streamOf(5000), arena, { limit: LIMIT })), "ERR_ARENA_EXHAUSTED");
    releaseAll(full);
    expectDrained(arena);
  });
});

describe("collect with waitForRoom, at the cap", () => {
  function fullArena(): { arena: Arena; free(): void } {
    const arena = new Arena({ maxBytes: 1 << 20, onExhausted: "throw" });
    const held = exhaust(arena, 65536);
    return {
      arena,
      free() {
        releaseAll(held);
        expectDrained(arena);
      },
    };
  }
  const options = { byteLength: 200_000, waitForRoom: true };

  test("waits for room, in order, and reads nothing meanwhile", async () => {
    const { arena, free } = fullArena();
    const order: number[] = [];
    const bodies = [200_000, 100_000, 300_000].map((byteLength) => {
      const stream = streamOf(byteLength);
      const collected = bytesOf(collect(stream, arena, { byteLength, waitForRoom: true })).then((bytes) => {
        order.push(byteLength);
        expect(bytes.equals(pattern(byteLength))).toBe(true);
      });
      return { stream, collected };
    });
    await settle();
    expect(arena.stats().waiting).toBe(3);
    expect(bodies.map(({ stream }) => stream.readableFlowing)).toEqual([null, null, null]);
    free();
    await Promise.all(bodies.map(({ collected }) => collected));
    expect([order, arena.stats().waited.count]).toEqual([[200_000, 100_000, 300_000], 3]);
  });

  test("waits for room for the limit where the length is not known, and gives the rest back", async () => {
    const { arena, free } = fullArena();
    const lengths = [5000, 0, 600_000, 200_000];
    const streams = lengths.map((byteLength) => streamOf(byteLength));
    const bodies = streams.map((stream) => collect(stream, arena, { limit: 600_000, waitForRoom: true }));
    await settle();
    expect([arena.stats().waiting, arena.stats().waitingBytes]).toEqual([4, 4 * 600_000]);
    expect(streams.map(({ readableFlowing }) => readableFlowing)).toEqual([null, null, null, null]);
    free();
    // No two of them have room at once.
    for (const [each, body] of bodies.entries()) {
      const lease = await body;
      expect(pattern(lengths[each] as number).equals(lease.bytes)).toBe(true);
      expect(arena.stats().liveBytes).toBeLessThan(lease.byteLength + 600_001);
      lease.release();
    }
    const never = collect(streamOf(10), arena, { limit: 2 << 20, waitForRoom: true });
    expectArenaError(await rejectionOf(never), "ERR_ARENA_EXHAUSTED", "never", 2 << 20, 1 << 20);
    const over = collect(streamOf(1001), arena, { limit: 1000, waitForRoom: true });
    expectArenaError(await rejectionOf(over), "ERR_LIMIT_EXCEEDED");
    expectDrained(arena);
  });

  test("gives up with its signal, leaves the queue, and makes no uncaught error of a client that goes away later", async () => {
    const { arena, free } = fullArena();
    const stream = streamOf(200_000);
    const abort = new AbortController();
    const collected = collect(stream, arena, { ...options, signal: abort.signal });
    abort.abort(new Error("enough"));
    expect(await rejectionOf(collected)).toBe(abort.signal.reason);
    expect(arena.stats().waiting).toBe(0);
    // Without a listener the error would be thrown.
    expect([stream.listenerCount("error"), stream.listenerCount("close")]).toEqual([1, 0]);
    stream.destroy(new Error("gone"));
    await settle();
    free();
  });

  test("rejects a stream that is destroyed, before or meanwhile, at once, and leaves the queue", async () => {
    for (const error of [undefined, Object.assign(new Error("gone"), { code: "GONE" })]) {
      for (const isBefore of [true, false]) {
        const { arena, free } = fullArena();
        const stream = quiet(streamOf(200_000));
        if (isBefore) await once(stream.destroy(error), "close").catch(() => {});
        const collected = rejectionOf(collect(stream, arena, options));
        stream.destroy(error);
        expect(await promptly(collected)).toMatchObject({ code: error?.code ?? "ERR_STREAM_PREMATURE_CLOSE" });
        // Nobody behind it waits for a client that is not there.
        expect(arena.stats().waiting).toBe(0);
        free();
      }
    }
  });
});

test("collect's types ask for a limit or a length", () => {
  type Options = Parameters<typeof collect>[2];
  expectTypeOf<{ limit: 1 }>().toExtend<Options>();
  expectTypeOf<{ byteLength: 1; waitForRoom: true }>().toExtend<Options>();
  expectTypeOf<{ limit: 1; byteLength: number | undefined }>().toExtend<Options>();
  expectTypeOf<{ limit: undefined; freeChunks: true }>().not.toExtend<Options>();
  // @ts-expect-error neither is there
  const none: Options = {};
  expect(none).toEqual({});
});

describe("collect with freeChunks", () => {
  const canFree = "transfer" in ArrayBuffer.prototype;
  const whole = (byteLength: number) => (): Buffer => Buffer.from(new ArrayBuffer(byteLength));
  test.each<[what: string, chunk: () => Buffer, freeChunks: boolean | undefined, isFreed: boolean]>([
    ["a chunk that owns its whole buffer", whole(20_000), true, canFree],
    ["one unless it is asked to", whole(20_000), undefined, false],
    ["a slice in front", () => Buffer.from(new ArrayBuffer(40_000), 0, 20_000), true, false],
    ["a slice behind", () => Buffer.from(new ArrayBuffer(40_000), 20_000, 20_000), true, false],
    ["a short chunk", whole(1000), true, false],
  ])("%s: freed or not, it is collected", async (_, make, freeChunks, isFreed) => {
    const chunk = make().fill(7);
    const { byteLength } = chunk.buffer;
    const stream = Readable.from([chunk], { objectMode: false });
    const bytes = await bytesOf(collect(stream, new Arena(), { limit: 100_000, freeChunks }));
    expect(bytes.every((byte) => byte === 7)).toBe(true);
    expect(chunk.buffer.byteLength).toBe(isFreed ? 0 : byteLength);
  });

  const BODY = pattern(400_000);
  const options = { limit: 1 << 20, freeChunks: true };

  test("harms nothing that comes over TLS", async () => {
    const arena = new Arena();
    const received = deferred<Buffer>();
    const collecting = (socket: tls.TLSSocket): void =>
      received.resolve(bytesOf(collect(socket, arena, options)) as never);
    const { port, close } = await listen(tls.createServer({ ...selfSigned() }, collecting));
    tls.connect({ port, host: "127.0.0.1", rejectUnauthorized: false }).end(BODY);
    expect(BODY.equals(await received.promise)).toBe(true);
    await close();
  });

  test("frees nothing of HTTP/2, whose streams share reads", async () => {
    const arena = new Arena();
    const received = deferred<Buffer>();
    const chunks: Buffer[] = [];
    const server = http2.createServer((request) => {
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      received.resolve(bytesOf(collect(request as unknown as Readable, arena, options)) as never);
    });
    const { port, close } = await listen(server as unknown as net.Server);
    quiet(quiet(http2.connect(`http://127.0.0.1:${port}`)).request({ ":method": "POST" })).end(BODY);
    expect(BODY.equals(await received.promise)).toBe(true);
    expect(chunks.every((chunk) => chunk.buffer.byteLength > 0)).toBe(true);
    await close();
  });

  test("harms no body of pipelined HTTP requests", async () => {
    const arena = new Arena();
    const bodies = Array.from({ length: 40 }, (_, each) => pattern(1000 + each * 4001, each + 1));
    const collected: Buffer[] = [];
    const server = await serveHttp(async (request, response) => {
      const byteLength = Number(request.headers["content-length"]);
      collected.push(await bytesOf(collect(request, arena, { byteLength, freeChunks: true })));
      response.end("ok");
    });
    const socket = net.connect(server.port, "127.0.0.1");
    const head = (body: Buffer): string => `POST / HTTP/1.1\r\nhost: x\r\ncontent-length: ${body.length}\r\n\r\n`;
    // All of it in one stretch: reads end anywhere in messages.
    socket.write(Buffer.concat(bodies.flatMap((body) => [Buffer.from(head(body)), body])));
    while (collected.length < 40) await once(socket, "data");
    expect(collected.map((body, each) => body.equals(bodies[each] as Buffer))).toEqual(Array(40).fill(true));
    await server.close();
    expectDrained(arena);
  });
});

test("bufferOf gives Node's methods over the very bytes of the lease", () => {
  using arena = smallArena();
  const lease = arena.acquire(8);
  const buffer = bufferOf(lease);
  buffer.writeDoubleBE(Math.PI);
  expect([lease.view(DataView).getFloat64(0), buffer.length]).toEqual([Math.PI, 8]);
  lease.release();
  expect(() => bufferOf(lease)).toThrow("already released");
});
