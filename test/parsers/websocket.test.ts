/** The WebSocket parser and encoder by themselves; websocket-ws.test.ts has the `ws` package. */

import { Arena } from "cleanslab";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encodeClose, encodeFrame, type FrameToSend } from "../../examples/websocket/frames.ts";
import { type WebSocketMessage, WebSocketParser } from "../../examples/websocket/parser.ts";
import { applyMask, WebSocketError } from "../../examples/websocket/protocol.ts";
import { seed } from "../seeded.ts";
import {
  codeOf,
  expectNoLeakFrom,
  expectSameAtEverySplit,
  expectSameAtRandomSplits,
  mutated,
  noise,
  outcomeOf,
} from "./splits.ts";

type Role = "server" | "client";
const KEY = Uint8Array.of(0x37, 0xfa, 0x21, 0x3d);

function wsParser(role: Role, maxMessageBytes = 1024 * 1024) {
  return (arena: Arena, given: unknown[]): WebSocketParser => {
    const onMessage = (message: WebSocketMessage): void => {
      if (message.kind === "close") given.push(message);
      else {
        given.push({ kind: message.kind, bytes: Buffer.from(message.lease.bytes) });
        message.lease.release();
      }
    };
    return new WebSocketParser(arena, onMessage, { role, maxMessageBytes });
  };
}

/** What is sent to a side in `role`. */
function frames(role: Role, ...sent: FrameToSend[]): Buffer {
  const arena = new Arena();
  const each = sent.map((frame) => {
    const lease = encodeFrame(arena, role === "server" ? { ...frame, maskingKey: KEY } : frame);
    const copy = Buffer.from(lease.bytes);
    lease.release();
    return copy;
  });
  arena[Symbol.dispose]();
  return Buffer.concat(each);
}

const CLOSE = { opcode: "close", payload: Uint8Array.of(3, 232, 98, 121, 101) } as const;
const SAMPLE: FrameToSend[] = [
  { opcode: "text", payload: "Hello" },
  { opcode: "text", payload: "" },
  { opcode: "binary", payload: noise(130) },
  { opcode: "ping", payload: "ping" },
  { opcode: "text", payload: "grü", final: false },
  { opcode: "ping" },
  { opcode: "continuation", payload: "", final: false },
  { opcode: "continuation", payload: "ß 🙂" },
  { opcode: "pong", payload: noise(125) },
  CLOSE,
];
const bytes = (data: string | Uint8Array): Buffer => Buffer.from(data as string);
const MESSAGES = [
  { kind: "text", bytes: bytes("Hello") },
  { kind: "text", bytes: bytes("") },
  { kind: "binary", bytes: bytes(noise(130)) },
  { kind: "ping", bytes: bytes("ping") },
  { kind: "ping", bytes: bytes("") },
  { kind: "text", bytes: bytes("grüß 🙂") },
  { kind: "pong", bytes: bytes(noise(125)) },
  { kind: "close", code: 1000, reason: "bye" },
];

describe.each(["server", "client"] as const)("frames that a %s gets", (role) => {
  test("are put together the same at every split", () => {
    expect(expectSameAtEverySplit(wsParser(role), frames(role, ...SAMPLE))).toEqual({ given: MESSAGES, error: null });
  });

  test("of every length of header are the same at random splits in every mode", () => {
    const lengths = [0, 1, 125, 126, 127, 65_535, 65_536, 200_000];
    const all = frames(role, ...lengths.map((length) => ({ opcode: "binary" as const, payload: noise(length) })));
    const { given, error } = expectSameAtRandomSplits(wsParser(role), all, 20);
    expect(error).toBeNull();
    expect(given).toHaveLength(lengths.length);
  });

  test("mutated, cut and random, end in a typed error or a message, and leak nothing", () => {
    expectNoLeakFrom(wsParser(role, 2000), mutated(frames(role, ...SAMPLE)));
    expectNoLeakFrom(wsParser(role, 2000), fc.uint8Array({ maxLength: 300 }));
  });

  test("after a close are discarded", () => {
    const after = Buffer.concat([frames(role, CLOSE), noise(50)]);
    expect(expectSameAtEverySplit(wsParser(role), after).given).toEqual(MESSAGES.slice(-1));
  });
});

test("the mask of RFC 6455 §5.7's example is read and written", () => {
  const hello = Buffer.from("818537fa213d7f9f4d5158", "hex");
  expect(frames("server", { opcode: "text", payload: "Hello" })).toEqual(hello);
  expect(outcomeOf(wsParser("server"), [hello]).given).toEqual(MESSAGES.slice(0, 1));
});

