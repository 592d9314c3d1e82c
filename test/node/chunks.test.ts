/** Freeing what Node read: which chunks are freed, which never, and that no message is harmed. */

import { once } from "node:events";
import http from "node:http";
import http2 from "node:http2";
import net from "node:net";
import { Readable } from "node:stream";
import tls from "node:tls";
import { Arena } from "cleanslab";
import { collect } from "cleanslab/node";
import { describe, expect, test } from "vitest";
import { rejectionOf, wrong } from "../helpers.ts";
import { expectDrained, listen, pattern, serveHttp } from "./helpers.ts";
import { selfSigned } from "./tls.ts";

const canFree = "transfer" in ArrayBuffer.prototype;

/** A stream of one chunk. */
function streamOf(chunk: Buffer): Readable {
  return new Readable({
    read() {
      this.push(chunk);
      this.push(null);
    },
  });
}

describe("freeChunks", () => {
  test.runIf(canFree)("frees a chunk that owns its whole buffer", async () => {
    const arena = new Arena();
    const chunk = Buffer.from(new Uint8Array(20_000).fill(7).buffer);
    const lease = await collect(streamOf(chunk), arena, { limit: 100_000, freeChunks: true });
    expect(lease.bytes.every((byte) => byte === 7)).toBe(true);
    expect(chunk.buffer.byteLength).toBe(0);
    lease.release();
  });

  test("frees nothing unless it is asked to", async () => {
    const arena = new Arena();
    const chunk = Buffer.from(new Uint8Array(20_000).buffer);
    (await collect(streamOf(chunk), arena, { limit: 100_000 })).release();
    expect(chunk.buffer.byteLength).toBe(20_000);
  });

  test.each([
    ["a slice in front", () => Buffer.from(new ArrayBuffer(40_000), 0, 20_000)],
    ["a slice behind", () => Buffer.from(new ArrayBuffer(40_000), 20_000, 20_000)],
    ["a short chunk", () => Buffer.from(new ArrayBuffer(1000))],
  ])("never frees %s, which shares its buffer", async (_, make) => {
    const arena = new Arena();
    const chunk = make();
    const { byteLength } = chunk.buffer;
    (await collect(streamOf(chunk), arena, { limit: 100_000, freeChunks: true })).release();
    expect(chunk.buffer.byteLength).toBe(byteLength);
  });

  test("is refused if it is no boolean", async () => {
    const error = await rejectionOf(
      collect(Readable.from([]), new Arena(), { limit: 10, freeChunks: wrong<boolean>("yes") }),
    );
    expect(error).toMatchObject({ code: "ERR_INVALID_ARGUMENT" });
  });

  test("harms no body of pipelined HTTP requests", async () => {
    const arena = new Arena();
    const bodies = Array.from({ length: 40 }, (_, each) => pattern(1000 + each * 4001, each + 1));
    const collected: Buffer[] = [];
    const server = await serveHttp(async (request, response) => {
      const byteLength = Number(request.headers["content-length"]);
      const lease = await collect(request, arena, { byteLength, freeChunks: true });
      collected.push(Buffer.from(lease.bytes));
      lease.release();
      response.end("ok");
    });
    const socket = net.connect(server.port, "127.0.0.1");
    let answers = "";
    socket.on("data", (chunk) => {
      answers += chunk.toString("latin1");
    });
    // All of it in one stretch: reads end anywhere in messages.
    socket.write(
      Buffer.concat(
        bodies.flatMap((body) => [
          Buffer.from(`POST / HTTP/1.1\r\nhost: x\r\ncontent-length: ${body.length}\r\n\r\n`),
          body,
        ]),
      ),
    );
    while (answers.split("200 OK").length <= bodies.length) await once(socket, "data");
    expect(
      collected.map((body, each) => Buffer.compare(body, bodies[each] as Buffer)).some((order) => order !== 0),
    ).toBe(false);
    socket.destroy();
    await server.close();
    expectDrained(arena);
  });

  const identity = selfSigned();
  test.skipIf(identity === null)("harms nothing that comes over TLS", async () => {
    const arena = new Arena();
    const body = pattern(500_000);
    const received: Promise<Buffer>[] = [];
    const server = await listen(
      tls.createServer({ ...identity }, (socket) => {
        received.push(
          collect(socket, arena, { limit: 1 << 20, freeChunks: true }).then((lease) => {
            const bytes = Buffer.from(lease.bytes);
            lease.release();
            return bytes;
          }),
        );
      }),
    );
    const socket = tls.connect({ port: server.port, host: "127.0.0.1", rejectUnauthorized: false });
    await once(socket, "secureConnect");
    socket.end(body);
    while (received.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    expect(Buffer.compare((await received[0]) as Buffer, body)).toBe(0);
    await server.close();
    expectDrained(arena);
  });

  test("frees no chunk of HTTP/2, whose streams share reads", async () => {
    const arena = new Arena();
    const body = pattern(300_000);
    const chunks: Buffer[] = [];
    const done: Promise<void>[] = [];
    const server = http2.createServer((request, response) => {
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      done.push(
        collect(request as unknown as Readable, arena, { limit: 1 << 20, freeChunks: true }).then((lease) => {
          expect(Buffer.compare(Buffer.from(lease.bytes), body)).toBe(0);
          lease.release();
          response.end();
        }),
      );
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as net.AddressInfo;
    const client = http2.connect(`http://127.0.0.1:${port}`);
    const request = client.request({ ":method": "POST" });
    request.end(body);
    await once(request, "response");
    await Promise.all(done);
    expect(chunks.length).toBeGreaterThan(0);
    expect(chunks.every((chunk) => chunk.buffer.byteLength > 0)).toBe(true);
    client.destroy();
    server.close();
    expectDrained(arena);
  });

  test("an HTTP client's answer survives it", async () => {
    const arena = new Arena();
    const body = pattern(400_000);
    const server = await serveHttp((_, response) => response.end(body));
    const response = await new Promise<http.IncomingMessage>((resolve) => http.get({ port: server.port }, resolve));
    const lease = await collect(response, arena, { limit: 1 << 20, freeChunks: true });
    expect(Buffer.compare(Buffer.from(lease.bytes), body)).toBe(0);
    lease.release();
    await server.close();
  });
});
