/**
 * The RESP parser and encoder against a real Redis server, compared byte by byte with what
 * the official client makes of the same commands on a connection of its own.
 */

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { Arena } from "cleanslab";
import { writeAndRelease } from "cleanslab/node";
import { createClient, RESP_TYPES } from "redis";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { encodeCommands, type RespCommand } from "../../examples/resp/commands.ts";
import { RespParser } from "../../examples/resp/parser.ts";
import { releaseReply } from "../../examples/resp/reply.ts";
import { pattern, temporaryFolder } from "../node/helpers.ts";
import { plain } from "./helpers.ts";

const redis = spawnSync("redis-server", ["--version"], { encoding: "utf8" });
const hasRedis = redis.error === undefined;
if (!hasRedis && (process.env["CLEANSLAB_REQUIRE"] ?? "").split(",").includes("redis")) {
  throw new Error("CLEANSLAB_REQUIRE=redis, and there is no redis-server: scripts/install-debian.sh redis-server");
}
const folder = temporaryFolder();

async function startRedis(path: string): Promise<ChildProcess> {
  const flags = ["--port", "0", "--unixsocket", path, "--save", "", "--dir", folder];
  // DEBUG PROTOCOL sends one value of each type; 7.0 and later lock it.
  if (!/v=[0-6]\./.test(redis.stdout)) flags.push("--enable-debug-command", "yes");
  const server = spawn("redis-server", flags, { stdio: ["ignore", "pipe", "inherit"] });
  for await (const line of server.stdout.iterator({ destroyOnReturn: false })) {
    if (String(line).includes("eady to accept connections")) return server;
  }
  throw new Error("redis-server ended before it was ready");
}

/** Our side: one socket, one parser, one arena. */
class Connection {
  readonly arena = new Arena({ trace: "all" });
  readonly #socket: Socket;
  readonly #parser: RespParser;
  #replies: unknown[] = [];
  /** Every push; nobody waits for one. */
  readonly pushes: unknown[] = [];

