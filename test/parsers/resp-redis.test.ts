/**
 * The RESP parser and encoder against a real Redis server, compared byte by byte
 * with what the official client makes of the same commands on a connection of its own,
 * and with what redis-parser makes of the same bytes.
 */

import { connect, type Socket } from "node:net";
import { isDeepStrictEqual } from "node:util";
import { Arena } from "cleanslab";
import fc from "fast-check";
import { createClient, RESP_TYPES } from "redis";
import RedisParser from "redis-parser";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { encodeCommands, type RespCommand } from "../../examples/resp/commands.ts";
import { RespParser } from "../../examples/resp/parser.ts";
import { releaseReply } from "../../examples/resp/reply.ts";
import { seed } from "../seeded.ts";
import { plain, respParser } from "./plain.ts";
import { findRedis, type RedisServer, startRedis } from "./redis-server.ts";
import { noise, outcomeOf, split } from "./splits.ts";

const version = findRedis();
const MiB = 1024 * 1024;

/** Our side: one socket, one parser, one arena. */
class Connection {
  readonly arena = new Arena({ trace: "all" });
  readonly #socket: Socket;
  readonly #waiting: { wanted: number; got: unknown[]; done: (replies: unknown[]) => void }[] = [];
  readonly parser: RespParser;
  /** Every push; nobody waits for one. */
  readonly pushes: unknown[] = [];
  /** All that was received, as it was split. */
  readonly chunks: Buffer[] = [];

  constructor(port: number) {
    this.#socket = connect(port, "127.0.0.1");
    this.parser = new RespParser(this.arena, (reply) => {
      const value = plain(reply);
      releaseReply(reply);
      if (reply.kind === "push") {
        this.pushes.push(value);
        return;
      }
      const waiting = this.#waiting[0];
      if (waiting === undefined) throw new Error("a reply that nobody asked for");
      waiting.got.push(value);
      if (waiting.got.length === waiting.wanted) this.#waiting.shift()?.done(waiting.got);
    });
    this.#socket.on("data", (chunk) => {
      this.chunks.push(chunk);
      this.parser.write(chunk);
    });
  }

  /** Sends `commands` as one pipeline, to which there are `wanted` replies. */
  async send(commands: readonly RespCommand[], wanted = commands.length): Promise<unknown[]> {
    const lease = encodeCommands(this.arena, commands);
    const replies = new Promise<unknown[]>((done) => {
      this.#waiting.push({ wanted, got: [], done });
    });
    const written = new Promise<void>((resolve, reject) => {
      this.#socket.write(lease.bytes, (error) => (error ? reject(error) : resolve()));
    });
    await lease.releaseAfter(written);
    return replies;
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#socket.once("close", resolve));
    this.#socket.end();
    await closed;
    this.parser.end();
    this.arena.assertDrained();
  }
}

function createOfficialClient(port: number, RESP: 2 | 3) {
  return createClient({ socket: { host: "127.0.0.1", port }, RESP, disableClientInfo: true }).withTypeMapping({
    [RESP_TYPES.BLOB_STRING]: Buffer,
    [RESP_TYPES.BIG_NUMBER]: String,
  });
}

