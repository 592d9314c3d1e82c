/** The writer and the filler: growing, taking, the cap, misuse, and their ends. What they write is random.test.ts. */

import type { ArenaErrorCode } from "cleanslab";
import { describe, expect, test } from "vitest";
import type { ByteFiller } from "../../src/bytes/filler.ts";
import { smallerSteps } from "../../src/bytes/growing.ts";
import type { ByteWriter } from "../../src/bytes/writer.ts";
import { leaseCopy } from "../../src/lease/filled.ts";
import { expectBytes, expectThrow, leb128, smallArena, wrong } from "../helpers.ts";
import { content, DIRT, detach, FakeSource, INTEGERS, KINDS, lying, MAX_INT64, MAX_UINT64 } from "./helpers.ts";

/** How often `write` succeeded. */
function writeUntilExhausted(write: () => void): number {
  let count = -1;
  const writeAll = (): void => {
    for (count = 0; ; count++) write();
  };
  expectThrow(writeAll, "ERR_ARENA_EXHAUSTED", "no room");
  return count;
}

describe("a writer that grows", () => {
  test("doubles, keeps one block, and takes exactly what one long write needs, and from nothing at least 64 bytes", () => {
    const source = new FakeSource();
    const writer = source.writer(64);
    for (let each = 0; each < 4000; each++) writer.writeUint8(each % 100);
    expect([source.acquired, source.liveLeases]).toEqual([[64, 128, 256, 512, 1024, 2048, 4096], 1]);
    writer.release();
    const other = source.writer(0);
    other.writeUint8(1);
    other.writeBytes(content(5000));
    expect(source.acquired.slice(-3)).toEqual([0, 64, 5001]);
  });

  test("tries less and less spare room, and nothing longer than there can be", () => {
    expect(smallerSteps(1001, 1000)).toEqual([1500, 1250, 1125, 1063, 1008]);
    for (const step of smallerSteps(2 ** 32 - 1, 2 ** 32 - 64)) expect(step).toBeLessThan(2 ** 32);
  });

  test("moves seldom through the last bytes, byte by byte", () => {
    const source = new FakeSource();
    const writer = source.writer(100_000);
    writer.reserve(100_000);
    // The two blocks of a move fit under it together, so long as the longer one is not a sixteenth longer.
    source.maxBytes = 100_032 + 104_000;
    expect(writeUntilExhausted(() => writer.writeUint8(1))).toBeGreaterThan(2000);
    expect(source.acquired.length).toBeLessThan(11);
    // The last move was to all there is.
    expect(source.liveBytes + writer.byteLength + 1).toBeGreaterThan(source.maxBytes - 64);
  });

  test("writes text that needs all the room there is", () => {
    for (const letter of ["x", "é", "€", "😀"]) {
      const source = new FakeSource();
      const writer = source.writer(65_536);
      writer.writeBytes(content(65_500));
      const text = letter.repeat(3000);
      // The old block, and the shortest one that is long enough: the source's are multiples of 64.
      source.maxBytes = 65_536 + Math.ceil((65_500 + Buffer.byteLength(text)) / 64) * 64;
      writer.writeString(text);
      expectBytes(writer.bytes, Buffer.concat([content(65_500), Buffer.from(text)]));
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
    writer.take().release();
    expect([source.acquired.at(-1), source.liveLeases]).toEqual([5904, 0]);
  });

  test("has not written what made it grow if the old block cannot be returned", () => {
    const source = new FakeSource();
    const writer = source.writer(64);
    writer.writeBytes(content(60));
    source.ended = () => {
      throw new Error("broken");
    };
    expect(() => writer.writeBytes(content(100))).toThrow("broken");
    Reflect.deleteProperty(source, "ended");
    writer.writeUint8(3);
    expectBytes(writer.bytes, Buffer.concat([content(60), Uint8Array.of(3)]));
    writer.release();
  });

  test("zeroes no byte of its blocks but those reserved", () => {
    const source = new FakeSource();
    const writer = source.writer(128);
    writer.writeBytes(content(100));
    writer.reserve(4);
    const [block] = source.live;
    expect(new Uint8Array(block?.buffer ?? []).subarray(104)).toEqual(new Uint8Array(24).fill(DIRT));
  });
});

describe("inside an acquire, where a hook of async_hooks runs", () => {
  const GROW: Record<string, (writer: ByteWriter) => unknown> = {
    bytes: (writer) => writer.writeBytes(content(200)),
    "a number": (writer) => writer.writeUint32(5),
    text: (writer) => writer.writeString("text ".repeat(50)),
    zeros: (writer) => writer.reserve(300),
    "a varint": (writer) => writer.writeVarint(2n ** 60n),
  };
  test.each(Object.entries(GROW))("when %s make the writer grow, no write is lost, and an end is found", (_, grow) => {
    const outcome = (nested: (writer: ByteWriter, source: FakeSource) => void): Uint8Array => {
      const source = new FakeSource();
      const writer = source.writer(64);
      writer.writeBytes(content(63));
      source.insideNextAcquire = () => nested(writer, source);
      grow(writer);
      const lease = writer.take();
      const bytes = lease.copy();
      lease.release();
      expect(source.liveLeases).toBe(0);
      return bytes;
    };
    const plain = outcome(() => {}).subarray(63);
    // One byte fits in place, more does not.
    for (const byteLength of [1, 100, 3000]) {
      const both = outcome((writer) => writer.writeBytes(content(byteLength, 40)));
      expectBytes(both, Buffer.concat([content(63), content(byteLength, 40), plain]));
    }
    expectBytes(
      outcome((writer) => writer.reset()),
      plain,
    );

    const ends = [
      (writer: ByteWriter) => writer.take().release(),
      (writer: ByteWriter) => writer.release(),
      (writer: ByteWriter) => writer[Symbol.dispose](),
    ];
    for (const end of ends) {
      let ended: FakeSource | undefined;
      const endIt = (writer: ByteWriter, source: FakeSource): void => {
        ended = source;
        end(writer);
      };
      expectThrow(() => outcome(endIt), "ERR_LEASE_RELEASED", "this writer has ended");
      expect(ended?.liveLeases).toBe(0);
    }
    expectThrow(() => outcome((_writer, source) => source.dispose()), "ERR_ARENA_DISPOSED");
  });

  test("a writer whose take moves the block is no longer there to write to", () => {
    const source = new FakeSource();
    const writer = source.writer(4096);
    writer.writeBytes(content(10));
    source.insideNextAcquire = () => {
      expectThrow(() => writer.writeBytes(content(9000)), "ERR_LEASE_RELEASED");
      expectThrow(() => writer.release(), "ERR_LEASE_RELEASED");
    };
    const lease = writer.take();
    expect(source.acquired).toEqual([4096, 10]);
    expectBytes(lease.bytes, content(10));
  });

  test("a source that is detached or shortened there is a typed error, and nothing is lost or leaked", () => {
    type Resizable = ArrayBuffer & { resize(byteLength: number): void };
    const Buffers = ArrayBuffer as unknown as new (byteLength: number, options: { maxByteLength: number }) => Resizable;
    for (const act of [detach, (buffer: Resizable) => buffer.resize(10)]) {
      const source = new FakeSource();
      const writer = source.writer(64);
      writer.writeBytes(content(30));
      for (const write of [
        (view: Uint8Array) => writer.writeBytes(view),
        (view: Uint8Array) => leaseCopy(source, view),
      ]) {
        const buffer = new Buffers(500, { maxByteLength: 500 });
        source.insideNextAcquire = () => act(buffer);
        expectThrow(() => write(new Uint8Array(buffer)), "ERR_INVALID_ARGUMENT", "still attached");
      }
      expectBytes(writer.bytes, content(30));
      expect(source.liveLeases).toBe(1);
    }
  });

  test("a filler of an arena that ends while it is made says so", () => {
    const source = new FakeSource();
    source.insideNextAcquire = () => source.dispose();
    expectThrow(() => source.filler(64), "ERR_ARENA_DISPOSED");
  });
});

test("varints are coded right around every power of two, as numbers and as bigints", () => {
  const writer = new FakeSource().writer(16);
  const expectCode = (write: () => number, coded: bigint): void => {
    writer.reset();
    expect(write(), `bytes for ${coded}`).toBe(leb128(coded).length);
    expect(leb128(coded).equals(writer.bytes), `code of ${coded}`).toBe(true);
  };
  for (let bits = 0n; bits <= 64n; bits++) {
    for (const value of [2n ** bits - 1n, 2n ** bits, 2n ** bits + 1n]) {
      for (const form of value <= Number.MAX_SAFE_INTEGER ? [value, Number(value)] : [value]) {
        if (value <= MAX_UINT64) expectCode(() => writer.writeVarint(form), value);
        if (value <= MAX_INT64) expectCode(() => writer.writeZigzag(form), 2n * value);
        if (value > 0n && value <= MAX_INT64) expectCode(() => writer.writeZigzag(-form), 2n * value - 1n);
      }
    }
  }
});

test("a writer, a filler and a copy go by the bytes there are, of any view, not by what a subclass says", () => {
  const shared = new Uint8Array(new SharedArrayBuffer(10));
  shared.set(content(10));
  const numbers = new Uint16Array([0x1111, 0x2222, 0x3333]);
  const views: [view: ArrayBufferView, bytes: Uint8Array][] = [
    ...[0, 5, 1000].flatMap((claimed) =>
      [10, 60].map((length): [Uint8Array, Uint8Array] => [lying(content(length), claimed), content(length)]),
    ),
    [shared, content(10)],
    [numbers.subarray(1), Buffer.from("22223333", "hex")],
    [new DataView(content(10).buffer, 2, 3), content(10).subarray(2, 5)],
  ];
  for (const [view, bytes] of views) {
    const source = new FakeSource();
    expectBytes(leaseCopy(source, view).bytes, bytes);
    const writer = source.writer(8);
    writer.writeBytes(view);
    expectBytes(writer.bytes, bytes);
    writer.set(view, 0);
    expectBytes(writer.bytes, bytes);
    // From the third byte, whatever the view is of.
    const filler = source.filler(bytes.length);
    expect([filler.put(view, 2), filler.put(view)]).toEqual([bytes.length - 2, 2]);
    expectThrow(() => filler.put(view, bytes.length + 1), "ERR_INVALID_ARGUMENT", `from 0 to ${bytes.length}`);
    expectBytes(filler.take().bytes, Buffer.concat([bytes.subarray(2), bytes.subarray(0, 2)]));
    writer.reserve(bytes.length);
    writer.reset();
    writer.reserve(bytes.length - 1);
    expectThrow(() => writer.set(view, 0), "ERR_INVALID_ARGUMENT", "fits in what was written");
  }
});

test("values out of range are refused by a writer and a filler, and change nothing", () => {
  const source = new FakeSource();
  const writer = source.writer(16);
  writer.writeUint32(0xdecafbad);
  const filler = source.filler(8);
  // Of other types: test/misuse/nonsense.test.ts.
  const odd = [Number.NaN, Number.POSITIVE_INFINITY, 1.5];
  const unsigned = [-1, -1n, MAX_UINT64 + 1n, 2 ** 53, ...odd];
  const signed = [MAX_INT64 + 1n, -MAX_INT64 - 2n, -(2 ** 53), ...odd];
  type Write = (value: never) => unknown;
  const cases: [write: Write, values: unknown[]][] = [
    [(value) => writer.writeVarint(value), unsigned],
    [(value) => writer.writeZigzag(value), signed],
    [(value) => writer.setUint64(0, value), unsigned],
    [(value) => writer.reserve(value), [-1, 2 ** 32, ...odd]],
    [(value) => filler.put(content(4), value), [-1, 5, ...odd]],
    [(offset) => writer.setUint32(offset, 1), [-1, 1, 4, ...odd]],
  ];
  for (const each of [writer, filler]) {
    for (const [name, [, least, most]] of Object.entries(INTEGERS)) {
      const kind = name as "Uint8";
      const values = [least - 1, most + 1, 1n, ...odd];
      cases.push([(value) => each[`write${kind}`](value), values]);
      if (least === 0) cases.push([(value) => writer[`set${kind}`](0, value), values]);
    }
    cases.push([(value) => each.writeUint64(value), unsigned], [(value) => each.writeInt64(value), signed]);
  }
  for (const [write, values] of cases) {
    for (const value of values) expectThrow(() => write(wrong(value)), "ERR_INVALID_ARGUMENT", "; pass ");
  }
  expect([Buffer.from(writer.bytes).toString("hex"), filler.written]).toEqual(["decafbad", 0]);
});

/** Writes of one value each, and how many bytes it takes. */
const FILLS: [write: (filler: ByteFiller) => unknown, byteLength: number][] = [
  ...KINDS.map(([kind, width]): [(filler: ByteFiller) => unknown, number] => [
    (filler) => filler[`write${kind}`](1),
    width,
  ]),
  [(filler) => filler.writeString("texts"), 5],
  [(filler) => filler.writeString("🎉"), 4],
];

test("a filler is changed by nothing that does not fit; one of no bytes is full at once", () => {
  const source = new FakeSource();
  for (const [write, byteLength] of FILLS) {
    const filler = source.filler(byteLength);
    filler.writeUint8(1);
    expectThrow(() => write(filler), "ERR_OUT_OF_BOUNDS", `${byteLength - 1} bytes left of ${byteLength}`);
    expect([filler.written, filler.put(content(20, 40))]).toEqual([1, byteLength - 1]);
    expectBytes(filler.take().bytes, Uint8Array.of(1, ...content(byteLength - 1, 40)));
  }
  const empty = source.filler(0);
  expect([empty.full, empty.put(content(3)), empty.writeString(""), empty.take().byteLength]).toEqual([true, 0, 0, 0]);
});

type Either = ByteWriter | ByteFiller;

/** Every way to use a writer or a filler. */
function usesOf(it: Either): (() => unknown)[] {
  const either = [
    ...KINDS.map(
      ([kind]) =>
        () =>
          it[`write${kind}`](1),
    ),
    ...["", "short", "long ".repeat(20)].map((text) => () => it.writeString(text)),
    () => it.take(),
  ];
  if ("put" in it) return [...either, ...[0, 1].map((byteLength) => () => it.put(content(byteLength)))];
  return [
    ...either,
    ...(["Uint8", "Uint16", "Uint32", "Uint64"] as const).map((kind) => () => it[`set${kind}`](0, 1)),
    ...[0, 1].map((byteLength) => () => it.writeBytes(new Uint8Array(byteLength))),
    ...[0, 1].map((byteLength) => () => it.reserve(byteLength)),
    ...[() => it.bytes, () => it.writeVarint(1), () => it.writeZigzag(1n), () => it.reset()],
    () => it.set(new Uint8Array(1), 0),
  ];
}

const end = (it: Either): void => ("drop" in it ? it.drop() : it.release());

test.each<[string, ArenaErrorCode, says: string, (it: Either, source: FakeSource) => void]>([
  ["that was ended", "ERR_LEASE_RELEASED", "has ended", end],
  ["that was disposed of", "ERR_LEASE_RELEASED", "has ended", (it) => it[Symbol.dispose]()],
  ["that was taken", "ERR_LEASE_RELEASED", "has ended", (it) => it.take().release()],
  ["of a disposed arena", "ERR_ARENA_DISPOSED", "the arena was disposed", (_, source) => source.dispose()],
  ["whose memory other code revoked", "ERR_LEASE_DETACHED", "revoked", (_, source) => source.detachLive()],
])("a writer or filler %s does nothing more but throw %s, and is quietly disposed of", (_name, code, says, act) => {
  for (const open of [(source: FakeSource) => source.writer(), (source: FakeSource) => source.filler(1)]) {
    const source = new FakeSource();
    const it = open(source);
    it.writeUint8(1);
    act(it, source);
    for (const use of usesOf(it)) expectThrow(use, code, says);
    // There is still something to release where it is only detached.
    if (code === "ERR_LEASE_DETACHED") end(it);
    else expectThrow(() => end(it), code, says);
    it[Symbol.dispose]();
    expect(it.released).toBe(true);
    if (source.isDisposed) expectThrow(() => open(source), code);
    else expect(source.liveLeases).toBe(0);
  }
});

test("the blocks that a writer gave up as it grew do not count as others that its caller released", () => {
  using arena = smallArena({ trace: "all" });
  function builds() {
    const writer = arena.writer(64);
    for (let each = 0; each < 5; each++) writer.writeBytes(new Uint8Array(500 << each));
    return writer.take();
  }
  const leases = [0, 1].map(builds);
  expect(arena.sites[0]?.summary).toMatch(/^2 leases.*none was released yet.*acquired at builds/);
  leases.pop()?.release();
  expect(arena.sites[0]?.summary).toMatch(/^1 lease .*1 other was released/);
  for (const lease of leases) lease.release();
});
