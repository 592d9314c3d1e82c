/**
 * The server and client recipes against their frameworks, over real sockets: bodies arrive
 * and go out as they were, and no lease outlives its response, however the request ends.
 * The encoders' recipes are in recipes.test.ts; `collect` itself is tested in test/node and test/web.
 */

import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { once } from "node:events";
import { createServer, request as httpRequest, type IncomingMessage, type OutgoingHttpHeaders } from "node:http";
import { createRequire } from "node:module";
import { connect, type Socket } from "node:net";
import { createGunzip, gzipSync } from "node:zlib";
import { createAdaptorServer } from "@hono/node-server";
import { Arena, type Lease } from "cleanslab";
import { bufferOf, readableFrom } from "cleanslab/node";
import express, { type ErrorRequestHandler, type Express } from "express";
import Fastify, { type FastifyInstance } from "fastify";
import { Hono } from "hono";
import { HTTPException } from "hono/http-exception";
import { fetch, request } from "undici";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { leasedBody as expressBody } from "../../examples/recipes/express.ts";
import { leasedBodies } from "../../examples/recipes/fastify.ts";
import { leasedBody as honoBody, type LeasedBody, streamOf } from "../../examples/recipes/hono.ts";
import { copyAndRelease, fetchLease, requestLease } from "../../examples/recipes/undici.ts";
import { exhaust, smallArena } from "../helpers.ts";
import { listen, pattern, type Served, serveHttp, serveTcp } from "../node/helpers.ts";

const express4 = createRequire(import.meta.url)("express4") as typeof express;

const SIZES = [0, 1, 100_000, 3_000_000];
const LIMIT = 4_000_000;

let arena: Arena;
const closing: (() => Promise<void> | void)[] = [];
const warnings: Error[] = [];
process.on("warning", (warning) => warnings.push(warning));

beforeEach(() => {
  arena = new Arena({ onExhausted: "throw" });
});
afterEach(async () => {
  try {
    await drained();
  } finally {
    for (const close of closing.splice(0)) await close();
  }
  expect(warnings.splice(0)).toEqual([]);
});

/** The server notices the end of a response or of a connection a little later than its client. */
async function drained(): Promise<void> {
  await expect.poll(() => arena.stats().liveLeases, { timeout: 5000, interval: 5 }).toBe(0);
}

function closesAfterwards<T extends Served>(served: T): T {
  closing.push(() => served.close());
  return served;
}

/** What a handler does with its lease; the server answers with the bytes themselves, not with a copy. */
type Handler = (lease: Lease) => Uint8Array<ArrayBuffer> | Promise<Uint8Array<ArrayBuffer>>;
type Start = (handler: Handler, limit?: number) => Promise<Served>;

function fastifyApp(handler: Handler, limit: number): FastifyInstance {
  const app = Fastify({ bodyLimit: limit });
  app.register(leasedBodies, { arena, contentType: "application/octet-stream" });
  app.post("/", async (request, reply) => {
    const lease = request.lease as Lease;
    const { buffer, byteOffset, length } = await handler(lease);
    return reply.send(Buffer.from(buffer, byteOffset, length));
  });
  app.post("/json", async (request) => ({ body: request.body, lease: request.lease }));
  return app;
}

function startExpress(app: Express, handler: Handler, limit: number): Promise<Served> {
  app.post("/", expressBody(arena, limit), async (request, response, next) => {
    try {
      response.end(await handler(request.lease));
    } catch (error) {
      next(error);
    }
  });
  const answerError: ErrorRequestHandler = (error, _request, response, _next) => {
    response.status(error.statusCode ?? 500).end(String(error.code));
  };
  app.use(answerError);
  return listen(createServer(app));
}

const servers: Record<string, Start> = {
  async fastify(handler, limit = LIMIT) {
    const app = fastifyApp(handler, limit);
    await app.ready();
    return closesAfterwards(await listen(app.server));
  },
  async "express 5"(handler, limit = LIMIT) {
    return closesAfterwards(await startExpress(express(), handler, limit));
  },
  async "express 4"(handler, limit = LIMIT) {
    return closesAfterwards(await startExpress(express4(), handler, limit));
  },
  hono(handler, limit = LIMIT) {
    return startHono((app) => {
      app.post("/", honoBody(arena, limit), async (c) => c.body(await handler(c.var.lease)));
    });
  },
};

