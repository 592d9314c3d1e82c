/** The RESP parser and encoder by themselves; resp-redis.test.ts has a real server. */

import { Arena } from "cleanslab";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { EAGER_BYTES } from "../../examples/parsing/gather.ts";
import { encodeCommands } from "../../examples/resp/commands.ts";
import { RespParser } from "../../examples/resp/parser.ts";
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
    ">2\r\n+message\r\n$2\r\nhi\r\n|1\r\n+ttl\r\n:3600\r\n*1\r\n|1\r\n+x\r\n$1\r\ny\r\n:5\r\n|0\r\n%0\r\n",
);

const bytes = (text: string): Buffer => Buffer.from(text);

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

  test("an empty command is refused", () => {
    expect(codeOf(() => encodeCommands(new Arena(), [[]]))).toBe("ERR_INVALID_ARGUMENT");
  });
});

describe("broken and hostile RESP gives a typed error at every split, and leaks nothing", () => {
  const MALFORMED = [
    "hello\r\n",
    "\r\n",
    "+a\nb\r\n",
    "+a\rb\r\n",
    "+ab\n",
    ":\r\n",
    ":1a\r\n",
    ":9223372036854775808\r\n",
    "$-2\r\n",
    "$-0\r\n",
    "$+1\r\n",
    "$1x\r\n",
    "$3\r\nabcd\r\n",
    "$3\r\nabc\n\n",
    "$1\r\na\rx",
    "*-2\r\n",
    "%-1\r\n",
    "#x\r\n",
    "_x\r\n",
    ",1.2.3\r\n",
    ",\r\n",
    "(1.5\r\n",
    "=3\r\nabc\r\n",
    "=5\r\ntxta1\r\n",
    "|1\r\n+a\r\n+b\r\n|1\r\n+c\r\n+d\r\n:1\r\n",
    "*1\r\n>1\r\n+a\r\n",
    "$99999999999999999999\r\n",
    "*2\r\n$3\r\nabc\r\n?\r\n",
    "%1\r\n$1\r\nk\r\n$1\r\nvX\r\n",
  ];
  test.each(MALFORMED)("%j is malformed", (text) => {
    expect(expectSameAtEverySplit(respParser(), latin1(text)).error).toBe("ERR_MALFORMED");
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
  ];
  test.each(LIMITS)("%s is refused as soon as it is announced", (_, text) => {
    const limits = { maxReplyBytes: 100, maxLineBytes: 40, maxItems: 10, maxDepth: 3 };
    expect(expectSameAtEverySplit(respParser(limits), latin1(text)).error).toBe("ERR_LIMIT");
  });

  test("limits are for one reply, not for the connection", () => {
    const reply = `*2\r\n$50\r\n${"x".repeat(50)}\r\n:1\r\n`;
    const limits = { maxReplyBytes: 50, maxItems: 2, maxDepth: 1 };
    expect(outcomeOf(respParser(limits), [latin1(reply.repeat(5))])).toMatchObject({ error: null });
  });

  test.each(["$?\r\n", "*?\r\n", ";3\r\n", ".\r\n"])("streamed %j is unsupported, and says so", (text) => {
    expect(expectSameAtEverySplit(respParser(), latin1(text)).error).toBe("ERR_UNSUPPORTED");
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
