/**
 * The RESP parser and encoder by themselves; resp-redis.test.ts has a real server. RP1 and
 * RP3 are held by every `readAtEverySplit`, RP2 by the limits, RP4 by the malformed replies.
 */

import { Arena } from "cleanslab";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { EAGER_BYTES } from "../../examples/parsing/gather.ts";
import { encodeCommands } from "../../examples/resp/commands.ts";
import { RespParser } from "../../examples/resp/parser.ts";
import { type RespReply, releaseReply } from "../../examples/resp/reply.ts";
import { pattern } from "../node/helpers.ts";
import { seed } from "../seeded.ts";
import {
  codeOf,
  expectNoLeakFrom,
  expectSame,
  latin1,
  mutated,
  outcomeOf,
  readAtEverySplit,
  readAtRandomSplits,
  respParser,
  split,
} from "./helpers.ts";

const bytes = (text: string): Buffer => Buffer.from(text);

const MESSAGE = ">3\r\n$7\r\nmessage\r\n$2\r\nch\r\n$1\r\nx\r\n";
const message = { push: [bytes("message"), bytes("ch"), bytes("x")] };

/** A value that the server says something about. */
const told = (value: unknown, ...attributes: [unknown, unknown][]) => ({ value, attributes });
/** A value that is none of its type: what is wrong with it stands in `what`. */
const malformed = (type: string, content: string, what: string) => ({
  malformed: type,
  bytes: bytes(content),
  message: expect.stringContaining(what),
});
const NONE_OF_ITS_TYPE = {
  "a 64-bit integer": ": :1a :9223372036854775808",
  "a boolean": "#",
  "a null, which has no content": "_x",
  "a double": ", ,1.2.3",
  "a big number": "(1.5",
};

type Sent = [text: string, ...values: unknown[]];
/** What is sent, and what it is read as. */
const SENT: Sent[] = [
  ["+OK\r\n", "OK"],
  ["-ERR no\r\n", { error: "ERR no" }],
  [":-42\r\n", -42],
  [":+42\r\n", 42],
  [":9223372036854775807\r\n", 9223372036854775807n],
  [":-9007199254740993\r\n", -9007199254740993n],
  ["$5\r\nhe\r\no\r\n", bytes("he\r\no")],
  ["$0\r\n\r\n", bytes("")],
  ["$7\r\n\xef\xbb\xbf\0\xff\xc3a\r\n", Buffer.from("efbbbf00ffc361", "hex")],
  ["$-1\r\n", null],
  ["*-1\r\n", null],
  ["*0\r\n", []],
  ["*3\r\n:1\r\n*2\r\n$1\r\na\r\n_\r\n+b\r\n", [1, [bytes("a"), null], "b"]],
  ["#t\r\n", true],
  ["#f\r\n", false],
  [",1.5\r\n", 1.5],
  [",-inf\r\n", Number.NEGATIVE_INFINITY],
  [",nan\r\n", Number.NaN],
  ["(12345678901234567890123\r\n", 12345678901234567890123n],
  ["!5\r\nE bad\r\n", { error: "E bad" }],
  ["=7\r\ntxt:abc\r\n", { format: "txt", bytes: bytes("abc") }],
  ["=4\r\nmkd:\r\n", { format: "mkd", bytes: bytes("") }],
  ["=4\r\n\xff\xfe\xfd:\r\n", { format: "\uFFFD\uFFFD\uFFFD", bytes: bytes(""), raw: "fffefd" }],
  ["=6\r\n\xef\xbb\xbf:\0b\r\n", { format: "\uFEFF", bytes: bytes("\0b") }],
  ["+a\xff\r\n", { text: "a\uFFFD", raw: "61ff" }],
  ["-b\xfe\r\n", { error: "b\uFFFD", raw: "62fe" }],
  ["+\xef\xbf\xbd\xef\xbb\xbf\r\n", "\uFFFD\uFEFF"],
  ["%1\r\n$1\r\nl\r\n*1\r\n:2\r\n", { map: [[bytes("l"), [2]]] }],
  ["~2\r\n:1\r\n:2\r\n", { set: [1, 2] }],
  ["|1\r\n+ttl\r\n:3600\r\n*1\r\n|1\r\n+x\r\n$1\r\ny\r\n:5\r\n", told([told(5, ["x", bytes("y")])], ["ttl", 3600])],
  ["|1\r\n+a\r\n$1\r\nx\r\n|1\r\n+b\r\n:2\r\n:1\r\n", told(1, ["a", bytes("x")], ["b", 2])],
  ["|0\r\n%0\r\n", told({ map: [] })],
  ["$?\r\n;4\r\nstre\r\n;3\r\nam\n\r\n;0\r\n", bytes("stream\n")],
  ["*?\r\n:1\r\n%?\r\n+k\r\n$?\r\n;0\r\n.\r\n~?\r\n.\r\n.\r\n", [1, { map: [["k", bytes("")]] }, { set: [] }]],
  [MESSAGE, message],
  [`*3\r\n${MESSAGE}:1\r\n*1\r\n${MESSAGE}+in\r\n${MESSAGE}:2\r\n`, message, message, message, [1, ["in"], 2]],
  [`*2\r\n>2\r\n$12\r\npunsubscribe\r\n:0\r\n${MESSAGE}+OK\r\n`, message, [{ push: [bytes("punsubscribe"), 0] }, "OK"]],
  ...["subscribe", "ssubscribe", "psubscribe", "unsubscribe", "sunsubscribe"].map(
    (name): Sent => [`*1\r\n>1\r\n+${name}\r\n`, [{ push: [name] }]],
  ),
  ["*1\r\n>0\r\n+in\r\n", { push: [] }, ["in"]],
  ["*1\r\n>1\r\n_\r\n+in\r\n", { push: [null] }, ["in"]],
  ["*1\r\n>1\r\n*0\r\n+in\r\n", { push: [[]] }, ["in"]],
  ["*1\r\n>1\r\n$12\r\nPUNSUBSCRIBE\r\n+in\r\n", { push: [bytes("PUNSUBSCRIBE")] }, ["in"]],
  ["*1\r\n>1\r\n$13\r\npunsubscribe!\r\n+in\r\n", { push: [bytes("punsubscribe!")] }, ["in"]],
  ["*2\r\n#x\r\n+b\r\n", [malformed("#", "x", '"x" is not a boolean, t or f'), "b"]],
  ...Object.entries(NONE_OF_ITS_TYPE).flatMap(([what, texts]) =>
    texts.split(" ").map((text): Sent => [`${text}\r\n`, malformed(text.slice(0, 1), text.slice(1), what)]),
  ),
  ...["wrong", "txta1", "abcd"].map(
    (text): Sent => [
      `=${text.length}\r\n${text}\r\n`,
      malformed("=", text, `begins with "${text.slice(0, 4)}", not with a format and a colon`),
    ],
  ),
  ...["abc", ""].map(
    (text): Sent => [`=${text.length}\r\n${text}\r\n`, malformed("=", text, "no room for a format and a colon")],
  ),
];
const SAMPLE = latin1(SENT.map(([text]) => text).join(""));

