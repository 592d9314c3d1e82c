/** The reader: what the writer writes is read back, and what is not there is a typed error. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ByteReader } from "../../src/bytes/reader.ts";
import type { ByteWriter } from "../../src/bytes/writer.ts";
import { operations, seed } from "../seeded.ts";
import { content, detach, expectBytes, expectThrow, FakeSource, leb128, lying, SOURCES, wrong } from "./fake-source.ts";

/** Something written, how it is read back, and what that must be. */
interface Item {
  write(writer: ByteWriter): void;
  read(reader: ByteReader): unknown;
  readonly value: unknown;
}

type Narrow = "Uint8" | "Int8" | "Uint16" | "Int16" | "Uint32" | "Int32" | "Float32" | "Float64";

function narrow(kind: Narrow, value: fc.Arbitrary<number>): fc.Arbitrary<Item> {
  return fc.tuple(value, fc.constantFrom(undefined, false, true)).map(([each, littleEndian]) => ({
    write: (writer) => writer[`write${kind}`](each, littleEndian),
    read: (reader) => reader[`read${kind}`](littleEndian),
    value: each,
  }));
}

function integers(kind: Narrow, min: number, max: number): fc.Arbitrary<Item> {
  return narrow(kind, fc.integer({ min, max }));
}

const unsigned64 = fc.oneof(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.bigInt({ min: 0n, max: 70_000n }));
const signed64 = unsigned64.map((value) => BigInt.asIntN(64, value));
const safe = fc.maxSafeInteger();

const item: fc.Arbitrary<Item> = fc.oneof(
  integers("Uint8", 0, 0xff),
  integers("Int8", -0x80, 0x7f),
  integers("Uint16", 0, 0xffff),
  integers("Int16", -0x8000, 0x7fff),
  integers("Uint32", 0, 0xffffffff),
  integers("Int32", -0x80000000, 0x7fffffff),
  narrow("Float32", fc.float()),
  narrow("Float64", fc.double()),
  fc.tuple(unsigned64, fc.boolean()).map(([value, littleEndian]) => ({
    write: (writer: ByteWriter) => writer.writeUint64(value, littleEndian),
    read: (reader: ByteReader) => reader.readUint64(littleEndian),
    value,
  })),
  fc.tuple(signed64, fc.boolean()).map(([value, littleEndian]) => ({
    write: (writer: ByteWriter) => writer.writeInt64(value, littleEndian),
    read: (reader: ByteReader) => reader.readInt64(littleEndian),
    value,
  })),
  unsigned64.map((value) => ({
    write: (writer: ByteWriter) => void writer.writeVarint(value),
    read: (reader: ByteReader) => reader.readVarint64(),
    value,
  })),
  signed64.map((value) => ({
    write: (writer: ByteWriter) => void writer.writeZigzag(value),
    read: (reader: ByteReader) => reader.readZigzag64(),
    value,
  })),
  safe.map((value) => ({
    write: (writer: ByteWriter) => void writer.writeVarint(Math.abs(value)),
    read: (reader: ByteReader) => reader.readVarint(),
    value: Math.abs(value),
  })),
  safe.map((value) => ({
    write: (writer: ByteWriter) => void writer.writeZigzag(value),
    read: (reader: ByteReader) => reader.readZigzag(),
    value,
  })),
  fc.oneof(fc.string({ unit: "binary", maxLength: 100 }), fc.string({ maxLength: 30 })).map((text) => ({
    write: (writer: ByteWriter) => {
      writer.writeVarint(Buffer.byteLength(text));
      writer.writeString(text);
    },
    read: (reader: ByteReader) => reader.readString(reader.readVarint(), { fatal: true }),
    value: text,
  })),
  fc.uint8Array({ maxLength: 100 }).map((bytes) => ({
    write: (writer: ByteWriter) => {
      writer.writeVarint(bytes.length);
      writer.writeBytes(bytes);
    },
    read: (reader: ByteReader) => Uint8Array.from(reader.readBytes(reader.readVarint())),
    value: bytes,
  })),
);

