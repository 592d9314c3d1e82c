/**
 * The reader: what is not there, or not what was asked for, is a typed error that moves nothing.
 * Arguments that are none are test/misuse/nonsense.test.ts's, numbers that are read random.test.ts's.
 */

import { expect, test } from "vitest";
import { ByteReader } from "../../src/bytes/reader.ts";
import { expectBytes, expectThrow, leb128 } from "../helpers.ts";
import { content, detach, FakeSource, KINDS, lying, MAX_INT64, MAX_UINT64 } from "./helpers.ts";

/** Reads of one value each, and how many bytes they take. */
const READS: [read: (reader: ByteReader) => unknown, byteLength: number][] = [
  ...KINDS.map(([kind, width]): [(reader: ByteReader) => unknown, number] => [
    (reader) => reader[`read${kind}`](),
    width,
  ]),
  [(reader) => reader.readBytes(7), 7],
  [(reader) => reader.readString(7), 7],
  [(reader) => reader.skip(20), 20],
];

const VARINTS = ["Varint", "Varint64", "Zigzag", "Zigzag64"] as const;

/** Every way to use a reader of a few bytes. */
function uses(reader: ByteReader): (() => unknown)[] {
  return [
    ...READS.map(
      ([read]) =>
        () =>
          read(reader),
    ),
    ...VARINTS.map((kind) => () => reader[`read${kind}`]()),
    () => reader.readBytes(0),
    () => reader.readString(0),
    () => reader.skip(0),
    () => reader.seek(0),
    () => reader.rest,
    () => reader.byteLength,
  ];
}

test("a reader of a lease throws what the lease throws, and stays where it is", () => {
  const source = new FakeSource();
  const lease = source.acquire(100);
  const readers = [new ByteReader(lease), new ByteReader(source.acquire(100))];
  for (const reader of readers) expect([reader.readUint32(), reader.offset, reader.rest]).toEqual([0, 4, 96]);
  lease.release();
  for (const use of uses(readers[0] as ByteReader)) expectThrow(use, "ERR_LEASE_RELEASED", "already released");
  expectThrow(() => new ByteReader(lease), "ERR_LEASE_RELEASED");
  source.dispose();
  for (const use of uses(readers[1] as ByteReader)) expectThrow(use, "ERR_ARENA_DISPOSED");
  expect(readers.map(({ offset }) => offset)).toEqual([4, 4]);
});

test("a reader goes on in a lease that was resized, and that moved for it", () => {
  const lease = new FakeSource().acquire(8);
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
});

test("a read past the end says where, and how many bytes it wanted and had", () => {
  const reader = new ByteReader(content(20));
  for (const [read, byteLength] of READS) {
    reader.seek(20 - byteLength + 1);
    const { offset, rest } = reader;
    const message = `cannot read ${byteLength} bytes at offset ${offset}: ${rest} are left of 20`;
    expectThrow(() => read(reader), "ERR_OUT_OF_BOUNDS", message);
    expect(reader.offset).toBe(offset);
    reader.seek(20 - byteLength);
    read(reader);
    expect(reader.rest).toBe(0);
  }
  expectThrow(() => reader.seek(21), "ERR_OUT_OF_BOUNDS", "cannot go to offset 21: there are 20 bytes");
  expect(reader.offset).toBe(20);
});

test("a varint that is not all there is out of bounds; one longer than 64 bits is refused, its end there or not", () => {
  for (const value of [128n, 2n ** 32n, MAX_UINT64]) {
    const code = leb128(value);
    for (let length = 0; length < code.length; length++) {
      const reader = new ByteReader(code.subarray(0, length));
      const words = `cannot read ${length + 1} bytes at offset 0: ${length} are left`;
      for (const kind of VARINTS) expectThrow(() => reader[`read${kind}`](), "ERR_OUT_OF_BOUNDS", words);
    }
  }
  for (const [first, ...last] of [
    [0x80, 0x80, 0x01],
    [0x80, 0x80],
    [0xff, 0x02],
    [0x80, 0x7f],
  ] as const) {
    const reader = new ByteReader(Uint8Array.from([...Array(9).fill(first), ...last]));
    for (const kind of VARINTS) expectThrow(() => reader[`read${kind}`](), "ERR_INVALID_ARGUMENT", "at most 64 bits");
    expect(reader.offset).toBe(0);
  }
});

