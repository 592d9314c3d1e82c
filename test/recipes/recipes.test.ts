/** Every recipe against its library: the same bytes, in a lease; what happens when it is too short; its trap. */

import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { Type } from "avsc";
import { deserialize, serialize } from "bson";
import { Arena } from "cleanslab";
import { deflateSync } from "fflate";
import { Builder } from "flatbuffers";
import { Packr, pack, unpack } from "msgpackr";
import protobuf from "protobufjs";
import { afterEach, describe, expect, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { encodeAvro } from "../../examples/recipes/avsc.ts";
import { encodeBson } from "../../examples/recipes/bson.ts";
import type { Encoded } from "../../examples/recipes/encoded.ts";
import { inflateInto } from "../../examples/recipes/fflate.ts";
import { buildFlatbuffer } from "../../examples/recipes/flatbuffers.ts";
import { LeasedPackr } from "../../examples/recipes/msgpackr.ts";
import { encodeProtobuf } from "../../examples/recipes/protobufjs.ts";
import { sendLease } from "../../examples/recipes/ws.ts";

const arena = new Arena({ trace: "all" });
afterEach(() => arena.assertDrained());

const RECORD = { name: "grün 🙂 ".repeat(5), score: 1.5, tags: ["a", "b", "c"] };
const LONG = { ...RECORD, name: "x".repeat(20_000) };

/** `encoded` holds `wanted`, in the arena. */
function expectBytes(encoded: Encoded, wanted: Uint8Array): void {
  expect(encoded.bytes.buffer).toBe(encoded.lease.bytes.buffer);
  expect(encoded.lease.origin).toBe("arena");
  expect(Buffer.compare(encoded.bytes, wanted)).toBe(0);
  encoded.lease.release();
}

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
    const encoded = encodeBson(arena, record);
    expect(encoded.lease.byteLength).toBe(encoded.bytes.length);
    expect(deserialize(encoded.bytes)).toEqual(record);
    expectBytes(encoded, serialize(record));
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
    expect(() => inflateInto(arena, deflated, length)).toThrow(RangeError);
  });
});

describe("msgpackr", () => {
  const packr = new LeasedPackr();
  test.each([RECORD, LONG])("packs the same bytes into a lease, or over into a longer one", (record) => {
    const encoded = packr.pack(arena, record);
    expect(unpack(encoded.bytes)).toEqual(record);
    expectBytes(encoded, new Packr({ useRecords: false }).pack(record));
  });

  test("a packer elsewhere does not write into the lease afterwards", () => {
    const { lease } = packr.pack(arena, RECORD);
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
  test("a lease is sent as it was, though it ends for the sender at once, and is wiped afterwards", async () => {
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
});
