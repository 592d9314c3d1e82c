/** The WebSocket example against the `ws` package: our parser reads what ws sends, ws reads what we encode. */

import { isUtf8 } from "node:buffer";
import { once } from "node:events";
import { connect } from "node:net";
import { Arena } from "cleanslab";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import * as ws from "ws";
import { createEchoServer } from "../../examples/websocket/echo.ts";
import { encodeClose, encodeFrame, type FrameToSend, randomMaskingKey } from "../../examples/websocket/frames.ts";
import { listen, pattern, type Served } from "../node/helpers.ts";
import { seed } from "../seeded.ts";
import { expectSame, outcomeOf, type Role, shares, split, splitAtShares, wsParser } from "./helpers.ts";

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

const encoding = new Arena();
function frameBytes(role: Role, frame: FrameToSend): Buffer {
  const lease = encodeFrame(encoding, role === "server" ? { ...frame, maskingKey: randomMaskingKey() } : frame);
  const copy = Buffer.from(lease.bytes);
  lease.release();
  return copy;
}

/** A message in `pieces`; `between` stands behind each fragment but the last. */
function fragmented(
  role: Role,
  kind: "text" | "binary",
  pieces: readonly Uint8Array[],
  between: readonly FrameToSend[],
): Buffer {
  const all = pieces.flatMap((payload, each) => {
    const final = each === pieces.length - 1;
    const fragment: FrameToSend = { opcode: each === 0 ? kind : "continuation", payload, final };
    return [fragment, ...(final ? [] : between)];
  });
  return Buffer.concat(all.map((frame) => frameBytes(role, frame)));
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
        const input = fragmented(role, "text", pieces, between);
        const { given, closeCode } = await hearBoth(split(input, [cuts % input.length]), role, `cuts ${cuts}`);
        if (isUtf8(payload)) expect(given.at(-1)).toEqual({ kind: "text", bytes: payload });
        else expect(closeCode).toBe(1007);
      }
    }
  });

  test("every length at which the header changes, from us and from ws, whole and in two fragments", async () => {
    for (const length of [0, 1, 124, 125, 126, 127, 128, 65_534, 65_535, 65_536, 65_537]) {
      const payload = pattern(length, length + 1);
      const binary = { kind: "binary", bytes: Buffer.from(payload) };
      expectSame(throughOurs([rawFrame(0x82, payload, role === "server")], role).given, [binary], "from ws");
      for (const at of [0, 1, 125, 126, 65_535, length - 1, length].filter((at) => at >= 0 && at <= length)) {
        const input = fragmented(role, "binary", split(payload, [at]), [{ opcode: "ping" }]);
        const headers = [1, 2, 3, 4, 9, 10, 13, 14, 15].filter((point) => point < input.length);
        for (const chunks of [[input], split(input, headers)]) {
          const { given } = await hearBoth(chunks, role, `${length} bytes, cut at ${at}`);
          expectSame(given.at(-1), binary);
        }
      }
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