test("masking by words is masking by bytes, at every offset, phase and length", () => {
  const input = fc.record({
    offset: fc.nat(20),
    length: fc.nat(200),
    phase: fc.nat(10),
    key: fc.uint8Array({ minLength: 4, maxLength: 4 }),
  });
  fc.assert(
    fc.property(input, ({ offset, length, phase, key }) => {
      const data = noise(256);
      const wanted = Uint8Array.from(data);
      for (let at = 0; at < length; at++) (wanted[offset + at] as number) ^= key[(phase + at) % 4] as number;
      applyMask(data.subarray(offset, offset + length), key, phase);
      expect(Buffer.compare(data, wanted)).toBe(0);
    }),
    { seed },
  );
});

describe("broken frames close the connection with the right code at every split, and leak nothing", () => {
  const raw = (...values: number[]): Uint8Array => Uint8Array.from(values);
  const CASES: [string, Uint8Array, 1002 | 1007 | 1009][] = [
    ["a reserved bit", raw(0xc1, 0x00), 1002],
    ["a reserved opcode", raw(0x83, 0x00), 1002],
    ["a reserved control opcode", raw(0x8b, 0x00), 1002],
    ["a masked frame from a server", raw(0x81, 0x80, 1, 2, 3, 4), 1002],
    ["a continuation of nothing", raw(0x80, 0x00), 1002],
    ["text inside a fragmented message", raw(0x01, 0x01, 0x61, 0x81, 0x01, 0x62), 1002],
    ["a fragmented ping", raw(0x09, 0x00), 1002],
    ["a ping of 126 bytes", raw(0x89, 126, 0, 126), 1002],
    ["a length of 5 in 16 bits", raw(0x82, 126, 0, 5), 1002],
    ["a length of 5 in 64 bits", raw(0x82, 127, 0, 0, 0, 0, 0, 0, 0, 5), 1002],
    ["a 64-bit length with its first bit set", raw(0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0), 1002],
    ["a close with half a code", raw(0x88, 1, 3), 1002],
    ["close code 1005", raw(0x88, 2, 0x03, 0xed), 1002],
    ["close code 999", raw(0x88, 2, 0x03, 0xe7), 1002],
    ["close code 5000", raw(0x88, 2, 0x13, 0x88), 1002],
    ["a close reason that is not UTF-8", raw(0x88, 3, 0x03, 0xe8, 0xff), 1007],
    ["text that is not UTF-8", raw(0x81, 2, 0xc3, 0x28), 1007],
    ["text that ends inside a character", raw(0x81, 1, 0xc3), 1007],
    ["fragmented text that is not UTF-8 together", raw(0x01, 1, 0xc3, 0x80, 1, 0x28), 1007],
    ["a message over the limit", raw(0x82, 126, 0x07, 0xd1), 1009],
    ["fragments over the limit together", Buffer.concat([raw(0x02, 126, 0x07, 0xd0), noise(2000), raw(0x80, 1)]), 1009],
    ["a length beyond any memory", raw(0x82, 127, 0x7f, 255, 255, 255, 255, 255, 255, 255), 1009],
  ];
  test.each(CASES)("%s", (_, input, closeCode) => {
    const make = wsParser("client", 2000);
    const { error } = expectSameAtEverySplit(make, input, input.length > 100 ? 37 : 1);
    expect(error).toBe(closeCode === 1009 ? "ERR_LIMIT" : "ERR_MALFORMED");
    const arena = new Arena();
    let thrown: unknown;
    try {
      make(arena, []).write(input);
    } catch (each) {
      thrown = each;
    }
    expect(thrown).toBeInstanceOf(WebSocketError);
    expect(thrown).toMatchObject({ closeCode });
    arena.assertDrained();
  });

  test("a client's frame without a mask", () => {
    expect(expectSameAtEverySplit(wsParser("server"), raw(0x81, 0x01, 0x61)).error).toBe("ERR_MALFORMED");
  });

  test("an input that ends in the middle is truncated", () => {
    for (const input of [raw(0x81), raw(0x81, 5, 0x61), raw(0x01, 1, 0x61), raw(0x89, 1)]) {
      expect(expectSameAtEverySplit(wsParser("client"), input).error).toBe("ERR_TRUNCATED");
    }
  });

  test("a million empty fragments hold no memory", () => {
    const arena = new Arena();
    const parser = wsParser("client")(arena, []);
    parser.write(raw(0x01, 0x00));
    const flood = Buffer.alloc(20_000);
    for (let round = 0; round < 100; round++) parser.write(flood);
    expect(arena.stats().liveLeases).toBe(0);
    parser.destroy();
  });
});

