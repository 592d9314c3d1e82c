/**
 * The writer: growing, taking, what is shown of its block, the cap, misuse. What it
 * writes is writer-model.test.ts.
 */

import { describe, expect, test } from "vitest";
import { smallerSteps } from "../../src/bytes/growing.ts";
import type { ByteWriter } from "../../src/bytes/writer.ts";
import { growUnder, SEGMENT_MODES, smallArena } from "../helpers.ts";
import {
  content,
  DIRT,
  detach,
  expectBytes,
  expectThrow,
  FakeSource,
  insideNextAcquire,
  leb128,
  lying,
  SOURCES,
  wrong,
} from "./fake-source.ts";

describe.each(Object.keys(SOURCES))("with %s, a writer", (name) => {
  const open = SOURCES[name] as (typeof SOURCES)[string];

  test("gives a lease of exactly what was written, which pins, copies and releases as any", async () => {
    const doors = open();
    const writer = doors.writer(100);
    writer.writeString("exactly");
    const lease = writer.take();
    expect([writer.released, writer.byteLength, lease.byteLength, lease.bytes.length]).toEqual([true, 7, 7, 7]);
    expect(doors.liveLeases).toBe(1);
    expect(Buffer.from(lease.copy()).toString()).toBe("exactly");
    expect(lease.view(DataView).byteLength).toBe(7);
    await lease.releaseAfter(Promise.resolve());
    expect(doors.liveLeases).toBe(0);
  });

  test("gives a lease of no bytes if nothing was written", () => {
    const doors = open();
    for (const byteLength of [undefined, 0, 1, 5000, 200_000]) {
      const lease = doors.writer(byteLength).take();
      expect([lease.byteLength, lease.bytes.length, lease.released]).toEqual([0, 0, false]);
      lease.release();
    }
    expect(doors.liveLeases).toBe(0);
  });

  test("gives what was written after the block moved because the message is short", () => {
    const doors = open();
    for (const [room, written] of [
      [4096, 100],
      [100_000, 3],
      [1_000_000, 1000],
      [100, 100],
      [100, 99],
    ] as const) {
      const writer = doors.writer(room);
      writer.writeBytes(content(written));
      const lease = writer.take();
      expectBytes(lease.bytes, content(written));
      // What `resize` adds is zero, whatever the writer's block had there.
      lease.resize(written + 500);
      expectBytes(lease.bytes.subarray(written), new Uint8Array(500));
      lease.release();
    }
    expect(doors.liveLeases).toBe(0);
  });

  test("reserves zeros, in a block that it has and in one that it grows to", () => {
    const doors = open();
    const writer = doors.writer(64);
    writer.writeBytes(content(10));
    expect(writer.reserve(20)).toBe(10);
    expect(writer.reserve(3000)).toBe(30);
    expect(writer.reserve(0)).toBe(3030);
    expectBytes(writer.bytes, Buffer.concat([content(10), Buffer.alloc(3020)]));
    writer.release();
  });

  test("starts over in the same block after reset, and reserves zeros there too", () => {
    const doors = open();
    const writer = doors.writer(100);
    writer.writeString("secret");
    const old = writer.bytes;
    writer.reset();
    expect([writer.byteLength, writer.bytes.length]).toEqual([0, 0]);
    expect(writer.bytes.byteOffset).toBe(old.byteOffset);
    expect(writer.reserve(100)).toBe(0);
    expectBytes(writer.bytes, new Uint8Array(100));
    writer.release();
    expect(doors.liveLeases).toBe(0);
  });

  test("shows no byte that nobody wrote, whatever failed before", () => {
    const doors = open();
    const writer = doors.writer(64);
    expectThrow(() => writer.writeUint8(256), "ERR_INVALID_ARGUMENT");
    expectThrow(() => writer.writeVarint(-1), "ERR_INVALID_ARGUMENT");
    expect(writer.bytes.length).toBe(0);
    writer.writeString("é€x");
    // Short, but not ASCII: it is begun in place and then encoded anew.
    writer.writeString("abcdé");
    expect(Buffer.from(writer.bytes).toString()).toBe("é€xabcdé");
    writer.reserve(30);
    expectBytes(writer.bytes.subarray(12), new Uint8Array(30));
    writer.release();
  });

  test("writes itself, in place and while it moves", () => {
    const doors = open();
    const writer = doors.writer(64);
    writer.writeBytes(content(40));
    for (let round = 0; round < 8; round++) {
      const model = Buffer.concat([writer.bytes, writer.bytes]);
      writer.writeBytes(writer.bytes);
      expectBytes(writer.bytes, model);
      writer.writeBytes(writer.bytes.subarray(3, 9));
      expectBytes(writer.bytes, Buffer.concat([model, model.subarray(3, 9)]));
    }
    writer.release();
    expect(doors.liveLeases).toBe(0);
  });

  test("goes by the bytes there are, not by what a subclass says", () => {
    const doors = open();
    const writer = doors.writer(64);
    for (const claimed of [0, 5, 1000]) writer.writeBytes(lying(content(10), claimed));
    for (const claimed of [0, 5, 1000]) writer.writeBytes(lying(content(60), claimed));
    expectBytes(writer.bytes, Buffer.concat([...Array(3).fill(content(10)), ...Array(3).fill(content(60))]));
    writer.set(lying(content(10, 50), 0), 0);
    expectBytes(writer.bytes.subarray(0, 10), content(10, 50));
    expectThrow(() => writer.set(lying(content(211), 1), 0), "ERR_INVALID_ARGUMENT", "fits in what was written");
    writer.release();
  });

  test("writes any view, a shared one too", () => {
    const doors = open();
    const writer = doors.writer(8);
    const shared = new Uint8Array(new SharedArrayBuffer(10));
    shared.set(content(10));
    writer.writeBytes(shared);
    writer.writeBytes(new Float64Array([1, 2]).subarray(1));
    writer.writeBytes(new DataView(content(10).buffer, 2, 3));
    const model = [content(10), new Uint8Array(new Float64Array([2]).buffer), content(10).subarray(2, 5)];
    expectBytes(writer.bytes, Buffer.concat(model));
    writer.release();
  });

  test("codes varints around every power of two, as numbers and as bigints", () => {
    const doors = open();
    const writer = doors.writer(16);
    const expectCode = (write: () => number, coded: bigint): void => {
      writer.reset();
      expect(write(), `bytes for ${coded}`).toBe(leb128(coded).length);
      expect(leb128(coded).equals(writer.bytes), `code of ${coded}`).toBe(true);
    };
    const powers = Array.from({ length: 65 }, (_, bits) => 2n ** BigInt(bits));
    for (const value of powers.flatMap((power) => [power - 1n, power, power + 1n])) {
      const forms = value <= Number.MAX_SAFE_INTEGER ? [value, Number(value)] : [value];
      for (const form of forms) {
        if (value < 2n ** 64n) expectCode(() => writer.writeVarint(form), value);
        if (value >= 2n ** 63n) continue;
        expectCode(() => writer.writeZigzag(form), 2n * value);
        if (value > 0n) expectCode(() => writer.writeZigzag(-form), 2n * value - 1n);
      }
    }
    writer.release();
  });

  test("makes room for all of a text of pairs", () => {
    const doors = open();
    const writer = doors.writer(64);
    const text = "😀".repeat(400);
    expect(writer.writeString(text)).toBe(1600);
    expect(Buffer.from(text).equals(writer.bytes)).toBe(true);
    writer.release();
  });

  test("does nothing after its end but throw, and dispose quietly", () => {
    const doors = open();
    const taken = doors.writer();
    const released = doors.writer();
    const disposed = doors.writer();
    const lease = taken.take();
    released.release();
    disposed[Symbol.dispose]();
    for (const writer of [taken, released, disposed]) {
      for (const use of uses(writer)) expectThrow(use, "ERR_LEASE_RELEASED", "this writer has ended");
      writer[Symbol.dispose]();
    }
    lease.release();
    expect(doors.liveLeases).toBe(0);
  });

  test("refuses values out of range and leaves what it has", () => {
    const doors = open();
    const writer = doors.writer(16);
    writer.writeUint32(0xdecafbad);
    for (const [write, ...bad] of badValues(writer)) {
      for (const value of bad) expectThrow(() => write(wrong(value)), "ERR_INVALID_ARGUMENT", "; pass ");
    }
    expect(Buffer.from(writer.bytes).toString("hex")).toBe("decafbad");
    writer.release();
    expect(doors.liveLeases).toBe(0);
  });

  test("refuses to patch what was not written", () => {
    const doors = open();
    const writer = doors.writer(64);
    writer.reserve(8);
    for (const offset of [-1, 5, 8, 0.5, Number.NaN, "0", undefined]) {
      expectThrow(() => writer.setUint32(wrong(offset), 1), "ERR_INVALID_ARGUMENT", "offset is", "from 0 to 4");
      expectThrow(() => writer.set(new Uint8Array(4), wrong(offset)), "ERR_INVALID_ARGUMENT", "offset is");
    }
    expectThrow(() => writer.set(new Uint8Array(9), 0), "ERR_INVALID_ARGUMENT", "fits in what was written");
    expectBytes(writer.bytes, new Uint8Array(8));
    writer.setUint32(4, 1);
    expect(writer.bytes[7]).toBe(1);
    writer.release();
  });

  test("refuses a bad length before it has anything", () => {
    const doors = open();
    for (const byteLength of [-1, 0.5, "10", null]) {
      expectThrow(() => doors.writer(wrong(byteLength)), "ERR_INVALID_ARGUMENT", "byteLength is");
    }
    expect(doors.liveLeases).toBe(0);
  });
});

