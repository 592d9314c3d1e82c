/** Every recipe against its library: the same bytes, in a lease; a stated length that is wrong; its trap. */

import { once } from "node:events";
import { createServer } from "node:http";
import { Type } from "avsc";
import { Binary, Code, deserialize, serialize } from "bson";
import { Arena, type Lease } from "cleanslab";
import { deflateSync } from "fflate";
import { Builder } from "flatbuffers";
import { Packr, pack, unpack } from "msgpackr";
import protobuf from "protobufjs";
import { afterEach, describe, expect, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { encodeAvro } from "../../examples/recipes/avsc.ts";
import { encodeBson } from "../../examples/recipes/bson.ts";
import { EncodedLengthError, encodeInto } from "../../examples/recipes/encoded.ts";
import { inflateInto } from "../../examples/recipes/fflate.ts";
import { buildFlatbuffer } from "../../examples/recipes/flatbuffers.ts";
import { LeasedPackr } from "../../examples/recipes/msgpackr.ts";
import { encodeProtobuf } from "../../examples/recipes/protobufjs.ts";
import { broadcastLease, sendLease } from "../../examples/recipes/ws.ts";
import { listen } from "../node/helpers.ts";

const arena = new Arena({ trace: "all" });
afterEach(() => arena.assertDrained());

function bytesOf(lease: Lease): Buffer {
  expect(lease.origin).toBe("arena");
  const bytes = Buffer.from(lease.bytes);
  lease.release();
  return bytes;
}

const SHORT = { name: "grün 🙂 ".repeat(5), score: 1.5, tags: ["a", "b", "c"] };
const LONG = { ...SHORT, name: "x".repeat(20_000) };

const { root } = protobuf.parse(
  'syntax = "proto3"; message M { string name = 1; double score = 2; repeated string tags = 3; }',
);
const Message = root.lookupType("M");
const avro = Type.forSchema({
  type: "record",
  name: "M",
  fields: [
    { name: "name", type: "string" },
    { name: "score", type: "double" },
    { name: "tags", type: { type: "array", items: "string" } },
  ],
});
const table = (name: string) => (builder: Builder) => {
  const at = builder.createString(name);
  builder.startObject(6);
  builder.addFieldInt8(0, 1, 0);
  builder.addFieldOffset(3, at, 0);
  builder.addFieldFloat64(5, 1.5, 0);
  builder.finish(builder.endObject());
};
const packr = new LeasedPackr();

type Record = typeof SHORT;
type Recipe = [name: string, encode: (arena: Arena, record: Record) => Lease, wanted: (record: Record) => Uint8Array];
const RECIPES: Recipe[] = [
  [
    "protobufjs",
    (to, record) => encodeProtobuf(to, Message, Message.create(record)),
    (record) => Message.encode(record).finish(),
  ],
  ["avsc", (to, record) => encodeAvro(to, avro, record), (record) => avro.toBuffer(record)],
  ["bson", encodeBson, (record) => serialize(record)],
  [
    "flatbuffers",
    (to, { name }) => buildFlatbuffer(to, table(name)),
    ({ name }) => {
      const plain = new Builder(1024);
      table(name)(plain);
      return plain.asUint8Array();
    },
  ],
  ["msgpackr", (to, record) => packr.pack(to, record), (record) => new Packr({ useRecords: false }).pack(record)],
  [
    "fflate",
    (to, { name }) => inflateInto(to, deflateSync(Buffer.from(name)), Buffer.byteLength(name)),
    ({ name }) => Buffer.from(name),
  ],
];

describe.each(RECIPES)("%s", (_, encode, wanted) => {
  test("writes the same bytes into a lease, over into a longer one if it has to, and relies on no zeros", () => {
    const used = new Arena({ maxBytes: 1024 * 1024, segmentBytes: 256 * 1024, trace: "off" });
    for (let round = 0; round < 20; round++) {
      // Leaves bytes of earlier leases everywhere.
      const leases = Array.from({ length: 4 }, () => used.acquire(8192));
      for (const lease of leases) lease.bytes.fill(0xa5);
      for (const lease of leases) lease.release();
      for (const record of [SHORT, LONG]) expect(bytesOf(encode(used, record)).equals(wanted(record))).toBe(true);
    }
    let isSpoilt = false;
    for (let each = 0; each < 40; each++) {
      const look = (bytes: Uint8Array): number => {
        isSpoilt ||= bytes.includes(0xa5);
        return 0;
      };
      used.acquireFilled(4096, look).release();
    }
    expect(isSpoilt).toBe(true);
    used.assertDrained();
  });
});

test("fflate: another length than was announced is an error", () => {
  const data = Buffer.from("the same again ".repeat(500));
  for (const length of [data.length - 1, data.length + 1, 0]) {
    expect(() => inflateInto(arena, deflateSync(data), length)).toThrow(EncodedLengthError);
  }
});

test("msgpackr: a packer elsewhere does not write into the memory of a lease afterwards", () => {
  using lease = packr.pack(arena, SHORT);
  // Nor behind the lease, in memory that is others'.
  const memory = new Uint8Array(lease.bytes.buffer);
  const before = memory.slice();
  for (let each = 0; each < 10; each++) {
    expect(unpack(pack({ other: "packer", each }))).toEqual({ other: "packer", each });
  }
  expect(Buffer.compare(memory, before)).toBe(0);
});

describe("bson", () => {
  test("odd documents are encoded as the library does it, also those whose length it states wrongly", () => {
    const buffer = new ArrayBuffer(24);
    for (const document of [
      { a: Uint16Array.of(1, 2, 3), b: BigInt64Array.of(1n, 2n) },
      { a: new Uint32Array(buffer, 4, 2), b: new DataView(buffer), c: buffer },
      { a: [new Map([["b", Uint16Array.of(1, 2)]]), { c: [Int32Array.of(3)] }] },
      { code: new Code("return 1", { x: 1 }), old: new Binary(Uint8Array.of(1, 2, 3), 2), pattern: /ü/gi },
      {},
    ]) {
      const got = bytesOf(encodeBson(arena, document));
      expect([got.equals(serialize(document)), got.readInt32LE(0)]).toEqual([true, got.length]);
    }
    let times = 0;
    const got = bytesOf(encodeBson(arena, { a: { toBSON: () => "x".repeat(++times * 1000) } }));
    expect(deserialize(got)).toEqual({ a: "x".repeat(times * 1000) });
  });

  test("a document over the library's scratch buffer is an error, where the library itself cuts it off", () => {
    const message = expect.stringContaining("setInternalBufferSize");
    const wanted = { name: "EncodedLengthError", code: "ERR_ENCODED_LENGTH", message };
    const encode = (): Lease => encodeBson(arena, { a: "x".repeat(18 * 1024 * 1024) });
    expect(encode).toThrow(expect.objectContaining(wanted));
  });

  test("what toBSON throws is thrown, and nothing is leased", () => {
    const toBSON = (): never => {
      throw new RangeError("mine");
    };
    expect(() => encodeBson(arena, { document: { toBSON } })).toThrow("mine");
  });
});

test("an encoder's message is taken from wherever it lies in the lease, and is an error anywhere else around it", () => {
  const encode = (start: number, end: number): Lease =>
    encodeInto(arena, 64, (bytes) => {
      for (let at = 0; at < 64; at++) bytes[at] = at;
      return new Uint8Array(bytes.buffer, bytes.byteOffset + start, end - start);
    });
  using around = arena.acquire(256);
  for (const [start, end] of [
    [0, 0],
    [0, 64],
    [3, 10],
    [64, 64],
  ] as const) {
    expect([...bytesOf(encode(start, end))]).toEqual(Array.from({ length: end - start }, (_, at) => start + at));
  }
  for (const [start, end] of [
    [-1, 10],
    [0, 65],
    [65, 69],
  ] as const) {
    expect(() => encode(start, end), `${start} to ${end}`).toThrow(EncodedLengthError);
  }
  expect(around.bytes.every((byte) => byte === 0)).toBe(true);
});

describe("ws", () => {
  /** A server with as many clients, and what they got. */
  async function connected(count: number) {
    const server = createServer();
    const sockets = new WebSocketServer({ server, perMessageDeflate: false });
    const { port, close } = await listen(server);
    const got: Buffer[] = [];
    const clients = Array.from({ length: count }, () => {
      const client = new WebSocket(`ws://127.0.0.1:${port}`);
      client.on("message", (data: Buffer) => got.push(data));
      return client;
    });
    await Promise.all(clients.map((client) => once(client, "open")));
    return { sockets: sockets.clients, clients, got, close };
  }

  test("a lease is sent as it was, though it ends for the sender at once, and its block comes back afterwards", async () => {
    const { sockets, got, close } = await connected(1);
    const [socket] = sockets;
    const wanted = Array.from({ length: 20 }, (_, each) => Buffer.alloc(100_000, each + 1));
    const sent = wanted.map((bytes) => {
      const lease = arena.copyOf(bytes);
      const sending = sendLease(socket as WebSocket, lease);
      expect(lease.released).toBe(true);
      return sending;
    });
    await Promise.all(sent);
    arena.assertDrained();
    while (got.length < 20) await new Promise(setImmediate);
    expect(got.map((data, each) => data.equals(wanted[each] as Buffer))).toEqual(Array(20).fill(true));
    await close();
  });

  test("a broadcast keeps its lease until the slowest client has it, and no longer", async () => {
    const { sockets, clients, got, close } = await connected(3);
    const [slow, quick, leaving] = clients as [WebSocket, WebSocket, WebSocket];
    slow.pause();
    leaving.pause();
    // Longer than what the system keeps for a client that does not read.
    const lease = arena.acquireFilled(32 << 20, (bytes) => bytes.fill(7).length);
    broadcastLease(sockets, lease);
    while (got.length < 1) await once(quick, "message");
    leaving.terminate();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(lease.released).toBe(false);
    slow.resume();
    while (!lease.released) await new Promise(setImmediate);
    while (got.length < 2) await new Promise(setImmediate);
    for (const data of got) expect(data.equals(Buffer.alloc(32 << 20, 7))).toBe(true);

    const short = arena.copyOf(Buffer.from("short"));
    broadcastLease(sockets, short);
    expect(short.released).toBe(true);
    while (got.length < 4) await new Promise(setImmediate);
    expect(got.slice(2).map(String)).toEqual(["short", "short"]);
    await close();
  });
});
