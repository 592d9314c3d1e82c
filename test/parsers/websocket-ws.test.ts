/** The WebSocket example against the `ws` package: our parser reads what ws sends, ws reads what we encode. */

import { isUtf8 } from "node:buffer";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { connect, type Socket } from "node:net";
import { isDeepStrictEqual } from "node:util";
import { Arena } from "cleanslab";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Receiver, WebSocket, WebSocketServer } from "ws";
import { createEchoServer } from "../../examples/websocket/echo.ts";
import { encodeClose, encodeFrame, type FrameToSend, randomMaskingKey } from "../../examples/websocket/frames.ts";
import { type WebSocketMessage, WebSocketParser } from "../../examples/websocket/parser.ts";
import { WebSocketError } from "../../examples/websocket/protocol.ts";
import { seed } from "../seeded.ts";
import { noise, split } from "./splits.ts";

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

/** What came of an input: every message, and the code to close with if it was broken. */
interface Heard {
  readonly given: unknown[];
  readonly closeCode: number | null;
}

type Role = "server" | "client";
const MAX_MESSAGE_BYTES = 100_000;

function throughOurs(chunks: readonly Uint8Array[], role: Role): Heard {
  const given: unknown[] = [];
  const parser = new WebSocketParser(
    traced,
    (message) => {
      if (message.kind === "close") given.push(message);
      else {
        given.push({ kind: message.kind, bytes: Buffer.from(message.lease.bytes) });
        message.lease.release();
      }
    },
    { role, maxMessageBytes: MAX_MESSAGE_BYTES },
  );
  try {
    for (const chunk of chunks) parser.write(Uint8Array.from(chunk));
    return { given, closeCode: null };
  } catch (error) {
    if (error instanceof WebSocketError) return { given, closeCode: error.closeCode };
    throw error;
  } finally {
    parser.destroy();
    traced.assertDrained();
  }
}
const traced = new Arena({ trace: "all" });

async function throughWs(chunks: readonly Uint8Array[], role: Role): Promise<Heard> {
  const given: unknown[] = [];
  const receiver = new Receiver({ isServer: role === "server", maxPayload: MAX_MESSAGE_BYTES });
  receiver.on("message", (data: Buffer, isBinary: boolean) => {
    given.push({ kind: isBinary ? "binary" : "text", bytes: Buffer.from(data) });
  });
  for (const kind of ["ping", "pong"]) {
    receiver.on(kind, (data: Buffer) => given.push({ kind, bytes: Buffer.from(data) }));
  }
  receiver.on("conclude", (code: number, reason: Buffer) => {
    given.push({ kind: "close", code, reason: reason.toString() });
  });
  // It says an error's close code under a symbol.
  const closeCode = new Promise<number | null>((resolve) => {
    receiver.once("finish", () => resolve(null));
    receiver.once("error", (error: Error & Record<symbol, number>) => {
      const status = Object.getOwnPropertySymbols(error).find((symbol) => symbol.description === "status-code");
      resolve(status === undefined ? -1 : (error[status] as number));
    });
  });
  // A copy: it unmasks in place.
  for (const chunk of chunks) if (receiver.writable) receiver.write(Buffer.from(chunk));
  receiver.end();
  return { given, closeCode: await closeCode };
}

function frameBytes(role: Role, frame: FrameToSend): Buffer {
  const lease = encodeFrame(encoding, role === "server" ? { ...frame, maskingKey: randomMaskingKey() } : frame);
  const copy = Buffer.from(lease.bytes);
  lease.release();
  return copy;
}
const encoding = new Arena();

/** `payload` cut behind each byte whose bit in `cuts` is set: `2 ** (length - 1)` ways in all. */
function fragments(payload: Uint8Array, cuts: number): Uint8Array[] {
  const points = Array.from({ length: payload.length - 1 }, (_, bit) => bit + 1).filter(
    (point) => (cuts >> (point - 1)) & 1,
  );
  return split(payload, points);
}

/** A message in `pieces`; `between` stands behind each fragment but the last. */
function fragmented(
  role: Role,
  kind: "text" | "binary",
  pieces: readonly Uint8Array[],
  between: readonly FrameToSend[] = [],
): Buffer {
  return Buffer.concat(
    pieces.flatMap((payload, each) => {
      const final = each === pieces.length - 1;
      const fragment = frameBytes(role, { opcode: each === 0 ? kind : "continuation", payload, final });
      return final ? [fragment] : [fragment, ...between.map((frame) => frameBytes(role, frame))];
    }),
  );
}