/** Different values of every kind that a server of 7.0 replies with, the same on every connection. */
const COMMANDS: RespCommand[] = [
  ["FLUSHALL"],
  ["PING"],
  ["ECHO", "a\r\nb\0c"],
  ["SET", "empty", ""],
  ["GET", "empty"],
  ["GET", "missing"],
  ["SET", "bytes", noise(1000)],
  ["GET", "bytes"],
  ["SET", "häßlich", "ünïcödé 🙂"],
  ["GET", "häßlich"],
  ["INCRBY", "big", "900719925474099"],
  ["INCRBY", "small", -5],
  ["RPUSH", "list", "a", "b", noise(5000, 7)],
  ["LRANGE", "list", 0, -1],
  ["LRANGE", "missing", 0, -1],
  ["MGET", "empty", "missing", "bytes"],
  ["HSET", "hash", "field", "value"],
  ["HGETALL", "hash"],
  ["SADD", "set", "one"],
  ["SMEMBERS", "set"],
  ["ZADD", "zset", 1.5, "one", "inf", "last"],
  ["ZRANGE", "zset", 0, -1, "WITHSCORES"],
  ["ZSCORE", "zset", "one"],
  ["ZSCORE", "zset", "last"],
  ["ZSCORE", "zset", "missing"],
  ["EVAL", "return {1, {2, {false, 'x'}}, redis.status_reply('FINE')}", 0],
  ["XADD", "stream", "1-1", "k", "v"],
  ["XRANGE", "stream", "-", "+"],
  ["EXISTS", "bytes", "missing"],
  ["TYPE", "list"],
  ["OBJECT", "ENCODING", "small"],
  ["BITCOUNT", "bytes"],
];

/** The client's reply in the shape of ours. */
function fromClient(reply: unknown): unknown {
  if (Buffer.isBuffer(reply) || typeof reply !== "object" || reply === null) return reply;
  if (reply instanceof Error) return { error: reply.message };
  if (Array.isArray(reply)) return reply.map(fromClient);
  return { map: Object.entries(reply).map(([key, value]) => [Buffer.from(key), fromClient(value)]) };
}

/** Sets are arrays to the client. */
function fromUs(value: unknown): unknown {
  if (Buffer.isBuffer(value) || typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(fromUs);
  return "set" in value ? fromUs(value.set) : value;
}

/** Text that a decoder can lose. Without NULs, at the first of which Redis ends a line. */
const TEXTS = [
  Buffer.from("\uFEFFmark"),
  Buffer.from("X \uFEFF\uFEFF"),
  Buffer.from([0x58, 0x20, 0xff, 0xc3]),
  Buffer.from([0x58, 0x20, 0xfe, 0xc3]),
  Buffer.from("X \uFFFD\uFFFD"),
];

/** The bytes of a simple string or error, as `plain` gives it. */
function lineOf(reply: unknown): { bytes: Buffer } {
  if (typeof reply === "string") return { bytes: Buffer.from(reply) };
  const { text, error, raw } = reply as { text?: string; error?: string; raw?: string };
  return { bytes: raw === undefined ? Buffer.from(error ?? text ?? "") : Buffer.from(raw, "hex") };
}

/** What redis-parser reads, which knows RESP2 alone. */
function throughRedisParser(chunks: readonly Buffer[]): unknown[] {
  const replies: unknown[] = [];
  const parser = new RedisParser({
    returnBuffers: true,
    returnReply: (reply) => replies.push(reply),
    returnError: (error) => replies.push({ error: error.message }),
  });
  for (const chunk of chunks) parser.execute(chunk);
  return replies;
}

/** Ours in the shape of redis-parser's, to which simple strings are bytes. */
function toRedisParser(value: unknown): unknown {
  if (typeof value === "string") return Buffer.from(value);
  return Array.isArray(value) ? value.map(toRedisParser) : value;
}

test("random RESP2 in random chunks is what redis-parser reads", () => {
  const { line, blob, integer, array } = fc.letrec((tie) => ({
    line: fc.string().map((text) => Buffer.from(`+${text.replace(/[\r\n]/g, "")}\r\n`)),
    blob: fc
      .uint8Array({ maxLength: 300 })
      .map((bytes) => Buffer.concat([Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from("\r\n")])),
    integer: fc.maxSafeInteger().map((value) => Buffer.from(`:${value}\r\n`)),
    null: fc.constantFrom(Buffer.from("$-1\r\n"), Buffer.from("*-1\r\n")),
    value: fc.oneof({ maxDepth: 3 }, tie("line"), tie("blob"), tie("integer"), tie("null"), tie("array")),
    array: fc
      .array(tie("value"), { maxLength: 5 })
      .map((items) => Buffer.concat([Buffer.from(`*${items.length}\r\n`), ...(items as Buffer[])])),
  })) as Record<string, fc.Arbitrary<Buffer>>;
  const replies = fc.array(fc.oneof(...([line, blob, integer, array] as fc.Arbitrary<Buffer>[])), {
    minLength: 1,
    maxLength: 6,
  });
  const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 6 });
  fc.assert(
    fc.property(replies, cuts, (sent, shares) => {
      const bytes = Buffer.concat(sent);
      const chunks = split(
        bytes,
        shares.map((share) => Math.floor(share * bytes.length)),
      ).map((chunk) => Buffer.from(chunk));
      const { given, error } = outcomeOf(respParser(), chunks);
      expect(error).toBeNull();
      expect(given.map(toRedisParser)).toEqual(throughRedisParser(chunks.filter((chunk) => chunk.length > 0)));
    }),
    { seed },
  );
});

