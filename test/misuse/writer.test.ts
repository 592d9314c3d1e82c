/** A writer that has ended, whose memory is gone, or that is given what it cannot write. */

import type { ByteWriter } from "cleanslab";
import { describe, expect, test } from "vitest";
import { expectThrow, expectUnharmed, growUnder, isZero, MODES, smallArena, wrong } from "../helpers.ts";

describe.each(MODES)("revoke: %s, a writer", (revoke) => {
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