test("a writer refuses a view of a released lease that making room detaches, and loses nothing", () => {
  const source = new FakeSource();
  const writer = source.writer(64);
  writer.writeBytes(content(60));
  const lease = source.acquire(200);
  const stale = lease.bytes;
  lease.release();
  expect(stale.length).toBe(200);
  expectThrow(() => writer.writeBytes(stale), "ERR_INVALID_ARGUMENT", "still attached");
  expect(stale.length).toBe(0);
  expectBytes(writer.bytes, content(60));
  expect(source.liveLeases).toBe(1);
  writer.writeBytes(content(60));
  expect(writer.byteLength).toBe(120);
  writer.release();
});

describe("a writer that grows", () => {
  test("doubles, and keeps one block", () => {
    const source = new FakeSource();
    const writer = source.writer(64);
    for (let each = 0; each < 4000; each++) writer.writeUint8(each % 100);
    expect(source.acquired).toEqual([64, 128, 256, 512, 1024, 2048, 4096]);
    expect(source.liveLeases).toBe(1);
    writer.release();
    expect(source.liveLeases).toBe(0);
  });

  test("takes exactly what one long write needs, and from nothing at least 64 bytes", () => {
    const source = new FakeSource();
    const writer = source.writer(0);
    writer.writeUint8(1);
    writer.writeBytes(content(5000));
    expect(source.acquired).toEqual([0, 64, 5001]);
    writer.release();
  });

  test("tries less and less spare room, and no length twice", () => {
    expect(smallerSteps(1001, 1000)).toEqual([1500, 1250, 1125, 1063, 1008]);
    expect(smallerSteps(1400, 1000)).toEqual([1500, 1487, 1421, 1408]);
    expect(smallerSteps(1, 0)).toEqual([16]);
    for (const [needed, block] of [
      [65, 64],
      [2 ** 31 + 5, 2 ** 31],
      [2 ** 32 - 1, 2 ** 32 - 64],
    ] as const) {
      const steps = smallerSteps(needed, block);
      expect(steps).toEqual([...new Set(steps)].sort((a, b) => b - a));
      for (const step of steps) expect(step > needed && step < 2 ** 32).toBe(true);
    }
  });

  test("moves seldom near the cap, until only what is needed fits", () => {
    const source = new FakeSource();
    const writer = source.writer(1 << 20);
    writer.writeBytes(new Uint8Array(1 << 20).fill(7));
    source.maxBytes = 2.5 * (1 << 20);
    const step = new Uint8Array(64).fill(8);
    const written = (1 << 20) + step.length * writeUntilExhausted(() => writer.writeBytes(step));
    // Block and next block fit under the cap together: 1 MiB, and at most 1.5.
    expect(source.acquired).toContain(1.5 * (1 << 20));
    expect(source.acquired.length).toBeLessThan(20);
    expect(writer.byteLength).toBe(written);
    expect([writer.bytes[0], writer.bytes.at(-1), source.liveLeases]).toEqual([7, 8, 1]);
    writer.release();
    expect(source.liveLeases).toBe(0);
  });

  test("moves seldom through the last bytes, byte by byte", () => {
    const source = new FakeSource();
    const writer = source.writer(100_000);
    writer.reserve(100_000);
    // The two blocks of a move fit under it together, so long as the longer one is not a sixteenth longer.
    source.maxBytes = 100_032 + 104_000;
    const before = source.acquired.length;
    expect(writeUntilExhausted(() => writer.writeUint8(1))).toBeGreaterThan(2000);
    expect(source.acquired.length - before).toBeLessThan(10);
    // The last move was to all there is.
    expect(source.liveBytes + writer.byteLength + 1).toBeGreaterThan(source.maxBytes - 64);
    writer.release();
  });

  test("writes text that needs all the room there is", () => {
    for (const letter of ["x", "é", "€", "😀"]) {
      const source = new FakeSource();
      const writer = source.writer(65_536);
      writer.writeBytes(content(65_500));
      const text = letter.repeat(3000);
      const byteLength = 65_500 + Buffer.byteLength(text);
      // The old block, and the shortest one that is long enough: the source's are multiples of 64.
      source.maxBytes = 65_536 + Math.ceil(byteLength / 64) * 64;
      writer.writeString(text);
      expectBytes(writer.bytes, Buffer.concat([content(65_500), Buffer.from(text)]));
      writer.release();
    }
  });

  test("keeps what was written when there is no room, shows no other byte, and can be written to on", () => {
    const source = new FakeSource();
    const writer = source.writer(1000);
    source.maxBytes = 4096;
    for (const write of [
      () => writer.writeBytes(content(5000)),
      () => writer.writeString("€".repeat(2000)),
      () => writer.writeString("x".repeat(5000)),
      () => writer.reserve(5000),
    ]) {
      writer.reset();
      writer.writeString("kept");
      expectThrow(write, "ERR_ARENA_EXHAUSTED", "no room");
      expectBytes(writer.bytes, Buffer.from("kept"));
      writer.reserve(900);
      expectBytes(writer.bytes.subarray(4), new Uint8Array(900));
    }
    source.maxBytes = Number.POSITIVE_INFINITY;
    writer.writeBytes(content(5000));
    const lease = writer.take();
    expect(lease.byteLength).toBe(5904);
    lease.release();
    expect(source.liveLeases).toBe(0);
  });

  test("has not written what made it grow if the old block cannot be returned", () => {
    const source = new FakeSource();
    const writer = source.writer(64);
    writer.writeBytes(new Uint8Array(60).fill(1));
    source.ended = () => {
      throw new Error("broken");
    };
    expect(() => writer.writeBytes(new Uint8Array(100).fill(2))).toThrow("broken");
    Reflect.deleteProperty(source, "ended");
    expect(writer.byteLength).toBe(60);
    writer.writeUint8(3);
    expect([...writer.bytes]).toEqual([...new Array<number>(60).fill(1), 3]);
    writer.release();
  });

  test("zeroes no byte of its blocks but those reserved", () => {
    const source = new FakeSource();
    const writer = source.writer(128);
    writer.writeBytes(content(100));
    writer.reserve(4);
    writer.writeUint16(0x0101);
    const [block] = source.live;
    const whole = new Uint8Array(block?.buffer ?? new ArrayBuffer(0));
    expect(whole.subarray(106).every((byte) => byte === DIRT)).toBe(true);
    writer.release();
  });
});

