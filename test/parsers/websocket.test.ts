/**
 * The WebSocket parser, encoder and echo server: by themselves, and against the `ws` package,
 * which reads the same frames, and whose client talks with the server.
 */

import { isUtf8 } from "node:buffer";
import { once } from "node:events";
import { connect } from "node:net";
import { Arena } from "cleanslab";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import * as ws from "ws";
import { createEchoServer } from "../../examples/websocket/echo.ts";
import { encodeClose, encodeFrame, type FrameToSend, randomMaskingKey } from "../../examples/websocket/frames.ts";
import { WebSocketParser } from "../../examples/websocket/parser.ts";
import { applyMask } from "../../examples/websocket/protocol.ts";
import { listen, pattern, type Served } from "../node/helpers.ts";
import { seed } from "../seeded.ts";
import {
  codeOf,
  expectNoLeakFrom,
  expectSame,
  mutated,
  outcomeOf,
  type Role,
  readAtEverySplit,
  readAtRandomSplits,
  shares,
  split,
  splitAtShares,
  wsParser,
} from "./helpers.ts";

const encoding = new Arena();

/** What is sent to a side in `role`. */
function frames(role: Role, ...sent: FrameToSend[]): Buffer {
  const all = sent.map((frame) => {
    const lease = encodeFrame(encoding, role === "server" ? { ...frame, maskingKey: randomMaskingKey() } : frame);
    const copy = Buffer.from(lease.bytes);
    lease.release();
    return copy;
  });
  return Buffer.concat(all);
}

const bytes = (data: string | Uint8Array): Buffer => Buffer.from(data as string);
const REASON = "\uFEFFbye\0";
const CLOSE = { opcode: "close", payload: Buffer.concat([Uint8Array.of(3, 232), bytes(REASON)]) } as const;
const SAMPLE: FrameToSend[] = [
  { opcode: "text", payload: "Hello" },
  { opcode: "text", payload: "\uFEFF\0" },
  { opcode: "binary", payload: pattern(130) },
  { opcode: "ping", payload: "ping" },
  { opcode: "text", payload: "grü", final: false },
  { opcode: "ping" },
  { opcode: "continuation", payload: "", final: false },
  { opcode: "continuation", payload: "ß 🙂" },
  { opcode: "pong", payload: pattern(125) },
  CLOSE,
];
const BYE = { kind: "close", code: 1000, reason: REASON };
const MESSAGES = [
  { kind: "text", bytes: bytes("Hello") },
  { kind: "text", bytes: bytes("\uFEFF\0") },
  { kind: "binary", bytes: bytes(pattern(130)) },
  { kind: "ping", bytes: bytes("ping") },
  { kind: "ping", bytes: bytes("") },
  { kind: "text", bytes: bytes("grüß 🙂") },
  { kind: "pong", bytes: bytes(pattern(125)) },
  BYE,
];

describe.each(["server", "client"] as const)("frames that a %s gets", (role) => {
  const sent = frames(role, ...SAMPLE);

  test("are put together the same at every split, and at random ones in every mode; after a close all is discarded", () => {
    expect(readAtEverySplit(wsParser(role), sent)).toEqual({ given: MESSAGES, error: null });
    readAtRandomSplits(
      wsParser(role),
      Buffer.concat([frames(role, { opcode: "binary", payload: pattern(70_000) }), sent]),
    );
    const after = Buffer.concat([frames(role, CLOSE), pattern(50)]);
    expect(readAtEverySplit(wsParser(role), after)).toEqual({ given: [BYE], error: null });
  });

  test("mutated, cut and random, end in a typed error or a message, and leak nothing", () => {
    for (const input of [mutated(sent), fc.uint8Array({ maxLength: 300 })])
      expectNoLeakFrom(wsParser(role, 2000), input);
  });
});

test("the mask of RFC 6455 §5.7's example is read and written", () => {
  const hello = Buffer.from("818537fa213d7f9f4d5158", "hex");
  const lease = encodeFrame(encoding, { opcode: "text", payload: "Hello", maskingKey: hello.subarray(2, 6) });
  expect(hello.equals(lease.bytes)).toBe(true);
  lease.release();
  expect(outcomeOf(wsParser("server"), [hello]).given).toEqual(MESSAGES.slice(0, 1));
});

