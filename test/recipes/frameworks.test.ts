/**
 * The server and client recipes against their frameworks, over real sockets: bodies arrive
 * and go out as they were, and no lease outlives its response, however the request ends.
 * The encoders' recipes are in recipes.test.ts; `collect` itself is tested in test/node and test/web.
 */

import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { once } from "node:events";
import {
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  type RequestListener,
  type Server,
} from "node:http";
import { createRequire } from "node:module";
import { connect, type Socket } from "node:net";
import { createGunzip, gzipSync } from "node:zlib";
import { createAdaptorServer } from "@hono/node-server";
import { Arena, type Lease } from "cleanslab";
import express, { type ErrorRequestHandler, type Express } from "express";
import Fastify, { type FastifyInstance } from "fastify";
import { Hono } from "hono";
import { HTTPException } from "hono/http-exception";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { leasedBody as expressBody } from "../../examples/recipes/express.ts";
import { leasedBodies } from "../../examples/recipes/fastify.ts";
import { leasedBody as honoBody, type LeasedBody, streamOf } from "../../examples/recipes/hono.ts";
import { copyAndRelease, fetchLease, requestLease } from "../../examples/recipes/undici.ts";
import { deferred, exhaust, releaseAll, SEGMENT_BYTES, smallArena } from "../helpers.ts";
import { listen, pattern, quiet, type Served } from "../node/helpers.ts";

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

/** What servers notice a little later than their clients. */
function eventually<T>(value: () => T) {
  return expect.poll(value, { timeout: 5000, interval: 5 });
}
async function leased(count: number): Promise<void> {
  await eventually(() => arena.stats().liveLeases).toBe(count);
}
const drained = (): Promise<void> => leased(0);
const waiting = (count: number): Promise<void> => eventually(() => arena.stats().waiting).toBe(count) as Promise<void>;

/** Until the test is over. */
async function serve(server: Server): Promise<Served> {
  const served = await listen(server);
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
  return serve(createServer(app));
}

const servers: Record<string, Start> = {
  async fastify(handler, limit = LIMIT) {
    const app = fastifyApp(handler, limit);
    await app.ready();
    return serve(app.server);
  },
  "express 5": (handler, limit = LIMIT) => startExpress(express(), handler, limit),
  "express 4": (handler, limit = LIMIT) => startExpress(express4(), handler, limit),
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
  return serve(createAdaptorServer({ fetch: app.fetch }) as Server);
}

/** Sends `body` with its length, or in chunks. */
async function post(port: number, body: Uint8Array, { chunked = false, path = "/" } = {}) {
  const headers: OutgoingHttpHeaders = { "content-type": "application/octet-stream" };
  if (!chunked) headers["content-length"] = body.length;
  const client = httpRequest({ port, host: "127.0.0.1", method: "POST", path, headers, agent: false });
  const answered = once(client, "response") as Promise<[IncomingMessage]>;
  if (chunked) client.flushHeaders();
  client.end(body);
  const [response] = await answered;
  return { status: response.statusCode, body: Buffer.concat(await response.toArray()) };
}