describe.each(Object.keys(SOURCES))("with %s, a reader", (name) => {
  const open = SOURCES[name] as (typeof SOURCES)[string];

  test("reads back whatever a writer wrote", () => {
    const doors = open();
    const property = fc.property(fc.array(item, { maxLength: 60 }), (items) => {
      const writer = doors.writer(64);
      for (const each of items) each.write(writer);
      const readAll = (reader: ByteReader): void => {
        for (const each of items) expect(each.read(reader)).toEqual(each.value);
        expect([reader.rest, reader.offset]).toEqual([0, writer.byteLength]);
      };
      readAll(new ByteReader(writer));
      readAll(new ByteReader(new DataView(Uint8Array.from(writer.bytes).buffer)));
      const lease = writer.take();
      readAll(new ByteReader(lease));
      readAll(new ByteReader(lease.bytes));
      lease.release();
    });
    fc.assert(property, { seed, numRuns: Math.ceil(operations / 60) });
    expect(doors.liveLeases).toBe(0);
  });

  test("throws what the lease throws once it was released, and stays where it is", () => {
    const doors = open();
    const lease = doors.acquire(100);
    const reader = new ByteReader(lease);
    expect([reader.readUint32(), reader.offset, reader.rest]).toEqual([0, 4, 96]);
    lease.release();
    for (const use of uses(reader)) expectThrow(use, "ERR_LEASE_RELEASED", "already released");
    expect(reader.offset).toBe(4);
    expectThrow(() => new ByteReader(lease), "ERR_LEASE_RELEASED");
  });

  test("goes on in a lease that was resized, and that moved for it", () => {
    const doors = open();
    const lease = doors.acquire(8);
    lease.bytes.set(content(8));
    const reader = new ByteReader(lease);
    reader.skip(7);
    lease.resize(100_000);
    expect([reader.readUint8(), reader.rest, reader.readUint16()]).toEqual([content(8)[7], 99_992, 0]);
    lease.resize(4);
    expect([reader.offset, reader.rest, reader.byteLength]).toEqual([10, 0, 4]);
    expectThrow(() => reader.readUint8(), "ERR_OUT_OF_BOUNDS", "1 bytes at offset 10: 0 are left of 4");
    reader.seek(3);
    expect(reader.readUint8()).toBe(content(8)[3]);
    lease.release();
  });
});

test("a read past the end says where, and how many bytes it wanted and had", () => {
  const reader = new ByteReader(content(20));
  reader.seek(20);
  for (const [use, byteLength] of reads()) {
    reader.seek(20 - byteLength + 1);
    const { offset, rest } = reader;
    const message = `cannot read ${byteLength} bytes at offset ${offset}: ${rest} are left of 20`;
    expectThrow(() => use(reader), "ERR_OUT_OF_BOUNDS", message);
    expect(reader.offset).toBe(offset);
    reader.seek(20 - byteLength);
    use(reader);
    expect(reader.rest).toBe(0);
  }
  expectThrow(() => reader.seek(21), "ERR_OUT_OF_BOUNDS", "cannot go to offset 21: there are 20 bytes");
  expect(reader.offset).toBe(20);
});

test("a varint that is not all there yet is read once it is", () => {
  for (const value of [128n, 2n ** 32n, 2n ** 64n - 1n]) {
    const code = leb128(value);
    for (let length = 0; length < code.length; length++) {
      const reader = new ByteReader(code.subarray(0, length));
      for (const read of varintReads(reader)) {
        expectThrow(read, "ERR_OUT_OF_BOUNDS", `cannot read ${length + 1} bytes at offset 0: ${length} are left`);
      }
      expect(reader.offset).toBe(0);
    }
    expect(new ByteReader(code).readVarint64()).toBe(value);
  }
});

test("a varint longer than 64 bits is refused, whether its end is there or not", () => {
  const long = [...Array(10).fill(0x80), 0x01];
  const overflow = [...Array(9).fill(0xff), 0x02];
  for (const code of [long, long.slice(0, 10), overflow, [...Array(9).fill(0x80), 0x7f]]) {
    const reader = new ByteReader(Uint8Array.from(code));
    for (const read of varintReads(reader)) expectThrow(read, "ERR_INVALID_ARGUMENT", "at most 64 bits");
    expect(reader.offset).toBe(0);
  }
});