  constructor(path: string) {
    this.#socket = connect(path);
    this.#parser = new RespParser(this.arena, (reply) => {
      (reply.kind === "push" ? this.pushes : this.#replies).push(plain(reply));
      releaseReply(reply);
    });
    this.#socket.on("data", (chunk) => this.#parser.write(chunk));
  }

  /** Sends `commands` as one pipeline, to which there are `wanted` replies. */
  async send(commands: readonly RespCommand[], wanted = commands.length): Promise<unknown[]> {
    await writeAndRelease(this.#socket, encodeCommands(this.arena, commands));
    while (this.#replies.length < wanted) await once(this.#socket, "data");
    expect(this.#replies.length).toBe(wanted);
    return this.#replies.splice(0);
  }

  async close(): Promise<void> {
    this.#socket.end();
    await once(this.#socket, "close");
    this.#parser.end();
    this.arena.assertDrained();
  }
}

function createOfficialClient(path: string, RESP: 2 | 3) {
  return createClient({ socket: { path, tls: false }, RESP, disableClientInfo: true }).withTypeMapping({
    [RESP_TYPES.BLOB_STRING]: Buffer,
    [RESP_TYPES.BIG_NUMBER]: String,
  });
}

/** Different values of every kind that a server of 7.0 replies with, the same on every connection; errors last. */
const COMMANDS: RespCommand[] = [
  ["FLUSHALL"],
  ["ECHO", "a\r\nb\0c"],
  ["SET", "empty", ""],
  ["MGET", "empty", "missing"],
  ["SET", "bytes", pattern(1000)],
  ["GET", "bytes"],
  ["SET", "häßlich", "ünïcödé 🙂"],
  ["GET", "häßlich"],
  ["INCRBY", "big", "900719925474099"],
  ["INCRBY", "small", -5],
  ["RPUSH", "list", "a", "b", pattern(5000, 7)],
  ["LRANGE", "list", 0, -1],
  ["LRANGE", "missing", 0, -1],
  ["HSET", "hash", "field", "value"],
  ["HGETALL", "hash"],
  ["SADD", "set", "one"],
  ["SMEMBERS", "set"],
  ["ZADD", "zset", 1.5, "one", "inf", "last"],
  ["ZRANGE", "zset", 0, -1, "WITHSCORES"],
  ["ZSCORE", "zset", "last"],
  ["ZSCORE", "zset", "missing"],
  ["EVAL", "return {1, {2, {false, 'x'}}, redis.status_reply('FINE')}", 0],
  ["XADD", "stream", "1-1", "k", "v"],
  ["XRANGE", "stream", "-", "+"],
  ["TYPE", "list"],
  ["NOSUCH", "x"],
  ["GET"],
  ["INCR", "list"],
  ["EVAL", "return nonsense(", 0],
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

describe.skipIf(!hasRedis).each([2, 3] as const)("RESP%d from a real Redis server", (protocol) => {
  let server: ChildProcess;
  let ours: Connection;
  let official: ReturnType<typeof createOfficialClient>;

  beforeAll(async () => {
    const path = join(folder, `redis${protocol}`);
    server = await startRedis(path);
    ours = new Connection(path);
    await ours.send([["HELLO", protocol]]);
    official = createOfficialClient(path, protocol);
    await official.connect();
  });

  afterAll(async () => {
    official?.destroy();
    await ours?.close();
    server?.kill("SIGKILL");
  });

  async function askClient(commands: readonly RespCommand[]): Promise<unknown[]> {
    const replies: unknown[] = [];
    for (const command of commands) {
      const parts = command.map((each) => (each instanceof Uint8Array ? Buffer.from(each) : String(each)));
      replies.push(fromClient(await official.sendCommand(parts).catch((error: unknown) => error)));
    }
    return replies;
  }

  test("a pipeline of every kind of reply, and errors, is what the official client reads", async () => {
    const wanted = await askClient(COMMANDS);
    expect((await ours.send(COMMANDS)).map(fromUs)).toEqual(wanted);
  });

  describe.skipIf(protocol === 2)("what only RESP3 has", () => {
    test("one value of each type that the server knows", async () => {
      const values: Record<string, unknown> = {
        string: Buffer.from("Hello World"),
        integer: 12345,
        double: Number("3.141"),
        null: null,
        array: [0, 1, 2],
        set: { set: [0, 1, 2] },
        map: { map: [0, 1, 2].map((each) => [each, each === 1]) },
        attrib: {
          value: Buffer.from("Some real reply following the attribute"),
          attributes: [[Buffer.from("key-popularity"), [Buffer.from("key:123"), 90]]],
        },
        push: Buffer.from("Some real reply following the push reply"),
        verbatim: { format: "txt", bytes: Buffer.from("This is a verbatim\nstring") },
        true: true,
        false: false,
        bignum: 1234567999999999999999999999999999999n,
      };
      const commands = Object.keys(values).map((type) => ["DEBUG", "PROTOCOL", type]);
      expect(await ours.send(commands)).toEqual(Object.values(values));
      expect(ours.pushes.splice(0)).toEqual([{ push: [Buffer.from("server-cpu-usage"), 42] }]);
      const doubles = ["1/0", "-1/0", "0/0"].map((value) => `redis.setresp(3); return {double=${value}}`);
      const infinite = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN];
      expect(await ours.send(doubles.map((script) => ["EVAL", script, 0]))).toEqual(infinite);
    });

    const message = (text: string) => ({ push: [Buffer.from("message"), Buffer.from("ch"), Buffer.from(text)] });
    const confirmed = (name: string, channel: string, count: number) => ({
      push: [Buffer.from(name), Buffer.from(channel), count],
    });

    test("messages come between replies and take no place in a transaction's, which is what the client reads", async () => {
      const transaction = (channel: string): RespCommand[] => [
        ["MULTI"],
        ["PUBLISH", channel, "first"],
        ["EVAL", `redis.call('PUBLISH', '${channel}', 'second'); return {'a', {1, 'b'}}`, 0],
        ["SET", "in-transaction", "value"],
        ["GET", "in-transaction"],
        ["EXEC"],
      ];
      expect(await ours.send([["SUBSCRIBE", "ch"], ["PUBLISH", "ch", "a"], ["PING"]], 2)).toEqual([1, "PONG"]);
      const replies = await ours.send([...transaction("ch"), ["ECHO", "after"]]);
      expect(replies.pop()).toEqual(Buffer.from("after"));
      const heard = ["a", "first", "second"].map(message);
      expect(ours.pushes.splice(0)).toEqual([confirmed("subscribe", "ch", 1), ...heard]);
      // The same on another channel: the client hears it on another connection, and so does not get it here.
      const subscriber = official.duplicate();
      await subscriber.connect();
      await subscriber.subscribe("other", () => {});
      expect(replies).toEqual(await askClient(transaction("other")));
      subscriber.destroy();
    });

    test("a confirmation inside a transaction is the command's reply, also with messages around it", async () => {
      const commands: RespCommand[] = [
        ["SUBSCRIBE", "second"],
        ["PUBLISH", "ch", "x"],
        ["PSUBSCRIBE", "c*"],
        ["UNSUBSCRIBE", "second"],
        ["PUNSUBSCRIBE", "c*"],
        ["SUNSUBSCRIBE", "shard"],
      ];
      const replies = await ours.send([["MULTI"], ...commands, ["EXEC"], ["ECHO", "after"]]);
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
  });
});