async function startHono(route: (app: Hono<LeasedBody>) => void): Promise<Served> {
  const app = new Hono<LeasedBody>();
  // As it does by default, without printing the error.
  app.onError((error, c) => (error instanceof HTTPException ? error.getResponse() : c.text("failed", 500)));
  route(app);
  return closesAfterwards(await listen(createAdaptorServer({ fetch: app.fetch }) as ReturnType<typeof createServer>));
}

interface Answer {
  status: number;
  body: Buffer;
  headers: IncomingMessage["headers"];
}

/** Sends `body` with its length, or in chunks. */
async function post(
  port: number,
  body: Uint8Array,
  options: { chunked?: boolean; path?: string; method?: string } = {},
) {
  const { chunked = false, path = "/", method = "POST" } = options;
  const headers: OutgoingHttpHeaders = { "content-type": "application/octet-stream" };
  if (!chunked) headers["content-length"] = body.length;
  const client = httpRequest({ port, host: "127.0.0.1", method, path, headers, agent: false });
  const answered = once(client, "response") as Promise<[IncomingMessage]>;
  if (chunked) client.flushHeaders();
  client.end(body);
  const [response] = await answered;
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return { status: response.statusCode, body: Buffer.concat(chunks), headers: response.headers } as Answer;
}

/** A connection by hand. */
async function dial(port: number): Promise<Socket & { got: () => string }> {
  const socket = connect({ port, host: "127.0.0.1" });
  await once(socket, "connect");
  closing.push(() => void socket.destroy());
  let text = "";
  socket.on("error", () => {});
  socket.on("data", (chunk) => {
    text += chunk.toString("latin1");
  });
  return Object.assign(socket, { got: () => text });
}

const head = (length: number | "chunked"): string =>
  `POST / HTTP/1.1\r\nhost: a\r\ncontent-type: application/octet-stream\r\n${
    length === "chunked" ? "transfer-encoding: chunked" : `content-length: ${length}`
  }\r\n\r\n`;

const chunk = (byteLength: number): string => `${byteLength.toString(16)}\r\n${"x".repeat(byteLength)}\r\n`;

