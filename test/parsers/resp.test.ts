/**
 * The RESP parser and encoder by themselves; resp-redis.test.ts has a real server.
 * RP1 is held by each `expectSameAtEverySplit`, RP2 by the limits, RP3 by
 * `messagesAtEverySplit`, and RP4 by the malformed replies.
 */

import { Arena } from "cleanslab";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ParseError } from "../../examples/parsing/errors.ts";
import { EAGER_BYTES } from "../../examples/parsing/gather.ts";
import { encodeCommands, type RespCommand } from "../../examples/resp/commands.ts";
import { type RespLimits, RespParser } from "../../examples/resp/parser.ts";
import { type RespReply, releaseReply } from "../../examples/resp/reply.ts";
import { seed } from "../seeded.ts";
import { respParser } from "./plain.ts";
import {
  codeOf,
  expectNoLeakFrom,
  expectSameAtEverySplit,
  expectSameAtRandomSplits,
  latin1,
  mutated,
  noise,
  outcomeOf,
  split,
} from "./splits.ts";

/** One of everything. */
const SAMPLE = latin1(
  "+OK\r\n-ERR no\r\n:-42\r\n:9223372036854775807\r\n$5\r\nhe\r\no\r\n$0\r\n\r\n$-1\r\n*-1\r\n*0\r\n" +
    "*3\r\n:1\r\n*2\r\n$1\r\na\r\n_\r\n+b\r\n#t\r\n#f\r\n,1.5\r\n,-inf\r\n(12345678901234567890123\r\n" +
    "!5\r\nE bad\r\n=7\r\ntxt:abc\r\n=4\r\nmkd:\r\n%2\r\n+k\r\n:1\r\n$1\r\nl\r\n*1\r\n:2\r\n~2\r\n:1\r\n:2\r\n" +
    ">2\r\n+message\r\n$2\r\nhi\r\n|1\r\n+ttl\r\n:3600\r\n*1\r\n|1\r\n+x\r\n$1\r\ny\r\n:5\r\n|0\r\n%0\r\n" +
    "$?\r\n;4\r\nstre\r\n;3\r\nam\n\r\n;0\r\n*?\r\n:1\r\n%?\r\n+k\r\n$?\r\n;0\r\n.\r\n~?\r\n.\r\n.\r\n" +
    "#maybe\r\n=5\r\nwrong\r\n=2\r\nno\r\n,nan\r\n",
);

const bytes = (text: string): Buffer => Buffer.from(text);

/** A reply that is none of its type, as plain values. */
function malformed(type: string, content: string, what: string, item: string): unknown {
  const byteOffset = Buffer.from(SAMPLE).indexOf(item);
  const message = `this is not RESP: ${what}, in the item that begins at byte ${byteOffset}`;
  return { malformed: type, bytes: bytes(content), message };
}

const PLAIN: unknown[] = [
  "OK",
  { error: "ERR no" },
  -42,
  9223372036854775807n,
  bytes("he\r\no"),
  bytes(""),
  null,
  null,
  [],
  [1, [bytes("a"), null], "b"],
  true,
  false,
  1.5,
  Number.NEGATIVE_INFINITY,
  12345678901234567890123n,
  { error: "E bad" },
  { format: "txt", bytes: bytes("abc") },
  { format: "mkd", bytes: bytes("") },
  {
    map: [
      ["k", 1],
      [bytes("l"), [2]],
    ],
  },
  { set: [1, 2] },
  { push: ["message", bytes("hi")] },
  { value: [{ value: 5, attributes: [["x", bytes("y")]] }], attributes: [["ttl", 3600]] },
  { value: { map: [] }, attributes: [] },
  bytes("stream\n"),
  [1, { map: [["k", bytes("")]] }, { set: [] }],
  malformed("#", "maybe", '"maybe" is not a boolean, t or f', "#maybe"),
  malformed("=", "wrong", 'a verbatim string begins with "wron", not with a format and a colon', "=5\r\nwrong"),
  malformed("=", "no", "a verbatim string of 2 bytes has no room for a format and a colon", "=2\r\nno"),
  Number.NaN,
];