describe.each(["server", "client"] as const)("beside ws's receiver, as a %s", (role) => {
  const BETWEEN: FrameToSend[][] = [
    [],
    [{ opcode: "ping", payload: "!" }],
    [{ opcode: "pong" }, { opcode: "ping", payload: noise(125) }],
    [{ opcode: "continuation", final: false }],
  ];
  const TEXTS: [string, Uint8Array][] = [
    ["text of one, two and four bytes a character", Buffer.from("aü🙂")],
    ["text that begins with a byte order mark", Buffer.from("\uFEFF\0ab")],
    ["text that is not UTF-8", Buffer.from([0x61, 0xf0, 0x9f, 0x99, 0x28, 0x62])],
    ["text that ends inside a character", Buffer.from([0x61, 0x62, 0xe2, 0x82])],
  ];
  test.each(TEXTS)("%s, in all its fragmentations, with control frames between", async (_, payload) => {
    for (const between of BETWEEN) {
      for (let cuts = 0; cuts < 2 ** (payload.length - 1); cuts++) {
        const input = fragmented(role, "text", fragments(payload, cuts), between);
        const chunks = split(input, [cuts % input.length]);
        const ours = throughOurs(chunks, role);
        if (!isDeepStrictEqual(ours, await throughWs(chunks, role)))
          expect(ours, `cuts ${cuts}`).toEqual(await throughWs(chunks, role));
        if (isUtf8(payload)) expect(ours.given.at(-1)).toEqual({ kind: "text", bytes: payload });
        else expect(ours.closeCode).toBe(1007);
      }
    }
  });

  test("every length at which the header changes, whole and in two fragments, in chunks of every kind", async () => {
    for (const length of [0, 1, 124, 125, 126, 127, 128, 65_534, 65_535, 65_536, 65_537]) {
      const payload = noise(length, length + 1);
      for (const at of [0, 1, 125, 126, 65_535, length - 1, length]) {
        if (at < 0 || at > length) continue;
        const input = fragmented(role, "binary", [payload.subarray(0, at), payload.subarray(at)], [{ opcode: "ping" }]);
        for (const chunks of [
          [input],
          split(
            input,
            [1, 2, 3, 4, 9, 10, 13, 14, 15].filter((point) => point < input.length),
          ),
        ]) {
          const ours = throughOurs(chunks, role);
          expect(isDeepStrictEqual(ours, await throughWs(chunks, role)), `${length} bytes, cut at ${at}`).toBe(true);
          expect(isDeepStrictEqual(ours.given.at(-1), { kind: "binary", bytes: Buffer.from(payload) })).toBe(true);
        }
      }
    }
  });

  test("random frames, right and wrong, are the same messages and the same close code", async () => {
    const text = fc.constantFrom(...["", "a", "ü", "\uFEFF", "\0", "🙂"].map((each) => Buffer.from(each)));
    const payload = fc.oneof(
      { weight: 3, arbitrary: text },
      { weight: 2, arbitrary: fc.uint8Array({ maxLength: 140 }) },
      {
        weight: 1,
        arbitrary: fc.constantFrom(
          noise(65_535),
          noise(65_536),
          noise(MAX_MESSAGE_BYTES),
          noise(MAX_MESSAGE_BYTES + 1),
        ),
      },
      {
        weight: 1,
        arbitrary: fc
          .tuple(fc.constantFrom(999, 1000, 1004, 1005, 1006, 1007, 1014, 1015, 2999, 3000, 4999, 5000), text)
          .map(([code, reason]) => Buffer.concat([Uint8Array.of(code >> 8, code & 255), reason])),
      },
    );
    const first = fc.oneof(
      { weight: 10, arbitrary: fc.constantFrom(0x81, 0x82, 0x01, 0x02, 0x00, 0x80, 0x89, 0x8a) },
      { weight: 2, arbitrary: fc.constant(0x88) },
      { weight: 1, arbitrary: fc.nat(255) },
    );
    const frame = fc.record({
      first,
      payload,
      key: fc.uint8Array({ minLength: 4, maxLength: 4 }),
      wrongMask: fc.nat(30).map((n) => n === 0),
    });
    const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 5 });
    const seen = new Set<number | null>();
    await fc.assert(
      fc.asyncProperty(fc.array(frame, { minLength: 1, maxLength: 8 }), cuts, async (sent, shares) => {
        const input = Buffer.concat(
          sent.map((each) =>
            rawFrame(each.first, each.payload, (role === "server") !== each.wrongMask ? each.key : null),
          ),
        );
        const chunks = split(
          input,
          shares.map((share) => Math.floor(share * input.length)),
        );
        const ours = throughOurs(chunks, role);
        const theirs = await throughWs(chunks, role);
        if (!isDeepStrictEqual(ours, theirs)) expect(ours).toEqual(theirs);
        seen.add(ours.closeCode);
      }),
      { seed, numRuns: 500 },
    );
    expect(seen).toEqual(new Set([null, 1002, 1007, 1009]));
  });
});

