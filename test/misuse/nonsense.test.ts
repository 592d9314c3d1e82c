/**
 * Every parameter of every public function of the core, given what it is not: a plain
 * object, null, a number, a thing of another kind. Each call is refused with a typed
 * error, before anything is leased. What of the values is out of range is left to the
 * other files here and to those of the single modules; listeners are the platform's `EventTarget`.
 */

import * as core from "cleanslab";
import { Arena, ByteReader } from "cleanslab";
import { describe, expect, test } from "vitest";
import {
  deferred,
  expectArenaError,
  expectSound,
  expectThrow,
  expectUsable,
  MODES,
  rejectionOf,
  smallArena,
  thrownBy,
  wrong,
} from "../helpers.ts";
import {
  BYTES,
  type Call,
  FUNCTION,
  functionsOf,
  INTEGER,
  LENGTH,
  LENGTHS,
  methodsOf,
  NUMBER,
  OBJECT,
  SIGNAL,
  testRefusals,
} from "./nonsense.ts";

const CALLS: Call[] = [
  ["core.Arena", "options", OBJECT, (_, each) => new Arena(each)],
  ["core.Arena", "maxBytes", [{}, "8", 0.5, -1], (_, each) => new Arena({ maxBytes: each })],
  ["core.Arena", "wipeOnRelease", [{}, "yes", 1], (_, each) => new Arena({ wipeOnRelease: each })],
  ["core.Arena", "module", [{}, null, 5, new Uint8Array(8)], (_, each) => new Arena({ module: each })],
  ["core.Arena", "sampleBytes", [{}, "8", 0.5, 0], (_, each) => new Arena({ sampleBytes: each })],
  ["core.Arena", "timeline", [{}, null, 5, "t"], (_, each) => new Arena({ timeline: each })],
  ["core.Timeline", "name", [{}, null, 5], (_, each) => new core.Timeline(each)],
  ["core.ByteReader", "source", [...BYTES, undefined, { bytes: [1] }], (_, each) => new ByteReader(each)],
  ["Arena.acquire", "byteLength", LENGTH, ({ arena }, each) => arena.acquire(each)],
  ["Arena.acquireAsync", "byteLength", LENGTHS, ({ arena }, each) => arena.acquireAsync(each)],
  ["Arena.acquireAsync", "byteLengths", [[8, -1], [{}], [null]], ({ arena }, each) => arena.acquireAsync(each)],
  ["Arena.acquireAsync", "options", OBJECT, ({ arena }, each) => arena.acquireAsync(8, each)],
  ["Arena.acquireAsync", "signal", SIGNAL, ({ arena }, each) => arena.acquireAsync(8, { signal: each })],
  [
    "Arena.acquireAsync",
    "signal of several",
    SIGNAL,
    ({ arena }, each) => arena.acquireAsync([8, 8], { signal: each }),
  ],
  ["Arena.acquireFilled", "byteLength", LENGTH, ({ arena }, each) => arena.acquireFilled(each, () => 0)],
  ["Arena.acquireFilled", "write", FUNCTION, ({ arena }, each) => arena.acquireFilled(8, each)],
  ["Arena.filler", "byteLength", [...LENGTH, undefined], ({ arena }, each) => arena.filler(each)],
  ["Arena.drained", "options", OBJECT, ({ arena }, each) => arena.drained(each)],
  ["Arena.drained", "signal", SIGNAL, ({ arena }, each) => arena.drained({ signal: each })],
  ["Arena.use", "byteLength", LENGTH, ({ arena }, each) => arena.use(each, () => {})],
  ["Arena.use", "fn", FUNCTION, ({ arena }, each) => arena.use(8, each)],
  ["Arena.copyOf", "bytes", BYTES, ({ arena }, each) => arena.copyOf(each)],
  ["Arena.pool", "byteLength", LENGTH, ({ arena }, each) => arena.pool(each)],
  ["Arena.profile", "since", [{}, null, 5, "mark"], ({ arena }, each) => arena.profile(each)],
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
  ["Lease.releaseAfter", "promise", [undefined, null, 5, "at once", {}], ({ lease }, each) => lease.releaseAfter(each)],
  ["Lease.resize", "byteLength", [...LENGTH, undefined], ({ lease }, each) => lease.resize(each)],
  ["Scope.acquire", "byteLength", LENGTH, ({ scope }, each) => scope.acquire(each)],
  ["Scope.bytes", "byteLength", LENGTH, ({ scope }, each) => scope.bytes(each)],
  ["Scope.acquireAsync", "byteLengths", [[8, -1], [{}], [null]], ({ scope }, each) => scope.acquireAsync(each)],
  ["Scope.acquireAsync", "options", OBJECT, ({ scope }, each) => scope.acquireAsync([8], each)],
  ["ByteFiller.put", "source", BYTES, ({ filler }, each) => filler.put(each)],
  ["ByteFiller.put", "from", LENGTH, ({ filler }, each) => filler.put(new Uint8Array(8), each)],
  ["ByteFiller.writeString", "text", [{}, null, 5, [8]], ({ filler }, each) => filler.writeString(each)],
  ["ByteFiller.writeUint8", "value", INTEGER, ({ filler }, each) => filler.writeUint8(each)],
  ["ByteFiller.writeInt8", "value", INTEGER, ({ filler }, each) => filler.writeInt8(each)],
  ["ByteFiller.writeUint16", "value", INTEGER, ({ filler }, each) => filler.writeUint16(each)],
  ["ByteFiller.writeInt16", "value", INTEGER, ({ filler }, each) => filler.writeInt16(each)],
  ["ByteFiller.writeUint32", "value", INTEGER, ({ filler }, each) => filler.writeUint32(each)],
  ["ByteFiller.writeInt32", "value", INTEGER, ({ filler }, each) => filler.writeInt32(each)],
  ["ByteFiller.writeUint64", "value", INTEGER, ({ filler }, each) => filler.writeUint64(each)],
  ["ByteFiller.writeInt64", "value", INTEGER, ({ filler }, each) => filler.writeInt64(each)],
  ["ByteFiller.writeFloat32", "value", NUMBER, ({ filler }, each) => filler.writeFloat32(each)],
  ["ByteFiller.writeFloat64", "value", NUMBER, ({ filler }, each) => filler.writeFloat64(each)],
  ["ByteReader.readBytes", "byteLength", LENGTH, ({ reader }, each) => reader.readBytes(each)],
  ["ByteReader.readString", "byteLength", LENGTH, ({ reader }, each) => reader.readString(each)],
  ["ByteReader.skip", "byteLength", LENGTH, ({ reader }, each) => reader.skip(each)],
  ["ByteReader.seek", "offset", LENGTH, ({ reader }, each) => reader.seek(each)],
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
];