test("masking by words is masking by bytes, at every offset, phase and length", () => {
  const key = fc.uint8Array({ minLength: 4, maxLength: 4 });
  const property = fc.property(fc.nat(20), fc.nat(200), fc.nat(10), key, (offset, length, phase, mask) => {
    const data = pattern(256);
    const wanted = data.map((byte, at) =>
      at < offset || at >= offset + length ? byte : byte ^ (mask[(phase + at - offset) % 4] as number),
    );
    applyMask(data.subarray(offset, offset + length), mask, phase);
    expect(Buffer.compare(data, wanted)).toBe(0);
  });
  fc.assert(property, { seed });
});

describe("broken frames give the code to close with at every split, and leak nothing", () => {
  const raw = (...values: number[]): Uint8Array => Uint8Array.from(values);
  const CASES: [what: string, input: Uint8Array, code: 1002 | 1007 | 1009 | "ERR_TRUNCATED"][] = [
    ["a reserved bit", raw(0xc1, 0x00), 1002],
    ["a reserved opcode", raw(0x83, 0x00), 1002],
    ["a reserved control opcode", raw(0x8b, 0x00), 1002],
    ["a masked frame from a server", raw(0x81, 0x80, 1, 2, 3, 4), 1002],
    ["a continuation of nothing", raw(0x80, 0x00), 1002],
    ["text inside a fragmented message", raw(0x01, 0x01, 0x61, 0x81, 0x01, 0x62), 1002],
    ["a fragmented ping", raw(0x09, 0x00), 1002],
    ["a ping of 126 bytes", raw(0x89, 126, 0, 126), 1002],
    ["a length of 125 in 16 bits", raw(0x82, 126, 0, 125), 1002],
    ["a length of 65 535 in 64 bits", raw(0x82, 127, 0, 0, 0, 0, 0, 0, 255, 255), 1002],
    ["a 64-bit length with its first bit set", raw(0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0), 1002],
    ["a close with half a code", raw(0x88, 1, 3), 1002],
    ...[999, 1004, 1005, 1006, 1015, 2999, 5000].map((code): [string, Uint8Array, 1002] => [
      `close code ${code}`,
      raw(0x88, 2, code >> 8, code & 255),
      1002,
    ]),
    ["a close reason that is not UTF-8", raw(0x88, 3, 0x03, 0xe8, 0xff), 1007],
    ["text that is not UTF-8", raw(0x81, 2, 0xc3, 0x28), 1007],
    ["text that ends inside a character", raw(0x81, 1, 0xc3), 1007],
    ["fragmented text that is not UTF-8 together", raw(0x01, 1, 0xc3, 0x80, 1, 0x28), 1007],
    ["a message over the limit", raw(0x82, 126, 0x07, 0xd1), 1009],
    [
      "fragments over the limit together",
      Buffer.concat([raw(0x02, 126, 0x07, 0xd0), pattern(2000), raw(0x80, 1)]),
      1009,
    ],
    ["a length beyond any memory", raw(0x82, 127, 0x7f, 255, 255, 255, 255, 255, 255, 255), 1009],
    ["half a header", raw(0x81), "ERR_TRUNCATED"],
    ["a part of a payload", raw(0x81, 5, 0x61), "ERR_TRUNCATED"],
    ["a message without its last fragment", raw(0x01, 1, 0x61), "ERR_TRUNCATED"],
    ["a ping without its payload", raw(0x89, 1), "ERR_TRUNCATED"],
  ];
  test.each(CASES)("%s", (_, input, code) => {
    const { error } = readAtEverySplit(wsParser("client", 2000), input, input.length > 100 ? 37 : 1);
    expect(error).toMatch(new RegExp(`^${code}: `));
  });

  test("a client's frame without a mask; a message of just the limit is none", () => {
    expect(readAtEverySplit(wsParser("server"), raw(0x81, 0x01, 0x61)).error).toMatch(/^1002: /);
    const longest = frames("client", { opcode: "binary", payload: pattern(2000) });
    expect(outcomeOf(wsParser("client", 2000), [longest]).error).toBeNull();
  });

  test("a million empty fragments hold no memory", () => {
    const arena = new Arena();
    using parser = wsParser("client")(arena, []);
    parser.write(raw(0x01, 0x00));
    for (let round = 0; round < 100; round++) parser.write(new Uint8Array(20_000));
    expect(arena.stats().liveLeases).toBe(0);
  });
});