describe("RESP", () => {
  test.each(SENT)("%j is read the same at every split, and truncated if it is cut off anywhere", (text, ...values) => {
    const sent = latin1(text);
    expect(readAtEverySplit(respParser(), sent)).toEqual({ given: values, error: null });
    for (let end = 1; end < sent.length; end++) {
      expect(outcomeOf(respParser(), split(sent.subarray(0, end), [end >> 1])).error).toMatch(/^ERR_TRUNCATED/);
    }
  });

  test("all of them are read the same at random splits in every mode", () => {
    const given = SENT.flatMap(([, ...values]) => values);
    expect(readAtRandomSplits(respParser(), SAMPLE)).toEqual({ given, error: null });
  });

  test("a malformed value says at which byte its own item begins", () => {
    for (const odd of ["#maybe\r\n", "=5\r\nwrong\r\n", "=2\r\nno\r\n", ":x\r\n"]) {
      const { given } = readAtEverySplit(respParser(), latin1(`*2\r\n${odd}+b\r\n`));
      expect(given).toMatchObject([[{ message: expect.stringMatching(/in the item that begins at byte 4$/) }, "b"]]);
    }
  });

  test("random bytes and mutated replies end in a typed error or a reply", () => {
    const alphabet = fc.constantFrom(...latin1("+-:$*_#,(!=%~>|0123\r\n\r\n\r\nab"));
    const random = fc.array(alphabet).map((each) => Uint8Array.from(each));
    for (const input of [mutated(SAMPLE), random]) expectNoLeakFrom(respParser({ maxReplyBytes: 10_000 }), input);
  });

  test("a string of three megabytes comes out whole, however it is split", () => {
    const value = pattern(3 * EAGER_BYTES + 17);
    const reply = Buffer.concat([latin1(`*2\r\n$${value.length}\r\n`), value, latin1("\r\n:1\r\n")]);
    const { given } = readAtRandomSplits(respParser(), reply, 12);
    expect(Buffer.compare((given[0] as [Buffer])[0], value)).toBe(0);
  });

  test("an announced gigabyte acquires no more than was sent warrants", () => {
    const arena = new Arena({ maxBytes: 8 * EAGER_BYTES, onExhausted: "throw" });
    using parser = new RespParser(arena, releaseReply, { maxReplyBytes: 2 ** 31 });
    parser.write(latin1("$1073741824\r\nabc"));
    expect(arena.stats().liveBytes).toBe(EAGER_BYTES);
  });

  test("an arena without room ends the parse with its own error, and nothing is kept", () => {
    const arena = new Arena({ maxBytes: 2 * EAGER_BYTES, onExhausted: "throw" });
    const parser = new RespParser(arena, releaseReply);
    const one = Buffer.concat([latin1("$400000\r\n"), pattern(400_000), latin1("\r\n")]);
    const reply = Buffer.concat([latin1("*9\r\n"), ...Array(9).fill(one)]);
    expect(() => parser.write(reply)).toThrow(expect.objectContaining({ code: "ERR_ARENA_EXHAUSTED" }));
    arena.assertDrained();
  });

  test("what the encoder writes, the parser reads; what has no bytes is refused", () => {
    const arena = new Arena();
    const argument = fc.oneof(fc.string({ unit: "binary" }), fc.integer(), fc.bigInt(), fc.uint8Array());
    const property = fc.property(fc.array(fc.array(argument, { minLength: 1 }), { maxLength: 5 }), (commands) => {
      const lease = encodeCommands(arena, commands);
      const { given } = outcomeOf(respParser(), [lease.bytes]);
      lease.release();
      const asBytes = (each: unknown): Buffer => Buffer.from(each instanceof Uint8Array ? each : String(each));
      expectSame(
        given,
        commands.map((command) => command.map(asBytes)),
      );
    });
    fc.assert(property, { seed });
    for (const command of [[], ["SET", "\uD800", 1], ["a\uDC00b"]]) {
      expect(codeOf(() => encodeCommands(arena, [command]))).toBe("ERR_INVALID_ARGUMENT");
    }
    arena.assertDrained();
  });
});