const READS = [
  ...["Uint8", "Int8", "Uint16", "Int16", "Uint32", "Int32", "Uint64", "Int64", "Float32", "Float64"],
  ...["Varint", "Varint64", "Zigzag", "Zigzag64"],
];
const TAKES_NOTHING = [
  ...["stats", "audit", "trim", "assertDrained", "scope", "mark"].map((each) => `Arena.${each}`),
  ...["copy", "pin", "release", "handOver"].map((each) => `Lease.${each}`),
  "Pin.release",
  "Scope.release",
  ...["take", "reset", "release"].map((each) => `ByteWriter.${each}`),
  ...["take", "drop"].map((each) => `ByteFiller.${each}`),
  ...READS.map((each) => `ByteReader.read${each}`),
  "SizeClassPool.acquire",
];
/** An error's message is anyone's. */
const TAKES_ANYTHING = ["core.ArenaError"];

testRefusals(CALLS, () => false);

test("every public function is one of these", () => {
  using arena = smallArena();
  using lease = arena.acquire(8);
  using writer = arena.writer();
  using filler = arena.filler(8);
  using pin = lease.pin();
  const found = [
    ...methodsOf("Arena", arena),
    ...methodsOf("Lease", lease),
    ...methodsOf("Pin", pin),
    ...methodsOf("SizeClassPool", arena.pool(8)),
    ...methodsOf("Scope", arena.scope()),
    ...methodsOf("ByteWriter", writer),
    ...methodsOf("ByteFiller", filler),
    ...methodsOf("ByteReader", new ByteReader(lease)),
    ...functionsOf("core", core),
  ];
  const known = new Set([...CALLS.map(([name]) => name), ...TAKES_NOTHING, ...TAKES_ANYTHING]);
  expect(found.filter((name) => !known.has(name))).toEqual([]);
  expect([...known].filter((name) => !found.includes(name))).toEqual([]);
});

