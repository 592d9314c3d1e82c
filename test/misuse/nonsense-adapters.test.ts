/**
 * Every parameter of every public function of cleanslab/node and cleanslab/web, given
 * what it is not. What of the values is out of range is left to test/node and test/web.
 */

import { PassThrough, Readable, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { Arena, Timeline } from "cleanslab";
import * as node from "cleanslab/node";
import { SharedArena } from "cleanslab/shared";
import * as web from "cleanslab/web";
import { expect, test } from "vitest";
import {
  ARENA,
  BOOLEAN,
  type Call,
  FUNCTION,
  functionsOf,
  optionsOf as knownOptionsOf,
  LEASE,
  LENGTH,
  methodsOf,
  OBJECT,
  SIGNAL,
  testRefusals,
} from "./nonsense.ts";

/** A row for each option of a function, and one for an option that it does not have. */
const optionsOf: typeof knownOptionsOf = (name, options, call) =>
  knownOptionsOf(name, { ...options, chunkSize: [5, undefined] }, call);

const READABLE = [{}, null, undefined, 5, "stream", new Writable()];
const WRITABLE = [{}, null, undefined, 5, "stream", Readable.from([])];
const LEASES = [{}, null, undefined, 5, [5], [{}], [null], ["lease"]];
const PATH = [{}, null, undefined, 5];
const HANDLES = [{}, null, 5];

const LIMIT = { limit: 10 };
const HANDLE: web.AccessHandleLike = { read: () => 0, write: (bytes) => bytes.length };
const nothing = (): void => {};
const empty = (): Readable => Readable.from([]);
const sink = (): Writable => new PassThrough().resume();
const connect = (): never => {
  throw new Error("connect was called");
};
const transforming = (options: Partial<node.LeaseTransformOptions>): unknown =>
  new node.LeaseTransform({ transform: nothing, ...options });
const pushing = (lease: never): Promise<void> => {
  const transform = new node.LeaseTransform({ transform: (_chunk, push) => push(lease) });
  return pipeline(Readable.from([Buffer.of(1)]), transform, sink());
};

const COLLECT = { limit: LENGTH, byteLength: LENGTH, onChunk: FUNCTION, signal: SIGNAL, waitForRoom: BOOLEAN };
const collecting = (arena: Arena, options: object): unknown => node.collect(empty(), arena, { ...LIMIT, ...options });
const FILE = { start: LENGTH, end: LENGTH, chunkBytes: LENGTH, highWaterMark: LENGTH, signal: SIGNAL };
const TIMELINE = [{}, null, 5, Timeline];
const ARENAS = [
  null,
  5,
  "arenas",
  {},
  [],
  [new Arena()],
  new Arena(),
  { each: new SharedArena() },
  ...ARENA.map((each) => ({ each })),
];
const onBytes = nothing;
const onLease = nothing;

const CALLS: Call[] = [
  ["node.bufferOf", "lease", LEASE, (_, each) => node.bufferOf(each)],
  ["node.collect", "stream", READABLE, ({ arena }, each) => node.collect(each, arena, LIMIT)],
  ["node.collect", "arena", ARENA, (_, each) => node.collect(Readable.from([Buffer.of(1)]), each, LIMIT)],
  ["node.collect", "options with a limit", [...OBJECT, {}], ({ arena }, each) => node.collect(empty(), arena, each)],
  ...optionsOf("node.collect", { ...COLLECT, byteLengthHint: LENGTH, freeChunks: BOOLEAN }, ({ arena }, each) =>
    collecting(arena, each),
  ),
  ["node.LeaseTransform", "options", [...OBJECT, undefined, {}], (_, each) => new node.LeaseTransform(each)],
  ...optionsOf(
    "node.LeaseTransform",
    { transform: FUNCTION, flush: FUNCTION, release: FUNCTION, signal: SIGNAL, highWaterMark: LENGTH },
    (_, each) => transforming(each),
  ),
  ["node.LeaseTransform", "pushed lease", LEASE, (_, each) => pushing(each)],
  ["node.LeaseSink", "stream", WRITABLE, (_, each) => new node.LeaseSink(each)],
  ["node.LeaseSink", "options", OBJECT, (_, each) => new node.LeaseSink(sink(), each)],
  ...optionsOf("node.LeaseSink", { onReleased: FUNCTION }, (_, each) => new node.LeaseSink(sink(), each)),
  ["LeaseSink.write", "lease", LEASE, (_, each) => new node.LeaseSink(sink()).write(each)],
  ["node.pipeLeases", "leases", LEASES, (_, each) => node.pipeLeases(each, sink())],
  ["node.pipeLeases", "stream", WRITABLE, (_, each) => node.pipeLeases([], each)],
  ["node.eachFileLease", "path", PATH, ({ arena }, each) => node.eachFileLease(each, arena, {}, nothing)],
  ["node.eachFileLease", "arena", ARENA, (_, each) => node.eachFileLease("/", each, {}, nothing)],
  ["node.eachFileLease", "options", OBJECT, ({ arena }, each) => node.eachFileLease("/", arena, each, nothing)],
  ["node.eachFileLease", "onLease", FUNCTION, ({ arena }, each) => node.eachFileLease("/", arena, {}, each)],
  ...optionsOf("node.eachFileLease", FILE, ({ arena }, each) => node.eachFileLease("/", arena, each, nothing)),
  ["node.readRecords", "path", PATH, ({ arena }, each) => node.readRecords(each, arena, {}, () => 0)],
  ["node.readRecords", "arena", ARENA, (_, each) => node.readRecords("/", each, {}, () => 0)],
  ["node.readRecords", "options", OBJECT, ({ arena }, each) => node.readRecords("/", arena, each, () => 0)],
  ["node.readRecords", "onBytes", FUNCTION, ({ arena }, each) => node.readRecords("/", arena, {}, each)],
  ["node.readFileLeases", "path", PATH, ({ arena }, each) => node.readFileLeases(each, arena)],
  ["node.readFileLeases", "arena", ARENA, (_, each) => node.readFileLeases("/", each)],
  ["node.readFileLeases", "options", OBJECT, ({ arena }, each) => node.readFileLeases("/", arena, each)],
  ...optionsOf("node.readFileLeases", FILE, ({ arena }, each) => node.readFileLeases("/", arena, each)),
  ["node.readSocket", "connect", FUNCTION, ({ arena }, each) => node.readSocket(each, arena, { onBytes })],
  ["node.readSocket", "arena", ARENA, (_, each) => node.readSocket(connect, each, { onBytes })],
  ["node.readSocket", "options", OBJECT, ({ arena }, each) => node.readSocket(connect, arena, each)],
  ...optionsOf("node.readSocket", { onBytes: FUNCTION, chunkBytes: LENGTH }, ({ arena }, each) =>
    node.readSocket(connect, arena, { onBytes, ...(each as object) }),
  ),
  ["node.readSocketLeases", "connect", FUNCTION, ({ arena }, each) => node.readSocketLeases(each, arena, { onLease })],
  ["node.readSocketLeases", "arena", ARENA, (_, each) => node.readSocketLeases(connect, each, { onLease })],
  ["node.readSocketLeases", "options", OBJECT, ({ arena }, each) => node.readSocketLeases(connect, arena, each)],
  ...optionsOf("node.readSocketLeases", { onLease: FUNCTION, chunkBytes: LENGTH }, ({ arena }, each) =>
    node.readSocketLeases(connect, arena, { onLease, ...(each as object) }),
  ),
  ["node.readableFrom", "leases", LEASES, (_, each) => pipeline(node.readableFrom(each), sink())],
  ["node.recordTimeline", "timeline", TIMELINE, (_, each) => node.recordTimeline(each, "never.json")],
  ["node.recordTimeline", "path", PATH, (_, each) => node.recordTimeline(new Timeline(), each, { ms: 0 })],
  ["node.recordTimeline", "options", OBJECT, (_, each) => node.recordTimeline(new Timeline(), "never.json", each)],
  ...optionsOf("node.recordTimeline", { ms: LENGTH, signal: SIGNAL }, (_, each) =>
    node.recordTimeline(new Timeline(), "never.json", each),
  ),
  ["node.serveWatch", "arenas", ARENAS, (_, each) => node.serveWatch(each)],
  ["node.serveWatch", "options", OBJECT, ({ arena }, each) => node.serveWatch({ arena }, each)],
  ...optionsOf("node.serveWatch", { port: LENGTH, intervalMs: [...LENGTH, 0] }, ({ arena }, each) =>
    node.serveWatch({ arena }, each),
  ),
  ["node.writeProfile", "arena", ARENA, (_, each) => node.writeProfile(each, "never.heapprofile")],
  ["node.writeProfile", "path", PATH, ({ arena }, each) => node.writeProfile(arena, each)],
  ["node.writeProfile", "options", OBJECT, ({ arena }, each) => node.writeProfile(arena, "never.heapprofile", each)],
  ...optionsOf("node.writeProfile", { since: [{}, null, 5] }, ({ arena }, each) =>
    node.writeProfile(arena, "never.heapprofile", each),
  ),
  ["node.writeAndRelease", "stream", WRITABLE, ({ lease }, each) => node.writeAndRelease(each, lease)],
  ["node.writeAndRelease", "lease", LEASE, (_, each) => node.writeAndRelease(sink(), each)],

  ["web.collect", "source", [{}, null, undefined, 5, "text"], ({ arena }, each) => web.collect(each, arena, LIMIT)],
  ["web.collect", "arena", ARENA, (_, each) => web.collect(new Blob(["text"]), each, LIMIT)],
  ["web.collect", "options", OBJECT, ({ arena }, each) => web.collect(new Blob([]), arena, each)],
  ...optionsOf("web.collect", COLLECT, ({ arena }, each) =>
    web.collect(new Blob([]), arena, { ...LIMIT, ...(each as object) }),
  ),
  ["web.ownedCopy", "lease", LEASE, (_, each) => web.ownedCopy(each)],
  ["web.readAccessHandle", "handle", HANDLES, ({ arena }, each) => web.readAccessHandle(each, arena)],
  ["web.readAccessHandle", "arena", ARENA, (_, each) => web.readAccessHandle(HANDLE, each)],
  ["web.readAccessHandle", "options", OBJECT, ({ arena }, each) => web.readAccessHandle(HANDLE, arena, each)],
  ...optionsOf("web.readAccessHandle", { chunkBytes: LENGTH }, ({ arena }, each) =>
    web.readAccessHandle(HANDLE, arena, each),
  ),
  ["web.readLeases", "source", [...HANDLES, "text"], ({ arena }, each) => web.readLeases(each, arena).next()],
  ["web.readLeases", "arena", ARENA, (_, each) => web.readLeases(new Blob(["text"]), each).next()],
  ["web.readLeases", "options", OBJECT, ({ arena }, each) => web.readLeases(new Blob([]), arena, each).next()],
  ...optionsOf("web.readLeases", { signal: SIGNAL }, ({ arena }, each) =>
    web.readLeases(new Blob([]), arena, each).next(),
  ),
  ["web.writeAccessHandle", "handle", HANDLES, ({ lease }, each) => web.writeAccessHandle(each, lease)],
  ["web.writeAccessHandle", "lease", LEASE, (_, each) => web.writeAccessHandle(HANDLE, each)],
  ["web.writeAccessHandle", "at", LENGTH, ({ lease }, each) => web.writeAccessHandle(HANDLE, lease, each)],
  ["web.writeAndRelease", "writer", [{}, null, undefined, 5], ({ lease }, each) => web.writeAndRelease(each, lease)],
  ["web.writeAndRelease", "lease", LEASE, (_, each) => web.writeAndRelease({ write: async () => {} }, each)],
];

/** Have "release" in their names, and so end the lease that they were given, whatever is wrong with the rest. */
const ENDS_LEASE = ["node.writeAndRelease stream", "web.writeAndRelease writer"];

testRefusals(CALLS, (name, parameter) => ENDS_LEASE.includes(`${name} ${parameter}`));

test("every public function is one of these", () => {
  const known = new Set([...CALLS.map(([name]) => name), "LeaseSink.ready"]); // which takes nothing
  const methods = methodsOf("LeaseSink", new node.LeaseSink(sink()));
  const found = [...functionsOf("node", node), ...functionsOf("web", web), ...methods];
  expect(found.filter((name) => !known.has(name))).toEqual([]);
  expect([...known].filter((name) => !found.includes(name))).toEqual([]);
});