test.each<[what: string, misuse: () => unknown]>([
  ["a long ping", () => encodeFrame(encoding, { opcode: "ping", payload: pattern(126) })],
  ["a fragmented close", () => encodeFrame(encoding, { opcode: "close", final: false })],
  ["a short key", () => encodeFrame(encoding, { opcode: "text", maskingKey: pattern(3) })],
  ["close code 1006", () => encodeClose(encoding, { code: 1006 })],
  ["a reason without a code", () => encodeClose(encoding, { reason: "x" })],
  ["text with a lone surrogate", () => encodeFrame(encoding, { opcode: "text", payload: "a\uD800" })],
  ["a reason with a lone surrogate", () => encodeClose(encoding, { code: 1000, reason: "\uDC00" })],
  ["a long reason", () => encodeClose(encoding, { code: 1000, reason: "x".repeat(124) })],
  ["no role", () => new WebSocketParser(encoding, () => {}, { role: "peer" as Role })],
])("%s is refused before anything is sent", (_, misuse) => {
  expect(codeOf(misuse)).toBe("ERR_INVALID_ARGUMENT");
  encoding.assertDrained();
});

/** What came of an input: every message, and the code to close with if it was broken. */
interface Heard {
  readonly given: unknown[];
  readonly closeCode: number | null;
}

const MAX_MESSAGE_BYTES = 100_000;

function throughOurs(chunks: readonly Uint8Array[], role: Role): Heard {
  const { given, error } = outcomeOf(wsParser(role, MAX_MESSAGE_BYTES), chunks);
  return { given, closeCode: error === null || error.startsWith("ERR_TRUNCATED") ? null : Number.parseInt(error, 10) };
}

