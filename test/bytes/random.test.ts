/**
 * The writer, the filler and the reader against a plain model: random programs of writes and
 * patches, where the model is what DataView, Buffer and BigInt make. After each program the bytes
 * are the model's, taken or not, and nothing is out. So no unzeroed byte was shown. What was
 * written and not patched is read back, and is what a filler is filled with.
 */

import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import { expect, test } from "vitest";
import type { ByteFiller } from "../../src/bytes/filler.ts";
import { ByteReader } from "../../src/bytes/reader.ts";
import type { ByteWriter } from "../../src/bytes/writer.ts";
import { expectBytes, leb128 } from "../helpers.ts";
import { runPrograms } from "../seeded.ts";
import { FakeSource, type FLOATS, INTEGERS, MAX_INT64, MAX_UINT64, WIDE } from "./helpers.ts";

interface Item {
  write(to: ByteWriter | ByteFiller): unknown;
  read(from: ByteReader): unknown;
  /** What is read. */
  readonly value: unknown;
  /** What is written. */
  readonly code: Buffer;
}
/** Changes what was written, and says what the bytes are then. */
type Edit = (writer: ByteWriter, model: Buffer) => Buffer;

/** What `DataView` makes of it. */
function viewed(byteLength: number, set: (view: DataView) => void): Buffer {
  const bytes = Buffer.alloc(byteLength);
  set(new DataView(bytes.buffer, bytes.byteOffset, byteLength));
  return bytes;
}

/** The same number as a bigint or, where it is one exactly, as a number. */
function eitherForm(value: bigint): number | bigint {
  return value % 2n === 0n && Number.isSafeInteger(Number(value)) ? Number(value) : value;
}

const littleEndian = fc.boolean();

function narrow(
  kind: keyof typeof INTEGERS | keyof typeof FLOATS,
  width: number,
  values: fc.Arbitrary<number>,
): fc.Arbitrary<Item> {
  return fc.tuple(values, littleEndian).map(([value, isLittle]) => ({
    write: (to) => to[`write${kind}`](value, isLittle),
    read: (from) => from[`read${kind}`](isLittle),
    value,
    code: viewed(width, (view) => view[`set${kind}`](0, value, isLittle)),
  }));
}

function wide(kind: keyof typeof WIDE, [, min, max]: readonly [number, bigint, bigint]): fc.Arbitrary<Item> {
  return fc.tuple(fc.bigInt({ min, max }), littleEndian).map(([value, isLittle]) => ({
    write: (to) => to[`write${kind}`](eitherForm(value), isLittle),
    read: (from) => from[`read${kind}`](isLittle),
    value,
    code: viewed(8, (view) => view[`setBig${kind}`](0, value, isLittle)),
  }));
}

/** A varint is read as a number where it is a safe one. */
function varint(kind: "Varint" | "Zigzag", min: bigint, max: bigint): fc.Arbitrary<Item> {
  const values = fc.oneof(fc.bigInt({ min, max }), fc.bigInt({ min: min < 0n ? -70_000n : 0n, max: 70_000n }));
  return values.map((value) => {
    const code = leb128(kind === "Varint" ? value : value < 0n ? -2n * value - 1n : 2n * value);
    const isSafe = Number.isSafeInteger(Number(value));
    return {
      write: (to) => expect("put" in to ? to.put(code) : to[`write${kind}`](eitherForm(value))).toBe(code.length),
      read: (from) => (isSafe ? from[`read${kind}`]() : from[`read${kind}64`]()),
      value: isSafe ? Number(value) : value,
      code,
    };
  });
}

const texts = fc.oneof(
  { weight: 8, arbitrary: fc.string({ unit: "grapheme-ascii", maxLength: 60 }) },
  { weight: 4, arbitrary: fc.string({ unit: "binary", maxLength: 300 }) },
  // Halves of pairs as well, alone or not.
  { weight: 3, arbitrary: fc.string({ unit: fc.constantFrom("\ud83d", "\ude00", "é", "€", "x"), maxLength: 200 }) },
  { weight: 1, arbitrary: fc.nat({ max: 30_000 }).map((length) => "€".repeat(length)) },
);
const text: fc.Arbitrary<Item> = texts.map((value) => {
  const code = Buffer.from(value);
  return {
    write: (to) => expect(to.writeString(value)).toBe(code.length),
    read: (from) => from.readString(code.length, { fatal: true }),
    value: code.toString(),
    code,
  };
});

const chunks = fc.oneof(
  { weight: 6, arbitrary: fc.uint8Array({ maxLength: 200 }) },
  { weight: 1, arbitrary: fc.nat({ max: 40_000 }).map((length) => new Uint8Array(length).fill(0xa5)) },
);
const chunk: fc.Arbitrary<Item> = chunks.map((value) => ({
  write: (to) => ("put" in to ? expect(to.put(value)).toBe(value.length) : to.writeBytes(value)),
  read: (from) => Uint8Array.from(from.readBytes(value.length)),
  value,
  code: Buffer.from(value),
}));

