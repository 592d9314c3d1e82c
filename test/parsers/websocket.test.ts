/** The WebSocket parser and encoder by themselves; websocket-ws.test.ts has the `ws` package. */

import { Arena } from "cleanslab";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encodeClose, encodeFrame, type FrameToSend } from "../../examples/websocket/frames.ts";
import { WebSocketParser } from "../../examples/websocket/parser.ts";
import { applyMask } from "../../examples/websocket/protocol.ts";
import { pattern } from "../node/helpers.ts";
import { seed } from "../seeded.ts";
import {
  codeOf,
  expectNoLeakFrom,
  mutated,
  outcomeOf,
  type Role,
  readAtEverySplit,
  readAtRandomSplits,
  wsParser,
} from "./helpers.ts";

const KEY = Uint8Array.of(0x37, 0xfa, 0x21, 0x3d);
const encoding = new Arena();

/** What is sent to a side in `role`. */
function frames(role: Role, ...sent: FrameToSend[]): Buffer {
  const all = sent.map((frame) => {
    const lease = encodeFrame(encoding, role === "server" ? { ...frame, maskingKey: KEY } : frame);
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
  expect(frames("server", { opcode: "text", payload: "Hello" })).toEqual(hello);
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
    ["a length of 5 in 16 bits", raw(0x82, 126, 0, 5), 1002],
    ["a length of 5 in 64 bits", raw(0x82, 127, 0, 0, 0, 0, 0, 0, 0, 5), 1002],
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
