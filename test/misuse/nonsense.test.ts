/**
 * Every parameter of every public function of the core, given what it is not: a plain
 * object, null, a number, a thing of another kind. Each call is refused with a typed
 * error, before anything is leased. Options out of range are test/unit/options.test.ts's,
 * other values out of range those of the single modules; listeners are the platform's.
 */

import * as core from "cleanslab";
import { Arena, ByteReader } from "cleanslab";
import { expect, test } from "vitest";
import { expectThrow, rejectionOf, smallArena, thrownBy, wrong } from "../helpers.ts";
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
  optionsOf,
  SIGNAL,
  testRefusals,
} from "./nonsense.ts";

const TEXT = [{}, null, 5, [8]];
const SEVERAL = [[8, -1], [{}], [null]];
const INTEGERS = ["Uint8", "Int8", "Uint16", "Int16", "Uint32", "Int32", "Uint64", "Int64"];
const FLOATS = ["Float32", "Float64"];

/** Calls a method by its name: all of one kind take their parameters alike. */
function invoke(object: object, method: string, ...args: unknown[]): unknown {
  return (object as Record<string, (...args: unknown[]) => unknown>)[method]?.(...args);
}

function writes(name: string, of: "writer" | "filler", integers: readonly string[]): Call[] {
  const row = (what: string, nonsense: unknown[]): Call => {
    return [`${name}.write${what}`, "value", nonsense, (context, each) => invoke(context[of], `write${what}`, each)];
  };
  return [
    ...integers.map((what) => row(what, INTEGER)),
    ...FLOATS.map((what) => row(what, NUMBER)),
    row("String", TEXT),
  ];
}

const CALLS: Call[] = [
  ["core.Arena", "options", OBJECT, (_, each) => new Arena(each)],
  ["core.Arena", "sampleBytes", [{}, "8", 0.5, 0], (_, each) => new Arena({ sampleBytes: each })],
  ["core.Arena", "timeline", [{}, null, 5, "t"], (_, each) => new Arena({ timeline: each })],
  ["core.Timeline", "name", [{}, null, 5], (_, each) => new core.Timeline(each)],
  ["core.ByteReader", "source", [...BYTES, undefined, { bytes: [1] }], (_, each) => new ByteReader(each)],
  ["Arena.acquire", "byteLength", LENGTH, ({ arena }, each) => arena.acquire(each)],
  ["Arena.acquireAsync", "byteLength", LENGTHS, ({ arena }, each) => arena.acquireAsync(each)],
  ["Arena.acquireAsync", "byteLengths", SEVERAL, ({ arena }, each) => arena.acquireAsync(each)],
  ["Arena.acquireAsync", "options", OBJECT, ({ arena }, each) => arena.acquireAsync(8, each)],
  ...optionsOf("Arena.acquireAsync", { signal: SIGNAL }, ({ arena }, each) => arena.acquireAsync(8, each)),
  ...optionsOf("Arena.acquireAsync", { signal: SIGNAL }, ({ arena }, each) => arena.acquireAsync([8, 8], each)),
  ["Arena.acquireFilled", "byteLength", LENGTH, ({ arena }, each) => arena.acquireFilled(each, () => 0)],
  ["Arena.acquireFilled", "write", FUNCTION, ({ arena }, each) => arena.acquireFilled(8, each)],
  ["Arena.filler", "byteLength", [...LENGTH, undefined], ({ arena }, each) => arena.filler(each)],
  ["Arena.drained", "options", OBJECT, ({ arena }, each) => arena.drained(each)],
  ...optionsOf("Arena.drained", { signal: SIGNAL }, ({ arena }, each) => arena.drained(each)),
  ["Arena.use", "byteLength", LENGTH, ({ arena }, each) => arena.use(each, () => {})],
  ["Arena.use", "fn", FUNCTION, ({ arena }, each) => arena.use(8, each)],
  ["Arena.copyOf", "bytes", BYTES, ({ arena }, each) => arena.copyOf(each)],
  ["Arena.pool", "byteLength", LENGTH, ({ arena }, each) => arena.pool(each)],
  ["Arena.profile", "since", [{}, null, 5, "mark"], ({ arena }, each) => arena.profile(each)],
  ["Arena.writer", "byteLength", LENGTH, ({ arena }, each) => arena.writer(each)],
  ["Arena.trace", "level", [{}, null, 5, true], ({ arena }, each) => Object.assign(arena, { trace: each })],
  [
    "Lease.view",
    "View",
    [{}, null, undefined, 5, "Uint8Array", new Uint8Array(1), () => {}, Date, Map, Array, Symbol],
    ({ lease }, each) => lease.view(each),
  ],
  ["Lease.releaseAfter", "promise", [undefined, null, 5, "at once", {}], ({ lease }, each) => lease.releaseAfter(each)],
  ["Lease.resize", "byteLength", [...LENGTH, undefined], ({ lease }, each) => lease.resize(each)],
  ["Scope.acquire", "byteLength", LENGTH, ({ scope }, each) => scope.acquire(each)],
  ["Scope.bytes", "byteLength", LENGTH, ({ scope }, each) => scope.bytes(each)],
  ["Scope.acquireAsync", "byteLengths", SEVERAL, ({ scope }, each) => scope.acquireAsync(each)],
  ["Scope.acquireAsync", "options", OBJECT, ({ scope }, each) => scope.acquireAsync([8], each)],
  ["ByteFiller.put", "source", BYTES, ({ filler }, each) => filler.put(each)],
  ["ByteFiller.put", "from", LENGTH, ({ filler }, each) => filler.put(new Uint8Array(8), each)],
  ...writes("ByteFiller", "filler", INTEGERS),
  ["ByteReader.readBytes", "byteLength", LENGTH, ({ reader }, each) => reader.readBytes(each)],
  ["ByteReader.readString", "byteLength", LENGTH, ({ reader }, each) => reader.readString(each)],
  ["ByteReader.skip", "byteLength", LENGTH, ({ reader }, each) => reader.skip(each)],
  ["ByteReader.seek", "offset", LENGTH, ({ reader }, each) => reader.seek(each)],
  ["ByteWriter.writeBytes", "bytes", BYTES, ({ writer }, each) => writer.writeBytes(each)],
  ...writes("ByteWriter", "writer", [...INTEGERS, "Varint", "Zigzag"]),
  ["ByteWriter.reserve", "byteLength", LENGTH, ({ writer }, each) => writer.reserve(each)],
  ["ByteWriter.set", "bytes", BYTES, ({ writer }, each) => writer.set(each, 0)],
  ["ByteWriter.set", "offset", LENGTH, ({ writer }, each) => writer.set(new Uint8Array(1), each)],
  ...["Uint8", "Uint16", "Uint32", "Uint64"].flatMap((what): Call[] => [
    [`ByteWriter.set${what}`, "offset", LENGTH, ({ writer }, each) => invoke(writer, `set${what}`, each, 1)],
    [`ByteWriter.set${what}`, "value", INTEGER, ({ writer }, each) => invoke(writer, `set${what}`, 0, each)],
  ]),
];

