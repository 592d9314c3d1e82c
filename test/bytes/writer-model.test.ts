/**
 * The writer against a plain model: random programs of writes and patches, where the
 * model is what DataView, Buffer and BigInt made. After each program the bytes are the
 * model's, taken or not, and nothing is out. So no unzeroed byte was shown. What random
 * programs do not reach is writer.test.ts.
 */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ByteWriter } from "../../src/bytes/writer.ts";
import { runPrograms } from "../seeded.ts";
import { expectBytes, leb128, SOURCES } from "./fake-source.ts";

type NumberKind = "Uint8" | "Int8" | "Uint16" | "Int16" | "Uint32" | "Int32" | "Float32" | "Float64";

const WIDTHS: Record<NumberKind, number> = {
  Uint8: 1,
  Int8: 1,
  Uint16: 2,
  Int16: 2,
  Uint32: 4,
  Int32: 4,
  Float32: 4,
  Float64: 8,
};

type Op =
  | { do: "number"; kind: NumberKind; value: number; littleEndian: boolean }
  | { do: "wide"; kind: "Uint64" | "Int64"; value: bigint; littleEndian: boolean }
  | { do: "varint"; kind: "Varint" | "Zigzag"; value: bigint }
  | { do: "string"; text: string }
  | { do: "bytes"; bytes: Uint8Array }
  | { do: "itself" }
  | { do: "reserve"; byteLength: number }
  | { do: "patch"; pick: number; value: bigint; width: 1 | 2 | 4 | 8; littleEndian: boolean }
  | { do: "patchBytes"; pick: number; bytes: Uint8Array }
  | { do: "reset" };

const littleEndian = fc.boolean();

function numbers(kind: NumberKind): fc.Arbitrary<Op> {
  const bits = WIDTHS[kind] * 8;
  const value = kind.startsWith("Float")
    ? fc.double()
    : kind.startsWith("U")
      ? fc.integer({ min: 0, max: 2 ** bits - 1 })
      : fc.integer({ min: -(2 ** (bits - 1)), max: 2 ** (bits - 1) - 1 });
  return fc.record({ do: fc.constant("number" as const), kind: fc.constant(kind), value, littleEndian });
}

const unsigned64 = fc.oneof(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.bigInt({ min: 0n, max: 70_000n }));
const signed64 = unsigned64.map((value) => BigInt.asIntN(64, value));
const unit = fc.oneof(
  { weight: 8, arbitrary: fc.string({ unit: "grapheme-ascii", maxLength: 60 }) },
  { weight: 4, arbitrary: fc.string({ unit: "binary", maxLength: 300 }) },
  // Halves of pairs as well, alone or not.
  { weight: 3, arbitrary: fc.string({ unit: fc.constantFrom("\ud83d", "\ude00", "é", "€", "x"), maxLength: 200 }) },
  { weight: 1, arbitrary: fc.nat({ max: 30_000 }).map((length) => "€".repeat(length)) },
);
const chunk = fc.oneof(
  { weight: 6, arbitrary: fc.uint8Array({ maxLength: 200 }) },
  { weight: 1, arbitrary: fc.nat({ max: 40_000 }).map((length) => new Uint8Array(length).fill(0xa5)) },
);

const operation: fc.Arbitrary<Op> = fc.oneof(
  ...(Object.keys(WIDTHS) as NumberKind[]).map((kind) => ({ weight: 1, arbitrary: numbers(kind) })),
  {
    weight: 2,
    arbitrary: fc.oneof(
      fc.record({
        do: fc.constant("wide" as const),
        kind: fc.constant("Uint64" as const),
        value: unsigned64,
        littleEndian,
      }),
      fc.record({
        do: fc.constant("wide" as const),
        kind: fc.constant("Int64" as const),
        value: signed64,
        littleEndian,
      }),
    ),
  },
  {
    weight: 2,
    arbitrary: fc.oneof(
      fc.record({ do: fc.constant("varint" as const), kind: fc.constant("Varint" as const), value: unsigned64 }),
      fc.record({ do: fc.constant("varint" as const), kind: fc.constant("Zigzag" as const), value: signed64 }),
    ),
  },
  { weight: 5, arbitrary: fc.record({ do: fc.constant("string" as const), text: unit }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("bytes" as const), bytes: chunk }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("itself" as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("reserve" as const), byteLength: fc.nat({ max: 500 }) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("patch" as const),
      pick: fc.nat(),
      value: unsigned64,
      width: fc.constantFrom(1 as const, 2, 4, 8),
      littleEndian,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("patchBytes" as const), pick: fc.nat(), bytes: chunk }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("reset" as const) }) },
);

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

