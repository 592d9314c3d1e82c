/**
 * The RESP parser and encoder against a real Redis server, compared byte by byte
 * with what the official client makes of the same commands on a connection of its own.
 */

import { connect, type Socket } from "node:net";
import { isDeepStrictEqual } from "node:util";
import { Arena } from "cleanslab";
import { createClient, RESP_TYPES } from "redis";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { encodeCommands, type RespCommand } from "../../examples/resp/commands.ts";
import { RespParser } from "../../examples/resp/parser.ts";
import { releaseReply } from "../../examples/resp/reply.ts";
import { plain } from "./plain.ts";
import { findRedis, type RedisServer, startRedis } from "./redis-server.ts";
import { noise } from "./splits.ts";

const version = findRedis();
const MiB = 1024 * 1024;

/** Our side: one socket, one parser, one arena. */
class Connection {
  readonly arena = new Arena({ trace: "all" });
  readonly #socket: Socket;
  readonly #waiting: { wanted: number; got: unknown[]; done: (replies: unknown[]) => void }[] = [];
  readonly parser: RespParser;
  chunks = 0;

  constructor(port: number) {
    this.#socket = connect(port, "127.0.0.1");
    this.parser = new RespParser(this.arena, (reply) => {
      const value = plain(reply);
      releaseReply(reply);
      const waiting = this.#waiting[0];
      if (waiting === undefined) throw new Error("a reply that nobody asked for");
      waiting.got.push(value);
      if (waiting.got.length === waiting.wanted) this.#waiting.shift()?.done(waiting.got);
    });
    this.#socket.on("data", (chunk) => {
      this.chunks++;
      this.parser.write(chunk);
    });
  }

  /** Sends `commands` as one pipeline. */
  async send(commands: readonly RespCommand[]): Promise<unknown[]> {
    const lease = encodeCommands(this.arena, commands);
    const replies = new Promise<unknown[]>((done) => {
      this.#waiting.push({ wanted: commands.length, got: [], done });
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
    const got = await ours.send(COMMANDS);
    expect(got.map(fromUs)).toEqual(wanted);
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
    const before = ours.chunks;
    const got = await ours.send(values.map((_, each) => ["GET", `large:${each}`]));
    expect(ours.chunks - before).toBeGreaterThan(values.length);
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
    if (protocol === 2) return expect(await ours.send([["DEBUG", "PROTOCOL", "double"]])).toHaveLength(1);
    const script = (reply: string): RespCommand => ["EVAL", `redis.setresp(3); return ${reply}`, 0];
    const replies = await ours.send([
      script("true"),
      script("{double=3.25}"),
      script("{map={a=1}}"),
      script("{set={a=true}}"),
      ["LOLWUT", "VERSION", "9"],
      ["CLIENT", "TRACKING", "ON"],
      ["GET", "tracked"],
    ]);
    expect(replies.slice(0, 4)).toEqual([true, 3.25, { map: [[Buffer.from("a"), 1]] }, { set: [Buffer.from("a")] }]);
    expect(replies[4]).toMatchObject({ format: "txt" });
  });

  test("afterwards nothing is leased", async () => {
    await ours.close();
    console.log(`RESP${protocol}: redis-server ${server.version}, ${ours.chunks} chunks`);
  });
});
