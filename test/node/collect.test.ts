/** Bodies collected from real HTTP requests and other streams, good ones and those that go wrong. */

import { once } from "node:events";
import { createReadStream } from "node:fs";
import { type ClientRequest, type IncomingMessage, request, type ServerResponse } from "node:http";
import { PassThrough, Readable } from "node:stream";
import { type Arena, ArenaError, type Lease } from "cleanslab";
import { bufferOf, type CollectOptions, collect } from "cleanslab/node";
import { describe, expect, test } from "vitest";
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
import { expectDrained, pattern, serveHttp } from "./helpers.ts";

const LIMIT = 500_000;

/** One request to a server that collects its body; `send` is the client, `then` what follows when some of it came. */
async function exchange(
  arena: Arena,
  options: CollectOptions,
  send: (client: ClientRequest) => void,
  then?: (client: ClientRequest) => void,
): Promise<{ body: Buffer | unknown; status: number | undefined }> {
  const outcome = deferred<Buffer | unknown>();
  const server = await serveHttp(async (incoming: IncomingMessage, response: ServerResponse) => {
    try {
      if (then !== undefined) incoming.once("data", () => then(client));
      const lease = await collect(incoming, arena, options);
      outcome.resolve(Buffer.from(bufferOf(lease)));
      lease.release();
      response.end();
    } catch (error) {
      outcome.resolve(error);
      response.writeHead(error instanceof ArenaError ? 413 : 400, { connection: "close" });
      response.end(() => incoming.destroy());
    }
  });
  const client = request({ port: server.port, method: "POST" });
  try {
    const answered = deferred<number | undefined>();
    client.on("error", () => answered.resolve(undefined));
    client.on("response", (response) => {
      response.resume();
      answered.resolve(response.statusCode);
    });
    send(client);
    return { body: await outcome.promise, status: await answered.promise };
  } finally {
    await server.close();
  }
}

describe.each(MODES)("revoke: %s, collect", (revoke) => {
  test.each([0, 1, 1000, 65_536, 400_000])(
    "gives a body of %i bytes as a lease, with and without a hint",
    async (n) => {
      using arena = smallArena({ revoke, trace: "all" }, 16);
      const sent = pattern(n);
      for (const byteLengthHint of [undefined, 0, n, LIMIT]) {
        const { body, status } = await exchange(arena, { limit: LIMIT, byteLengthHint }, (client) => client.end(sent));
        expect(status).toBe(200);
        expect(sent.equals(body as Buffer)).toBe(true);
        expectDrained(arena);
      }
    },
  );

  test("refuses a body that is a byte longer than the limit", async () => {
    using arena = smallArena({ revoke });
    const { body } = await exchange(arena, { limit: 1000 }, (client) => client.end(pattern(1001)));
    expectArenaError(body, "ERR_LIMIT_EXCEEDED", "limit = 1000");
    expectDrained(arena);
  });

  test("refuses a body over the limit, and the client still gets an answer", async () => {
    using arena = smallArena({ revoke }, 16);
    const { body, status } = await exchange(
      arena,
      { limit: 1000 },
      (client) => client.write(pattern(1000)),
      (client) => client.write("x"),
    );
    expectArenaError(body, "ERR_LIMIT_EXCEEDED", "limit = 1000");
    expect(status).toBe(413);
    expectDrained(arena);
  });

  test("refuses a hint over the limit before anything is read", async () => {
    using arena = smallArena({ revoke });
    const { body, status } = await exchange(arena, { limit: 10, byteLengthHint: 11 }, (client) => client.end("x"));
    expectArenaError(body, "ERR_LIMIT_EXCEEDED", "limit = 10");
    expect(status).toBe(413);
    expect(arena.stats().acquired).toBe(0);
  });

  test("keeps nothing of a client that goes away in the middle", async () => {
    using arena = smallArena({ revoke });
    const { body } = await exchange(
      arena,
      { limit: LIMIT },
      (client) => {
        client.setHeader("content-length", 100_000);
        client.write(pattern(5000));
      },
      (client) => client.destroy(),
    );
    expect((body as NodeJS.ErrnoException).code).toBe("ECONNRESET");
    expectDrained(arena);
  });

  test("waits for nothing more once the signal aborts", async () => {
    using arena = smallArena({ revoke });
    const controller = new AbortController();
    const stream = new PassThrough();
    const collected = rejectionOf(collect(stream, arena, { limit: LIMIT, signal: controller.signal }));
    stream.write(pattern(5000));
    await settle();
    expect(arena.stats().liveLeases).toBe(1);
    const reason = new Error("too slow");
    controller.abort(reason);
    expect(await promptly(collected)).toBe(reason);
    expectDrained(arena);
  });

  test("stops when the signal aborts, and gives its reason", async () => {
    using arena = smallArena({ revoke });
    const controller = new AbortController();
    const reason = new Error("too slow");
    const { body } = await exchange(
      arena,
      { limit: LIMIT, signal: controller.signal },
      (client) => client.write(pattern(5000)),
      () => controller.abort(reason),
    );
    expect(body).toBe(reason);
    expectDrained(arena);
    const late = collect(Readable.from([]), arena, { limit: 1, signal: controller.signal });
    expect(await rejectionOf(late)).toBe(reason);
  });

  test("passes on that the arena has no room, and keeps nothing", async () => {
    using arena = smallArena({ revoke, onExhausted: "throw" }, 1);
    const full = exhaust(arena, 4096);
    const { body } = await exchange(arena, { limit: LIMIT }, (client) => client.end(pattern(5000)));
    expectArenaError(body, "ERR_ARENA_EXHAUSTED");
    releaseAll(full);
    expectDrained(arena);
  });
});