describe("RESP", () => {
  test("every type is read, the same at every split", () => {
    expect(expectSameAtEverySplit(respParser(), SAMPLE)).toEqual({ given: PLAIN, error: null });
  });

  test("every type is read the same at random splits in every mode", () => {
    expect(expectSameAtRandomSplits(respParser(), SAMPLE).given).toEqual(PLAIN);
  });

  test("a string of three megabytes comes out whole, however it is split", () => {
    const value = noise(3 * EAGER_BYTES + 17);
    const reply = Buffer.concat([latin1(`*2\r\n$${value.length}\r\n`), value, latin1("\r\n:1\r\n")]);
    const { given } = expectSameAtRandomSplits(respParser(), reply, 12);
    expect(given).toHaveLength(1);
    expect(Buffer.compare((given[0] as [Buffer])[0], value)).toBe(0);
  });

  test("an announced gigabyte acquires no more than was sent warrants", () => {
    const arena = new Arena({ maxBytes: 8 * 1024 * 1024, onExhausted: "throw" });
    const parser = new RespParser(arena, releaseReply, { maxReplyBytes: 2 ** 31 });
    parser.write(latin1("$1073741824\r\nabc"));
    expect(arena.stats().liveBytes).toBe(EAGER_BYTES);
    parser.destroy();
    arena.assertDrained();
  });

  test("what the encoder writes, the parser reads", () => {
    const arena = new Arena();
    const argument = fc.oneof(fc.string({ unit: "binary" }), fc.integer(), fc.bigInt(), fc.uint8Array());
    fc.assert(
      fc.property(fc.array(fc.array(argument, { minLength: 1 }), { maxLength: 5 }), (commands) => {
        const lease = encodeCommands(arena, commands);
        const { given } = outcomeOf(respParser(), [lease.bytes]);
        lease.release();
        arena.assertDrained();
        const wanted = commands.map((command) =>
          command.map((each) => (each instanceof Uint8Array ? Buffer.from(each) : Buffer.from(String(each)))),
        );
        expect(given).toEqual(wanted);
      }),
      { seed },
    );
  });

  const REFUSED: RespCommand[] = [[], ["SET", "\uD800", 1], ["a\uDC00b"]];
  test.each(REFUSED.map((command) => ({ command })))("the command $command is refused", ({ command }) => {
    expect(codeOf(() => encodeCommands(new Arena(), [command]))).toBe("ERR_INVALID_ARGUMENT");
  });
});

/** The different messages of the error that ends `input`: one, or the splits differ. */
function messagesAtEverySplit(input: Uint8Array, limits: RespLimits = {}): string[] {
  const messages = new Set<string>();
  const arena = new Arena();
  for (let at = 0; at <= input.length; at++) {
    using parser = respParser(limits)(arena, []);
    try {
      for (const chunk of split(input, [at])) parser.write(chunk);
      parser.end();
      messages.add("no error");
    } catch (error) {
      messages.add(error instanceof ParseError ? error.message : String(error));
    }
  }
  return [...messages];
}