/** What `write` may not answer for a lease of 100 bytes. */
const WRONG_ANSWERS: [unknown, string][] = [
  [-1, "-1"],
  [-0.5, "-0.5"],
  [0.5, "0.5"],
  [99.5, "99.5"],
  [101, "101"],
  [2 ** 32, "4294967296"],
  [Number.NaN, "NaN"],
  [Number.POSITIVE_INFINITY, "Infinity"],
  ["100", '"100"'],
  ["", '""'],
  [true, "true"],
  [null, "null"],
  [undefined, "undefined"],
  [100n, "100n"],
  [Symbol("100"), "Symbol(100)"],
  [{}, "[object Object]"],
  [[100], "[object Array]"],
  [new Uint8Array(100), "[object Uint8Array]"],
  [() => 100, "a function"],
];

describe.each(MODES)("revoke: %s, acquireFilled", (revoke) => {
  test.each(WRONG_ANSWERS)(
    "refuses the answer %s, given at once or later, and nothing stays leased",
    async (answer, shown) => {
      using arena = smallArena({ revoke });
      const message = `what write answered is ${shown};`;
      for (let round = 0; round < 3; round++) {
        expectThrow(() => arena.acquireFilled(100, () => wrong(answer)), "ERR_INVALID_ARGUMENT", message, "pass");
        const later = arena.acquireFilled(100, async () => wrong<number>(answer));
        expect(arena.stats().liveLeases).toBe(1);
        expectArenaError(await rejectionOf(later), "ERR_INVALID_ARGUMENT", message, "pass");
        expect(arena.stats()).toMatchObject({ liveLeases: 0, liveBytes: 0 });
      }
      arena.assertDrained();
      expectUsable(arena, 100);
    },
  );

  test.each([new Error("mine"), "a string", undefined, null])(
    "throws and rejects with the caller's own %s, and nothing stays leased",
    async (reason) => {
      using arena = smallArena({ revoke });
      const write = (): number => {
        throw reason;
      };
      expect(thrownBy(() => arena.acquireFilled(100, write))).toBe(reason);
      const gate = deferred<number>();
      const later = arena.acquireFilled(100, () => gate.promise);
      gate.reject(reason);
      expect(await rejectionOf(later)).toBe(reason);
      expect(arena.stats()).toMatchObject({ liveLeases: 0, liveBytes: 0 });
      expectUsable(arena, 100);
    },
  );

  test("throws what the then of its answer throws, and nothing stays leased", async () => {
    using arena = smallArena({ revoke });
    const error = new Error("from then");
    // biome-ignore lint/suspicious/noThenProperty: what this is about.
    const hostile = Object.defineProperty({}, "then", {
      get() {
        throw error;
      },
    });
    expect(thrownBy(() => arena.acquireFilled(100, () => wrong(hostile)))).toBe(error);
    const thrower = {
      // biome-ignore lint/suspicious/noThenProperty: what this is about.
      then: () => {
        throw error;
      },
    };
    expect(await rejectionOf(wrong(arena.acquireFilled(100, () => wrong(thrower))))).toBe(error);
    expect(arena.stats().liveLeases).toBe(0);
    expectSound(arena);
  });

  test("lends its view for the call: in on-release mode it is dead after a refused answer, and a cut lease is as long as the answer", async () => {
    using arena = smallArena({ revoke });
    let kept: Uint8Array | undefined;
    expectThrow(
      () =>
        arena.acquireFilled(100, (bytes) => {
          kept = bytes;
          return -1;
        }),
      "ERR_INVALID_ARGUMENT",
    );
    if (revoke === "on-release") expect(kept?.length).toBe(0);
    const lease = arena.acquireFilled(100, (bytes) => bytes.fill(7, 0, 10) && 10);
    expect(lease.bytes.length).toBe(10);
    expectThrow(() => lease.view(Float64Array), "ERR_INVALID_ARGUMENT", "10 bytes");
    lease.release();
    expectUsable(arena);
  });
});