describe("text", () => {
  const CONTENTS: [name: string, content: Uint8Array, isUtf8: boolean][] = [
    ["a byte order mark", bytes("\uFEFFhi\uFEFF"), true],
    ["bytes that are not UTF-8", Uint8Array.of(0x61, 0xff, 0xc3), false],
    ["half a surrogate pair", Uint8Array.of(0xed, 0xa0, 0x80), false],
    ["a NUL in two bytes", Uint8Array.of(0xc0, 0x80), false],
    ["replacement characters that were sent", bytes("a\uFFFD"), true],
    ["NULs", bytes("\0a\0"), true],
    ["nothing", bytes(""), true],
    ["60 000 bytes", bytes("long \0 🙂 ".repeat(5000)), true],
  ];
  const closeCodeOf = (input: Uint8Array, given: unknown[]): number | null => {
    const arena = new Arena();
    try {
      wsParser("server")(arena, given).write(Uint8Array.from(input));
      return null;
    } catch (error) {
      if (error instanceof WebSocketError) return error.closeCode;
      throw error;
    } finally {
      arena.assertDrained();
    }
  };

  describe.each(CONTENTS)("of %s", (_, content, isUtf8) => {
    test("in a message is whole, or close code 1007", () => {
      const half = content.length >> 1;
      for (const sent of [
        frames("server", { opcode: "text", payload: content }),
        frames(
          "server",
          { opcode: "text", payload: content.subarray(0, half), final: false },
          { opcode: "continuation", payload: content.subarray(half) },
        ),
      ]) {
        const given: unknown[] = [];
        expect(closeCodeOf(sent, given)).toBe(isUtf8 ? null : 1007);
        expect(given).toEqual(isUtf8 ? [{ kind: "text", bytes: bytes(content) }] : []);
      }
    });

    test("in a close reason is whole, or close code 1007, or too long for a frame", () => {
      const payload = Buffer.concat([Uint8Array.of(0x03, 0xe8), content]);
      if (payload.length > 125) {
        expect(codeOf(() => frames("server", { opcode: "close", payload }))).toBe("ERR_INVALID_ARGUMENT");
        const header = Uint8Array.of(0x88, 0x80 | 126, payload.length >> 8, payload.length & 255, 0, 0, 0, 0);
        expect(closeCodeOf(Buffer.concat([header, payload]), [])).toBe(1002);
        return;
      }
      const given: unknown[] = [];
      expect(closeCodeOf(frames("server", { opcode: "close", payload }), given)).toBe(isUtf8 ? null : 1007);
      expect(given).toEqual(isUtf8 ? [{ kind: "close", code: 1000, reason: content.toString() }] : []);
    });

    test("in binary, pings and pongs is bytes", () => {
      const data = content.subarray(0, 125);
      const kinds = ["binary", "ping", "pong"] as const;
      const given: unknown[] = [];
      const sent = frames("server", ...kinds.map((opcode) => ({ opcode, payload: data })));
      expect(closeCodeOf(sent, given)).toBeNull();
      expect(given).toEqual(kinds.map((kind) => ({ kind, bytes: bytes(data) })));
    });
  });

  test("a reason that is sent comes back as it was", () => {
    const arena = new Arena();
    for (const reason of ["\uFEFFhi", "\0", "", "ü".repeat(61)]) {
      const lease = encodeClose(arena, { code: 4000, reason });
      expect(outcomeOf(wsParser("client"), [lease.bytes]).given).toEqual([{ kind: "close", code: 4000, reason }]);
      lease.release();
    }
  });
});

describe("the encoder refuses what must not be sent", () => {
  const arena = new Arena();
  test.each<[string, () => unknown]>([
    ["a long ping", () => encodeFrame(arena, { opcode: "ping", payload: noise(126) })],
    ["a fragmented close", () => encodeFrame(arena, { opcode: "close", final: false })],
    ["a short key", () => encodeFrame(arena, { opcode: "text", maskingKey: noise(3) })],
    ["close code 1006", () => encodeClose(arena, { code: 1006 })],
    ["a reason without a code", () => encodeClose(arena, { reason: "x" })],
    ["text with a lone surrogate", () => encodeFrame(arena, { opcode: "text", payload: "a\uD800" })],
    ["a reason with a lone surrogate", () => encodeClose(arena, { code: 1000, reason: "\uDC00" })],
    ["a long reason", () => encodeClose(arena, { code: 1000, reason: "x".repeat(124) })],
    ["no role", () => new WebSocketParser(arena, () => {}, { role: "peer" as Role })],
  ])("%s", (_, misuse) => {
    expect(codeOf(misuse)).toBe("ERR_INVALID_ARGUMENT");
    arena.assertDrained();
  });
});
