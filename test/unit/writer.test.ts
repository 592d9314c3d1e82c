/**
 * The writer against a plain model: random programs of writes and patches, where
 * the model is an array of chunks that DataView, Buffer and BigInt made. After
 * each program the bytes are the model's, taken or not; what the writer returned
 * is wiped; and nothing is out. Then what random programs do not reach: no room,
 * misuse, and a block that goes away underneath.
 */

import type { Arena, ArenaOptions, ByteWriter } from "cleanslab";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  exhaust,
  expectSound,
  expectThrow,
  expectUnharmed,
  growUnder,
  isZero,
  MODES,
  memoryNow,
  releaseAll,
  SEGMENT_BYTES,
  SEGMENT_MEMORY_BYTES,
  smallArena,
  wrong,
} from "../helpers.ts";
import { runPrograms } from "../seeded.ts";

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

function leb128(value: bigint): Buffer {
  const bytes: number[] = [];
  let rest = value;
  do {
    bytes.push(Number(rest % 128n) + (rest >= 128n ? 128 : 0));
    rest /= 128n;
  } while (rest > 0n);
  return Buffer.from(bytes);
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

function expectBytes(bytes: Uint8Array, model: Uint8Array): void {
  expect(Buffer.compare(bytes, model), `${bytes.length} bytes, and ${model.length} in the model`).toBe(0);
}

const KINDS: Record<string, ArenaOptions> = {
  plain: {},
  guarded: { guardEvery: 3 },
  traced: { trace: "all" },
};

describe.each(MODES)("revoke: %s, a writer", (revoke) => {
  test.each(Object.keys(KINDS))("writes what DataView and Buffer write, in random programs, %s", async (kind) => {
    const arena = smallArena({ revoke, ...KINDS[kind] }, 16);
    let round = 0;
    await runPrograms(`writer, ${revoke}, ${kind}`, operation, (operations) => {
      const writer = arena.writer(round++ % 3 === 0 ? undefined : round % 200);
      try {
        let model: Buffer = Buffer.alloc(0);
        for (const op of operations) {
          model = step(writer, model, op);
          expect(writer.byteLength).toBe(model.length);
        }
        expectBytes(writer.bytes, model);
        if (round % 2 === 0) expectTaken(arena, writer, model);
      } finally {
        writer[Symbol.dispose]();
      }
      arena.assertDrained();
    });
    expectSound(arena);
    arena[Symbol.dispose]();
  });

  test("gives a lease of exactly what was written, which pins, copies and releases as any", async () => {
    using arena = smallArena({ revoke });
    const writer = arena.writer(100);
    writer.writeString("exactly");
    const lease = writer.take();
    expect([writer.released, lease.byteLength, lease.bytes.length]).toEqual([true, 7, 7]);
    expect(arena.stats()).toMatchObject({ liveLeases: 1, liveBytes: 100 });
    expect(Buffer.from(lease.copy()).toString()).toBe("exactly");
    expect(lease.view(DataView).byteLength).toBe(7);
    expectThrow(() => lease.release({ written: 8 }), "ERR_INVALID_ARGUMENT", "from 0 to 7");
    const view = lease.bytes;
    await lease.releaseAfter(Promise.resolve());
    expect(view.length === 0 || isZero(view)).toBe(true);
    arena.assertDrained();
    expectSound(arena);
  });

  test("wipes each block that it leaves behind, and the one it ends with", () => {
    using arena = smallArena({ revoke });
    const writer = arena.writer(64);
    const left: Uint8Array[] = [];
    for (let round = 0; round < 10; round++) {
      left.push(writer.bytes);
      writer.writeBytes(new Uint8Array(64 << round).fill(7));
    }
    const last = writer.bytes;
    // The first was empty; the last is still the writer's.
    for (const view of left.slice(0, -1)) expect(view.length === 0 || isZero(view)).toBe(true);
    writer.release();
    expect(last.length === 0 || isZero(last)).toBe(true);
    arena.assertDrained();
    expectSound(arena);
  });

  test("wipes what it took when the lease is released, behind its end too", () => {
    using arena = smallArena({ revoke });
    const writer = arena.writer(1000);
    writer.writeBytes(new Uint8Array(900).fill(7));
    writer.reset();
    writer.writeUint8(9);
    const lease = writer.take();
    expect(lease.byteLength).toBe(1);
    const { memory, byteOffset } = lease;
    if (memory === undefined) throw new Error("there is room in the arena");
    expect(isZero(new Uint8Array(memory.buffer, byteOffset + 1, 999))).toBe(true);
    lease.release();
    expect(isZero(new Uint8Array(memory.buffer, byteOffset, 1000))).toBe(true);
  });

  test("starts anew in the same block after reset", () => {
    using arena = smallArena({ revoke });
    using writer = arena.writer(100);
    writer.writeString("secret");
    const old = writer.bytes;
    writer.reset();
    expect([writer.byteLength, writer.bytes.length, isZero(old)]).toEqual([0, 0, true]);
    expect(writer.reserve(100)).toBe(0);
    expect(isZero(writer.bytes)).toBe(true);
    expect(arena.stats().acquired).toBe(1);
  });

  test("grows past a segment, where a lease has a memory of its own", () => {
    using arena = smallArena({ revoke }, 8);
    const writer = arena.writer();
    const text = "€uro ".repeat(SEGMENT_BYTES / 4);
    writer.writeString(text);
    const lease = writer.take();
    expectBytes(lease.bytes, Buffer.from(text));
    lease.release();
    arena.assertDrained();
    expectSound(arena);
  });

  test("moves to the heap and on when the cap is reached", () => {
    using arena = smallArena({ revoke }, 1);
    const held = arena.acquire(SEGMENT_BYTES);
    const writer = arena.writer(16);
    for (let each = 0; each < 1000; each++) writer.writeUint32(each);
    const lease = writer.take();
    expect(lease.origin).toBe("heap");
    expect(lease.view(DataView).getUint32(3996)).toBe(999);
    const view = lease.bytes;
    releaseAll([held, lease]);
    expect(view.length === 0 || isZero(view)).toBe(true);
    arena.assertDrained();
  });

  test("keeps what was written when there is no room to grow, and can be written to on", () => {
    using arena = smallArena({ revoke, onExhausted: "throw" }, 1);
    const writer = arena.writer(1000);
    writer.writeString("kept");
    const full = exhaust(arena, 4096);
    const fresh = Buffer.from("kept");
    for (const write of [
      () => writer.writeBytes(new Uint8Array(5000)),
      () => writer.writeString("€".repeat(2000)),
      () => writer.reserve(5000),
    ]) {
      expectThrow(write, "ERR_ARENA_EXHAUSTED", "no room");
      expectBytes(writer.bytes, fresh);
      // Nothing half written shows where zeros are promised.
      writer.reserve(900);
      expect(isZero(writer.bytes.subarray(4))).toBe(true);
      writer.reset();
      writer.writeString("kept");
    }
    releaseAll(full);
    // Resting blocks are room again only once their segment has drained, of the writer's block too.
    if (revoke !== "before-reuse") {
      writer.writeBytes(new Uint8Array(5000));
      expect(writer.byteLength).toBe(5004);
    }
    writer.release();
    arena.assertDrained();
    expectSound(arena);
  });

  test("takes what is just enough where there is no room for twice as much", () => {
    using arena = smallArena({ revoke, onExhausted: "throw" }, 2);
    const half = SEGMENT_MEMORY_BYTES / 2;
    const writer = arena.writer(half);
    writer.writeBytes(new Uint8Array(half).fill(7));
    const held = revoke === "on-release" ? arena.acquire(half) : null;
    writer.writeUint8(8);
    expect(writer.byteLength).toBe(half + 1);
    expect(writer.bytes.at(-1)).toBe(8);
    writer.release();
    held?.release();
    arena.assertDrained();
  });

  test("does nothing after its end but throw, and dispose quietly", () => {
    using arena = smallArena({ revoke });
    const taken = arena.writer();
    const released = arena.writer();
    const lease = taken.take();
    released.release();
    for (const writer of [taken, released]) {
      expectUnharmed(arena, () => {
        for (const use of uses(writer)) expectThrow(use, "ERR_LEASE_RELEASED", "this writer has ended");
        writer[Symbol.dispose]();
      });
    }
    lease.release();
    arena.assertDrained();
  });

  test("refuses values out of range and leaves what it has", () => {
    using arena = smallArena({ revoke });
    using writer = arena.writer(16);
    writer.writeUint32(0xdecafbad);
    expectUnharmed(arena, () => {
      for (const [write, ...bad] of badValues(writer)) {
        for (const value of bad) expectThrow(() => write(wrong(value)), "ERR_INVALID_ARGUMENT", "; pass ");
      }
    });
    expect(Buffer.from(writer.bytes).toString("hex")).toBe("decafbad");
  });

  test("refuses to patch what was not written", () => {
    using arena = smallArena({ revoke });
    using writer = arena.writer(64);
    writer.reserve(8);
    for (const offset of [-1, 5, 8, 0.5, Number.NaN, "0", undefined]) {
      expectThrow(() => writer.setUint32(wrong(offset), 1), "ERR_INVALID_ARGUMENT", "offset is", "from 0 to 4");
      expectThrow(() => writer.set(new Uint8Array(4), wrong(offset)), "ERR_INVALID_ARGUMENT", "offset is");
    }
    expectThrow(() => writer.set(new Uint8Array(9), 0), "ERR_INVALID_ARGUMENT", "fits in what was written");
    expect(isZero(writer.bytes)).toBe(true);
    writer.setUint32(4, 1);
    expect(writer.bytes[7]).toBe(1);
  });

  test("says that the arena was disposed", () => {
    const arena = smallArena({ revoke });
    const writer = arena.writer();
    writer.writeString("gone");
    arena[Symbol.dispose]();
    for (const use of uses(writer)) expectThrow(use, "ERR_ARENA_DISPOSED", "the arena was disposed");
    writer[Symbol.dispose]();
    expectThrow(() => arena.writer(), "ERR_ARENA_DISPOSED");
  });

  test("refuses a bad length before it has anything", () => {
    using arena = smallArena({ revoke });
    expectUnharmed(arena, () => {
      for (const byteLength of [-1, 0.5, 2 ** 32, "10", null]) {
        expectThrow(() => arena.writer(wrong(byteLength)), "ERR_INVALID_ARGUMENT", "byteLength is");
      }
    });
  });
});

test("a writer codes varints around every power of two, as numbers and as bigints", () => {
  using arena = smallArena();
  const expectCode = (write: (writer: ByteWriter) => number, coded: bigint): void => {
    using writer = arena.writer();
    const expected = leb128(coded);
    expect(write(writer), `bytes for ${coded}`).toBe(expected.length);
    expect(expected.equals(writer.bytes), `code of ${coded}`).toBe(true);
  };
  const powers = Array.from({ length: 65 }, (_, bits) => 2n ** BigInt(bits));
  for (const value of powers.flatMap((power) => [power - 1n, power, power + 1n])) {
    const forms = value <= Number.MAX_SAFE_INTEGER ? [value, Number(value)] : [value];
    for (const form of forms) {
      if (value < 2n ** 64n) expectCode((writer) => writer.writeVarint(form), value);
      if (value >= 2n ** 63n) continue;
      expectCode((writer) => writer.writeZigzag(form), 2n * value);
      if (value > 0n) expectCode((writer) => writer.writeZigzag(-form), 2n * value - 1n);
    }
  }
});

test("a writer makes room for all of a text of pairs", () => {
  using arena = smallArena();
  using writer = arena.writer(64);
  const text = "😀".repeat(400);
  expect(writer.writeString(text)).toBe(1600);
  expect(Buffer.from(text).equals(writer.bytes)).toBe(true);
});

test("a writer says that its memory was revoked by other code", () => {
  using arena = smallArena();
  const writer = arena.writer();
  writer.writeString("x");
  const neighbour = arena.acquire(64);
  growUnder(neighbour, 0);
  for (const use of uses(writer)) expectThrow(use, "ERR_ARENA_CORRUPT", "revoked or transferred");
  writer[Symbol.dispose]();
  neighbour.release();
  arena.assertDrained();
});

/** Every way to use a writer. */
function uses(writer: ByteWriter): (() => unknown)[] {
  return [
    () => writer.bytes,
    () => writer.writeBytes(new Uint8Array(1)),
    () => writer.writeBytes(new Uint8Array(0)),
    () => writer.writeString("short"),
    () => writer.writeString(""),
    () => writer.writeString("long ".repeat(20)),
    () => writer.writeUint8(1),
    () => writer.writeInt8(1),
    () => writer.writeUint16(1),
    () => writer.writeInt16(1),
    () => writer.writeUint32(1),
    () => writer.writeInt32(1),
    () => writer.writeUint64(1),
    () => writer.writeInt64(1n),
    () => writer.writeFloat32(1),
    () => writer.writeFloat64(1),
    () => writer.writeVarint(1),
    () => writer.writeZigzag(1n),
    () => writer.reserve(1),
    () => writer.reserve(0),
    () => writer.set(new Uint8Array(1), 0),
    () => writer.setUint8(0, 1),
    () => writer.setUint16(0, 1),
    () => writer.setUint32(0, 1),
    () => writer.setUint64(0, 1),
    () => writer.take(),
    () => writer.reset(),
  ].concat(writer.released ? [() => writer.release()] : []);
}

type BadValues = [write: (value: never) => unknown, ...values: unknown[]];

function badValues(writer: ByteWriter): BadValues[] {
  const never = [undefined, null, "1", Number.NaN, Number.POSITIVE_INFINITY, 0.5, {}];
  const narrow: BadValues[] = [
    [(value: number) => writer.writeUint8(value), -1, 256, 1n, ...never],
    [(value: number) => writer.writeInt8(value), -129, 128, 1n, ...never],
    [(value: number) => writer.writeUint16(value), -1, 65_536, 1n, ...never],
    [(value: number) => writer.writeInt16(value), -32_769, 32_768, 1n, ...never],
    [(value: number) => writer.writeUint32(value), -1, 2 ** 32, 1n, ...never],
    [(value: number) => writer.writeInt32(value), -(2 ** 31) - 1, 2 ** 31, 1n, ...never],
    [(value: number) => writer.setUint8(0, value), -1, 256, 1n, ...never],
    [(value: number) => writer.setUint16(0, value), -1, 65_536, 1n, ...never],
    [(value: number) => writer.setUint32(0, value), -1, 2 ** 32, 1n, ...never],
    [(value: number) => writer.reserve(value), -1, 2 ** 32, 1n, ...never],
  ];
  const wide: BadValues[] = [
    [(value: number) => writer.writeUint64(value), -1, -1n, 2n ** 64n, 2 ** 53, ...never],
    [(value: number) => writer.setUint64(0, value), -1, -1n, 2n ** 64n, 2 ** 53, ...never],
    [(value: number) => writer.writeVarint(value), -1, -1n, 2n ** 64n, 2 ** 53, ...never],
    [(value: number) => writer.writeInt64(value), 2n ** 63n, -(2n ** 63n) - 1n, -(2 ** 53), ...never],
    [(value: number) => writer.writeZigzag(value), 2n ** 63n, -(2n ** 63n) - 1n, -(2 ** 53), ...never],
  ];
  const detached = new Uint8Array(8);
  structuredClone(detached.buffer, { transfer: [detached.buffer] });
  const others: BadValues[] = [
    [(value: number) => writer.writeFloat32(value), undefined, null, "1", 1n],
    [(value: number) => writer.writeFloat64(value), undefined, null, "1", 1n],
    [(value: string) => writer.writeString(value), undefined, null, 1, new Uint8Array(1)],
    [(value: Uint8Array) => writer.writeBytes(value), undefined, null, "text", [1], new ArrayBuffer(1), detached],
    [(value: Uint8Array) => writer.set(value, 0), undefined, null, "text", [1], new ArrayBuffer(1), detached],
  ];
  return [...narrow, ...wide, ...others];
}

function expectTaken(arena: Arena, writer: ByteWriter, model: Buffer): void {
  const lease = writer.take();
  expect(lease.byteLength).toBe(model.length);
  expectBytes(lease.bytes, model);
  const { origin, byteOffset } = lease;
  lease.release();
  if (origin !== "heap") {
    expect(isZero(memoryNow(lease).subarray(byteOffset, byteOffset + model.length))).toBe(true);
  }
  arena.assertDrained();
}
