/**
 * Every parameter of every public function, given what it is not: a plain object, null,
 * a number, a thing of another kind. Each call is refused with a typed error, before
 * anything is leased. What of the values is out of range is left to the other files here
 * and to those of the single modules; listeners are the platform's `EventTarget`.
 */

import { PassThrough, Readable, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import * as core from "cleanslab";
import { Arena, type ByteWriter, type Lease, type Scope } from "cleanslab";
import * as node from "cleanslab/node";
import * as web from "cleanslab/web";
import { expect, test } from "vitest";
import { expectArenaError, expectSound, expectUsable, smallArena, wrong } from "../helpers.ts";

interface Context {
  readonly arena: Arena;
  readonly lease: Lease;
  readonly writer: ByteWriter;
  readonly scope: Scope;
}

const LENGTH = [{}, null, "8", -1, 0.5, [8]];
const INTEGER = [{}, null, "8", 0.5, [8]];
const NUMBER = [{}, null, "8", [8], 8n];
const FUNCTION = [{}, null, 5, "fn"];
const OBJECT = [null, 5, "options", true];
const BYTES = [{}, null, 5, "text", [1, 2], new ArrayBuffer(8)];
const SIGNAL = [{}, 5, "abort", { aborted: false }];
const ARENA = [{}, null, 5, "arena", Arena, { acquire() {} }];
/** The last is a writer whose `take` was forgotten, as far as one can see. */
const LEASE = [{}, null, undefined, 5, "lease", { bytes: new Uint8Array(8), byteLength: 8, release() {} }];
const READABLE = [{}, null, undefined, 5, "stream", new Writable()];
const WRITABLE = [{}, null, undefined, 5, "stream", Readable.from([])];
const LEASES = [{}, null, undefined, 5, [5], [{}], [null], ["lease"]];

const LIMIT = { limit: 10 };
const HANDLE: web.AccessHandleLike = { read: () => 0, write: (bytes) => bytes.length };
const transform = (): void => {};
const onLease = (): void => {};
const connect = (): never => {
  throw new Error("connect was called");
};

type Call = (context: Context, nonsense: never) => unknown;
/** A public function, its parameter, what that is not, and a call with nothing wrong but that. */
const CALLS: [name: string, parameter: string, nonsense: unknown[], call: Call][] = [
  ["core.Arena", "options", OBJECT, (_, each) => new Arena(each)],
  ["core.Arena", "maxBytes", [{}, "8", 0.5, -1], (_, each) => new Arena({ maxBytes: each })],
  ["Arena.acquire", "byteLength", LENGTH, ({ arena }, each) => arena.acquire(each)],
  ["Arena.acquireAsync", "byteLength", LENGTH, ({ arena }, each) => arena.acquireAsync(each)],
  ["Arena.acquireAsync", "options", OBJECT, ({ arena }, each) => arena.acquireAsync(8, each)],
  ["Arena.acquireAsync", "signal", SIGNAL, ({ arena }, each) => arena.acquireAsync(8, { signal: each })],
  ["Arena.use", "byteLength", LENGTH, ({ arena }, each) => arena.use(each, () => {})],
  ["Arena.use", "fn", FUNCTION, ({ arena }, each) => arena.use(8, each)],
  ["Arena.copyOf", "bytes", BYTES, ({ arena }, each) => arena.copyOf(each)],
  ["Arena.pool", "byteLength", LENGTH, ({ arena }, each) => arena.pool(each)],
  ["Arena.writer", "byteLength", LENGTH, ({ arena }, each) => arena.writer(each)],
  [
    "Arena.trace",
    "level",
    [{}, null, 5, true],
    ({ arena }, each) => {
      arena.trace = each;
    },
  ],
  ["Lease.view", "View", [{}, null, 5, () => {}, Date], ({ lease }, each) => lease.view(each)],
  ["Lease.release", "options", OBJECT, ({ lease }, each) => lease.release(each)],
  ["Lease.releaseAfter", "promise", [undefined, null, 5, "at once", {}], ({ lease }, each) => lease.releaseAfter(each)],
  ["Lease.release", "written", LENGTH, ({ lease }, each) => lease.release({ written: each })],
  ["Scope.acquire", "byteLength", LENGTH, ({ scope }, each) => scope.acquire(each)],
  ["Scope.bytes", "byteLength", LENGTH, ({ scope }, each) => scope.bytes(each)],
  ["ByteWriter.writeBytes", "bytes", BYTES, ({ writer }, each) => writer.writeBytes(each)],
  ["ByteWriter.writeString", "text", [{}, null, 5, [8]], ({ writer }, each) => writer.writeString(each)],
  ["ByteWriter.writeUint8", "value", INTEGER, ({ writer }, each) => writer.writeUint8(each)],
  ["ByteWriter.writeInt8", "value", INTEGER, ({ writer }, each) => writer.writeInt8(each)],
  ["ByteWriter.writeUint16", "value", INTEGER, ({ writer }, each) => writer.writeUint16(each)],
  ["ByteWriter.writeInt16", "value", INTEGER, ({ writer }, each) => writer.writeInt16(each)],
  ["ByteWriter.writeUint32", "value", INTEGER, ({ writer }, each) => writer.writeUint32(each)],
  ["ByteWriter.writeInt32", "value", INTEGER, ({ writer }, each) => writer.writeInt32(each)],
  ["ByteWriter.writeUint64", "value", INTEGER, ({ writer }, each) => writer.writeUint64(each)],
  ["ByteWriter.writeInt64", "value", INTEGER, ({ writer }, each) => writer.writeInt64(each)],
  ["ByteWriter.writeFloat32", "value", NUMBER, ({ writer }, each) => writer.writeFloat32(each)],
  ["ByteWriter.writeFloat64", "value", NUMBER, ({ writer }, each) => writer.writeFloat64(each)],
  ["ByteWriter.writeVarint", "value", INTEGER, ({ writer }, each) => writer.writeVarint(each)],
  ["ByteWriter.writeZigzag", "value", INTEGER, ({ writer }, each) => writer.writeZigzag(each)],
  ["ByteWriter.reserve", "byteLength", LENGTH, ({ writer }, each) => writer.reserve(each)],
  ["ByteWriter.set", "bytes", BYTES, ({ writer }, each) => writer.set(each, 0)],
  ["ByteWriter.set", "offset", LENGTH, ({ writer }, each) => writer.set(new Uint8Array(1), each)],
  ["ByteWriter.setUint8", "offset", LENGTH, ({ writer }, each) => writer.setUint8(each, 1)],
  ["ByteWriter.setUint8", "value", INTEGER, ({ writer }, each) => writer.setUint8(0, each)],
  ["ByteWriter.setUint16", "offset", LENGTH, ({ writer }, each) => writer.setUint16(each, 1)],
  ["ByteWriter.setUint16", "value", INTEGER, ({ writer }, each) => writer.setUint16(0, each)],
  ["ByteWriter.setUint32", "offset", LENGTH, ({ writer }, each) => writer.setUint32(each, 1)],
  ["ByteWriter.setUint32", "value", INTEGER, ({ writer }, each) => writer.setUint32(0, each)],
  ["ByteWriter.setUint64", "offset", LENGTH, ({ writer }, each) => writer.setUint64(each, 1)],
  ["ByteWriter.setUint64", "value", INTEGER, ({ writer }, each) => writer.setUint64(0, each)],

  ["node.bufferOf", "lease", LEASE, (_, each) => node.bufferOf(each)],
  ["node.collect", "stream", READABLE, ({ arena }, each) => node.collect(each, arena, LIMIT)],
  ["node.collect", "arena", ARENA, (_, each) => node.collect(Readable.from([Buffer.of(1)]), each, LIMIT)],
  ["node.collect", "options", OBJECT, ({ arena }, each) => node.collect(Readable.from([]), arena, each)],
  ["node.collect", "limit", LENGTH, ({ arena }, each) => node.collect(Readable.from([]), arena, { limit: each })],
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
  ["node.pipeLeases", "leases", LEASES, (_, each) => node.pipeLeases(each, new PassThrough())],
  ["node.pipeLeases", "stream", WRITABLE, (_, each) => node.pipeLeases([], each)],
  ["node.readFileLeases", "path", [{}, null, undefined, 5], ({ arena }, each) => node.readFileLeases(each, arena)],
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
];

/** Has "release" in its name, and so ends the lease that it was given, whatever is wrong with the rest. */
const ENDS_LEASE = "node.writeAndRelease";

const TAKES_NOTHING = [
  ...["stats", "audit", "trim", "assertDrained", "scope"].map((each) => `Arena.${each}`),
  ...["copy", "pin"].map((each) => `Lease.${each}`),
  "Pin.release",
  "Scope.release",
  ...["take", "reset", "release"].map((each) => `ByteWriter.${each}`),
  "PlainPool.acquire",
];
/** An error's message is anyone's. */
const TAKES_ANYTHING = ["core.ArenaError"];

test.each(CALLS)("%s refuses what is no %s", async (name, parameter, nonsense, call) => {
  for (const each of nonsense) {
    using arena = smallArena();
    const context = { arena, lease: arena.acquire(8), writer: arena.writer(16), scope: arena.scope() };
    context.writer.writeUint32(1);
    const { acquired, reservedBytes } = arena.stats();
    const error = await Promise.resolve()
      .then(() => call(context, wrong(each)))
      .catch((reason: unknown) => reason);
    expectArenaError(error, "ERR_INVALID_ARGUMENT", "; pass ");
    expect(arena.stats()).toMatchObject({ acquired, reservedBytes, waiting: 0 });
    expect(context.lease.released).toBe(name === ENDS_LEASE && parameter === "stream");
    expect(context.writer.bytes).toEqual(Uint8Array.of(0, 0, 0, 1));
    context.lease[Symbol.dispose]();
    context.writer.release();
    context.scope.release();
    arena.assertDrained();
    expectSound(arena);
    expectUsable(arena);
  }
});

test("every public function is one of these", () => {
  using arena = smallArena();
  using lease = arena.acquire(8);
  using writer = arena.writer();
  using pin = lease.pin();
  const objects = {
    Arena: arena,
    Lease: lease,
    Pin: pin,
    PlainPool: arena.pool(8),
    Scope: arena.scope(),
    ByteWriter: writer,
  };
  const found: string[] = [];
  for (const [name, object] of Object.entries(objects)) {
    const members = Object.getOwnPropertyDescriptors(Object.getPrototypeOf(object));
    for (const [member, { value, set }] of Object.entries(members)) {
      if (member !== "constructor" && (typeof value === "function" || set)) found.push(`${name}.${member}`);
    }
  }
  for (const [name, exported] of Object.entries({ core, node, web })) {
    for (const [member, value] of Object.entries(exported)) {
      if (typeof value === "function") found.push(`${name}.${member}`);
    }
  }
  const known = new Set([...CALLS.map(([name]) => name), ...TAKES_NOTHING, ...TAKES_ANYTHING]);
  expect(found.filter((name) => !known.has(name))).toEqual([]);
  expect(found.length).toBeGreaterThan(50);
});