/** A connection by hand. */
async function dial(port: number): Promise<Socket & { got: () => string }> {
  const socket = quiet(connect({ port, host: "127.0.0.1" }));
  await once(socket, "connect");
  closing.push(() => void socket.destroy());
  let text = "";
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

/** Sends a body longer than what the system buffers, and goes away when its answer begins. */
async function leaveDuringAnswer(port: number, byteLength: number): Promise<void> {
  const client = quiet(connect({ port, host: "127.0.0.1" }));
  client.write(head(byteLength));
  client.write(new Uint8Array(byteLength));
  await once(client, "readable");
  expect(arena.stats().liveLeases).toBe(1);
  client.destroy();
  await drained();
}

const echo: Handler = (lease) => lease.bytes;

describe.each(Object.entries(servers))("%s", (name, start) => {
  test("bodies of any length come and go as they were, announced or in chunks, and at the same time", async () => {
    const { port } = await start(echo);
    const bodies = [...SIZES, ...Array.from({ length: 20 }, (_, each) => 100_000 + each)].map(pattern);
    const answers = bodies.flatMap((body) =>
      [false, true].map(async (chunked) => (await post(port, body, { chunked })).body.equals(body)),
    );
    expect(await Promise.all(answers)).toEqual(answers.map(() => true));
  });

  test("a handler may throw, or release first", async () => {
    const throwing = await start(() => {
      throw new Error("no");
    });
    expect((await post(throwing.port, pattern(100_000))).status).toBe(500);
    const releasing = await start((lease) => {
      lease.release();
      return new Uint8Array(3);
    });
    expect((await post(releasing.port, pattern(100_000))).body.length).toBe(3);
  });

  test("a body of just the limit is taken; one byte more, announced or not, is 413, and the connection ends", async () => {
    const { port } = await start(echo, 1000);
    for (const chunked of [false, true]) expect((await post(port, pattern(1000), { chunked })).status).toBe(200);
    await drained();
    for (const [first, then] of [[head(1001)], [head(2 ** 60)], [head("chunked") + chunk(1000), chunk(1)]] as const) {
      const client = await dial(port);
      client.write(first);
      if (then !== undefined) client.write(then);
      await once(client, "close");
      expect(client.got()).toMatch(/^HTTP\/1.1 413 /);
      // Hono's adapter reads on for a while instead, and then closes the connection.
      if (name !== "hono") expect(client.got().toLowerCase()).toContain("\r\nconnection: close\r\n");
    }
  });

  test("a client that goes away in the middle of its body, or of its answer, leaves no lease", async () => {
    const { port } = await start(echo, 30_000_000);
    for (const first of [head(200_000) + "x".repeat(70_000), head("chunked") + chunk(70_000)]) {
      const client = await dial(port);
      client.write(first);
      await leased(1);
      client.resetAndDestroy();
      await drained();
    }
    await leaveDuringAnswer(port, 30_000_000);
  });

  test("a client that goes away while the handler works ends the lease: its bytes are not to be had later", async () => {
    const gate = deferred<void>();
    let code: unknown;
    const { port } = await start(async (lease) => {
      await gate.promise;
      try {
        return lease.bytes;
      } catch (error) {
        code = (error as { code?: string }).code;
        throw error;
      }
    });
    const client = await dial(port);
    client.write(`${head(5)}hello`);
    await leased(1);
    client.destroy();
    await drained();
    gate.resolve();
    await eventually(() => code).toBe("ERR_LEASE_RELEASED");
  });

  test("twenty pipelined requests are answered in their order, and leave no listener on the connection", async () => {
    const gate = deferred<void>();
    let calls = 0;
    const { port } = await start(async (lease) => {
      if (++calls < 20) await gate.promise;
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
    await eventually(() => calls).toBe(20);
    expect(arena.stats().liveLeases).toBe(20);
    gate.resolve();
    await eventually((): unknown => [...client.got().matchAll(/(<\d+>)+/g)].map(([body]) => body)).toEqual(bodies);
    await drained();
    expect([...sockets].map((socket) => socket.listenerCount("close") < 5)).toEqual([true]);
    client.write(`${head("chunked")}${chunk(3)}0\r\n\r\n`);
    await eventually(client.got).toContain("xxx");
  });

  test("a client that goes away while a pipelined answer waits for its turn leaves no lease", async () => {
    const gate = deferred<void>();
    let calls = 0;
    const { port } = await start(async (lease) => {
      if (calls++ === 0) await gate.promise;
      return lease.bytes;
    });
    const client = await dial(port);
    client.write(`${head(5)}first${head(6)}second`);
    await eventually(() => calls).toBe(2);
    expect(arena.stats().liveLeases).toBe(2);
    client.destroy();
    await drained();
    gate.resolve();
  });

  describe("at the cap", () => {
    let taken: Lease[] = [];
    beforeEach(() => {
      arena = smallArena({ onExhausted: "throw" }, 1);
      taken = exhaust(arena, 1000);
    });

    test("bodies wait, in chunks or not, and are served in the order in which they came", async () => {
      const order: number[] = [];
      const { port } = await start((lease) => {
        order.push(lease.byteLength);
        return lease.bytes;
      }, 60_000);
      const lengths = [9000, 60_000, 1000, 30_000, 40_000];
      const answers: Promise<boolean>[] = [];
      for (const [each, length] of lengths.entries()) {
        const chunked = each % 2 === 1;
        answers.push(post(port, pattern(length), { chunked }).then(({ body }) => body.equals(pattern(length))));
        await waiting(each + 1);
      }
      expect(order).toEqual([]);
      releaseAll(taken);
      expect([await Promise.all(answers), order]).toEqual([lengths.map(() => true), lengths]);
    });

    test("a body in chunks is 503 if so much as the limit can never be had", async () => {
      const { port } = await start(echo, 2 * SEGMENT_BYTES);
      expect((await post(port, pattern(1000), { chunked: true })).status).toBe(503);
      releaseAll(taken);
    });

    test.skipIf(name === "hono")(
      "a client that goes away leaves the queue, or if that was not to be seen, at its turn",
      async () => {
        const { port } = await start(echo);
        const short = await dial(port);
        short.write(`${head(10_000)}first bytes`);
        await waiting(1);
        short.destroy();
        await waiting(0);
        const long = await dial(port);
        long.write(head(60_000) + "x".repeat(60_000));
        await waiting(1);
        long.resetAndDestroy();
        const last = post(port, pattern(1000));
        await eventually(() => arena.stats().waiting).toBeGreaterThan(0);
        releaseAll(taken);
        expect((await last).status).toBe(200);
      },
    );
  });
});

describe("fastify", () => {
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

  test("`inject`, which has no socket, ends leases as well, and other parsers stay as they are", async () => {
    const app = fastifyApp(echo, LIMIT);
    const headers = { "content-type": "application/octet-stream" };
    const answer = await app.inject({ method: "POST", url: "/", headers, payload: pattern(1000) });
    expect(answer.rawPayload.equals(pattern(1000))).toBe(true);
    await drained();
    const json = await app.inject({ method: "POST", url: "/json", payload: { a: 1 } });
    expect(json.json()).toEqual({ body: { a: 1 }, lease: null });
    await app.close();
  });
});

test("express's own error handler answers once the client has sent all", async () => {
  const app = express();
  app.post("/", expressBody(arena, 1000));
  const { port } = await serve(createServer(app));
  expect((await post(port, pattern(3_000_000))).status).toBe(413);
});

describe("hono's stream of a lease", () => {
  test("is the bytes; never read, or not to its end, it leaves no lease", async () => {
    const { port } = await startHono((app) => {
      app.post("/", honoBody(arena, 30_000_000), (c) => c.body(streamOf(c.var.lease)));
      app.post("/unread", honoBody(arena, LIMIT), (c) => {
        streamOf(c.var.lease);
        return c.text("unread");
      });
    });
    for (const byteLength of SIZES) {
      const body = pattern(byteLength);
      expect((await post(port, body)).body.equals(body)).toBe(true);
    }
    expect(String((await post(port, pattern(3_000_000), { path: "/unread" })).body)).toBe("unread");
    await drained();
    await leaveDuringAnswer(port, 30_000_000);
  });

  test("fails if the lease ends half way", async () => {
    const lease = arena.acquire(200_000);
    const read = async (): Promise<void> => {
      for await (const _ of streamOf(lease)) lease[Symbol.dispose]();
    };
    await expect(read()).rejects.toMatchObject({ code: "ERR_LEASE_RELEASED" });
  });
});

describe("undici", () => {
  type Ask = (limit: number, url: string, signal?: AbortSignal) => Promise<Lease>;
  const ASKS: Ask[] = [
    async (limit, url, signal) => (await requestLease(arena, limit, url, { signal })).lease,
    (limit, url, signal) => fetchLease(arena, limit, url, { signal: signal ?? null }),
  ];
  const bytesOf = (lease: Lease): Buffer => {
    const bytes = Buffer.from(lease.bytes);
    lease.release();
    return bytes;
  };
  const serveUrl = async (listener: RequestListener): Promise<string> =>
    `http://127.0.0.1:${(await serve(createServer(listener))).port}`;

  test.each(SIZES)(
    "an answer of %d bytes comes into a lease, and a body goes out, though its lease has ended",
    async (byteLength) => {
      const body = pattern(byteLength);
      const url = await serveUrl((incoming, response) => {
        if (incoming.url === "/chunked") response.write(body.subarray(0, 1));
        response.end(incoming.url === "/chunked" ? body.subarray(1) : body);
      });
      for (const path of ["/", "/chunked"]) {
        for (const ask of ASKS) expect(bytesOf(await ask(LIMIT, url + path)).equals(body)).toBe(true);
      }
      const { port } = await (servers["express 5"] as Start)(echo);
      const lease = arena.copyOf(body);
      const options = { method: "POST", body: copyAndRelease(lease) } as const;
      expect(lease.released).toBe(true);
      const answer = await requestLease(arena, LIMIT, `http://127.0.0.1:${port}`, options);
      expect(bytesOf(answer.lease).equals(body)).toBe(true);
    },
  );

  test("an answer to HEAD has a length and no body; fetch unzips, request does not", async () => {
    const zipped = gzipSync(pattern(1000));
    const url = await serveUrl(({ method }, response) => {
      if (method === "HEAD") response.setHeader("content-length", LIMIT + 1).end();
      else response.setHeader("content-encoding", "gzip").end(zipped);
    });
    const { lease, headers, statusCode } = await requestLease(arena, LIMIT, url, { method: "HEAD" });
    expect([headers["content-length"], bytesOf(lease).length, statusCode]).toEqual([String(LIMIT + 1), 0, 200]);
    const wanted = [zipped, pattern(1000)];
    for (const [each, ask] of ASKS.entries())
      expect(bytesOf(await ask(LIMIT, url)).equals(wanted[each] as Buffer)).toBe(true);
  });

  test("an answer over the limit ends the connection; no such, aborted or broken answer leaves a lease", async () => {
    const closed: Promise<unknown>[] = [];
    const url = await serveUrl((incoming, response) => {
      closed.push(once(response, "close"));
      if (incoming.url !== "/chunked") response.setHeader("content-length", 3_000_000);
      response.write(pattern(2000));
      if (incoming.url === "/breaks") setTimeout(() => response.destroy(), 20);
    });
    for (const ask of ASKS) {
      for (const path of ["/", "/chunked"]) {
        await expect(ask(1000, url + path)).rejects.toMatchObject({ code: "ERR_LIMIT_EXCEEDED" });
      }
      await expect(ask(LIMIT, `${url}/breaks`)).rejects.toThrow();
      await expect(ask(LIMIT, url, AbortSignal.timeout(50))).rejects.toThrow();
      expect(arena.stats().liveLeases).toBe(0);
    }
    await Promise.all(closed);
    expect(closed.length).toBe(8);
  });

  test("at the cap the arena's refusal comes out, and the connection is free", async () => {
    arena = smallArena({ onExhausted: "throw" }, 1);
    const url = await serveUrl((_incoming, response) => response.end(pattern(10_000)));
    const taken = exhaust(arena, 1000);
    for (const ask of ASKS) await expect(ask(LIMIT, url)).rejects.toMatchObject({ code: "ERR_ARENA_EXHAUSTED" });
    releaseAll(taken);
    for (const ask of ASKS) bytesOf(await ask(LIMIT, url));
  });
});