/** A frame with any first byte, which `encodeFrame` would not write. */
function rawFrame(first: number, payload: Uint8Array, key: Uint8Array | null): Buffer {
  const { length } = payload;
  const mask = key === null ? 0 : 0x80;
  const header = Buffer.alloc(length < 126 ? 2 : length < 65_536 ? 4 : 10);
  header[0] = first;
  header[1] = mask | (length < 126 ? length : length < 65_536 ? 126 : 127);
  if (header.length === 4) header.writeUInt16BE(length, 2);
  if (header.length === 10) header.writeBigUInt64BE(BigInt(length), 2);
  const body = Buffer.from(payload);
  if (key !== null) for (let at = 0; at < length; at++) body[at] = (body[at] as number) ^ (key[at & 3] as number);
  return Buffer.concat([header, key ?? new Uint8Array(0), body]);
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

  describe("the handshake", () => {
    const GOOD: Record<string, string> = {
      host: "x",
      upgrade: "websocket",
      connection: "Upgrade",
      "sec-websocket-version": "13",
      "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    };
    /** One character a byte, as on the wire. */
    const VALUES: Record<string, (value: string) => string> = {
      "as it should be": (value) => value,
      "behind a byte order mark": (value) => `\xef\xbb\xbf${value}`,
      "that is not UTF-8": (value) => `${value}\xff`,
      "behind a no-break space": (value) => `\xa0${value}`,
      "with a NUL": (value) => `${value}\0`,
      "that is empty": () => "",
      "of 10 000 bytes": (value) => value.padEnd(10_000, "x"),
      "of 100 000 bytes": (value) => value.padEnd(100_000, "x"),
    };
    const FIELDS = [
      "upgrade",
      "sec-websocket-version",
      "sec-websocket-key",
      "origin",
      "sec-websocket-protocol",
      "x-other",
    ];

    async function statusOf(headers: Record<string, string>, method = "GET"): Promise<number> {
      const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
      const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
      socket.write(Buffer.from(`${method} / HTTP/1.1\r\n${lines.join("")}\r\n`, "latin1"));
      const [head] = (await once(socket, "data")) as [Buffer];
      socket.destroy();
      return Number(/^HTTP\/1\.1 (\d+)/.exec(head.toString("latin1"))?.[1]);
    }

    const table = FIELDS.flatMap((field) => Object.keys(VALUES).map((name) => [field, name] as const));
    test.each(table)("with %s %s", async (field, name) => {
      const value = (VALUES[name] as (value: string) => string)(GOOD[field] ?? "any");
      const status = await statusOf({ ...GOOD, [field]: value });
      const isRead = field in GOOD;
      if (name === "as it should be") expect(status).toBe(101);
      // Node makes it an ordinary request.
      else if (name === "that is empty" && field === "upgrade") expect(status).toBe(426);
      else if (name === "with a NUL") expect(status).toBe(400);
      else if (name === "of 100 000 bytes") expect(status).toBe(431);
      else if (!isRead) expect(status).toBe(101);
      else expect(status).toBe(field === "sec-websocket-version" ? 426 : 400);
    });

    test.each([
      ["WebSocket", 101],
      ["h2c, WEBSOCKET", 101],
      ["websockets", 400],
    ])("that upgrades to %s is answered with %d", async (upgrade, status) => {
      expect(await statusOf({ ...GOOD, upgrade })).toBe(status);
    });

    test("of another method is refused", async () => expect(await statusOf(GOOD, "PUT")).toBe(405));

    test("that is refused and then reset does not end the server", async () => {
      const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
      socket.write("GET / HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\r\n");
      await once(socket, "data");
      socket.resetAndDestroy();
      expect(await statusOf(GOOD)).toBe(101);
    });
  });

  test("text that is not UTF-8 is answered with 1007", async () => {
    const client = await open();
    client.send(Buffer.from([0xc3, 0x28]), { binary: false });
    const [code] = await once(client, "close");
    expect(code).toBe(1007);
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
