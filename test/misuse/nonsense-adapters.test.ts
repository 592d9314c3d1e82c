/**
 * Every parameter of every public function of cleanslab/node and cleanslab/web, given
 * what it is not. What of the values is out of range is left to test/node and test/web.
 */

import { PassThrough, Readable, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { Timeline } from "cleanslab";
import * as node from "cleanslab/node";
import * as web from "cleanslab/web";
import { expect, test } from "vitest";
import {
  ARENA,
  BOOLEAN,
  type Call,
  FUNCTION,
  functionsOf,
  LEASE,
  LENGTH,
  methodsOf,
  OBJECT,
  SIGNAL,
  testRefusals,
} from "./nonsense.ts";

const READABLE = [{}, null, undefined, 5, "stream", new Writable()];
const WRITABLE = [{}, null, undefined, 5, "stream", Readable.from([])];
const LEASES = [{}, null, undefined, 5, [5], [{}], [null], ["lease"]];
const PATH = [{}, null, undefined, 5];

const LIMIT = { limit: 10 };
const HANDLE: web.AccessHandleLike = { read: () => 0, write: (bytes) => bytes.length };
const transform = (): void => {};
const onLease = (): void => {};
const connect = (): never => {
  throw new Error("connect was called");
};

const CALLS: Call[] = [
  ["node.bufferOf", "lease", LEASE, (_, each) => node.bufferOf(each)],
  ["node.collect", "stream", READABLE, ({ arena }, each) => node.collect(each, arena, LIMIT)],
  ["node.collect", "arena", ARENA, (_, each) => node.collect(Readable.from([Buffer.of(1)]), each, LIMIT)],
  ["node.collect", "options", OBJECT, ({ arena }, each) => node.collect(Readable.from([]), arena, each)],
  ["node.collect", "limit", LENGTH, ({ arena }, each) => node.collect(Readable.from([]), arena, { limit: each })],
  [
    "node.collect",
    "no limit and no byteLength",
    [{}],
    ({ arena }, each) => node.collect(Readable.from([]), arena, each),
  ],
  [
    "node.collect",
    "byteLength",
    LENGTH,
    ({ arena }, each) => node.collect(Readable.from([]), arena, { ...LIMIT, byteLength: each }),
  ],
  [
    "node.collect",
    "onChunk",
    FUNCTION,
    ({ arena }, each) => node.collect(Readable.from([]), arena, { ...LIMIT, onChunk: each }),
  ],
  [
    "node.collect",
    "freeChunks",
    BOOLEAN,
    ({ arena }, each) => node.collect(Readable.from([]), arena, { ...LIMIT, freeChunks: each }),
  ],
  [
    "node.collect",
    "byteLengthHint",
    LENGTH,
    ({ arena }, each) => node.collect(Readable.from([]), arena, { ...LIMIT, byteLengthHint: each }),
  ],
  [
    "node.collect",
    "signal",
    SIGNAL,
    ({ arena }, each) => node.collect(Readable.from([]), arena, { ...LIMIT, signal: each }),
  ],
  ["node.LeaseTransform", "options", [...OBJECT, undefined, {}], (_, each) => new node.LeaseTransform(each)],
  ["node.LeaseTransform", "transform", FUNCTION, (_, each) => new node.LeaseTransform({ transform: each })],
  ["node.LeaseTransform", "flush", FUNCTION, (_, each) => new node.LeaseTransform({ transform, flush: each })],
  ["node.LeaseTransform", "release", FUNCTION, (_, each) => new node.LeaseTransform({ transform, release: each })],
  ["node.LeaseTransform", "signal", SIGNAL, (_, each) => new node.LeaseTransform({ transform, signal: each })],
  [
    "node.LeaseTransform",
    "highWaterMark",
    LENGTH,
    (_, each) => new node.LeaseTransform({ transform, highWaterMark: each }),
  ],
  [
    "node.LeaseTransform",
    "pushed lease",
    LEASE,
    (_, each) =>
      pipeline(
        Readable.from([Buffer.of(1)]),
        new node.LeaseTransform({ transform: (_chunk, push) => push(each) }),
        new PassThrough().resume(),
      ),
  ],
  ["node.LeaseSink", "stream", WRITABLE, (_, each) => new node.LeaseSink(each)],
  ["node.LeaseSink", "options", OBJECT, (_, each) => new node.LeaseSink(new PassThrough(), each)],
  ["node.LeaseSink", "onReleased", FUNCTION, (_, each) => new node.LeaseSink(new PassThrough(), { onReleased: each })],
  ["LeaseSink.write", "lease", LEASE, (_, each) => new node.LeaseSink(new PassThrough()).write(each)],
  ["node.pipeLeases", "leases", LEASES, (_, each) => node.pipeLeases(each, new PassThrough())],
  ["node.pipeLeases", "stream", WRITABLE, (_, each) => node.pipeLeases([], each)],
  ["node.eachFileLease", "path", PATH, ({ arena }, each) => node.eachFileLease(each, arena, {}, () => {})],
  ["node.eachFileLease", "arena", ARENA, (_, each) => node.eachFileLease("/", each, {}, () => {})],
  ["node.eachFileLease", "options", OBJECT, ({ arena }, each) => node.eachFileLease("/", arena, each, () => {})],
  ["node.eachFileLease", "onLease", FUNCTION, ({ arena }, each) => node.eachFileLease("/", arena, {}, each)],
  [
    "node.eachFileLease",
    "start",
    LENGTH,
    ({ arena }, each) => node.eachFileLease("/", arena, { start: each }, () => {}),
  ],
  ["node.eachFileLease", "end", LENGTH, ({ arena }, each) => node.eachFileLease("/", arena, { end: each }, () => {})],
  ["node.readRecords", "path", PATH, ({ arena }, each) => node.readRecords(each, arena, {}, () => 0)],
  ["node.readRecords", "arena", ARENA, (_, each) => node.readRecords("/", each, {}, () => 0)],
  ["node.readRecords", "options", OBJECT, ({ arena }, each) => node.readRecords("/", arena, each, () => 0)],
  ["node.readRecords", "onBytes", FUNCTION, ({ arena }, each) => node.readRecords("/", arena, {}, each)],
  ["node.readFileLeases", "path", PATH, ({ arena }, each) => node.readFileLeases(each, arena)],
  ["node.readFileLeases", "arena", ARENA, (_, each) => node.readFileLeases("/", each)],
  ["node.readFileLeases", "options", OBJECT, ({ arena }, each) => node.readFileLeases("/", arena, each)],
  [
    "node.readFileLeases",
    "chunkBytes",
    LENGTH,
    ({ arena }, each) => node.readFileLeases("/", arena, { chunkBytes: each }),
  ],
  [
    "node.readFileLeases",
    "highWaterMark",
    LENGTH,
    ({ arena }, each) => node.readFileLeases("/", arena, { highWaterMark: each }),
  ],
  ["node.readFileLeases", "signal", SIGNAL, ({ arena }, each) => node.readFileLeases("/", arena, { signal: each })],
  ["node.readSocket", "connect", FUNCTION, ({ arena }, each) => node.readSocket(each, arena, { onBytes: onLease })],
  ["node.readSocket", "arena", ARENA, (_, each) => node.readSocket(connect, each, { onBytes: onLease })],
  ["node.readSocket", "options", OBJECT, ({ arena }, each) => node.readSocket(connect, arena, each)],
  ["node.readSocket", "onBytes", FUNCTION, ({ arena }, each) => node.readSocket(connect, arena, { onBytes: each })],
  [
    "node.readSocket",
    "chunkBytes",
    LENGTH,
    ({ arena }, each) => node.readSocket(connect, arena, { onBytes: onLease, chunkBytes: each }),
  ],
  ["node.readSocketLeases", "connect", FUNCTION, ({ arena }, each) => node.readSocketLeases(each, arena, { onLease })],
  ["node.readSocketLeases", "arena", ARENA, (_, each) => node.readSocketLeases(connect, each, { onLease })],
  ["node.readSocketLeases", "options", OBJECT, ({ arena }, each) => node.readSocketLeases(connect, arena, each)],
  [
    "node.readSocketLeases",
    "onLease",
    FUNCTION,
    ({ arena }, each) => node.readSocketLeases(connect, arena, { onLease: each }),
  ],
  [
    "node.readSocketLeases",
    "chunkBytes",
    LENGTH,
    ({ arena }, each) => node.readSocketLeases(connect, arena, { onLease, chunkBytes: each }),
  ],
  ["node.readableFrom", "leases", LEASES, (_, each) => pipeline(node.readableFrom(each), new PassThrough().resume())],
  ["node.recordTimeline", "timeline", [{}, null, 5, Timeline], (_, each) => node.recordTimeline(each, "never.json")],
  ["node.recordTimeline", "path", PATH, (_, each) => node.recordTimeline(new Timeline(), each, { ms: 0 })],
  ["node.recordTimeline", "options", OBJECT, (_, each) => node.recordTimeline(new Timeline(), "never.json", each)],
  ["node.recordTimeline", "ms", LENGTH, (_, each) => node.recordTimeline(new Timeline(), "never.json", { ms: each })],
  [
    "node.recordTimeline",
    "signal",
    SIGNAL,
    (_, each) => node.recordTimeline(new Timeline(), "never.json", { signal: each }),
  ],
  [
    "node.serveWatch",
    "arenas",
    [null, 5, "arenas", ...ARENA.map((each) => ({ each }))],
    (_, each) => node.serveWatch(each),
  ],
  ["node.serveWatch", "options", OBJECT, ({ arena }, each) => node.serveWatch({ arena }, each)],
  ["node.serveWatch", "port", LENGTH, ({ arena }, each) => node.serveWatch({ arena }, { port: each })],
  [
    "node.serveWatch",
    "intervalMs",
    [...LENGTH, 0],
    ({ arena }, each) => node.serveWatch({ arena }, { intervalMs: each }),
  ],
  ["node.writeProfile", "arena", ARENA, (_, each) => node.writeProfile(each, "never.heapprofile")],
  ["node.writeProfile", "path", PATH, ({ arena }, each) => node.writeProfile(arena, each)],
  ["node.writeProfile", "options", OBJECT, ({ arena }, each) => node.writeProfile(arena, "never.heapprofile", each)],
  [
    "node.writeProfile",
    "since",
    [{}, null, 5],
    ({ arena }, each) => node.writeProfile(arena, "never.heapprofile", { since: each }),
  ],
  ["node.writeAndRelease", "stream", WRITABLE, ({ lease }, each) => node.writeAndRelease(each, lease)],
  ["node.writeAndRelease", "lease", LEASE, (_, each) => node.writeAndRelease(new PassThrough(), each)],

  ["web.collect", "source", [{}, null, undefined, 5, "text"], ({ arena }, each) => web.collect(each, arena, LIMIT)],
  ["web.collect", "arena", ARENA, (_, each) => web.collect(new Blob(["text"]), each, LIMIT)],
  ["web.collect", "options", OBJECT, ({ arena }, each) => web.collect(new Blob([]), arena, each)],
  ["web.collect", "limit", LENGTH, ({ arena }, each) => web.collect(new Blob([]), arena, { limit: each })],
  ["web.collect", "signal", SIGNAL, ({ arena }, each) => web.collect(new Blob([]), arena, { ...LIMIT, signal: each })],
  ["web.ownedCopy", "lease", LEASE, (_, each) => web.ownedCopy(each)],
  ["web.readAccessHandle", "handle", [{}, null, 5], ({ arena }, each) => web.readAccessHandle(each, arena)],
  ["web.readAccessHandle", "arena", ARENA, (_, each) => web.readAccessHandle(HANDLE, each)],
  ["web.readAccessHandle", "options", OBJECT, ({ arena }, each) => web.readAccessHandle(HANDLE, arena, each)],
  [
    "web.readAccessHandle",
    "chunkBytes",
    LENGTH,
    ({ arena }, each) => web.readAccessHandle(HANDLE, arena, { chunkBytes: each }),
  ],
  ["web.readLeases", "source", [{}, null, 5, "text"], ({ arena }, each) => web.readLeases(each, arena).next()],
  ["web.readLeases", "arena", ARENA, (_, each) => web.readLeases(new Blob(["text"]), each).next()],
  ["web.readLeases", "options", OBJECT, ({ arena }, each) => web.readLeases(new Blob([]), arena, each).next()],
  [
    "web.readLeases",
    "signal",
    SIGNAL,
    ({ arena }, each) => web.readLeases(new Blob([]), arena, { signal: each }).next(),
  ],
  ["web.writeAccessHandle", "handle", [{}, null, 5], ({ lease }, each) => web.writeAccessHandle(each, lease)],
  ["web.writeAccessHandle", "lease", LEASE, (_, each) => web.writeAccessHandle(HANDLE, each)],
  ["web.writeAccessHandle", "at", LENGTH, ({ lease }, each) => web.writeAccessHandle(HANDLE, lease, each)],
  ["web.writeAndRelease", "writer", [{}, null, undefined, 5], ({ lease }, each) => web.writeAndRelease(each, lease)],
  ["web.writeAndRelease", "lease", LEASE, (_, each) => web.writeAndRelease({ write: async () => {} }, each)],
];

/** Have "release" in their names, and so end the lease that they were given, whatever is wrong with the rest. */
const ENDS_LEASE = ["node.writeAndRelease stream", "web.writeAndRelease writer"];

testRefusals(CALLS, (name, parameter) => ENDS_LEASE.includes(`${name} ${parameter}`));

test("every public function is one of these", () => {
  const sink = new node.LeaseSink(new PassThrough());
  const found = [...functionsOf("node", node), ...functionsOf("web", web), ...methodsOf("LeaseSink", sink)];
  const known = new Set(CALLS.map(([name]) => name));
  expect(found.filter((name) => !known.has(name))).toEqual([]);
  expect([...known].filter((name) => !found.includes(name))).toEqual([]);
});