describe("inside an acquire, where Error.prepareStackTrace runs", () => {
  test.each([
    ["bytes", (writer: ByteWriter) => writer.writeBytes(content(200))],
    ["a number", (writer: ByteWriter) => writer.writeUint32(5)],
    ["text", (writer: ByteWriter) => writer.writeString("text ".repeat(50))],
    ["zeros", (writer: ByteWriter) => writer.reserve(300)],
  ] as const)("a write is not lost when %s make the writer grow", (_, write) => {
    const outcome = (nested: (writer: ByteWriter) => void): Uint8Array => {
      const source = new FakeSource();
      const writer = source.writer(64);
      writer.writeBytes(content(63));
      insideNextAcquire(source, () => nested(writer));
      write(writer);
      const lease = writer.take();
      const bytes = lease.copy();
      lease.release();
      expect(source.liveLeases).toBe(0);
      return bytes;
    };
    const plain = outcome(() => {});
    for (const byteLength of [1, 100, 3000]) {
      // Below one byte fits in place, more does not.
      const both = outcome((writer) => writer.writeBytes(content(byteLength, 40)));
      const model = [plain.subarray(0, 63), content(byteLength, 40), plain.subarray(63)];
      expectBytes(both, Buffer.concat(model));
    }
    expectBytes(
      outcome((writer) => writer.reset()),
      plain.subarray(63),
    );
  });

  test("the writer's end is found, and the longer block is returned", () => {
    for (const end of ["take", "release", "dispose"] as const) {
      const source = new FakeSource();
      const writer = source.writer(64);
      writer.writeUint8(1);
      insideNextAcquire(source, () => {
        if (end === "take") writer.take().release();
        else if (end === "release") writer.release();
        else writer[Symbol.dispose]();
      });
      expectThrow(() => writer.writeBytes(content(100)), "ERR_LEASE_RELEASED", "this writer has ended");
      expect(source.liveLeases).toBe(0);
    }
  });

  test("the arena's end is found, half way through a text too", () => {
    for (const write of [
      (writer: ByteWriter) => writer.writeString("x".repeat(1000)),
      (writer: ByteWriter) => writer.writeBytes(content(1000)),
      (writer: ByteWriter) => writer.writeVarint(2n ** 60n),
    ]) {
      const source = new FakeSource();
      const writer = source.writer(64);
      writer.writeBytes(content(60));
      insideNextAcquire(source, () => source.dispose());
      expectThrow(() => write(writer), "ERR_ARENA_DISPOSED");
      writer[Symbol.dispose]();
      expect(writer.released).toBe(true);
    }
  });

  test("a writer whose take moves the block is no longer there to write to", () => {
    const source = new FakeSource();
    const writer = source.writer(4096);
    writer.writeBytes(content(10));
    insideNextAcquire(source, () => {
      expectThrow(() => writer.writeBytes(content(9000)), "ERR_LEASE_RELEASED");
      expectThrow(() => writer.release(), "ERR_LEASE_RELEASED");
    });
    const lease = writer.take();
    expect(source.acquired).toEqual([4096, 10]);
    expectBytes(lease.bytes, content(10));
    lease.release();
    expect(source.liveLeases).toBe(0);
  });

  test("a source that is detached or shortened there is a typed error, and nothing is lost or leaked", () => {
    const shorten = (buffer: ArrayBuffer): void => (buffer as ArrayBuffer & { resize(n: number): void }).resize(10);
    const Resizable = ArrayBuffer as unknown as new (n: number, options: { maxByteLength: number }) => ArrayBuffer;
    for (const act of [detach, shorten]) {
      const source = new FakeSource();
      const writer = source.writer(64);
      writer.writeBytes(content(30));
      const view = new Uint8Array(new Resizable(500, { maxByteLength: 500 }));
      insideNextAcquire(source, () => act(view.buffer));
      expectThrow(() => writer.writeBytes(view), "ERR_INVALID_ARGUMENT", "still attached");
      expectBytes(writer.bytes, content(30));
      expect(source.liveLeases).toBe(1);
      writer.release();
    }
  });
});