describe("broken RESP gives a typed error that names its item's first byte, the same at every split", () => {
  const BEFORE = "+OK\r\n$3\r\n\r\n\n\r\n";
  /** Where in what follows `BEFORE` the item begins that the error names; each such text, with a space between. */
  const MALFORMED: [itemOffset: number, texts: string][] = [
    [0, "hello\r\n \r\n +a\nb\r\n +a\rb\r\n +ab\n $-2\r\n $-0\r\n $+1\r\n $1x\r\n $99999999999999999999\r\n"],
    [0, "$3\r\nabcd\r\n $3\r\nabc\n\n $1\r\na\rx *-2\r\n %-1\r\n !?\r\n =?\r\n ;3\r\n .\r\n"],
    [4, "*1\r\n.\r\n *?\r\n.x\r\n $?\r\n+a\r\n $?\r\n;1\r\naX\r\n"],
    [8, "%?\r\n+k\r\n.\r\n *2\r\n:1\r\n$x\r\n"],
    [11, "$?\r\n;1\r\na\r\n;-1\r\n %1\r\n$1\r\nk\r\n$1\r\nvX\r\n"],
    [13, "*2\r\n$3\r\nabc\r\n?\r\n"],
    [16, "*?\r\n|1\r\n+a\r\n+b\r\n.\r\n"],
  ];
  const malformedTexts = MALFORMED.flatMap(([at, texts]) => texts.split(" ").map((text) => [text, at] as const));
  test.each(malformedTexts)("%j is malformed", (text, itemOffset) => {
    const { given, error } = readAtEverySplit(respParser(), latin1(BEFORE + text));
    expect(given).toEqual(["OK", bytes("\r\n\n")]);
    const at = `in the item that begins at byte ${BEFORE.length + itemOffset}`;
    expect(error).toMatch(new RegExp(`^ERR_MALFORMED: .*, ${at}$`));
  });

  const LIMITS = { maxReplyBytes: 100, maxLineBytes: 40, maxItems: 10, maxDepth: 3 };
  const OVER: [what: string, text: string][] = [
    ["a string", "$101\r\n"],
    ["strings together", `*2\r\n$60\r\n${"x".repeat(60)}\r\n$41\r\n`],
    ...[..."+-:(,"].map((type): [string, string] => [`a line of type ${type}`, `${type}${"1".repeat(40)}\r\n`]),
    ["a line that has not ended", `+${"x".repeat(41)}`],
    ["a line that ends badly", `+${"x".repeat(40)}\n`],
    ["items", "*11\r\n"],
    ["items at all depths", "*2\r\n*5\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n*4\r\n"],
    ["pairs", "%6\r\n"],
    ["aggregates in aggregates", "*1\r\n*1\r\n*1\r\n*1\r\n"],
    ["more items than any memory holds", "*999999999999\r\n"],
    ["items of a streamed array", `*?\r\n${":1\r\n".repeat(11)}`],
    ["items of attributes", `${"|1\r\n:1\r\n:1\r\n".repeat(5)}|1\r\n`],
    ["a streamed string", `$?\r\n;60\r\n${"x".repeat(60)}\r\n;41\r\n`],
  ];
  test.each(OVER)("%s over the limit: refused as soon as it is announced", (_, text) => {
    const last = text.lastIndexOf("\n", text.length - 3) + 1;
    const { error } = readAtEverySplit(respParser(LIMITS), latin1(text));
    expect(error).toMatch(new RegExp(`^ERR_LIMIT: .* with the item that begins at byte ${last};`));
  });

  test("limits are for one reply, not for the connection, and what just fits is read", () => {
    const reply = `*4\r\n$50\r\n${"x".repeat(50)}\r\n${[..."+-:"].map((type) => `${type}${"1".repeat(39)}\r\n`).join("")}`;
    const limits = { maxReplyBytes: 50, maxItems: 4, maxDepth: 1, maxLineBytes: 40 };
    expect(outcomeOf(respParser(limits), [latin1(reply.repeat(3))])).toMatchObject({ error: null });
    for (const maxItems of [0, -1, 1.5, Number.NaN]) {
      expect(codeOf(() => new RespParser(new Arena(), releaseReply, { maxItems }))).toBe("ERR_INVALID_ARGUMENT");
    }
  });

  const TRUNCATED: [text: string, where: string][] = [
    ["+OK\r\n+O", "in the middle of a line that begins at byte 5"],
    ["+OK\r\n$5\r\nhell", "in a string of 5 bytes that begins at byte 5"],
    ["*2\r\n$5\r\nhello\r", "in a string of 5 bytes that begins at byte 4"],
    ["+OK\r\n*2\r\n%1\r\n:1\r\n", "1 values short of the map that begins at byte 9"],
    ["+OK\r\n~?\r\n:1\r\n", "before the end of a streamed set that begins at byte 5"],
    ["*1\r\n$?\r\n;1\r\na\r\n", "before the last chunk of a streamed string that begins at byte 4"],
    ["|1\r\n+a\r\n+b\r\n", "where the value of attributes should begin at byte 12"],
    ["*1\r\n|1\r\n+a\r\n", "1 values short of the attribute that begins at byte 4"],
  ];
  test.each(TRUNCATED)("%j is truncated", (text, where) => {
    const { error } = readAtEverySplit(respParser(), latin1(text));
    expect(error).toBe(`ERR_TRUNCATED: the input ended after ${text.length} bytes, ${where}`);
  });
});