async function throughWs(chunks: readonly Uint8Array[], role: Role): Promise<Heard> {
  const given: unknown[] = [];
  const receiver = new ws.Receiver({ isServer: role === "server", maxPayload: MAX_MESSAGE_BYTES });
  const push = (kind: string) => (data: Buffer) => given.push({ kind, bytes: Buffer.from(data) });
  receiver.on("message", (data: Buffer, isBinary: boolean) => push(isBinary ? "binary" : "text")(data));
  for (const kind of ["ping", "pong"]) receiver.on(kind, push(kind));
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

/** Both hear the same, which is given. */
async function hearBoth(chunks: readonly Uint8Array[], role: Role, what?: string): Promise<Heard> {
  const ours = throughOurs(chunks, role);
  expectSame(ours, await throughWs(chunks, role), what);
  return ours;
}

/** A message in `pieces`; `between` stands behind each fragment but the last. */
function fragmented(role: Role, pieces: readonly Uint8Array[], between: readonly FrameToSend[]): Buffer {
  const all = pieces.flatMap((payload, each): FrameToSend[] => {
    const final = each === pieces.length - 1;
    return [{ opcode: each === 0 ? "text" : "continuation", payload, final }, ...(final ? [] : between)];
  });
  return frames(role, ...all);
}

/** Not among the package's types. */
const { Sender } = ws as unknown as { Sender: { frame(data: Buffer, options: object): Buffer[] } };

/** A frame with any first byte, as ws writes it: `encodeFrame` would not. */
function rawFrame(first: number, payload: Uint8Array, isMasked: boolean): Buffer {
  const [opcode, fin, rsv1] = [first & 15, (first & 128) !== 0, (first & 64) !== 0];
  const frame = Sender.frame(Buffer.from(payload), { opcode, fin, rsv1, mask: isMasked, readOnly: false });
  const bytes = Buffer.concat(frame);
  bytes[0] = first;
  return bytes;
}

describe.each(["server", "client"] as const)("beside ws's receiver, as a %s", (role) => {
  const BETWEEN: FrameToSend[][] = [
    [],
    [{ opcode: "ping", payload: "!" }],
    [{ opcode: "pong" }, { opcode: "ping", payload: pattern(125) }],
    [{ opcode: "continuation", final: false }],
  ];
  test.each<[what: string, payload: Uint8Array]>([
    ["of one, two and four bytes a character", Buffer.from("aü🙂")],
    ["that begins with a byte order mark", Buffer.from("\uFEFF\0ab")],
    ["that is not UTF-8", Buffer.from([0x61, 0xf0, 0x9f, 0x99, 0x28, 0x62])],
    ["that ends inside a character", Buffer.from([0x61, 0x62, 0xe2, 0x82])],
  ])("text %s, in all its fragmentations, with control frames between", async (_, payload) => {
    const ends = Array.from({ length: payload.length - 1 }, (_, bit) => bit + 1);
    for (const between of BETWEEN) {
      for (let cuts = 0; cuts < 2 ** ends.length; cuts++) {
        const pieces = split(
          payload,
          ends.filter((end) => (cuts >> (end - 1)) & 1),
        );
        const input = fragmented(role, pieces, between);
        const { given, closeCode } = await hearBoth(split(input, [cuts % input.length]), role, `cuts ${cuts}`);
        if (isUtf8(payload)) expect(given.at(-1)).toEqual({ kind: "text", bytes: payload });
        else expect(closeCode).toBe(1007);
      }
    }
  });

  test("every length at which the header changes, split inside the header", async () => {
    for (const length of [0, 1, 125, 126, 127, 65_535, 65_536]) {
      const sent = frames(role, { opcode: "binary", payload: pattern(length) });
      const chunks = split(
        sent,
        [1, 2, 3, 4, 9, 10, 13, 14, 15].filter((point) => point < sent.length),
      );
      expectSame((await hearBoth(chunks, role)).given, [{ kind: "binary", bytes: pattern(length) }]);
    }
  });

  test("random frames, right and wrong, are the same messages and the same close code", async () => {
    const text = fc.constantFrom(...["", "a", "ü", "\uFEFF", "\0", "🙂"].map((each) => Buffer.from(each)));
    const long = fc.constantFrom(65_535, 65_536, MAX_MESSAGE_BYTES, MAX_MESSAGE_BYTES + 1);
    const codes = fc.constantFrom(999, 1000, 1004, 1005, 1006, 1007, 1014, 1015, 2999, 3000, 4999, 5000);
    const closing = fc.tuple(codes, text);
    const payload = fc.oneof(
      { weight: 3, arbitrary: text },
      { weight: 2, arbitrary: fc.uint8Array({ maxLength: 140 }) },
      { weight: 1, arbitrary: long.map((length) => pattern(length)) },
      {
        weight: 1,
        arbitrary: closing.map(([code, reason]) => Buffer.concat([Uint8Array.of(code >> 8, code & 255), reason])),
      },
    );
    const first = fc.oneof(
      { weight: 10, arbitrary: fc.constantFrom(0x81, 0x82, 0x01, 0x02, 0x00, 0x80, 0x89, 0x8a) },
      { weight: 2, arbitrary: fc.constant(0x88) },
      { weight: 1, arbitrary: fc.nat(255) },
    );
    const isMasked = fc.nat(30).map((n) => (role === "server") === n > 0);
    const sent = fc.array(fc.tuple(first, payload, isMasked), { minLength: 1, maxLength: 8 });
    const seen = new Set<number | null>();
    const property = fc.asyncProperty(sent, shares, async (frames, cuts) => {
      const input = Buffer.concat(frames.map((frame) => rawFrame(...frame)));
      seen.add((await hearBoth(splitAtShares(input, cuts), role)).closeCode);
    });
    await fc.assert(property, { seed, numRuns: 500 });
    expect(seen).toEqual(new Set([null, 1002, 1007, 1009]));
  });

  test("a close with a code and a reason", async () => {
    const key = role === "server" ? { maskingKey: randomMaskingKey() } : {};
    for (const reason of ["schön", "\uFEFFhi\0"]) {
      const lease = encodeClose(encoding, { code: 4001, reason, ...key });
      expect((await hearBoth([lease.bytes], role)).given).toEqual([{ kind: "close", code: 4001, reason }]);
      lease.release();
    }
  });
});

describe("a ws client and our server", () => {
  const arena = new Arena({ trace: "all" });
  const server = createEchoServer({ arena, maxMessageBytes: 2_000_000 });
  let served: Served;

  beforeAll(async () => {
    served = await listen(server);
  });
  afterAll(() => served.close());

  async function open(): Promise<ws.WebSocket> {
    const client = new ws.WebSocket(`ws://127.0.0.1:${served.port}`, { perMessageDeflate: false });
    await once(client, "open");
    return client;
  }

  /** The code that the client's connection is closed with after `act`. */
  async function closeCodeAfter(act: (client: ws.WebSocket) => void): Promise<number> {
    const client = await open();
    client.on("error", () => {});
    act(client);
    const [code] = await once(client, "close");
    return code;
  }

  test("text, binary, and fragments with pings between them come back as sent", async () => {
    const client = await open();
    const got: unknown[] = [];
    client.on("message", (data: Buffer, isBinary: boolean) => got.push([data, isBinary]));
    client.on("pong", (data: Buffer) => got.push(String(data)));
    const wanted: unknown[] = [];
    for (const length of [0, 1, 125, 126, 65_535, 65_536, 1_000_003]) {
      const payload = Buffer.from(pattern(length));
      const text = "ü🙂x".repeat(length / 7);
      client.send(payload);
      client.send(text);
      wanted.push([payload, true], [Buffer.from(text), false]);
    }
    const parts = Array.from({ length: 20 }, (_, each) => Buffer.from(pattern(each * 977, each + 1)));
    for (const [each, part] of parts.entries()) {
      client.send(part, { binary: true, fin: each === parts.length - 1 });
      if (each < parts.length - 1) client.ping(`ping ${each}`);
    }
    wanted.push(...parts.slice(1).map((_, each) => `ping ${each}`), [Buffer.concat(parts), true]);
    await expect.poll(() => got.length, { timeout: 10_000 }).toBe(wanted.length);
    expectSame(got, wanted);
    client.close();
    await once(client, "close");
  });

  test("a close is answered with its code, and what is broken with the code for it", async () => {
    for (const code of [1000, 3000, 4999]) {
      expect(await closeCodeAfter((client) => client.close(code, "ünï"))).toBe(code);
    }
    expect(await closeCodeAfter((client) => client.close())).toBe(1005);
    expect(await closeCodeAfter((client) => client.send(Buffer.from([0xc3, 0x28]), { binary: false }))).toBe(1007);
    const tooLong = await closeCodeAfter((client) => client.send(Buffer.alloc(2_000_001)));
    expect([1009, 1006]).toContain(tooLong);
  });

  describe("the handshake", () => {
    const GOOD: Record<string, string> = {
      host: "x",
      upgrade: "websocket",
      connection: "Upgrade",
      "sec-websocket-version": "13",
      "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    };

    async function statusOf(headers: Record<string, string>, method = "GET"): Promise<number> {
      const socket = connect(served.port, "127.0.0.1");
      const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
      // One character a byte, as on the wire.
      socket.write(Buffer.from(`${method} / HTTP/1.1\r\n${lines.join("")}\r\n`, "latin1"));
      const [head] = (await once(socket, "data")) as [Buffer];
      socket.destroy();
      return Number(/^HTTP\/1\.1 (\d+)/.exec(head.toString("latin1"))?.[1]);
    }

    /** What a field's value is made, and the status: for the upgrade, the version, the key, and what is not read. */
    const ODD: [what: string, make: (value: string) => string, ...statuses: number[]][] = [
      ["as it should be", (value) => value, 101, 101, 101, 101],
      ["behind a byte order mark", (value) => `\xef\xbb\xbf${value}`, 400, 426, 400, 101],
      ["not UTF-8", (value) => `${value}\xff`, 400, 426, 400, 101],
      // What upgrades to nothing is an ordinary request to Node.
      ["empty", () => "", 426, 426, 400, 101],
    ];
    test.each(ODD)("with a field that is %s", async (_, make, ...statuses) => {
      const fields = ["upgrade", "sec-websocket-version", "sec-websocket-key", "origin"];
      for (const [each, field] of fields.entries()) {
        expect(await statusOf({ ...GOOD, [field]: make(GOOD[field] ?? "any") }), field).toBe(statuses[each]);
      }
    });

    test("goes by the words of the upgrade, and by the method", async () => {
      for (const [upgrade, status] of [
        ["WebSocket", 101],
        ["h2c, WEBSOCKET", 101],
        ["websockets", 400],
      ] as const) {
        expect(await statusOf({ ...GOOD, upgrade })).toBe(status);
      }
      expect(await statusOf(GOOD, "PUT")).toBe(405);
    });

    test("that is refused and then reset does not end the server", async () => {
      const socket = connect(served.port, "127.0.0.1");
      socket.write("GET / HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\r\n");
      await once(socket, "data");
      socket.resetAndDestroy();
      expect(await statusOf(GOOD)).toBe(101);
    });
  });

  test("a client that goes away in the middle of a message leaves nothing leased", async () => {
    const client = await open();
    client.send(pattern(100_000), { fin: false });
    client.ping();
    await once(client, "pong");
    expect(arena.stats().liveLeases).toBeGreaterThan(0);
    client.terminate();
    const connections = (): Promise<number> =>
      new Promise((resolve) => server.getConnections((_, count) => resolve(count)));
    await expect.poll(async () => [await connections(), arena.stats().liveLeases], { timeout: 10_000 }).toEqual([0, 0]);
  });
});