const items: fc.Arbitrary<Item> = fc.oneof(
  ...Object.entries(INTEGERS).map(([kind, [width, min, max]]) =>
    narrow(kind as keyof typeof INTEGERS, width, fc.integer({ min, max })),
  ),
  narrow("Float32", 4, fc.float()),
  narrow("Float64", 8, fc.double()),
  wide("Uint64", WIDE.Uint64),
  wide("Int64", WIDE.Int64),
  varint("Varint", 0n, MAX_UINT64),
  varint("Zigzag", -MAX_INT64 - 1n, MAX_INT64),
  { weight: 5, arbitrary: text },
  { weight: 4, arbitrary: chunk },
);

const widths = fc.constantFrom(1, 2, 4, 8);
const numberSet = fc.tuple(fc.nat(), fc.bigInt({ min: 0n, max: MAX_UINT64 }), widths, littleEndian).map(patch);
const bytesSet = fc.tuple(fc.nat(), chunks).map(([pick, bytes]): Edit => {
  return (writer, model) => {
    if (bytes.length > model.length) return model;
    const offset = pick % (model.length - bytes.length + 1);
    writer.set(bytes, offset);
    model.set(bytes, offset);
    return model;
  };
});
const reserved = fc.nat({ max: 500 }).map((byteLength): Edit => {
  return (writer, model) => {
    expect(writer.reserve(byteLength)).toBe(model.length);
    return Buffer.concat([model, Buffer.alloc(byteLength)]);
  };
});
const repeated = fc.constant<Edit>((writer, model) => {
  if (model.length > 20_000) return model;
  writer.writeBytes(writer.bytes);
  writer.writeBytes(writer.bytes.subarray(model.length));
  return Buffer.concat([model, model, model]);
});
const reset = fc.constant<Edit>((writer) => {
  writer.reset();
  return Buffer.alloc(0);
});

const edits: fc.Arbitrary<Edit> = fc.oneof(
  { weight: 4, arbitrary: numberSet },
  { weight: 2, arbitrary: reserved },
  bytesSet,
  repeated,
  reset,
);

function patch([pick, value, width, isLittle]: [number, bigint, number, boolean]): Edit {
  return (writer, model) => {
    if (width > model.length) return model;
    const offset = pick % (model.length - width + 1);
    const view = new DataView(model.buffer, model.byteOffset, model.length);
    if (width === 8) {
      writer.setUint64(offset, eitherForm(value), isLittle);
      view.setBigUint64(offset, value, isLittle);
    } else {
      const kind = `setUint${width * 8}` as "setUint8" | "setUint16" | "setUint32";
      const short = Number(BigInt.asUintN(width * 8, value));
      writer[kind](offset, short, isLittle);
      view[kind](offset, short, isLittle);
    }
    return model;
  };
}

test("a writer writes what DataView and Buffer write, and that is read back and filled in", async () => {
  const source = new FakeSource();
  let round = 0;
  const operation = fc.oneof({ weight: 10, arbitrary: items }, { weight: 4, arbitrary: edits });
  await runPrograms<Item | Edit>("writer", operation, (program) => {
    const isPlain = round++ % 2 === 0;
    const done: Item[] = [];
    using writer = source.writer(round % 3 === 0 ? undefined : round % 200);
    let model: Buffer = Buffer.alloc(0);
    for (const each of program) {
      if (typeof each !== "function") {
        each.write(writer);
        done.push(each);
        model = Buffer.concat([model, each.code]);
      } else if (!isPlain) {
        model = each(writer, model);
      }
      expect(writer.byteLength).toBe(model.length);
    }
    expectBytes(writer.bytes, model);
    if (isPlain) {
      for (const each of [writer, new DataView(Uint8Array.from(model).buffer)]) expectRead(each, done);
      expectFilled(source.filler(model.length), done, model);
    } else {
      expectTaken(writer, model);
    }
    writer[Symbol.dispose]();
    expect(source.liveLeases).toBe(0);
  });
});

function expectRead(source: ConstructorParameters<typeof ByteReader>[0], done: readonly Item[]): void {
  const reader = new ByteReader(source);
  for (const { read, value } of done) {
    const got = read(reader);
    // `toEqual` looks at each byte, and is asked only for the words when they differ.
    if (!isDeepStrictEqual(got, value)) expect(got).toEqual(value);
  }
  expect([reader.rest, reader.offset]).toEqual([0, reader.byteLength]);
}

function expectFilled(filler: ByteFiller, done: readonly Item[], model: Buffer): void {
  for (const each of done) each.write(filler);
  expect([filler.written, filler.rest, filler.full]).toEqual([model.length, 0, true]);
  const lease = filler.take();
  expectBytes(lease.bytes, model);
  lease.release();
}

function expectTaken(writer: ByteWriter, model: Buffer): void {
  const lease = writer.take();
  expectBytes(lease.bytes, model);
  // What `resize` adds is zero, whatever the writer's block had there.
  lease.resize(model.length + 100);
  expectBytes(lease.bytes, Buffer.concat([model, Buffer.alloc(100)]));
  lease.release();
}