describe("the life of a parser", () => {
  test("a sink that throws keeps its reply, and all else is released", () => {
    const arena = new Arena();
    const kept: RespReply[] = [];
    const parser = new RespParser(arena, (reply) => {
      kept.push(reply);
      throw new Error("mine");
    });
    expect(() => parser.write(latin1("$3\r\nabc\r\n*2\r\n$1\r\na\r\n"))).toThrow("mine");
    expect(arena.stats().liveLeases).toBe(1);
    for (const reply of kept) releaseReply(reply);
    arena.assertDrained();
    expect(codeOf(() => parser.write(latin1("+OK\r\n")))).toBe("ERR_PARSER_STATE");
  });

  test("a sink may destroy the parser at a reply, or at a message inside one, and gets no more", () => {
    for (const text of ["$1\r\na\r\n$1\r\nb\r\n", `*3\r\n$1\r\na\r\n${MESSAGE}$1\r\nb\r\n:1\r\n+c\r\n`]) {
      const arena = new Arena();
      let replies = 0;
      const parser: RespParser = new RespParser(arena, (reply) => {
        releaseReply(reply);
        replies++;
        parser.destroy();
      });
      parser.write(latin1(text));
      expect(replies).toBe(1);
      arena.assertDrained();
      expect(codeOf(() => parser.end())).toBe("ERR_PARSER_STATE");
    }
  });

  test("a sink that writes to its parser is told off; nothing is written after the end, which may come twice", () => {
    const nested: RespParser = new RespParser(new Arena(), () => nested.write(latin1("+x\r\n")));
    expect(codeOf(() => nested.write(latin1("+OK\r\n")))).toBe("ERR_PARSER_STATE");
    const ended = respParser()(new Arena(), []);
    ended.end();
    ended.end();
    expect(codeOf(() => ended.write(latin1("+OK\r\n")))).toBe("ERR_PARSER_STATE");
    const broken = respParser()(new Arena(), []);
    broken.write(latin1("+O"));
    for (const code of ["ERR_TRUNCATED", "ERR_PARSER_STATE"]) expect(codeOf(() => broken.end())).toBe(code);
  });
});
