/** The filler: what it takes, when it shows its lease, and misuse. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ByteFiller } from "../../src/bytes/filler.ts";
import { operations, seed } from "../seeded.ts";
import {
  content,
  detach,
  expectBytes,
  expectThrow,
  FakeSource,
  insideNextAcquire,
  lying,
  SOURCES,
  wrong,
} from "./fake-source.ts";

describe.each(Object.keys(SOURCES))("with %s, a filler", (name) => {
  const open = SOURCES[name] as (typeof SOURCES)[string];

  test("gives the lease once every byte was written, and not before", () => {
    const doors = open();
    const filler = doors.filler(10);
    expect([filler.byteLength, filler.written, filler.rest, filler.full]).toEqual([10, 0, 10, false]);
    expect(filler.put(content(4))).toBe(4);
    expect([filler.byteLength, filler.written, filler.rest, filler.full]).toEqual([10, 4, 6, false]);
    expectThrow(() => filler.take(), "ERR_OUT_OF_BOUNDS", "6 of 10 bytes are missing");
    expect(filler.put(content(10), 4)).toBe(6);
    expect([filler.written, filler.rest, filler.full, filler.released]).toEqual([10, 0, true, false]);
    const lease = filler.take();
    expectBytes(lease.bytes, content(10));
    expect([filler.byteLength, filler.written, filler.rest, filler.full, filler.released]).toEqual([
      10,
      10,
      0,
      true,
      true,
    ]);
    lease.release();
    expect(doors.liveLeases).toBe(0);
  });

  test("takes as much as fits, and says how much that was", () => {
    const doors = open();
    const filler = doors.filler(5);
    expect(filler.put(content(3), 3)).toBe(0);
    expect(filler.put(new Uint8Array(0))).toBe(0);
    expect(filler.put(content(3), 1)).toBe(2);
    expect(filler.put(content(100), 50)).toBe(3);
    expect(filler.put(content(100))).toBe(0);
    const lease = filler.take();
    expectBytes(lease.bytes, Buffer.concat([content(3).subarray(1), content(100).subarray(50, 53)]));
    lease.release();
  });

  test("of no bytes is full at once", () => {
    const doors = open();
    const filler = doors.filler(0);
    expect([filler.full, filler.put(content(3)), filler.writeString("")]).toEqual([true, 0, 0]);
    expectThrow(() => filler.writeUint8(1), "ERR_OUT_OF_BOUNDS", "1 bytes do not fit in the 0 bytes left of 0");
    const lease = filler.take();
    expect(lease.byteLength).toBe(0);
    lease.release();
  });

  test("writes numbers and text as the writer does", () => {
    const doors = open();
    const write = (to: Pick<ByteFiller, keyof ByteFiller & `write${string}`>): void => {
      for (const littleEndian of [undefined, false, true]) {
        to.writeUint8(200);
        to.writeInt8(-100);
        to.writeUint16(0xfffe, littleEndian);
        to.writeInt16(-2, littleEndian);
        to.writeUint32(0xfffffffe, littleEndian);
        to.writeInt32(-2, littleEndian);
        to.writeUint64(2n ** 64n - 2n, littleEndian);
        to.writeUint64(2 ** 53 - 1, littleEndian);
        to.writeInt64(-2n, littleEndian);
        to.writeFloat32(1.5, littleEndian);
        to.writeFloat64(-Math.PI, littleEndian);
      }
      expect(to.writeString("\ufeffgrößer 🎉")).toBe(16);
    };
    const writer = doors.writer();
    write(writer);
    const filler = doors.filler(writer.byteLength);
    write(filler);
    const lease = filler.take();
    expectBytes(lease.bytes, writer.bytes);
    lease.release();
    writer.release();
    expect(doors.liveLeases).toBe(0);
  });

  test("changes nothing for a number or a text that does not fit, or is out of range", () => {
    const doors = open();
    for (const [write, byteLength] of writes()) {
      const filler = doors.filler(byteLength);
      filler.writeUint8(1);
      expectThrow(() => write(filler), "ERR_OUT_OF_BOUNDS", `${byteLength - 1} bytes left of ${byteLength}`);
      expect(filler.written).toBe(1);
      expect(filler.put(content(20, 40))).toBe(byteLength - 1);
      const lease = filler.take();
      expectBytes(lease.bytes, Buffer.concat([[1], content(byteLength - 1, 40)].map((each) => Buffer.from(each))));
      lease.release();
    }
    const filler = doors.filler(8);
    for (const value of [-1, 256, 0.5, "1", null, undefined, 1n]) {
      expectThrow(() => filler.writeUint8(wrong(value)), "ERR_INVALID_ARGUMENT", "value is");
    }
    for (const text of [null, undefined, 5, new Uint8Array(1)]) {
      expectThrow(() => filler.writeString(wrong(text)), "ERR_INVALID_ARGUMENT", "text is");
    }
    expect(filler.written).toBe(0);
    filler.drop();
    expect(doors.liveLeases).toBe(0);
  });

  test("refuses what is no view, and a start outside of it", () => {
    const doors = open();
    const filler = doors.filler(8);
    const detached = new Uint8Array(8);
    detach(detached.buffer);
    for (const source of [undefined, null, "text", [1], new ArrayBuffer(8), detached]) {
      expectThrow(() => filler.put(wrong(source)), "ERR_INVALID_ARGUMENT", "bytes is");
    }
    for (const from of [-1, 5, 0.5, "0", null]) {
      expectThrow(() => filler.put(content(4), wrong(from)), "ERR_INVALID_ARGUMENT", "from is", "from 0 to 4");
    }
    expect(filler.written).toBe(0);
    filler.drop();
  });

  test("goes by the bytes there are, not by what a subclass says", () => {
    const doors = open();
    for (const claimed of [0, 3, 1000]) {
      const filler = doors.filler(20);
      expect(filler.put(lying(content(10), claimed))).toBe(10);
      expect(filler.put(lying(content(10), claimed), 4)).toBe(6);
      expectThrow(() => filler.put(lying(content(10), claimed), 11), "ERR_INVALID_ARGUMENT", "from 0 to 10");
      expect(filler.put(lying(content(10), claimed))).toBe(4);
      const lease = filler.take();
      const model = [content(10), content(10).subarray(4), content(10).subarray(0, 4)];
      expectBytes(lease.bytes, Buffer.concat(model));
      lease.release();
    }
  });

  test("counts from in bytes, whatever the view is of", () => {
    const doors = open();
    const filler = doors.filler(6);
    const numbers = new Uint16Array([0x1111, 0x2222, 0x3333]);
    expect(filler.put(numbers, 2)).toBe(4);
    expect(filler.put(new DataView(numbers.buffer, 4))).toBe(2);
    const lease = filler.take();
    expect(Buffer.from(lease.bytes).toString("hex")).toBe("222233333333");
    lease.release();
  });

  test("does nothing after its end but throw, and dispose quietly", () => {
    const doors = open();
    const taken = doors.filler(0);
    const dropped = doors.filler(100);
    const disposed = doors.filler(100);
    const lease = taken.take();
    dropped.drop();
    disposed[Symbol.dispose]();
    for (const filler of [taken, dropped, disposed]) {
      for (const use of uses(filler)) expectThrow(use, "ERR_LEASE_RELEASED", "this filler has ended");
      filler[Symbol.dispose]();
      expect(filler.released).toBe(true);
    }
    lease.release();
    expect(doors.liveLeases).toBe(0);
  });

  test("gives what was put, in pieces of any length, and only that", () => {
    const doors = open();
    const pieces = fc.array(fc.tuple(fc.uint8Array({ maxLength: 300 }), fc.nat({ max: 20 })), { maxLength: 20 });
    const property = fc.property(fc.nat({ max: 3000 }), pieces, (byteLength, all) => {
      const filler = doors.filler(byteLength);
      const put: Uint8Array[] = [];
      for (const [piece, start] of all) {
        const from = Math.min(start, piece.length);
        const count = filler.put(piece, from);
        expect(count).toBe(Math.min(piece.length - from, byteLength - Buffer.concat(put).length));
        put.push(piece.subarray(from, from + count));
        expect(filler.written).toBe(Buffer.concat(put).length);
      }
      if (filler.full) {
        const lease = filler.take();
        expectBytes(lease.bytes, Buffer.concat(put));
        lease.release();
      } else {
        expectThrow(() => filler.take(), "ERR_OUT_OF_BOUNDS");
        filler.drop();
      }
      expect(doors.liveLeases).toBe(0);
    });
    fc.assert(property, { seed, numRuns: Math.ceil(operations / 40) });
  });
});

test("a filler says that the arena was disposed", () => {
  const source = new FakeSource();
  const filler = source.filler(1);
  filler.writeUint8(1);
  source.dispose();
  for (const use of uses(filler)) expectThrow(use, "ERR_ARENA_DISPOSED", "the arena was disposed");
  filler[Symbol.dispose]();
  expect(filler.released).toBe(true);
  expectThrow(() => source.filler(1), "ERR_ARENA_DISPOSED");
});

test("a filler says that its memory was revoked by other code, and still drops", () => {
  const source = new FakeSource();
  const filler = source.filler(64);
  const [block] = source.live;
  detach(block?.buffer ?? new ArrayBuffer(0));
  for (const use of uses(filler).slice(0, -1)) expectThrow(use, "ERR_LEASE_DETACHED", "revoked or transferred");
  filler.drop();
  expect(source.liveLeases).toBe(0);
});

test("a filler of an arena that ends while it is made says so", () => {
  const source = new FakeSource();
  insideNextAcquire(source, () => source.dispose());
  expectThrow(() => source.filler(64), "ERR_ARENA_DISPOSED");
});

/** Writes of one value each, and how many bytes it takes. */
function writes(): [write: (filler: ByteFiller) => unknown, byteLength: number][] {
  return [
    [(filler) => filler.writeUint8(1), 1],
    [(filler) => filler.writeInt8(1), 1],
    [(filler) => filler.writeUint16(1), 2],
    [(filler) => filler.writeInt16(1), 2],
    [(filler) => filler.writeUint32(1), 4],
    [(filler) => filler.writeInt32(1), 4],
    [(filler) => filler.writeUint64(1), 8],
    [(filler) => filler.writeInt64(1n), 8],
    [(filler) => filler.writeFloat32(1), 4],
    [(filler) => filler.writeFloat64(1), 8],
    [(filler) => filler.writeString("texts"), 5],
    [(filler) => filler.writeString("🎉"), 4],
  ];
}

/** Every way to use a filler. The last is the one that works on detached memory. */
function uses(filler: ByteFiller): (() => unknown)[] {
  return [
    () => filler.put(content(1)),
    () => filler.put(new Uint8Array(0)),
    () => filler.writeString(""),
    ...writes().map(
      ([write]) =>
        () =>
          write(filler),
    ),
    () => filler.take(),
    () => filler.drop(),
  ];
}