test("a varint may be longer than it has to be, up to 10 bytes", () => {
  for (let length = 1; length <= 10; length++) {
    const code = Uint8Array.from([...Array(length - 1).fill(0x80), 0x00]);
    code[0] = (code[0] as number) | 3;
    const read = VARINTS.map((kind) => new ByteReader(code)[`read${kind}`]());
    expect(read).toEqual([3, 3n, -2, -2n]);
  }
});

test("a varint beyond the safe integers is a bigint's, and says so", () => {
  const most = BigInt(Number.MAX_SAFE_INTEGER);
  const readerOf = (coded: bigint): ByteReader => new ByteReader(leb128(coded));
  expect(readerOf(most).readVarint()).toBe(Number.MAX_SAFE_INTEGER);
  expect(readerOf(2n * most).readZigzag()).toBe(Number.MAX_SAFE_INTEGER);
  expect(readerOf(2n * most - 1n).readZigzag()).toBe(-Number.MAX_SAFE_INTEGER);
  for (const value of [most + 1n, most + 2n, 2n ** 54n, MAX_UINT64]) {
    const reader = readerOf(value);
    expectThrow(() => reader.readVarint(), "ERR_INVALID_ARGUMENT", "at offset 0", "readVarint64");
    expect([reader.offset, reader.readVarint64()]).toEqual([0, value]);
  }
  for (const value of [-most - 1n, most + 1n, -MAX_INT64 - 1n, MAX_INT64]) {
    const reader = readerOf(value < 0n ? -2n * value - 1n : 2n * value);
    expectThrow(() => reader.readZigzag(), "ERR_INVALID_ARGUMENT", "readZigzag64");
    expect([reader.offset, reader.readZigzag64()]).toEqual([0, value]);
  }
});

test("a string keeps its byte order mark, short, long, ASCII or not; invalid UTF-8 is U+FFFD, or fatal", () => {
  for (const text of ["", "a", "\ufeff", "\ufeffa", "é", "x".repeat(12), "x".repeat(13), "größer 🎉".repeat(9), "\0"]) {
    for (const fatal of [true, false]) {
      const reader = new ByteReader(Buffer.from(`<${text}>`));
      reader.skip(1);
      expect(reader.readString(reader.rest - 1, { fatal })).toBe(text);
      expect(reader.readString(1)).toBe(">");
    }
  }
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
    expect([reader.readString(4), reader.readString(16)]).toEqual(["some", " text in a buffe"]);
    reader.seek(2);
    const part = reader.readBytes(3);
    expect([part.buffer, part.byteOffset, part.length]).toEqual([buffer, 7, 3]);
    expect(Object.getPrototypeOf(part)).toBe(Uint8Array.prototype);
  }
});

test("a reader goes by the bytes there are, not by what a subclass says", () => {
  for (const claimed of [0, 3, 1000]) {
    const bytes = lying(content(10), claimed);
    for (const reader of [new ByteReader(bytes), new ByteReader({ bytes })]) {
      expect([reader.byteLength, reader.rest]).toEqual([10, 10]);
      expectBytes(reader.readBytes(10), content(10));
      expectThrow(() => reader.readUint8(), "ERR_OUT_OF_BOUNDS");
    }
  }
});

test("a reader of a view that was detached says so", () => {
  for (const make of [(bytes: Uint8Array) => bytes, (bytes: Uint8Array) => ({ bytes })]) {
    const bytes = content(10);
    const reader = new ByteReader(make(bytes));
    reader.skip(3);
    detach(bytes.buffer);
    for (const use of uses(reader)) expectThrow(use, "ERR_LEASE_DETACHED", "10 bytes", "released or transferred");
    expect(reader.offset).toBe(3);
    expectThrow(() => new ByteReader(make(bytes)), "ERR_INVALID_ARGUMENT", "still attached");
  }
});