test("a varint may be longer than it has to be, up to 10 bytes", () => {
  for (let length = 1; length <= 10; length++) {
    const code = Uint8Array.from([...Array(length - 1).fill(0x80), 0x00]);
    code[0] = (code[0] as number) | 3;
    const reader = new ByteReader(code);
    for (const [read, value] of [
      [() => reader.readVarint(), 3],
      [() => reader.readVarint64(), 3n],
      [() => reader.readZigzag(), -2],
      [() => reader.readZigzag64(), -2n],
    ] as const) {
      reader.seek(0);
      expect([read(), reader.rest]).toEqual([value, 0]);
    }
  }
});

test("a varint beyond the safe integers is a bigint's, and says so", () => {
  const readers = (coded: bigint): ByteReader => new ByteReader(leb128(coded));
  const most = BigInt(Number.MAX_SAFE_INTEGER);
  expect(readers(most).readVarint()).toBe(Number.MAX_SAFE_INTEGER);
  for (const value of [most + 1n, most + 2n, 2n ** 54n, 2n ** 64n - 1n]) {
    const reader = readers(value);
    expectThrow(() => reader.readVarint(), "ERR_INVALID_ARGUMENT", "at offset 0", "readVarint64");
    expect([reader.offset, reader.readVarint64()]).toEqual([0, value]);
  }
  expect(readers(2n * most).readZigzag()).toBe(Number.MAX_SAFE_INTEGER);
  expect(readers(2n * most - 1n).readZigzag()).toBe(-Number.MAX_SAFE_INTEGER);
  for (const [coded, value] of [
    [2n * most + 1n, -most - 1n],
    [2n * most + 2n, most + 1n],
    [2n ** 64n - 1n, -(2n ** 63n)],
    [2n ** 64n - 2n, 2n ** 63n - 1n],
  ] as const) {
    const reader = readers(coded);
    expectThrow(() => reader.readZigzag(), "ERR_INVALID_ARGUMENT", "readZigzag64");
    expect([reader.offset, reader.readZigzag64()]).toEqual([0, value]);
  }
});

test("a string keeps its byte order mark, and is short, long, ASCII or not", () => {
  for (const text of ["", "a", "\ufeff", "\ufeffa", "é", "x".repeat(12), "x".repeat(13), "größer 🎉".repeat(9), "\0"]) {
    const bytes = Buffer.from(`<${text}>`);
    const reader = new ByteReader(bytes);
    expect(reader.readString(1)).toBe("<");
    expect(reader.readString(bytes.length - 2)).toBe(text);
    expect(reader.readString(1, { fatal: true })).toBe(">");
  }
});

test("invalid UTF-8 is U+FFFD, and with fatal a typed error that moves nothing", () => {
  for (const bytes of [[0xff], [0x61, 0xc3], [...Buffer.from("long enough for the decoder"), 0x80]]) {
    const reader = new ByteReader(Uint8Array.from(bytes));
    expectThrow(() => reader.readString(bytes.length, { fatal: true }), "ERR_INVALID_ARGUMENT", "at offset 0", "UTF-8");
    expect(reader.offset).toBe(0);
    expect(reader.readString(bytes.length)).toBe(Buffer.from(bytes).toString());
  }
});

test("a reader gives bytes without a copy, of views into shared memory too", () => {
  for (const buffer of [new ArrayBuffer(30), new SharedArrayBuffer(30)]) {
    const bytes = new Uint8Array(buffer, 5, 20);
    bytes.set(Buffer.from("some text in a buffe"));
    const reader = new ByteReader(bytes);
    expect(reader.readString(4)).toBe("some");
    expect(reader.readString(16)).toBe(" text in a buffe");
    reader.seek(2);
    const part = reader.readBytes(3);
    expect([part.buffer, part.byteOffset, part.length]).toEqual([buffer, 7, 3]);
    expect(Object.getPrototypeOf(part)).toBe(Uint8Array.prototype);
  }
});

