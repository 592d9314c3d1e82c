/**
 * For each recipe one message, encoded in its library's usual way and into a
 * lease. Owns the messages. Knows nothing of how they are measured.
 */

import { IncomingMessage } from "node:http";
import { Socket } from "node:net";
import { Duplex } from "node:stream";
import avro from "avsc";
import { serialize } from "bson";
import type { Arena, Lease } from "cleanslab";
import { deflateSync, inflateSync } from "fflate";
import { Builder } from "flatbuffers";
import { Packr } from "msgpackr";
import protobuf from "protobufjs";
import { type WebSocket, WebSocketServer } from "ws";
import { encodeAvro } from "./avsc.ts";
import { encodeBson } from "./bson.ts";
import { inflateInto } from "./fflate.ts";
import { buildFlatbuffer } from "./flatbuffers.ts";
import { LeasedPackr } from "./msgpackr.ts";
import { encodeProtobuf } from "./protobufjs.ts";
import { sendLease } from "./ws.ts";

/** Both make one message, use it and let go of it, and give its length. */
export interface Comparison {
  usual(): number | Promise<number>;
  leased(arena: Arena): number | Promise<number>;
}

interface Message {
  id: number;
  name: string;
  score: number;
  tags: string[];
  body: Buffer;
}

function makeMessage(bodyBytes: number): Message {
  const tags = Array.from({ length: 8 }, (_, each) => `tag number ${each}`);
  return { id: 1, name: "größer 🙂", score: 1.5, tags, body: Buffer.alloc(bodyBytes, "some text, ") };
}

/** A lease that has some room to spare, as one who guesses well would ask for. */
const roomFor = (bodyBytes: number): number => bodyBytes + 512;

function finish(lease: Lease): number {
  lease.release();
  return lease.byteLength;
}

function protobufjs(bodyBytes: number): Comparison {
  const { root } = protobuf.parse(
    'syntax = "proto3"; message M { int32 id = 1; string name = 2; double score = 3; repeated string tags = 4; bytes body = 5; }',
  );
  const M = root.lookupType("M");
  const message = M.create(makeMessage(bodyBytes));
  return {
    usual: () => M.encode(message).finish().length,
    leased: (arena) => finish(encodeProtobuf(arena, M, message, roomFor(bodyBytes))),
  };
}

function avsc(bodyBytes: number): Comparison {
  const type = avro.Type.forSchema({
    type: "record",
    name: "M",
    fields: [
      { name: "id", type: "int" },
      { name: "name", type: "string" },
      { name: "score", type: "double" },
      { name: "tags", type: { type: "array", items: "string" } },
      { name: "body", type: "bytes" },
    ],
  });
  const message = makeMessage(bodyBytes);
  return {
    usual: () => type.toBuffer(message).length,
    leased: (arena) => finish(encodeAvro(arena, type, message, roomFor(bodyBytes))),
  };
}

function bson(bodyBytes: number): Comparison {
  const document = { ...makeMessage(bodyBytes) };
  return {
    usual: () => serialize(document).length,
    leased: (arena) => finish(encodeBson(arena, document)),
  };
}

function flatbuffers(bodyBytes: number): Comparison {
  const { id, name, score, tags, body } = makeMessage(bodyBytes);
  const build = (builder: Builder): void => {
    const nameAt = builder.createString(name);
    const bodyAt = builder.createByteVector(body);
    const tagsAt = tags.map((tag) => builder.createString(tag));
    builder.startVector(4, tagsAt.length, 4);
    for (const tagAt of tagsAt.reverse()) builder.addOffset(tagAt);
    const vectorAt = builder.endVector();
    builder.startObject(5);
    builder.addFieldInt32(0, id, 0);
    builder.addFieldOffset(1, nameAt, 0);
    builder.addFieldFloat64(2, score, 0);
    builder.addFieldOffset(3, vectorAt, 0);
    builder.addFieldOffset(4, bodyAt, 0);
    builder.finish(builder.endObject());
  };
  return {
    usual: () => {
      const builder = new Builder(roomFor(bodyBytes));
      build(builder);
      return builder.asUint8Array().length;
    },
    leased: (arena) => finish(buildFlatbuffer(arena, build, roomFor(bodyBytes))),
  };
}

/** Two usual ways: most leave it to fflate to find room, some know the length and make an array. */
function fflate(bodyBytes: number, makeOut = false): Comparison {
  const message = Buffer.from(JSON.stringify({ ...makeMessage(0), body: "some text, ".repeat(bodyBytes / 11) }));
  const deflated = deflateSync(message);
  return {
    usual: () => inflateSync(deflated, makeOut ? { out: new Uint8Array(message.length) } : {}).length,
    leased: (arena) => finish(inflateInto(arena, deflated, message.length)),
  };
}

function msgpackr(bodyBytes: number): Comparison {
  const message = makeMessage(bodyBytes);
  const packr = new Packr({ useRecords: false });
  const leasedPackr = new LeasedPackr();
  return {
    usual: () => packr.pack(message).length,
    leased: (arena) => finish(leasedPackr.pack(arena, message, roomFor(bodyBytes))),
  };
}

/** What is sent is copied from `body` in both ways: where it comes from is not what is asked. */
function ws(bodyBytes: number): Comparison {
  const { body } = makeMessage(bodyBytes + 200);
  const socket = discardingSocket();
  return {
    usual: () =>
      new Promise<number>((resolve, reject) => {
        const message = Buffer.from(body);
        socket.send(message, (error) => (error ? reject(error) : resolve(message.length)));
      }),
    leased: async (arena) => {
      const lease = arena.copyOf(body);
      const { byteLength } = lease;
      await sendLease(socket, lease);
      return byteLength;
    },
  };
}

/** A server's end of a connection whose other end takes everything, later, and keeps nothing. */
function discardingSocket(): WebSocket {
  const stream = new Duplex({
    read() {},
    write: (_chunk, _encoding, done) => setImmediate(done),
    writev: (_chunks, done) => setImmediate(done),
  });
  const request = new IncomingMessage(new Socket());
  request.method = "GET";
  request.headers = {
    upgrade: "websocket",
    connection: "Upgrade",
    "sec-websocket-key": "MDEyMzQ1Njc4OWFiY2RlZg==",
    "sec-websocket-version": "13",
  };
  let opened: WebSocket | undefined;
  new WebSocketServer({ noServer: true, perMessageDeflate: false }).handleUpgrade(
    request,
    stream,
    Buffer.alloc(0),
    (socket) => {
      opened = socket;
    },
  );
  if (opened === undefined) throw new Error("ws did not accept the connection");
  return opened;
}

export const COMPARISONS: Readonly<Record<string, (bodyBytes: number) => Comparison>> = {
  protobufjs,
  avsc,
  bson,
  flatbuffers,
  fflate,
  "fflate, out: new Uint8Array": (bodyBytes) => fflate(bodyBytes, true),
  msgpackr,
  ws,
};