const READS = [...INTEGERS, ...FLOATS, "Varint", "Varint64", "Zigzag", "Zigzag64"];
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
    ...methodsOf("ByteWriter", Object.getPrototypeOf(writer)),
    ...methodsOf("ByteFiller", Object.getPrototypeOf(filler)),
    ...methodsOf("ByteReader", new ByteReader(lease)),
    ...functionsOf("core", core),
  ];
  const known = new Set([...CALLS.map(([name]) => name), ...TAKES_NOTHING, ...TAKES_ANYTHING]);
  expect(found.filter((name) => !known.has(name))).toEqual([]);
  expect([...known].filter((name) => !found.includes(name))).toEqual([]);
});

test.each<[unknown, string]>([
  [2 ** 32, "4294967296"],
  [Number.NEGATIVE_INFINITY, "-Infinity"],
  ["8", '"8"'],
  [8n, "8n"],
  [Symbol("8"), "Symbol(8)"],
  [undefined, "undefined"],
  [[8], "[object Array]"],
  [() => 8, "a function"],
])("an error shows the value that was wrong, and what would do: %s", (value, shown) => {
  using arena = smallArena();
  const wanted = "pass a whole number of bytes from 0 to 4294967295";
  expectThrow(() => arena.acquire(wrong(value)), "ERR_INVALID_ARGUMENT", `byteLength is ${shown};`, wanted);
});

// Once an error in a getter of the caller's left the lease out.
test("a function of the caller's that throws undefined, or whose answer has a then that throws, leaves nothing leased, or the lease to its holder", async () => {
  using arena = smallArena();
  const mine = new Error("mine");
  const fail = (): never => {
    throw mine;
  };
  // biome-ignore lint/suspicious/noThenProperty: what this is about.
  const unreadable = Object.defineProperty({}, "then", { get: fail });
  expect(thrownBy(() => arena.use(5, () => unreadable))).toBe(mine);
  expect(thrownBy(() => arena.acquireFilled(5, () => wrong(unreadable)))).toBe(mine);
  // biome-ignore lint/suspicious/noThenProperty: what this is about.
  expect(await rejectionOf(wrong(arena.acquireFilled(5, () => wrong({ then: fail }))))).toBe(mine);
  const nothing = (): never => {
    throw undefined;
  };
  for (const call of [() => arena.use(5, nothing), () => arena.acquireFilled(5, nothing)]) {
    expect(thrownBy(call)).toBe(undefined);
  }
  arena.assertDrained();
  const lease = arena.acquire(5);
  expect(thrownBy(() => lease.releaseAfter(wrong<PromiseLike<unknown>>(unreadable)))).toBe(mine);
  expect(lease.released).toBe(false);
  let reads = 0;
  const once = {
    // biome-ignore lint/suspicious/noThenProperty: what this is about.
    get then() {
      return reads++ > 0 ? fail() : (resolve: (value: number) => void) => resolve(1);
    },
  };
  await lease.releaseAfter(wrong<PromiseLike<unknown>>(once)).catch(() => {});
  lease[Symbol.dispose]();
  arena.assertDrained();
});
