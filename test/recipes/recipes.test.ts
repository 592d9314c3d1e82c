/** Every recipe against its library: the same bytes, in a lease; what happens when it is too short; its trap. */

import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { Type } from "avsc";
import { deserialize, serialize } from "bson";
import { Arena, type Lease } from "cleanslab";
import { deflateSync } from "fflate";
import { Builder } from "flatbuffers";
import { Packr, pack, unpack } from "msgpackr";
import protobuf from "protobufjs";
import { afterEach, describe, expect, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { encodeAvro } from "../../examples/recipes/avsc.ts";
import { encodeBson } from "../../examples/recipes/bson.ts";
import { EncodedLengthError } from "../../examples/recipes/encoded.ts";
import { inflateInto } from "../../examples/recipes/fflate.ts";
import { buildFlatbuffer } from "../../examples/recipes/flatbuffers.ts";
import { LeasedPackr } from "../../examples/recipes/msgpackr.ts";
import { encodeProtobuf } from "../../examples/recipes/protobufjs.ts";
import { broadcastLease, sendLease } from "../../examples/recipes/ws.ts";

const arena = new Arena({ trace: "all" });
afterEach(() => arena.assertDrained());

const RECORD = { name: "grün 🙂 ".repeat(5), score: 1.5, tags: ["a", "b", "c"] };
const LONG = { ...RECORD, name: "x".repeat(20_000) };

/** `lease` holds `wanted` and nothing else, in the arena. */
function expectBytes(lease: Lease, wanted: Uint8Array): void {
  expect(lease.origin).toBe("arena");
  expect(Buffer.compare(lease.bytes, wanted)).toBe(0);
  lease.release();
}

describe("memory that others have used", () => {
  test("every recipe writes each byte of its message, and relies on no zeros", () => {
    const used = new Arena({ maxBytes: 1024 * 1024, segmentBytes: 256 * 1024, trace: "off" });
    const spoil = (): void => {
      for (let each = 0; each < 40; each++) {
        const leases = Array.from({ length: 4 }, () => used.acquire(8192));
        for (const lease of leases) lease.bytes.fill(0xa5);
        for (const lease of leases) lease.release();
      }
    };
    const table = (name: string) => (builder: Builder) => {
      const at = builder.createString(name);
      builder.startObject(6);
      builder.addFieldInt8(0, 1, 0);
      builder.addFieldOffset(3, at, 0);
      builder.addFieldFloat64(5, 1.5, 0);
      builder.finish(builder.endObject());
    };
    const plain = new Builder(1024);
    table(RECORD.name)(plain);
    const M = protobuf
      .parse('syntax = "proto3"; message M { string name = 1; double score = 2; }')
      .root.lookupType("M");
    const message = M.create(RECORD);
    const type = Type.forSchema({ type: "record", name: "M", fields: [{ name: "name", type: "string" }] });
    const data = Buffer.from("the same again ".repeat(100));
    const recipes: [encode: () => Lease, wanted: Uint8Array][] = [
      [() => buildFlatbuffer(used, table(RECORD.name)), plain.asUint8Array()],
      [() => encodeProtobuf(used, M, message), M.encode(message).finish()],
      [() => encodeAvro(used, type, RECORD), type.toBuffer(RECORD)],
      [() => encodeBson(used, RECORD), serialize(RECORD)],
      [() => inflateInto(used, deflateSync(data), data.length), data],
      [() => new LeasedPackr().pack(used, RECORD), new Packr({ useRecords: false }).pack(RECORD)],
    ];
    for (const [encode, wanted] of recipes) {
      spoil();
      for (let each = 0; each < 20; each++) expectBytes(encode(), wanted);
    }
    // It was spoilt: bytes that are not zeroed show it.
    let seen = false;
    for (let each = 0; each < 40 && !seen; each++) {
      const lease = used.acquireFilled(4096, (bytes) => {
        seen = bytes.includes(0xa5);
        return 0;
      });
      lease.release();
    }
    expect(seen).toBe(true);
  });
});

describe("protobufjs", () => {
  const { root } = protobuf.parse(
    'syntax = "proto3"; message M { string name = 1; double score = 2; repeated string tags = 3; }',
  );
  const M = root.lookupType("M");
  test.each([RECORD, LONG])("writes the same bytes into a lease, or over into a longer one", (record) => {
    const message = M.create(record);
    expectBytes(encodeProtobuf(arena, M, message), M.encode(message).finish());
  });
});

describe("avsc", () => {
  const type = Type.forSchema({
    type: "record",
    name: "M",
    fields: [
      { name: "name", type: "string" },
      { name: "score", type: "double" },
      { name: "tags", type: { type: "array", items: "string" } },
    ],
  });
  test.each([RECORD, LONG])(
    "writes the same bytes into a lease, or into a second that is as long as it asks",
    (record) => {
      expectBytes(encodeAvro(arena, type, record), type.toBuffer(record));
    },
  );
});

describe("bson", () => {
  test.each([RECORD, LONG])("serializes into a lease of exactly the document's length", (record) => {
    const lease = encodeBson(arena, record);
    expect(deserialize(lease.bytes)).toEqual(record);
    expectBytes(lease, serialize(record));
  });
});

describe("flatbuffers", () => {
  const build = (name: string) => (builder: Builder) => {
    const at = builder.createString(name);
    builder.startObject(1);
    builder.addFieldOffset(0, at, 0);
    builder.finish(builder.endObject());
  };
  test.each([RECORD.name, LONG.name])("builds in a lease, or over into a longer one", (name) => {
    const plain = new Builder(1024);
    build(name)(plain);
    expectBytes(buildFlatbuffer(arena, build(name)), plain.asUint8Array());
  });
});

describe("fflate", () => {
  const data = Buffer.from("the same again ".repeat(500));
  const deflated = deflateSync(data);
  test("inflates into a lease", () => expectBytes(inflateInto(arena, deflated, data.length), data));
  test.each([data.length - 1, data.length + 1, 0])("says so when %d bytes were announced, and releases", (length) => {
    expect(() => inflateInto(arena, deflated, length)).toThrow(EncodedLengthError);
  });
});

describe("msgpackr", () => {
  const packr = new LeasedPackr();
  test.each([RECORD, LONG])("packs the same bytes into a lease, or over into a longer one", (record) => {
    const lease = packr.pack(arena, record);
    expect(unpack(lease.bytes)).toEqual(record);
    expectBytes(lease, new Packr({ useRecords: false }).pack(record));
  });

  test("a packer elsewhere does not write into the lease afterwards", () => {
    const lease = packr.pack(arena, RECORD);
    const before = lease.copy();
    for (let each = 0; each < 10; each++)
      expect(unpack(pack({ other: "packer", each }))).toEqual({ other: "packer", each });
    expect(Buffer.compare(lease.bytes, before)).toBe(0);
    lease.release();
  });

  test("without setting the target back it does: the trap is real", () => {
    const lease = arena.acquire(8192);
    const careless = new Packr({ useRecords: false });
    careless.useBuffer(Buffer.from(lease.bytes.buffer, lease.bytes.byteOffset, 8192));
    careless.pack({ mine: 1 });
    const before = lease.copy();
    pack({ somebody: "else's" });
    expect(Buffer.compare(lease.bytes, before)).not.toBe(0);
    careless.useBuffer(Buffer.alloc(0));
    lease.release();
  });
});

describe("ws", () => {
  test("a lease is sent as it was, though it ends for the sender at once, and its block comes back afterwards", async () => {
    const server = new WebSocketServer({ port: 0, host: "127.0.0.1", perMessageDeflate: false });
    await once(server, "listening");
    const client = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`);
    const [socket] = (await once(server, "connection")) as [WebSocket];
    const got: Buffer[] = [];
    client.on("message", (data: Buffer) => got.push(data));
    const sent: Promise<void>[] = [];
    for (let each = 0; each < 20; each++) {
      const lease = arena.acquire(100_000);
      lease.bytes.fill(each + 1);
      sent.push(sendLease(socket, lease));
      expect(lease.released).toBe(true);
    }
    await Promise.all(sent);
    arena.assertDrained();
    socket.close();
    await once(client, "close");
    expect(got.map((data) => [data.length, data[0], data.at(-1)])).toEqual(
      Array.from({ length: 20 }, (_, each) => [100_000, each + 1, each + 1]),
    );
    server.close();
  });

  test("a broadcast keeps its lease until the slowest client has it, and no longer", async () => {
    const server = new WebSocketServer({ port: 0, host: "127.0.0.1", perMessageDeflate: false });
    await once(server, "listening");
    const got: Buffer[] = [];
    const clients = Array.from({ length: 3 }, () => {
      const client = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`);
      client.on("message", (data: Buffer) => got.push(data));
      return client;
    });
    await Promise.all(clients.map((client) => once(client, "open")));
    const [slow, , leaving] = clients as [WebSocket, WebSocket, WebSocket];
    slow.pause();
    leaving.pause();
    // Longer than what the system keeps for a client that does not read.
    const lease = arena.acquireFilled(32 << 20, (bytes) => bytes.fill(7).length);
    broadcastLease(server.clients, lease);
    while (got.length < 1) await once(clients[1] as WebSocket, "message");
    leaving.terminate();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(lease.released).toBe(false);
    slow.resume();
    await once(slow, "message");
    while (!lease.released) await new Promise(setImmediate);
    for (const data of got) expect(data.equals(Buffer.alloc(32 << 20, 7))).toBe(true);

    const short = arena.copyOf(Buffer.from("short"));
    broadcastLease(server.clients, short);
    expect(short.released).toBe(true);
    while (got.length < 4) await new Promise(setImmediate);
    expect(got.slice(2).map(String)).toEqual(["short", "short"]);
    for (const client of clients) client.terminate();
    server.close();
  });
});