describe("collect", () => {
  async function outcomeOf(stream: Readable, arena: Arena, limit = 1000): Promise<Lease | unknown> {
    return collect(stream, arena, { limit }).catch((error: unknown) => error);
  }

  test("rejects with the error of the stream", async () => {
    using arena = smallArena();
    const error = Object.assign(new Error("broken"), { code: "EIO" });
    const stream = new Readable({ read() {} });
    stream.push("some");
    setImmediate(() => stream.destroy(error));
    expect(await outcomeOf(stream, arena)).toBe(error);
    expect(await outcomeOf(createReadStream("/no/such/file"), arena)).toMatchObject({ code: "ENOENT" });
    expectDrained(arena);
  });

  test("rejects when the stream was or is destroyed without an error", async () => {
    using arena = smallArena();
    const before = new PassThrough();
    before.destroy();
    expect(await outcomeOf(before, arena)).toMatchObject({ code: "ERR_STREAM_PREMATURE_CLOSE" });
    const during = new PassThrough();
    during.write("some");
    setImmediate(() => during.destroy());
    expect(await outcomeOf(during, arena)).toMatchObject({ code: "ERR_STREAM_PREMATURE_CLOSE" });
    expectDrained(arena);
  });

  test("rejects with the error of a stream that failed before, and does not destroy itself", async () => {
    using arena = smallArena();
    const stream = new Readable({
      autoDestroy: false,
      read() {
        throw new Error("broken");
      },
    });
    const failed = once(stream, "error");
    stream.resume();
    await failed.catch(() => {});
    expect(await promptly(rejectionOf(collect(stream, arena, { limit: LIMIT })))).toMatchObject({ message: "broken" });
    expectDrained(arena);
  });

  test("leaves a stream it gave up on to its owner, paused, and later errors are not uncaught", async () => {
    using arena = smallArena();
    const stream = new Readable({ read() {} });
    stream.push(Buffer.alloc(2000));
    expectArenaError(await outcomeOf(stream, arena), "ERR_LIMIT_EXCEEDED");
    expect([stream.destroyed, stream.isPaused(), stream.listenerCount("data")]).toEqual([false, true, 0]);
    stream.destroy(new Error("the client went away as well"));
    await new Promise((resolve) => stream.once("close", resolve));
    expectDrained(arena);
  });

  test("refuses streams of strings and objects, streams that were read, and what is no stream", async () => {
    using arena = smallArena();
    const decoded = Readable.from([Buffer.from("text")]);
    decoded.setEncoding("utf8");
    expectArenaError(await outcomeOf(decoded, arena), "ERR_INVALID_ARGUMENT", "setEncoding");
    expectArenaError(await outcomeOf(Readable.from([{}]), arena), "ERR_INVALID_ARGUMENT", "object mode");
    const read = Readable.from([Buffer.from("text")]);
    await read.forEach(() => {});
    expectArenaError(await outcomeOf(read, arena), "ERR_INVALID_ARGUMENT", "before");
    expectArenaError(await outcomeOf(wrong(null), arena), "ERR_INVALID_ARGUMENT", "stream.Readable");
    for (const limit of [undefined, -1, 0.5, "10", Number.POSITIVE_INFINITY]) {
      expectArenaError(
        await rejectionOf(collect(Readable.from([]), arena, { limit: wrong(limit) })),
        "ERR_INVALID_ARGUMENT",
        "limit is",
      );
    }
    expectArenaError(await rejectionOf(collect(Readable.from([]), arena, wrong(undefined))), "ERR_INVALID_ARGUMENT");
    expectArenaError(
      await rejectionOf(collect(Readable.from([]), arena, { limit: 1, byteLengthHint: Number.NaN })),
      "ERR_INVALID_ARGUMENT",
      "byteLengthHint is NaN",
    );
    expect(arena.stats().acquired).toBe(0);
  });

  test("keeps nothing when the memory under the body was revoked by other code", async () => {
    using arena = smallArena({ revoke: "before-reuse" });
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
  });

  test("refuses a signal that is none, and leaves the stream as it was", async () => {
    using arena = smallArena();
    for (const signal of [{}, { aborted: false }, "abort"]) {
      const stream = new PassThrough();
      const error = await rejectionOf(collect(stream, arena, { limit: 10, signal: wrong(signal) }));
      expectArenaError(error, "ERR_INVALID_ARGUMENT", "signal is");
      expect([stream.listenerCount("data"), stream.listenerCount("error")]).toEqual([0, 0]);
      stream.resume().end("abc");
      await once(stream, "close");
    }
    const error = new Error("no listeners");
    const addEventListener = (): never => {
      throw error;
    };
    const stream = new PassThrough();
    const signal = wrong<AbortSignal>({ aborted: false, addEventListener, removeEventListener() {} });
    expect(await rejectionOf(collect(stream, arena, { limit: 10, signal }))).toBe(error);
    expect([stream.listenerCount("data"), stream.listenerCount("close")]).toEqual([0, 0]);
    expectDrained(arena);
  });

  test("takes a block of just the body's length when the hint is right", async () => {
    using arena = smallArena();
    const stream = Readable.from([Buffer.alloc(700, 1), Buffer.alloc(300, 2)]);
    const lease = await collect(stream, arena, { limit: 1000, byteLengthHint: 1000 });
    expect(arena.stats()).toMatchObject({ acquired: 1, liveBytes: 1000 });
    lease.release();
  });
});

test("bufferOf gives Node's methods over the very bytes of the lease", () => {
  using arena = smallArena();
  const lease = arena.acquire(8);
  const buffer = bufferOf(lease);
  buffer.writeDoubleBE(Math.PI);
  expect(lease.view(DataView).getFloat64(0)).toBe(Math.PI);
  expect(buffer.length).toBe(8);
  lease.release();
  expect(() => bufferOf(lease)).toThrow("already released");
});