describe("broken and hostile RESP gives a typed error at every split, and leaks nothing", () => {
  /** Each begins behind `BEFORE`; the number is where in it the item begins that the error must name. */
  const BEFORE = "+OK\r\n$3\r\n\r\n\n\r\n";
  const MALFORMED: [text: string, itemOffset: number][] = [
    ["hello\r\n", 0],
    ["\r\n", 0],
    ["+a\nb\r\n", 0],
    ["+a\rb\r\n", 0],
    ["+ab\n", 0],
    ["$-2\r\n", 0],
    ["$-0\r\n", 0],
    ["$+1\r\n", 0],
    ["$1x\r\n", 0],
    ["$3\r\nabcd\r\n", 0],
    ["$3\r\nabc\n\n", 0],
    ["$1\r\na\rx", 0],
    ["*-2\r\n", 0],
    ["%-1\r\n", 0],
    ["!?\r\n", 0],
    ["=?\r\n", 0],
    [";3\r\n", 0],
    [".\r\n", 0],
    ["*1\r\n.\r\n", 4],
    ["*?\r\n.x\r\n", 4],
    ["%?\r\n+k\r\n.\r\n", 8],
    ["*?\r\n|1\r\n+a\r\n+b\r\n.\r\n", 16],
    ["$?\r\n+a\r\n", 4],
    ["$?\r\n;1\r\na\r\n;-1\r\n", 11],
    ["$?\r\n;1\r\naX\r\n", 4],
    ["$99999999999999999999\r\n", 0],
    ["*2\r\n$3\r\nabc\r\n?\r\n", 13],
    ["%1\r\n$1\r\nk\r\n$1\r\nvX\r\n", 11],
    ["*2\r\n:1\r\n$x\r\n", 8],
  ];
  test.each(MALFORMED)("%j is malformed, and the error says that the item begins at byte %d of it", (text, at) => {
    const input = latin1(BEFORE + text);
    const outcome = expectSameAtEverySplit(respParser(), input);
    expect(outcome).toEqual({ given: ["OK", bytes("\r\n\n")], error: "ERR_MALFORMED" });
    for (const message of messagesAtEverySplit(input)) {
      expect(message).toMatch(new RegExp(`in the item that begins at byte ${BEFORE.length + at}$`));
    }
  });

  const ODD: [text: string, type: string, content: string][] = [
    [":\r\n", ":", ""],
    [":1a\r\n", ":", "1a"],
    [":9223372036854775808\r\n", ":", "9223372036854775808"],
    ["#x\r\n", "#", "x"],
    ["#\r\n", "#", ""],
    ["_x\r\n", "_", "x"],
    [",1.2.3\r\n", ",", "1.2.3"],
    [",\r\n", ",", ""],
    ["(1.5\r\n", "(", "1.5"],
    ["=3\r\nabc\r\n", "=", "abc"],
    ["=5\r\ntxta1\r\n", "=", "txta1"],
    ["=4\r\nabcd\r\n", "=", "abcd"],
    ["=0\r\n\r\n", "=", ""],
  ];
  test.each(ODD)("%j is a malformed reply, and the replies around it are read", (text, type, content) => {
    const { given, error } = expectSameAtEverySplit(respParser(), latin1(`*3\r\n+a\r\n${text}+b\r\n+c\r\n`));
    const message = expect.stringMatching(/in the item that begins at byte 8$/);
    const odd = { malformed: type, bytes: bytes(content), message };
    expect({ given, error }).toEqual({ given: [["a", odd, "b"], "c"], error: null });
  });

  const LIMITS: [string, string][] = [
    ["a string over the limit", "$101\r\n"],
    ["strings that are over it together", `*2\r\n$60\r\n${"x".repeat(60)}\r\n$41\r\n`],
    ["a line over the limit", `+${"x".repeat(41)}`],
    ["a line over the limit that ends", `+${"x".repeat(41)}\r\n`],
    ["a line over the limit that ends badly", `+${"x".repeat(40)}\n`],
    ["more items than allowed", "*11\r\n"],
    ["more items than allowed at all depths", "*2\r\n*5\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n*4\r\n"],
    ["more pairs than allowed", "%6\r\n"],
    ["aggregates too deep", "*1\r\n*1\r\n*1\r\n*1\r\n"],
    ["an item count beyond any memory", "*999999999999\r\n"],
    ["a streamed array of more items than allowed", `*?\r\n${":1\r\n".repeat(11)}`],
    ["attributes of more items than allowed", `${"|1\r\n:1\r\n:1\r\n".repeat(5)}|1\r\n`],
    ["a streamed string over the limit", `$?\r\n;60\r\n${"x".repeat(60)}\r\n;41\r\n`],
  ];
  test.each(LIMITS)("%s is refused as soon as it is announced", (_, text) => {
    const limits = { maxReplyBytes: 100, maxLineBytes: 40, maxItems: 10, maxDepth: 3 };
    expect(expectSameAtEverySplit(respParser(limits), latin1(text)).error).toBe("ERR_LIMIT");
    const messages = messagesAtEverySplit(latin1(text), limits);
    const last = text.lastIndexOf("\n", text.length - 3) + 1;
    expect(messages).toEqual([expect.stringContaining(`with the item that begins at byte ${last};`)]);
  });

  test("limits are for one reply, not for the connection", () => {
    const reply = `*2\r\n$50\r\n${"x".repeat(50)}\r\n:1\r\n`;
    const limits = { maxReplyBytes: 50, maxItems: 2, maxDepth: 1 };
    expect(outcomeOf(respParser(limits), [latin1(reply.repeat(5))])).toMatchObject({ error: null });
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
  test.each(TRUNCATED)("%j is truncated, and the error says where", (text, where) => {
    expect(expectSameAtEverySplit(respParser(), latin1(text)).error).toBe("ERR_TRUNCATED");
    expect(messagesAtEverySplit(latin1(text))).toEqual([`the input ended after ${text.length} bytes, ${where}`]);
  });

  test("an input that ends anywhere but behind a reply is truncated", () => {
    const ends = new Set<number>();
    for (let end = 0; end <= SAMPLE.length; end++) {
      const { error } = outcomeOf(respParser(), [SAMPLE.subarray(0, end)]);
      if (error === null) ends.add(end);
      else expect(error).toBe("ERR_TRUNCATED");
    }
    expect(ends.size).toBe(PLAIN.length + 1);
  });

  test("random bytes and mutated replies end in a typed error or a reply", () => {
    expectNoLeakFrom(respParser({ maxReplyBytes: 10_000 }), mutated(SAMPLE));
    const alphabet = fc.constantFrom(...latin1("+-:$*_#,(!=%~>|0123\r\n\r\n\r\nab"));
    expectNoLeakFrom(
      respParser({ maxReplyBytes: 10_000 }),
      fc.array(alphabet).map((each) => Uint8Array.from(each)),
    );
  });

  test("an arena without room ends the parse with its own error, and nothing is kept", () => {
    const arena = new Arena({ maxBytes: 2 * 1024 * 1024, onExhausted: "throw" });
    const parser = new RespParser(arena, releaseReply);
    const value = noise(400_000);
    const one = Buffer.concat([latin1(`$${value.length}\r\n`), value, latin1("\r\n")]);
    expect(() => parser.write(Buffer.concat([latin1("*9\r\n"), ...Array(9).fill(one)]))).toThrow(
      expect.objectContaining({ code: "ERR_ARENA_EXHAUSTED" }),
    );
    arena.assertDrained();
  });
});

describe("text", () => {
  const CONTENTS: Record<string, Uint8Array> = {
    "a byte order mark": bytes("\uFEFFhi\uFEFF"),
    "bytes that are not UTF-8": latin1("a\xff\xc3"),
    "other bytes that are not UTF-8": latin1("a\xfe\xc3"),
    "replacement characters that were sent": bytes("a\uFFFD\uFFFD"),
    "a NUL": latin1("a\0b\0"),
    nothing: latin1(""),
    "60 000 bytes": latin1(`${"long \0 ".repeat(8571)}end`),
  };
  /** How a content is sent in each field, and how it is read back: as exactly its bytes. */
  const line = (type: string) => (content: Uint8Array) => Buffer.concat([latin1(type), content, latin1("\r\n")]);
  const blob = (type: string, prefix: string) => (content: Uint8Array) =>
    Buffer.concat([latin1(`${type}${prefix.length + content.length}\r\n${prefix}`), content, latin1("\r\n")]);
  const FIELDS: Record<string, (content: Uint8Array) => Buffer> = {
    "simple string": line("+"),
    error: line("-"),
    "bulk string": blob("$", ""),
    "bulk error": blob("!", ""),
    "verbatim string": blob("=", "txt:"),
    "map key": (content) => Buffer.concat([latin1("%1\r\n"), line("+")(content), latin1("_\r\n")]),
    "bulk map key": (content) => Buffer.concat([latin1("%1\r\n"), blob("$", "")(content), latin1("_\r\n")]),
    attribute: (content) => Buffer.concat([latin1("|1\r\n+ttl\r\n"), line("+")(content), latin1("_\r\n")]),
    push: (content) => Buffer.concat([latin1(">1\r\n"), line("+")(content)]),
    "streamed string": (content) =>
      content.length === 0
        ? Buffer.from("$?\r\n;0\r\n")
        : Buffer.concat([latin1("$?\r\n"), blob(";", "")(content), latin1(";0\r\n")]),
    "big number": line("("),
    integer: line(":"),
    double: line(","),
    boolean: line("#"),
    null: line("_"),
  };

  /** The bytes that the innermost text or string of `reply` stands for. */
  function contentOf(reply: RespReply): Uint8Array {
    if (reply.attributes?.[0] !== undefined) return contentOf(reply.attributes[0][1]);
    if ("pairs" in reply) return contentOf((reply.pairs[0] as [RespReply, RespReply])[0]);
    if ("items" in reply) return contentOf(reply.items[0] as RespReply);
    if ("lease" in reply) return reply.lease.bytes.slice();
    if ("text" in reply) return reply.raw ?? bytes(reply.text);
    return latin1("");
  }

  const table = Object.entries(FIELDS).flatMap(([field, send]) =>
    Object.entries(CONTENTS).map(([name, content]) => [field, name, send(content), content] as const),
  );
  test.each(table)("%s of %s: all there, byte by byte", (_field, _name, sent, content) => {
    for (const chunks of [[sent], split(sent, [1, 2, sent.length >> 1, sent.length - 2])]) {
      const arena = new Arena();
      const got: Uint8Array[] = [];
      const parser = new RespParser(arena, (reply) => {
        got.push(contentOf(reply));
        releaseReply(reply);
      });
      for (const chunk of chunks) parser.write(Uint8Array.from(chunk));
      parser.end();
      expect(got.length).toBe(1);
      expect(Buffer.compare(got[0] as Uint8Array, content)).toBe(0);
      arena.assertDrained();
    }
  });

  test("raw is there only where the line is not UTF-8, and is no view of the chunk", () => {
    const { given } = outcomeOf(respParser(), [latin1("+a\xff\r\n-b\xfe\r\n"), bytes("+\uFFFD\r\n+\uFEFF\r\n")]);
    const notUtf8 = [
      { text: "a\uFFFD", raw: "61ff" },
      { error: "b\uFFFD", raw: "62fe" },
    ];
    expect(given).toEqual([...notUtf8, "\uFFFD", "\uFEFF"]);
  });

  test("the format of a verbatim string is text by the same rule", () => {
    const { given } = expectSameAtEverySplit(
      respParser(),
      Buffer.concat([bytes("=4\r\n\uFEFF:\r\n=4\r\na\0b:\r\n"), latin1("=4\r\n\xff\xfe\xfd:\r\n")]),
    );
    const nothing = bytes("");
    expect(given).toEqual([
      { format: "\uFEFF", bytes: nothing },
      { format: "a\0b", bytes: nothing },
      { format: "\uFFFD\uFFFD\uFFFD", bytes: nothing, raw: "fffefd" },
    ]);
  });

  test.each(["+", "-", ":", "(", ","])(
    "a line of type %s over maxLineBytes is over the limit at every split",
    (type) => {
      const limits = { maxLineBytes: 40 };
      expect(expectSameAtEverySplit(respParser(limits), latin1(`${type}${"1".repeat(39)}\r\n`)).error).toBeNull();
      expect(expectSameAtEverySplit(respParser(limits), latin1(`${type}${"1".repeat(40)}\r\n`)).error).toBe(
        "ERR_LIMIT",
      );
    },
  );
});

describe("pushes", () => {
  const MESSAGE = ">3\r\n$7\r\nmessage\r\n$2\r\nch\r\n$1\r\nx\r\n";
  const CONFIRMED = ">3\r\n$9\r\nsubscribe\r\n$2\r\nch\r\n:1\r\n";
  const message = { push: [bytes("message"), bytes("ch"), bytes("x")] };
  const confirmed = { push: [bytes("subscribe"), bytes("ch"), 1] };

  test("come between the replies of a pipeline", () => {
    const { given } = expectSameAtEverySplit(respParser(), latin1(`+a\r\n${MESSAGE}${CONFIRMED}+b\r\n${MESSAGE}`));
    expect(given).toEqual(["a", message, confirmed, "b", message]);
  });

  test("a message inside a transaction's reply comes before it, and takes no place in it", () => {
    const input = `*3\r\n${MESSAGE}:1\r\n*1\r\n${MESSAGE}+in\r\n${MESSAGE}:2\r\n+after\r\n`;
    const { given } = expectSameAtEverySplit(respParser(), latin1(input));
    expect(given).toEqual([message, message, message, [1, ["in"], 2], "after"]);
  });

  test("a confirmation inside a transaction's reply is the subscription's reply", () => {
    for (const name of ["subscribe", "unsubscribe", "psubscribe", "punsubscribe", "ssubscribe", "sunsubscribe"]) {
      const reply = `>3\r\n+${name}\r\n_\r\n:0\r\n`;
      const { given } = outcomeOf(respParser(), [latin1(`*2\r\n${reply}${MESSAGE}+OK\r\n+after\r\n`)]);
      expect(given).toEqual([message, [{ push: [name, null, 0] }, "OK"], "after"]);
    }
  });

  test.each([
    ">0\r\n",
    ">1\r\n_\r\n",
    ">1\r\n$12\r\nPUNSUBSCRIBE\r\n",
    ">1\r\n$13\r\npunsubscribe!\r\n",
    ">1\r\n*0\r\n",
  ])("%j confirms nothing", (push) => {
    const { given } = expectSameAtEverySplit(respParser(), latin1(`*1\r\n${push}+in\r\n`));
    expect(given[1]).toEqual(["in"]);
  });

  test("a sink that destroys the parser at a message in a transaction's reply gets no more", () => {
    const arena = new Arena();
    const kinds: string[] = [];
    const parser: RespParser = new RespParser(arena, (reply) => {
      kinds.push(reply.kind);
      releaseReply(reply);
      parser.destroy();
    });
    parser.write(latin1(`*3\r\n$1\r\na\r\n${MESSAGE}$1\r\nb\r\n:1\r\n+c\r\n`));
    expect(kinds).toEqual(["push"]);
    arena.assertDrained();
  });
});

test("attributes that follow attributes belong to the same value", () => {
  const { given } = expectSameAtEverySplit(respParser(), latin1("|1\r\n+a\r\n$1\r\nx\r\n|1\r\n+b\r\n:2\r\n:1\r\n"));
  expect(given).toEqual([
    {
      value: 1,
      attributes: [
        ["a", bytes("x")],
        ["b", 2],
      ],
    },
  ]);
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

  test("a sink may destroy the parser in the middle of a chunk", () => {
    const arena = new Arena();
    let replies = 0;
    const parser: RespParser = new RespParser(arena, (reply) => {
      releaseReply(reply);
      replies++;
      parser.destroy();
    });
    parser.write(latin1("$1\r\na\r\n$1\r\nb\r\n"));
    expect(replies).toBe(1);
    arena.assertDrained();
  });

  test("a sink that writes to its parser is told off", () => {
    const parser: RespParser = new RespParser(new Arena(), () => parser.write(latin1("+x\r\n")));
    expect(codeOf(() => parser.write(latin1("+OK\r\n")))).toBe("ERR_PARSER_STATE");
  });

  test("destroy and dispose release a partial reply, wherever it is", () => {
    for (let end = 0; end < SAMPLE.length; end++) {
      const arena = new Arena();
      {
        using parser = respParser()(arena, []);
        for (const chunk of split(SAMPLE.subarray(0, end), [Math.floor(end / 2)])) parser.write(chunk);
      }
      arena.assertDrained();
      arena[Symbol.dispose]();
    }
  });

  test("after end nothing more can be written, and ending twice does nothing", () => {
    const parser = respParser()(new Arena(), []);
    parser.end();
    parser.end();
    expect(codeOf(() => parser.write(latin1("+OK\r\n")))).toBe("ERR_PARSER_STATE");
  });

  test.each([0, -1, 1.5, Number.NaN])("a limit of %s is refused", (maxItems) => {
    expect(codeOf(() => new RespParser(new Arena(), releaseReply, { maxItems }))).toBe("ERR_INVALID_ARGUMENT");
  });
});