test("a reader goes by the bytes there are, not by what a subclass says", () => {
  for (const claimed of [0, 3, 1000]) {
    const reader = new ByteReader(lying(content(10), claimed));
    expect([reader.byteLength, reader.rest]).toEqual([10, 10]);
    expectBytes(reader.readBytes(10), content(10));
    expectThrow(() => reader.readUint8(), "ERR_OUT_OF_BOUNDS");
    const lender = new ByteReader({ bytes: lying(content(10), claimed) });
    expectBytes(lender.readBytes(10), content(10));
  }
});

test("a reader of a view that was detached says so", () => {
  for (const make of [(bytes: Uint8Array) => bytes, (bytes: Uint8Array) => ({ bytes })]) {
    const bytes = Uint8Array.from(content(10));
    const reader = new ByteReader(make(bytes));
    reader.skip(3);
    detach(bytes.buffer);
    for (const use of uses(reader)) expectThrow(use, "ERR_LEASE_DETACHED", "10 bytes", "released or transferred");
    expect(reader.offset).toBe(3);
    expectThrow(() => new ByteReader(make(bytes)), "ERR_INVALID_ARGUMENT", "still attached");
  }
});

test("a reader of a disposed arena's lease says that the arena was disposed", () => {
  const source = new FakeSource();
  const lease = source.acquire(8);
  const reader = new ByteReader(lease);
  source.dispose();
  for (const use of uses(reader)) expectThrow(use, "ERR_ARENA_DISPOSED");
});

test("a reader refuses what has no bytes, and lengths that are none", () => {
  const lenders = [
    {},
    { bytes: [1] },
    { bytes: "text" },
    { bytes: new ArrayBuffer(8) },
    { bytes: new DataView(new ArrayBuffer(8)) },
  ];
  for (const source of [undefined, null, 5, "text", () => {}, [1], new ArrayBuffer(8), ...lenders]) {
    expectThrow(() => new ByteReader(wrong(source)), "ERR_INVALID_ARGUMENT", "source is");
  }
  const reader = new ByteReader(content(10));
  for (const value of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, "1", null, undefined, 1n]) {
    expectThrow(() => reader.readBytes(wrong(value)), "ERR_INVALID_ARGUMENT", "byteLength is");
    expectThrow(() => reader.readString(wrong(value)), "ERR_INVALID_ARGUMENT", "byteLength is");
    expectThrow(() => reader.skip(wrong(value)), "ERR_INVALID_ARGUMENT", "byteLength is");
    expectThrow(() => reader.seek(wrong(value)), "ERR_INVALID_ARGUMENT", "offset is");
  }
  expect(reader.offset).toBe(0);
});

function varintReads(reader: ByteReader): (() => unknown)[] {
  return [
    () => reader.readVarint(),
    () => reader.readVarint64(),
    () => reader.readZigzag(),
    () => reader.readZigzag64(),
  ];
}

/** Reads of one value each, and how many bytes they take. */
function reads(): [read: (reader: ByteReader) => unknown, byteLength: number][] {
  return [
    [(reader) => reader.readUint8(), 1],
    [(reader) => reader.readInt8(), 1],
    [(reader) => reader.readUint16(), 2],
    [(reader) => reader.readInt16(), 2],
    [(reader) => reader.readUint32(), 4],
    [(reader) => reader.readInt32(), 4],
    [(reader) => reader.readUint64(), 8],
    [(reader) => reader.readInt64(), 8],
    [(reader) => reader.readFloat32(), 4],
    [(reader) => reader.readFloat64(), 8],
    [(reader) => reader.readVarint(), 1],
    [(reader) => reader.readZigzag64(), 1],
    [(reader) => reader.readBytes(7), 7],
    [(reader) => reader.readString(7), 7],
    [(reader) => reader.skip(20), 20],
  ];
}

/** Every way to use a reader of a few bytes. */
function uses(reader: ByteReader): (() => unknown)[] {
  return [
    ...reads().map(
      ([read]) =>
        () =>
          read(reader),
    ),
    ...varintReads(reader),
    () => reader.readBytes(0),
    () => reader.readString(0),
    () => reader.skip(0),
    () => reader.seek(0),
    () => reader.rest,
    () => reader.byteLength,
  ];
}