function gate(): { opened: Promise<void>; open: () => void } {
  let open = (): void => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

const echo: Handler = (lease) => lease.bytes;

describe.each(Object.entries(servers))("%s", (name, start) => {
  function expectTooLong(answer: string): void {
    expect(answer).toMatch(/^HTTP\/1.1 413 /);
    // Hono's adapter reads on for a while instead, and then closes the connection.
    if (name !== "hono") expect(answer.toLowerCase()).toContain("\r\nconnection: close\r\n");
  }

  describe.each([false, true])("in chunks: %s", (chunked) => {
    test.each(SIZES)("a body of %d bytes comes and goes as it was, without a copy", async (byteLength) => {
      const { port } = await start(echo);
      const body = pattern(byteLength);
      for (let each = 0; each < 3; each++) {
        const answer = await post(port, body, { chunked });
        expect(answer.status).toBe(200);
        expect(answer.body.equals(body)).toBe(true);
        await drained();
      }
    });
  });

  test("bodies at the same time do not mix", async () => {
    const { port } = await start(echo);
    await Promise.all(
      Array.from({ length: 20 }, async (_, seed) => {
        const body = pattern(100_000 + seed, seed + 1);
        expect((await post(port, body, { chunked: seed % 2 === 0 })).body.equals(body)).toBe(true);
      }),
    );
  });

  test("a handler that throws releases all the same", async () => {
    const { port } = await start(() => {
      throw new Error("no");
    });
    expect((await post(port, pattern(100_000))).status).toBe(500);
  });

  test("a handler may release first", async () => {
    const { port } = await start((lease) => {
      lease.release();
      return new Uint8Array(3);
    });
    expect((await post(port, pattern(100_000))).body.length).toBe(3);
  });

  test("an announced length over the limit is 413, before any of it is read, and the connection ends", async () => {
    const { port } = await start(echo, 1000);
    const client = await dial(port);
    client.write(head(1001));
    await once(client, "close");
    expectTooLong(client.got());
    expect(arena.stats().liveLeases).toBe(0);
  });

  test("so is a length beyond all whole numbers", async () => {
    const { port } = await start(echo, 1000);
    const client = await dial(port);
    client.write(head(2 ** 60));
    await once(client, "close");
    expectTooLong(client.got());
  });

  test("one byte over the limit in chunks is 413, and the connection ends", async () => {
    const { port } = await start(echo, 1000);
    const client = await dial(port);
    client.write(head("chunked") + chunk(1000));
    client.write(chunk(1));
    await once(client, "close");
    expectTooLong(client.got());
  });

  test("a body of exactly the limit is taken", async () => {
    const { port } = await start(echo, 1000);
    expect((await post(port, pattern(1000))).status).toBe(200);
    expect((await post(port, pattern(1000), { chunked: true })).status).toBe(200);
  });

  test("a body shorter than its content-length never reaches the handler", async () => {
    let calls = 0;
    const { port } = await start((lease) => {
      calls++;
      return lease.bytes;
    });
    const client = await dial(port);
    client.end(`${head(10)}short`);
    await once(client, "close");
    await drained();
    expect(calls).toBe(0);
  });

  test("of a body longer than its content-length no handler sees more than was announced", async () => {
    const lengths = new Set([5]);
    const { port } = await start((lease) => {
      lengths.add(lease.byteLength);
      return lease.bytes;
    });
    const client = await dial(port);
    client.write(`${head(5)}right, and more`);
    await once(client, "close");
    expect(client.got()).toContain("HTTP/1.1 400 ");
    await drained();
    expect([...lengths]).toEqual([5]);
  });

  test("a client that goes away in the middle of its body leaves no lease", async () => {
    const { port } = await start(echo);
    for (const first of [head(200_000) + "x".repeat(70_000), head("chunked") + chunk(70_000)]) {
      const client = await dial(port);
      client.write(first);
      await expect.poll(() => arena.stats().liveLeases, { timeout: 5000 }).toBe(1);
      client.resetAndDestroy();
      await drained();
    }
  });

  test("a client that goes away while the handler works ends the lease: its bytes are not to be had later", async () => {
    const { opened, open } = gate();
    let code: unknown;
    const { port } = await start(async (lease) => {
      await opened;
      try {
        return lease.bytes;
      } catch (error) {
        code = (error as { code?: string }).code;
        throw error;
      }
    });
    const client = await dial(port);
    client.write(`${head(5)}hello`);
    await expect.poll(() => arena.stats().liveLeases, { timeout: 5000 }).toBe(1);
    client.destroy();
    await drained();
    open();
    await expect.poll(() => code, { timeout: 5000 }).toBe("ERR_LEASE_RELEASED");
  });

  test("a client that goes away in the middle of its answer leaves no lease", async () => {
    // More than the system buffers, so that the answer cannot be over.
    const byteLength = 30_000_000;
    const { port } = await start(echo, byteLength);
    const client = connect({ port, host: "127.0.0.1" });
    client.on("error", () => {});
    client.write(head(byteLength));
    client.write(new Uint8Array(byteLength));
    await once(client, "readable");
    expect(arena.stats().liveLeases).toBe(1);
    client.destroy();
    await drained();
  });

  test("twenty pipelined requests are answered in their order, and leave no listener on the connection", async () => {
    const { opened, open } = gate();
    let calls = 0;
    const { port } = await start(async (lease) => {
      if (++calls < 20) await opened;
      return lease.bytes;
    });
    const sockets = new Set<Socket>();
    const started = (message: unknown): void => {
      sockets.add((message as { socket: Socket }).socket);
    };
    subscribe("http.server.request.start", started);
    closing.push(() => void unsubscribe("http.server.request.start", started));
    const client = await dial(port);
    const bodies = Array.from({ length: 20 }, (_, each) => `<${each}>`.repeat(100));
    client.write(bodies.map((body) => head(body.length) + body).join(""));
    await expect.poll(() => calls, { timeout: 5000 }).toBe(20);
    expect(arena.stats().liveLeases).toBe(20);
    open();
    const found = (): unknown => [...client.got().matchAll(/(<\d+>)+/g)].map(([body]) => body);
    await expect.poll(found, { timeout: 5000 }).toEqual(bodies);
    await drained();
    const [socket] = sockets;
    expect(sockets.size).toBe(1);
    expect(socket?.listenerCount("close")).toBeLessThan(5);
    client.write(head("chunked") + chunk(3));
    client.write("0\r\n\r\n");
    await expect.poll(client.got, { timeout: 5000 }).toContain("xxx");
  });

  test("a client that goes away while a pipelined answer waits for its turn leaves no lease", async () => {
    const { opened, open } = gate();
    let calls = 0;
    const { port } = await start(async (lease) => {
      if (calls++ === 0) await opened;
      return lease.bytes;
    });
    const client = await dial(port);
    client.write(`${head(5)}first${head(6)}second`);
    await expect.poll(() => calls, { timeout: 5000 }).toBe(2);
    expect(arena.stats().liveLeases).toBe(2);
    client.destroy();
    await drained();
    open();
  });

  describe("bytes that a handler kept beyond the response", () => {
    async function keep(): Promise<{ port: number; kept: Uint8Array[] }> {
      const kept: Uint8Array[] = [];
      const { port } = await start((lease) => {
        kept.push(lease.bytes);
        return lease.bytes;
      });
      return { port, kept };
    }

    test("are dead at once in on-release mode", async () => {
      arena = new Arena({ revoke: "on-release" });
      const { port, kept } = await keep();
      await post(port, pattern(1000));
      await drained();
      expect(kept[0]?.length).toBe(0);
    });

    test("are zero at once with wipeOnRelease", async () => {
      arena = new Arena({ wipeOnRelease: true });
      const { port, kept } = await keep();
      await post(port, pattern(1000));
      await drained();
      expect(kept[0]?.every((byte) => byte === 0)).toBe(true);
    });

    test("never show another request's by default, and are dead before their memory is used again", async () => {
      arena = smallArena({ onExhausted: "throw" }, 1);
      const { port, kept } = await keep();
      const secret = Buffer.alloc(30_000, 1);
      await post(port, secret);
      for (let each = 0; kept[0]?.length !== 0; each++) {
        expect(each).toBeLessThan(50);
        expect(kept[0]?.every((byte) => byte === 1)).toBe(true);
        await post(port, Buffer.alloc(30_000, 2));
        await drained();
      }
    });
  });

  describe("at the cap", () => {
    beforeEach(() => {
      arena = smallArena({ onExhausted: "throw" }, 1);
    });

    test("a body in chunks, whose length nobody knows, is 503", async () => {
      const { port } = await start(echo);
      const taken = exhaust(arena, 1000);
      const answer = await post(port, pattern(1000), { chunked: true });
      expect(answer.status).toBe(503);
      for (const lease of taken) lease.release();
      expect((await post(port, pattern(1000), { chunked: true })).status).toBe(200);
    });

    if (name === "hono") {
      test("so is one of known length: cleanslab/web does not wait", async () => {
        const { port } = await start(echo);
        const taken = exhaust(arena, 1000);
        expect((await post(port, pattern(1000))).status).toBe(503);
        for (const lease of taken) lease.release();
      });
      return;
    }

    test("bodies of known length wait, and are served in the order in which they came", async () => {
      const order: number[] = [];
      const { port } = await start((lease) => {
        order.push(lease.byteLength);
        return lease.bytes;
      });
      const taken = exhaust(arena, 1000);
      const lengths = [9000, 60_000, 1000, 30_000, 40_000];
      const answers: Promise<Answer>[] = [];
      for (const [each, length] of lengths.entries()) {
        answers.push(post(port, pattern(length)));
        await expect.poll(() => arena.stats().waiting, { timeout: 5000 }).toBe(each + 1);
      }
      expect(order).toEqual([]);
      for (const lease of taken) lease.release();
      for (const [each, length] of lengths.entries()) {
        expect((await answers[each])?.body.equals(pattern(length))).toBe(true);
      }
      expect(order).toEqual(lengths);
    });

    test("a client that goes away leaves the queue, or if that was not to be seen, at its turn", async () => {
      const { port } = await start(echo);
      const taken = exhaust(arena, 1000);
      const short = await dial(port);
      short.write(`${head(10_000)}first bytes`);
      await expect.poll(() => arena.stats().waiting, { timeout: 5000 }).toBe(1);
      short.destroy();
      await expect.poll(() => arena.stats().waiting, { timeout: 5000 }).toBe(0);
      const long = await dial(port);
      long.write(head(60_000) + "x".repeat(60_000));
      await expect.poll(() => arena.stats().waiting, { timeout: 5000 }).toBe(1);
      long.resetAndDestroy();
      const last = post(port, pattern(1000));
      await expect.poll(() => arena.stats().waiting, { timeout: 5000 }).toBeGreaterThan(0);
      for (const lease of taken) lease.release();
      expect((await last).status).toBe(200);
    });
  });
});

describe("fastify", () => {
  test("other parsers stay as they are", async () => {
    const app = fastifyApp(echo, LIMIT);
    const answer = await app.inject({ method: "POST", url: "/json", payload: { a: 1 } });
    expect(answer.json()).toEqual({ body: { a: 1 }, lease: null });
    await app.close();
  });

  test("the limit is the route's, and holds for what another hook unzipped", async () => {
    const app = Fastify();
    app.register(leasedBodies, { arena, contentType: "*" });
    app.addHook("preParsing", async (_request, _reply, payload) => payload.pipe(createGunzip()));
    app.post("/", { bodyLimit: 5000 }, async (request) => ({ byteLength: request.lease?.byteLength }));
    const send = (payload: Buffer) => app.inject({ method: "POST", url: "/", payload });
    expect((await send(gzipSync(Buffer.alloc(5000)))).json()).toEqual({ byteLength: 5000 });
    expect((await send(gzipSync(Buffer.alloc(5001)))).statusCode).toBe(413);
    expect((await send(Buffer.from("not zipped"))).statusCode).toBe(400);
    await drained();
    await app.close();
  });

  test("`inject`, which has no socket, ends leases as well", async () => {
    const app = fastifyApp(echo, LIMIT);
    const headers = { "content-type": "application/octet-stream" };
    const answer = await app.inject({ method: "POST", url: "/", headers, payload: pattern(1000) });
    expect(answer.rawPayload.equals(pattern(1000))).toBe(true);
    await drained();
    await app.close();
  });
});

describe("express", () => {
  test("its own error handler answers once the client has sent all", async () => {
    const app = express();
    app.post("/", expressBody(arena, 1000));
    const { port } = closesAfterwards(await listen(createServer(app)));
    expect((await post(port, pattern(3_000_000))).status).toBe(413);
  });
});

describe("hono", () => {
  test.each(SIZES)("a stream of a lease of %d bytes is the bytes", async (byteLength) => {
    const { port } = await startHono((app) => {
      app.post("/", honoBody(arena, LIMIT), (c) => c.body(streamOf(c.var.lease)));
    });
    const body = pattern(byteLength);
    expect((await post(port, body)).body.equals(body)).toBe(true);
  });

  test("a stream that is never read, or not to its end, leaves no lease", async () => {
    const { port } = await startHono((app) => {
      app.post("/", honoBody(arena, 30_000_000), (c) => c.body(streamOf(c.var.lease)));
      app.post("/unread", honoBody(arena, LIMIT), (c) => {
        streamOf(c.var.lease);
        return c.text("unread");
      });
    });
    expect((await post(port, pattern(3_000_000), { path: "/unread" })).body.toString()).toBe("unread");
    await drained();
    const client = connect({ port, host: "127.0.0.1" });
    client.on("error", () => {});
    client.write(head(30_000_000));
    client.write(new Uint8Array(30_000_000));
    await once(client, "readable");
    expect(arena.stats().liveLeases).toBe(1);
    client.destroy();
    await drained();
  });

  test("a stream whose lease ends half way fails", async () => {
    const lease = arena.acquire(200_000);
    const stream = streamOf(lease);
    const read = async (): Promise<void> => {
      for await (const _ of stream) lease[Symbol.dispose]();
    };
    await expect(read()).rejects.toMatchObject({ code: "ERR_LEASE_RELEASED" });
  });

  test("its `Response` does not copy what it is given: the trap is real", async () => {
    const bytes = new Uint8Array(1000).fill(1);
    const { port } = await startHono((app) => {
      app.get("/", async (c) => {
        const response = c.body(bytes);
        bytes.fill(2); // what the next owner would do after a release here
        return response;
      });
    });
    const { body } = await post(port, new Uint8Array(0), { method: "GET" });
    expect(body[0]).toBe(2);
  });
});

describe("undici", () => {
  test.each(SIZES)("an answer of %d bytes comes into a lease, by request and by fetch", async (byteLength) => {
    const body = pattern(byteLength);
    const { port } = closesAfterwards(
      await serveHttp((incoming, response) => {
        if (incoming.url === "/chunked") response.write(body.subarray(0, 1));
        response.end(incoming.url === "/chunked" ? body.subarray(1) : body);
      }),
    );
    for (const path of ["/", "/chunked"]) {
      const url = `http://127.0.0.1:${port}${path}`;
      const { lease, statusCode } = await requestLease(arena, LIMIT, url);
      expect(statusCode).toBe(200);
      expect(bufferOf(lease).equals(body)).toBe(true);
      lease.release();
      const fetched = await fetchLease(arena, LIMIT, url);
      expect(bufferOf(fetched).equals(body)).toBe(true);
      fetched.release();
    }
  });

  test("an answer to HEAD has a length and no body", async () => {
    const { port } = closesAfterwards(
      await serveHttp((_incoming, response) => response.setHeader("content-length", LIMIT + 1).end()),
    );
    const { lease, headers } = await requestLease(arena, LIMIT, `http://127.0.0.1:${port}`, { method: "HEAD" });
    expect(headers["content-length"]).toBe(String(LIMIT + 1));
    expect(lease.byteLength).toBe(0);
    lease.release();
  });

  test("fetch unzips, request does not", async () => {
    const zipped = gzipSync(pattern(1000));
    const { port } = closesAfterwards(
      await serveHttp((_incoming, response) => response.setHeader("content-encoding", "gzip").end(zipped)),
    );
    const fetched = await fetchLease(arena, LIMIT, `http://127.0.0.1:${port}`);
    expect(bufferOf(fetched).equals(pattern(1000))).toBe(true);
    fetched.release();
    const { lease } = await requestLease(arena, LIMIT, `http://127.0.0.1:${port}`);
    expect(bufferOf(lease).equals(zipped)).toBe(true);
    lease.release();
  });

  test.each(["/", "/chunked"])("an answer over the limit ends the connection and leaves no lease: %s", async (path) => {
    const closed: Promise<unknown>[] = [];
    const { port } = closesAfterwards(
      await serveHttp((incoming, response) => {
        closed.push(once(response, "close"));
        if (incoming.url !== "/chunked") response.setHeader("content-length", 3_000_000);
        response.write(pattern(2000));
      }),
    );
    const url = `http://127.0.0.1:${port}${path}`;
    await expect(requestLease(arena, 1000, url)).rejects.toMatchObject({ code: "ERR_LIMIT_EXCEEDED" });
    await expect(fetchLease(arena, 1000, url)).rejects.toMatchObject({ code: "ERR_LIMIT_EXCEEDED" });
    await Promise.all(closed);
    expect(closed.length).toBe(2);
  });

  test("an aborted answer and one that breaks off leave no lease", async () => {
    const { port } = closesAfterwards(
      await serveHttp((incoming, response) => {
        response.setHeader("content-length", 3_000_000).write(pattern(100_000));
        if (incoming.url === "/breaks") setTimeout(() => response.destroy(), 20);
      }),
    );
    const url = `http://127.0.0.1:${port}`;
    for (const ask of [requestLease, fetchLease] as const) {
      await expect(ask(arena, LIMIT, `${url}/breaks`)).rejects.toThrow();
      expect(arena.stats().liveLeases).toBe(0);
      const signal = AbortSignal.timeout(50);
      await expect(ask(arena, LIMIT, url, { signal })).rejects.toThrow();
      expect(arena.stats().liveLeases).toBe(0);
    }
  });

  test("at the cap the arena's refusal comes out, and the connection is free", async () => {
    arena = smallArena({ onExhausted: "throw" }, 1);
    const { port } = closesAfterwards(await serveHttp((_incoming, response) => response.end(pattern(10_000))));
    const taken = exhaust(arena, 1000);
    const url = `http://127.0.0.1:${port}`;
    await expect(requestLease(arena, LIMIT, url)).rejects.toMatchObject({ code: "ERR_ARENA_EXHAUSTED" });
    for (const lease of taken) lease.release();
    (await requestLease(arena, LIMIT, url)).lease.release();
  });

  test.each(SIZES)("a body of %d bytes goes out as it was, though its lease has ended", async (byteLength) => {
    const { port } = await (servers["express 5"] as Start)(echo);
    const body = pattern(byteLength);
    const lease = arena.copyOf(body);
    const asked = requestLease(arena, LIMIT, `http://127.0.0.1:${port}`, {
      method: "POST",
      body: copyAndRelease(lease),
    });
    expect(lease.released).toBe(true);
    const answer = await asked;
    expect(bufferOf(answer.lease).equals(body)).toBe(true);
    answer.lease.release();
  });

  test("many leases go out as one body; if nobody takes it none is left", async () => {
    const { port } = await (servers["express 5"] as Start)(echo);
    const parts = Array.from({ length: 30 }, (_, each) => pattern(100_000, each + 1));
    let ended = 0;
    function* leases(): Generator<Lease> {
      try {
        for (const part of parts) yield arena.copyOf(part);
      } finally {
        ended++;
      }
    }
    const sent = await requestLease(arena, LIMIT, `http://127.0.0.1:${port}`, {
      method: "POST",
      body: readableFrom(leases()),
    });
    expect(bufferOf(sent.lease).equals(Buffer.concat(parts))).toBe(true);
    sent.lease.release();
    expect(ended).toBe(1);

    const nobody = await serveTcp(() => {});
    await nobody.close();
    const refused = request(`http://127.0.0.1:${nobody.port}`, { method: "POST", body: readableFrom(leases()) });
    await expect(refused).rejects.toMatchObject({ code: "ECONNREFUSED" });

    const reset = closesAfterwards(
      await serveTcp((socket) => {
        socket.once("data", () => socket.resetAndDestroy());
      }),
    );
    await expect(
      fetch(`http://127.0.0.1:${reset.port}`, { method: "POST", body: readableFrom(leases()), duplex: "half" }),
    ).rejects.toThrow();
    await drained();
  });

  test("an answer may come while the body is still to be sent: without the copy the next owner's bytes would go out", async () => {
    const LONG = 32_000_000;
    const body = new Uint8Array(LONG).fill(1);
    const { opened, open } = gate();
    const received = new Promise<number>((resolve) => {
      serveTcp((socket) => {
        let isHead = true;
        let twos = 0;
        let length = 0;
        socket.on("data", async (bytes) => {
          if (isHead) {
            isHead = false;
            socket.pause();
            socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
            await opened;
            socket.resume();
            return;
          }
          length += bytes.length;
          for (const byte of bytes) if (byte === 2) twos++;
          if (length > LONG * 0.9) resolve(twos);
        });
      }).then(async (served) => {
        closesAfterwards(served);
        const answer = await request(`http://127.0.0.1:${served.port}`, { method: "POST", body });
        expect(await answer.body.text()).toBe("ok");
        body.fill(2); // what the next owner would do after a release here
        open();
      });
    });
    expect(await received).toBeGreaterThan(0);
  });
});