test("a writer says that the arena was disposed", () => {
  const source = new FakeSource();
  const writer = source.writer();
  writer.writeString("gone");
  source.dispose();
  for (const use of uses(writer)) expectThrow(use, "ERR_ARENA_DISPOSED", "the arena was disposed");
  expectThrow(() => writer.release(), "ERR_ARENA_DISPOSED");
  writer[Symbol.dispose]();
  expect(writer.released).toBe(true);
  expectThrow(() => source.writer(), "ERR_ARENA_DISPOSED");
});

test("a writer says that its memory was revoked by other code, and still releases", () => {
  const source = new FakeSource();
  const writer = source.writer();
  writer.writeString("x");
  detach(writer.bytes.buffer);
  for (const use of uses(writer)) expectThrow(use, "ERR_LEASE_DETACHED", "revoked or transferred");
  expect(writer.released).toBe(false);
  writer.release();
  expect(source.liveLeases).toBe(0);
});

test.each(SEGMENT_MODES)("%s: a writer of no bytes works on after other code revoked its memory", (revoke) => {
  using arena = smallArena({ revoke });
  const neighbour = arena.acquire(16);
  const writer = arena.writer(0);
  growUnder(neighbour, 0);
  expect(writer.reserve(0)).toBe(0);
  writer.set(new Uint8Array(0), 0);
  writer.writeUint8(7);
  expect([...writer.bytes]).toEqual([7]);
  writer.release();
});

/** How many times `write` succeeded. */
function writeUntilExhausted(write: () => void): number {
  let count = 0;
  const writeAll = (): void => {
    for (;;) {
      write();
      count++;
    }
  };
  expectThrow(writeAll, "ERR_ARENA_EXHAUSTED", "no room");
  return count;
}

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
  detach(detached.buffer);
  const others: BadValues[] = [
    [(value: number) => writer.writeFloat32(value), undefined, null, "1", 1n],
    [(value: number) => writer.writeFloat64(value), undefined, null, "1", 1n],
    [(value: string) => writer.writeString(value), undefined, null, 1, new Uint8Array(1)],
    [(value: Uint8Array) => writer.writeBytes(value), undefined, null, "text", [1], new ArrayBuffer(1), detached],
    [(value: Uint8Array) => writer.set(value, 0), undefined, null, "text", [1], new ArrayBuffer(1), detached],
  ];
  return [...narrow, ...wide, ...others];
}
