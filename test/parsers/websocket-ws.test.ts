/** The WebSocket example against the `ws` package: our parser reads what ws sends, ws reads what we encode. */

import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { connect, type Socket } from "node:net";
import { isDeepStrictEqual } from "node:util";
import { Arena } from "cleanslab";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { createEchoServer } from "../../examples/websocket/echo.ts";
import { encodeClose, encodeFrame, type FrameToSend, randomMaskingKey } from "../../examples/websocket/frames.ts";
import { type WebSocketMessage, WebSocketParser } from "../../examples/websocket/parser.ts";
import { noise } from "./splits.ts";

const LENGTHS = [0, 1, 5, 125, 126, 127, 1000, 65_535, 65_536, 1_000_003];

/** What `socket` gets from now on, one message at a time. */
function inbox(socket: WebSocket): () => Promise<{ data: Buffer; isBinary: boolean }> {
  const queue: { data: Buffer; isBinary: boolean }[] = [];
  let wake: (() => void) | null = null;
  socket.on("message", (data: Buffer, isBinary: boolean) => {
    queue.push({ data, isBinary });
    wake?.();
  });
  return async () => {
    while (queue.length === 0) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    return queue.shift() as { data: Buffer; isBinary: boolean };
  };
}

describe("a ws client and our server", () => {
  const arena = new Arena({ trace: "all" });
  const server = createEchoServer({ arena, maxMessageBytes: 2_000_000 });
  let url = "";

  beforeAll(async () => {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(() => server.close());

  async function open(): Promise<WebSocket> {
    const client = new WebSocket(url, { perMessageDeflate: false });
    await once(client, "open");
    return client;
  }

  test("text and binary of every length of header come back as sent", async () => {
    const client = await open();
    const next = inbox(client);
    for (const length of LENGTHS) {
      const payload = Buffer.from(noise(length));
      client.send(payload);
      expect(isDeepStrictEqual(await next(), { data: payload, isBinary: true }), `${length} bytes`).toBe(true);
      const text = "ü🙂x".repeat(length / 7);
      client.send(text);
      expect(isDeepStrictEqual(await next(), { data: Buffer.from(text), isBinary: false }), `${length} of text`).toBe(
        true,
      );
    }
    client.close(1000);
    await once(client, "close");
  });

  test("messages that ws fragments, with pings between the fragments, are put together", async () => {
    const client = await open();
    const next = inbox(client);
    const pongs: string[] = [];
    client.on("pong", (data) => pongs.push(data.toString()));
    const parts = Array.from({ length: 20 }, (_, each) => Buffer.from(noise(each * 977, each + 1)));
    for (const [each, part] of parts.entries()) {
      client.send(part, { binary: true, fin: each === parts.length - 1 });
      client.ping(`ping ${each}`);
    }
    const { data } = await next();
    expect(Buffer.compare(data, Buffer.concat(parts))).toBe(0);
    client.send("end");
    await next();
    expect(pongs).toEqual(parts.map((_, each) => `ping ${each}`));
    client.close();
    await once(client, "close");
  });

  test.each([
    [1000, "done"],
    [3000, ""],
    [4999, "ünï"],
  ])("close %d is answered with the same code", async (code, reason) => {
    const client = await open();
    client.close(code, reason);
    const [answered] = await once(client, "close");
    expect(answered).toBe(code);
  });

  test("a message over the limit is answered with 1009", async () => {
    const client = await open();
    client.on("error", () => {});
    client.send(Buffer.alloc(2_000_001));
    const [code] = await once(client, "close");
    expect([1009, 1006]).toContain(code);
  });

  test("a client that goes away in the middle of a message leaves nothing leased", async () => {
    const client = await open();
    client.send(noise(100_000), { fin: false });
    client.ping();
    await once(client, "pong");
    expect(arena.stats().liveLeases).toBeGreaterThan(0);
    client.terminate();
    const connections = (): Promise<number> =>
      new Promise((resolve, reject) =>
        server.getConnections((error, count) => (error ? reject(error) : resolve(count))),
      );
    while ((await connections()) > 0 || arena.stats().liveLeases > 0) await new Promise(setImmediate);
    arena.assertDrained();
  });
});

describe("a ws server and our client", () => {
  const arena = new Arena({ trace: "all" });
  let server: WebSocketServer;
  const received: { data: Buffer; isBinary: boolean }[] = [];
  let theirs: WebSocket;
  let socket: Socket;
  const got: unknown[] = [];
  let wake = (): void => {};
  const parser = new WebSocketParser(
    arena,
    (message: WebSocketMessage) => {
      if (message.kind === "close") got.push(message);
      else {
        got.push({ kind: message.kind, bytes: Buffer.from(message.lease.bytes) });
        message.lease.release();
      }
      wake();
    },
    { role: "client" },
  );

  async function nextOfOurs(): Promise<unknown> {
    while (got.length === 0) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    return got.shift();
  }

  async function send(frame: FrameToSend): Promise<void> {
    const lease = encodeFrame(arena, { ...frame, maskingKey: randomMaskingKey() });
    await lease.releaseAfter(
      new Promise<void>((resolve, reject) => socket.write(lease.bytes, (e) => (e ? reject(e) : resolve()))),
    );
  }

  beforeAll(async () => {
    server = new WebSocketServer({ port: 0, host: "127.0.0.1", perMessageDeflate: false });
    await once(server, "listening");
    const connected = once(server, "connection");
    socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
    socket.write(
      "GET / HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: Upgrade\r\n" +
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n",
    );
    [theirs] = (await connected) as [WebSocket];
    theirs.on("message", (data: Buffer, isBinary: boolean) => received.push({ data, isBinary }));
    // The handshake's answer ends with an empty line; frames come behind it.
    let head = Buffer.alloc(0);
    await new Promise<void>((resolve) => {
      const read = (chunk: Buffer): void => {
        head = Buffer.concat([head, chunk]);
        const end = head.indexOf("\r\n\r\n");
        if (end < 0) return;
        socket.off("data", read).on("data", (each) => parser.write(each));
        parser.write(head.subarray(end + 4));
        resolve();
      };
      socket.on("data", read);
    });
  });
  afterAll(() => {
    socket.destroy();
    server.close();
  });

  test("ws reads every length that we encode and mask, whole and fragmented", async () => {
    for (const length of LENGTHS) {
      const payload = noise(length);
      await send({ opcode: "binary", payload });
      await send({ opcode: "binary", payload: payload.subarray(0, length >> 1), final: false });
      await send({ opcode: "ping", payload: "between" });
      expect(await nextOfOurs()).toEqual({ kind: "pong", bytes: Buffer.from("between") });
      await send({ opcode: "continuation", payload: payload.subarray(length >> 1) });
      await send({ opcode: "text", payload: "ü".repeat(length) });
      await send({ opcode: "ping" });
      await nextOfOurs();
      const three = received.splice(0);
      const wanted = [payload, payload, Buffer.from("ü".repeat(length))].map((each, at) => ({
        data: Buffer.from(each),
        isBinary: at < 2,
      }));
      expect(isDeepStrictEqual(three, wanted), `${length} bytes`).toBe(true);
    }
  });

  test("we read every length that ws sends, whole and fragmented", async () => {
    for (const length of LENGTHS) {
      const payload = Buffer.from(noise(length));
      theirs.send(payload);
      theirs.send(payload.subarray(0, length >> 1), { binary: true, fin: false });
      theirs.ping("between");
      theirs.send(payload.subarray(length >> 1), { fin: true });
      const three = [await nextOfOurs(), await nextOfOurs(), await nextOfOurs()];
      const wanted = [
        { kind: "binary", bytes: payload },
        { kind: "ping", bytes: Buffer.from("between") },
        { kind: "binary", bytes: payload },
      ];
      expect(isDeepStrictEqual(three, wanted), `${length} bytes`).toBe(true);
    }
  });

  test("our close is ws's close, and its answer is ours", async () => {
    const closed = once(theirs, "close");
    const lease = encodeClose(arena, { code: 4001, reason: "schön", maskingKey: randomMaskingKey() });
    socket.write(lease.bytes, () => lease.release());
    const [code, reason] = await closed;
    expect([code, String(reason)]).toEqual([4001, "schön"]);
    expect(await nextOfOurs()).toEqual({ kind: "close", code: 4001, reason: "schön" });
    parser.end();
    arena.assertDrained();
  });
});