/** Does `op` with the writer and gives what the model's bytes are after it. */
function step(writer: ByteWriter, model: Buffer, op: Op): Buffer {
  switch (op.do) {
    case "number": {
      writer[`write${op.kind}`](op.value, op.littleEndian);
      const bytes = viewed(WIDTHS[op.kind], (view) => view[`set${op.kind}`](0, op.value, op.littleEndian));
      return Buffer.concat([model, bytes]);
    }
    case "wide": {
      writer[`write${op.kind}`](eitherForm(op.value), op.littleEndian);
      const bytes = viewed(8, (view) => view[`setBig${op.kind}`](0, op.value, op.littleEndian));
      return Buffer.concat([model, bytes]);
    }
    case "varint": {
      const coded = op.kind === "Varint" ? op.value : op.value < 0n ? -2n * op.value - 1n : 2n * op.value;
      const bytes = leb128(coded);
      expect(writer[`write${op.kind}`](eitherForm(op.value))).toBe(bytes.length);
      return Buffer.concat([model, bytes]);
    }
    case "string": {
      const bytes = Buffer.from(op.text);
      expect(writer.writeString(op.text)).toBe(bytes.length);
      return Buffer.concat([model, bytes]);
    }
    case "bytes":
      writer.writeBytes(op.bytes);
      return Buffer.concat([model, op.bytes]);
    case "itself":
      if (model.length > 20_000) return model;
      writer.writeBytes(writer.bytes);
      return Buffer.concat([model, model]);
    case "reserve":
      expect(writer.reserve(op.byteLength)).toBe(model.length);
      return Buffer.concat([model, Buffer.alloc(op.byteLength)]);
    case "patch":
      return patch(writer, model, op);
    case "patchBytes": {
      if (op.bytes.length > model.length) return model;
      const offset = op.pick % (model.length - op.bytes.length + 1);
      writer.set(op.bytes, offset);
      model.set(op.bytes, offset);
      return model;
    }
    case "reset":
      writer.reset();
      return Buffer.alloc(0);
  }
}

function patch(writer: ByteWriter, model: Buffer, op: Extract<Op, { do: "patch" }>): Buffer {
  const value = BigInt.asUintN(op.width * 8, op.value);
  if (op.width > model.length) return model;
  const offset = op.pick % (model.length - op.width + 1);
  const view = new DataView(model.buffer, model.byteOffset, model.length);
  if (op.width === 8) {
    writer.setUint64(offset, eitherForm(value), op.littleEndian);
    view.setBigUint64(offset, value, op.littleEndian);
  } else {
    const kind = `setUint${op.width * 8}` as "setUint8" | "setUint16" | "setUint32";
    writer[kind](offset, Number(value), op.littleEndian);
    view[kind](offset, Number(value), op.littleEndian);
  }
  return model;
}

describe.each(Object.keys(SOURCES))("with %s, a writer", (name) => {
  test("writes what DataView and Buffer write, in random programs", async () => {
    const doors = (SOURCES[name] as (typeof SOURCES)[string])();
    let round = 0;
    await runPrograms(`writer, ${name}`, operation, (operations) => {
      const writer = doors.writer(round++ % 3 === 0 ? undefined : round % 200);
      try {
        let model: Buffer = Buffer.alloc(0);
        for (const op of operations) {
          model = step(writer, model, op);
          expect(writer.byteLength).toBe(model.length);
        }
        expectBytes(writer.bytes, model);
        if (round % 2 === 0) expectTaken(writer, model);
      } finally {
        writer[Symbol.dispose]();
      }
      expect(doors.liveLeases).toBe(0);
    });
  });
});

function expectTaken(writer: ByteWriter, model: Buffer): void {
  const lease = writer.take();
  expect(lease.byteLength).toBe(model.length);
  expectBytes(lease.bytes, model);
  lease.resize(model.length + 100);
  expectBytes(lease.bytes, Buffer.concat([model, Buffer.alloc(100)]));
  lease.release();
}