describe.skipIf(version === null).each([2, 3] as const)("RESP%d from a real Redis server", (protocol) => {
  let server: RedisServer;
  let ours: Connection;
  let official: ReturnType<typeof createOfficialClient>;

  beforeAll(async () => {
    server = await startRedis(version ?? "");
    ours = new Connection(server.port);
    const [hello] = await ours.send([["HELLO", protocol]]);
    expect(hello).toBeTypeOf("object");
    official = createOfficialClient(server.port, protocol);
    await official.connect();
  });

  afterAll(async () => {
    official?.destroy();
    await server?.stop();
  });

  async function askClient(command: RespCommand): Promise<unknown> {
    const parts = command.map((each) => (each instanceof Uint8Array ? Buffer.from(each) : String(each)));
    try {
      return fromClient(await official.sendCommand(parts));
    } catch (error) {
      return fromClient(error);
    }
  }

  test("a pipeline of every kind of reply is what the official client reads", async () => {
    const wanted: unknown[] = [];
    for (const command of COMMANDS) wanted.push(await askClient(command));
    const before = ours.chunks.length;
    const got = await ours.send(COMMANDS);
    expect(got.map(fromUs)).toEqual(wanted);
    if (protocol === 2) expect(throughRedisParser(ours.chunks.slice(before))).toEqual(got.map(toRedisParser));
  });

  test("text that a script sends in a line is there byte by byte", async () => {
    const texts = [...TEXTS, Buffer.from(`${"long ".repeat(5000)}end`)];
    for (const kind of ["status_reply", "error_reply"]) {
      const script = `return redis.${kind}(ARGV[1])`;
      const replies = await ours.send(texts.map((text) => ["EVAL", script, 0, text]));
      // Error replies of one word get a prefix.
      for (const [each, text] of texts.entries()) {
        const { bytes } = lineOf(replies[each]);
        expect(bytes.subarray(bytes.length - text.length)).toEqual(text);
      }
    }
  });

  test("errors are values, in the client's words", async () => {
    const commands: RespCommand[] = [["NOSUCH", "x"], ["GET"], ["INCR", "list"], ["EVAL", "return nonsense(", 0]];
    await ours.send([["RPUSH", "list", "x"]]);
    const wanted: unknown[] = [];
    for (const command of commands) wanted.push(await askClient(command));
    expect(await ours.send(commands)).toEqual(wanted);
  });

  test("integers are exact over all of 64 bits", async () => {
    // Not compared: the client reads 9007199254740991 as …992.
    for (const exact of ["9007199254740991", "9007199254740993", "-9223372036854775808", "9223372036854775807"]) {
      const [, counted, stored] = await ours.send([
        ["DEL", "n"],
        ["INCRBY", "n", exact],
        ["GET", "n"],
      ]);
      expect([String(counted), String(stored)]).toEqual([exact, exact]);
    }
  });

  test("values of one to eight megabytes are the same, byte by byte, both ways", async () => {
    const lengths = [MiB - 1, MiB, MiB + 1, 3 * MiB + 5, 8 * MiB];
    const values = lengths.map((length, each) => noise(length, each + 1));
    await ours.send(values.map((value, each) => ["SET", `large:${each}`, value]));
    const before = ours.chunks.length;
    const got = await ours.send(values.map((_, each) => ["GET", `large:${each}`]));
    expect(ours.chunks.length - before).toBeGreaterThan(values.length);
    for (const [each, value] of values.entries()) {
      const theirs = await askClient(["GET", `large:${each}`]);
      expect(isDeepStrictEqual(got[each], Buffer.from(value)), `our ${value.length} bytes`).toBe(true);
      expect(isDeepStrictEqual(theirs, got[each]), `the client's ${value.length} bytes`).toBe(true);
    }
  });

  test("a pipeline of ten thousand commands comes back in order", async () => {
    const count = 10_000;
    const commands: RespCommand[] = [];
    for (let each = 0; each < count; each++) commands.push(["SET", `k${each}`, `value ${each}`], ["GET", `k${each}`]);
    const replies = await ours.send(commands);
    expect(replies).toHaveLength(2 * count);
    for (let each = 0; each < count; each++) {
      if (String(replies[2 * each + 1]) !== `value ${each}`)
        throw new Error(`reply ${each} is ${replies[2 * each + 1]}`);
    }
  });

  test("what only RESP3 has: booleans, doubles, big numbers, verbatim strings, sets, attributes, pushes", async () => {
    if (protocol === 2) return;
    const script = (reply: string): RespCommand => ["EVAL", `redis.setresp(3); return ${reply}`, 0];
    const replies = await ours.send([
      script("true"),
      script("{double=3.25}"),
      script("{map={a=1}}"),
      script("{set={a=true}}"),
      ["LOLWUT", "VERSION", "9"],
      script("{double=1/0}"),
      script("{double=-1/0}"),
      script("{double=0/0}"),
    ]);
    expect(replies.slice(0, 4)).toEqual([true, 3.25, { map: [[Buffer.from("a"), 1]] }, { set: [Buffer.from("a")] }]);
    expect(replies[4]).toMatchObject({ format: "txt" });
    expect(replies.slice(5)).toEqual([Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN]);
  });

  test("one value of each type that the server knows", async () => {
    if (protocol === 2) return;
    const types = ["string", "integer", "double", "null", "array", "set", "map", "attrib", "push", "verbatim"];
    types.push("true", "false", "bignum");
    const values = await ours.send(types.map((type) => ["DEBUG", "PROTOCOL", type]));
    const got = Object.fromEntries(types.map((type, each) => [type, values[each]]));
    expect(got).toEqual({
      string: Buffer.from("Hello World"),
      integer: 12345,
      double: Number("3.141"),
      null: null,
      array: [0, 1, 2],
      set: { set: [0, 1, 2] },
      map: {
        map: [
          [0, false],
          [1, true],
          [2, false],
        ],
      },
      attrib: {
        value: Buffer.from("Some real reply following the attribute"),
        attributes: [[Buffer.from("key-popularity"), [Buffer.from("key:123"), 90]]],
      },
      push: Buffer.from("Some real reply following the push reply"),
      verbatim: { format: "txt", bytes: Buffer.from("This is a verbatim\nstring") },
      true: true,
      false: false,
      bignum: 1234567999999999999999999999999999999n,
    });
    expect(ours.pushes.splice(0)).toEqual([{ push: [Buffer.from("server-cpu-usage"), 42] }]);
  });

  describe.skipIf(protocol === 2)("pub/sub on the connection that sends the commands", () => {
    const message = (text: string) => ({ push: [Buffer.from("message"), Buffer.from("ch"), Buffer.from(text)] });
    const confirmed = (name: string, channel: string, count: number) => ({
      push: [Buffer.from(name), Buffer.from(channel), count],
    });
    const TRANSACTION: RespCommand[] = [
      ["MULTI"],
      ["PUBLISH", "ch", "first"],
      ["EVAL", "redis.call('PUBLISH', 'ch', 'from a script'); return {'a', {1, 'b'}}", 0],
      ["SET", "in-transaction", "value"],
      ["PUBLISH", "ch", "second"],
      ["GET", "in-transaction"],
      ["EXEC"],
    ];
    const MESSAGES = ["first", "from a script", "second"];

    test("messages come between the replies of a pipeline, and are not replies", async () => {
      const publish: RespCommand[] = ["a", "b"].flatMap((text) => [
        ["PUBLISH", "ch", text] as const,
        ["PING"] as const,
      ]);
      const replies = await ours.send([["SUBSCRIBE", "ch"], ...publish], 4);
      expect(replies).toEqual([1, "PONG", 1, "PONG"]);
      expect(ours.pushes.splice(0)).toEqual([confirmed("subscribe", "ch", 1), message("a"), message("b")]);
    });

    test("messages inside a transaction take no place in its reply, which is what the official client reads", async () => {
      const heard: string[] = [];
      const subscriber = official.duplicate();
      await subscriber.connect();
      await subscriber.subscribe("other", (text) => heard.push(text));
      const replies = await ours.send([...TRANSACTION, ["ECHO", "after"]]);
      expect(replies.at(-1)).toEqual(Buffer.from("after"));
      expect(ours.pushes.splice(0)).toEqual(MESSAGES.map(message));
      // The same on another channel: the server sends that connection no message of its own.
      const theirs: unknown[] = [];
      for (const command of TRANSACTION) {
        theirs.push(
          await askClient(command.map((each) => String(each).replaceAll("'ch'", "'other'").replace(/^ch$/, "other"))),
        );
      }
      expect(replies.slice(0, -1)).toEqual(theirs);
      while (heard.length < MESSAGES.length) await new Promise(setImmediate);
      expect(heard).toEqual(MESSAGES);
      subscriber.destroy();
    });

    test("a confirmation inside a transaction is the command's reply, also with messages around it", async () => {
      const replies = await ours.send([
        ["MULTI"],
        ["SUBSCRIBE", "second"],
        ["PUBLISH", "ch", "x"],
        ["PSUBSCRIBE", "c*"],
        ["UNSUBSCRIBE", "second"],
        ["PUNSUBSCRIBE", "c*"],
        ["SUNSUBSCRIBE", "shard"],
        ["EXEC"],
        ["ECHO", "after"],
      ]);
      expect(replies.slice(-2)).toEqual([
        [
          confirmed("subscribe", "second", 2),
          1,
          confirmed("psubscribe", "c*", 3),
          confirmed("unsubscribe", "second", 2),
          confirmed("punsubscribe", "c*", 1),
          confirmed("sunsubscribe", "shard", 0),
        ],
        Buffer.from("after"),
      ]);
      expect(ours.pushes.splice(0)).toEqual([message("x")]);
    });

    test("keys that a transaction invalidates are told of, and its reply is whole", async () => {
      await ours.send([["CLIENT", "TRACKING", "ON", "BCAST"]]);
      const replies = await ours.send([["MULTI"], ["SET", "tracked", 1], ["GET", "tracked"], ["EXEC"], ["PING"]]);
      expect(replies.slice(-2)).toEqual([["OK", Buffer.from("1")], "PONG"]);
      await ours.send([["CLIENT", "TRACKING", "OFF"]]);
      expect(ours.pushes.splice(0)).toEqual([{ push: [Buffer.from("invalidate"), [Buffer.from("tracked")]] }]);
    });
  });

  test("afterwards nothing is leased", async () => {
    await ours.close();
    console.log(`RESP${protocol}: redis-server ${server.version}, ${ours.chunks.length} chunks`);
  });
});
