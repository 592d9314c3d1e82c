/**
 * The book through its exports. The debug build is loaded by AssemblyScript's loader,
 * which makes a failed assert readable, and lays the layout open for the tests that
 * damage it. What users get is the release build, so both run the same tests where
 * that is possible. Here are refusals, lengths and limits, calls that are cut off, and the
 * audit: runs and blocks that come and go are random programs in test/model/book.test.ts.
 */

import { runInNewContext } from "node:vm";
import { instantiateSync } from "@assemblyscript/loader";
import { describe, expect, test } from "vitest";
import {
  BOOK_BUILDS,
  type BookExports,
  blocksThatFit,
  type DebugBook,
  debugModule,
  EXCHANGE_CAPACITY,
  openBook,
  PAGE_BYTES,
  type Pair,
  RUNS,
  releaseModule,
  SINGLE_BLOCKS,
  SLAB_COUNT,
  Status,
} from "../book.js";
import { isAll } from "../helpers.js";

const shifts = [12, 13, 14, 15, 16, 17, 18];
const slabShift = 12;
const slabBytes = 1 << slabShift;
const MAX_SEGMENTS = 65536;

function openDebug(mode: 0 | 1, shift = slabShift) {
  const book = openBook("debug", mode, shift);
  return { ...book, exports: book.exports as DebugBook };
}

test("the release module is under 4 KiB, and writes nothing into its memory before it is called", () => {
  expect(releaseModule.length).toBeLessThan(4096);
  const module = new WebAssembly.Module(releaseModule);
  expect(WebAssembly.Module.imports(module)).toEqual([{ module: "env", name: "memory", kind: "memory" }]);
  expect(WebAssembly.Module.exports(module).every(({ kind }) => kind === "function")).toBe(true);
  const memory = new WebAssembly.Memory({ initial: 1 });
  const bytes = new Uint8Array(memory.buffer).fill(0xee);
  new WebAssembly.Instance(module, { env: { memory } });
  expect(isAll(bytes, 0xee)).toBe(true);
});

describe.each(BOOK_BUILDS)("size classes of the %s build", (build) => {
  test.each(shifts)("waste less than 25 %% above 64 bytes, and an eighth of a span, slabs of 1 << %i", (shift) => {
    const { exports } = openBook(build, RUNS, shift);
    const longest = (SLAB_COUNT - 1) << shift;
    const count = exports.classCount();
    expect([exports.blockBytes(0), exports.blockBytes(count - 1)]).toEqual([64, longest]);
    for (let sizeClass = 0; sizeClass < count; sizeClass++) {
      const block = exports.blockBytes(sizeClass);
      const shortest = sizeClass === 0 ? 0 : exports.blockBytes(sizeClass - 1) + 1;
      expect([exports.sizeClassOf(block), exports.sizeClassOf(shortest)]).toEqual([sizeClass, sizeClass]);
      expect(block % 16).toBe(0);
      if (sizeClass > 0) expect(block).toBeLessThan(shortest * 1.25);
      const span = exports.spanSlabs(sizeClass) << shift;
      expect(span).toBeGreaterThanOrEqual(block);
      expect(span % block).toBeLessThanOrEqual(span / 8);
      expect(span / block).toBeLessThanOrEqual(4096);
    }
    for (const tooLong of [longest + 1, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1]) {
      expect(exports.sizeClassOf(tooLong)).toBe(count);
    }
  });

  test("out of range are BAD_CLASS", () => {
    const { exports } = openBook(build, RUNS);
    exports.addSegment(0);
    const blocks = openBook(build, SINGLE_BLOCKS).exports;
    for (const sizeClass of [-1, exports.classCount(), 2 ** 31 - 1, -(2 ** 31)]) {
      expectEach([exports.blockBytes(sizeClass), exports.spanSlabs(sizeClass)], Status.BAD_CLASS);
      expectEach([exports.openRun(0, sizeClass), blocks.takeBlocks(sizeClass, 1)], Status.BAD_CLASS);
    }
    expect(exports.freeSlabs(0)).toBe(SLAB_COUNT - 1);
  });
});

describe.each(BOOK_BUILDS)("segments of the %s build", (build) => {
  test("nothing works before init, nothing traps, and init accepts slabs of 4 to 256 KiB, once", () => {
    for (const shift of [-1, 0, 11, 19, 31, 32, 44, 2 ** 31 - 1]) {
      const { exports } = openBook(build, RUNS, null);
      expect([exports.classCount(), exports.sizeClassOf(1), exports.audit()]).toEqual([0, 0, 0]);
      expectEach([exports.blockBytes(0), exports.spanSlabs(0)], Status.BAD_CLASS);
      expect([exports.addSegment(0), exports.takeBlocks(0, 1)]).toEqual([Status.BAD_LAYOUT, Status.WRONG_MODE]);
      expectEach([exports.openRun(0, 0), exports.recycle(0)], Status.BAD_SEGMENT);
      for (const layout of [
        [shift, 0],
        [12, 2],
        [12, -1],
      ]) {
        expect(exports.init(...(layout as [number, 0]))).toBe(Status.BAD_LAYOUT);
      }
      expect([exports.init(12, 1), exports.init(12, 1)]).toEqual([Status.OK, Status.BAD_LAYOUT]);
    }
  });

  test("a base is a multiple of 64 from -4032 to 0", () => {
    const { exports } = openBook(build, RUNS);
    for (const base of [64, 1, -1, -63, -4096, -8192, 2 ** 31 - 64, -(2 ** 31)]) {
      expect(exports.addSegment(base)).toBe(Status.BAD_LAYOUT);
    }
    for (let base = -4032; base <= 0; base += 64) {
      const segment = exports.addSegment(base);
      expect(exports.openRun(segment, 0)).toBe(base + slabBytes);
    }
    expect(exports.audit()).toBe(0);
  });

  test("a number that is not in use is BAD_SEGMENT everywhere, and calls of the other kind of book are WRONG_MODE", () => {
    for (const mode of [RUNS, SINGLE_BLOCKS] as const) {
      const { exports, write } = openBook(build, mode);
      exports.addSegment(0);
      exports.addSegment(0);
      exports.dropSegment(0);
      for (const segment of [0, 2, -1, 65536, 2 ** 31 - 1, -(2 ** 31)]) {
        write([[segment, slabBytes]]);
        const run = exports.openRun(segment, 0);
        const blocks = [exports.liveBlocks(segment), exports.giveBlocks(1)];
        expectEach(mode === RUNS ? [run] : blocks, Status.BAD_SEGMENT);
        expectEach(mode === RUNS ? [...blocks, exports.takeBlocks(0, 1)] : [run], Status.WRONG_MODE);
        expectEach([exports.dropSegment(segment), exports.recycle(segment)], Status.BAD_SEGMENT);
        expectEach([exports.freeSlabs(segment), exports.spanAt(segment, 1)], Status.BAD_SEGMENT);
        expect(exports.classAt(segment, slabBytes)).toBe(Status.BAD_SEGMENT);
      }
    }
  });

  test("the book answers NO_BOOK_MEMORY when it cannot grow, and goes on", () => {
    const { exports } = openBook(build, SINGLE_BLOCKS, 18, 8);
    expect(exports.addSegment(0)).toBe(Status.NO_BOOK_MEMORY);
    expect(exports.isBusy()).toBe(0);
    const larger = openBook(build, SINGLE_BLOCKS, 18, 9);
    expect(larger.exports.addSegment(0)).toBe(0);
    expect(larger.exports.addSegment(0)).toBe(Status.NO_BOOK_MEMORY);
    expect(larger.exports.dropSegment(0)).toBe(Status.OK);
    expect(larger.exports.addSegment(-64)).toBe(0);
    expect(larger.exports.audit()).toBe(0);
  });

  test("a book of runs holds 500 segments in its first page, and 65,536 at most", () => {
    const { exports, memory } = openBook(build, RUNS);
    for (let segment = 0; segment < 500; segment++) expect(exports.addSegment(0)).toBe(segment);
    expect(memory.buffer.byteLength).toBe(PAGE_BYTES);
    for (let segment = 500; segment < MAX_SEGMENTS; segment++) exports.addSegment(0);
    expect(exports.addSegment(0)).toBe(Status.NO_BOOK_MEMORY);
    expect(exports.openRun(MAX_SEGMENTS - 1, 0)).toBe(slabBytes);
    expect(exports.audit()).toBe(0);
  });
});

describe.each(BOOK_BUILDS)("blocks of the %s build", (build) => {
  function open(bases: number[] = [-64]) {
    const book = openBook(build, SINGLE_BLOCKS);
    for (const base of bases) book.exports.addSegment(base);
    return book;
  }

  test.each([
    ["all blocks of a run", RUNS],
    ["single blocks that are live", SINGLE_BLOCKS],
  ] as const)("have a class at their start, and nothing else has: %s", (_name, mode) => {
    const book = openBook(build, mode);
    const { exports } = book;
    const segment = exports.addSegment(-192);
    const classes = new Map<number, number>();
    for (const sizeClass of [0, 1, 5, 9, 23, 24, exports.sizeClassOf(5 * slabBytes)]) {
      if (mode === RUNS) {
        const ptr = exports.openRun(segment, sizeClass);
        const blocks = blocksThatFit(exports, sizeClass, slabShift);
        for (let each = 0; each < blocks; each++) classes.set(ptr + each * exports.blockBytes(sizeClass), sizeClass);
      } else {
        const [first, ...others] = book.take(sizeClass, 3) as [Pair, ...Pair[]];
        book.give([first]);
        for (const [, ptr] of others) classes.set(ptr, sizeClass);
      }
    }
    for (let ptr = -slabBytes; ptr < (SLAB_COUNT + 1) * slabBytes; ptr++) {
      const expected = classes.get(ptr);
      const found = exports.classAt(segment, ptr);
      if (expected === undefined ? found >= 0 : found !== expected) expect.fail(`class ${found} at ${ptr}`);
    }
    // In the trap, between two grains, behind the slabs; inside a block, in a free slab.
    const classesAt = (...ptrs: number[]) => ptrs.map((ptr) => exports.classAt(segment, ptr));
    const first = slabBytes - 192;
    expectEach(classesAt(16, first + 8, SLAB_COUNT * slabBytes), Status.BAD_ADDRESS);
    expectEach(classesAt(first + 16, 63 * slabBytes), Status.NOT_LIVE);
  });

  test("that were given back last are taken first, and before a new span is opened", () => {
    const book = open([0, 0]);
    const blocks = book.take(0, 4);
    book.give([blocks[1], blocks[3]] as Pair[]);
    book.give([blocks[2] as Pair]);
    expect(book.take(0, 3)).toEqual([blocks[2], blocks[1], blocks[3]]);
    const inLast = takeAll(book, 24).filter(([segment]) => segment === 1);
    book.give(inLast.slice(5, 6));
    expect(book.take(24, 8)).toEqual(inLast.slice(5, 6));
  });

  test("are refused for a count out of range", () => {
    const { exports } = open();
    for (const count of [-1, EXCHANGE_CAPACITY + 1, 2 ** 31 - 1, -(2 ** 31)]) {
      expectEach([exports.takeBlocks(0, count), exports.giveBlocks(count)], Status.BAD_COUNT);
    }
    expect([exports.takeBlocks(0, 0), exports.giveBlocks(0)]).toEqual([0, Status.OK]);
    expect(exports.takeBlocks(0, EXCHANGE_CAPACITY)).toBe(EXCHANGE_CAPACITY);
    expect([exports.giveBlocks(EXCHANGE_CAPACITY), exports.freeSlabs(0)]).toEqual([Status.OK, SLAB_COUNT - 1]);
  });

  const [A, B] = [slabBytes - 64, slabBytes] as const;
  test.each<[string, number, segment: number, ptr: number]>([
    ["stands there twice", Status.NOT_LIVE, 0, A],
    ["was given back before", Status.NOT_LIVE, 0, B + 64],
    ["was never handed out", Status.NOT_LIVE, 0, B + 4 * 64],
    ["starts inside a block", Status.NOT_LIVE, 0, A + 16],
    ["starts where no block can", Status.BAD_ADDRESS, 0, A + 8],
    ["lies in the trap", Status.BAD_ADDRESS, 0, 64],
    ["lies behind the slabs", Status.BAD_ADDRESS, 0, SLAB_COUNT * slabBytes],
    ["has a pointer above 2 GiB", Status.BAD_ADDRESS, 0, 2 ** 32 - 64],
    ["names no segment", Status.BAD_SEGMENT, 1, A],
    ["names a segment above 2 Gi", Status.BAD_SEGMENT, 2 ** 32 - 1, A],
  ])("none is taken back if one %s", (_what, status, segment, ptr) => {
    const book = open();
    const blocks = book.take(0, 4) as [Pair, Pair, Pair, Pair];
    expect([blocks[0], blocks[1]]).toEqual([
      [0, A],
      [0, B],
    ]);
    book.give([blocks[2]]);
    const before = book.bytesOutsideExchange();
    const pairs: Pair[] = [blocks[0], blocks[1], [segment, ptr]];
    book.write(pairs);
    expect(book.exports.giveBlocks(pairs.length)).toBe(status);
    expect(Buffer.compare(book.bytesOutsideExchange(), before)).toBe(0);
    expect([book.exports.liveBlocks(0), book.exports.audit()]).toEqual([3, 0]);
  });

  test("are found in thousands of segments", () => {
    const book = open(new Array(3000).fill(0));
    const { exports } = book;
    const whole = exports.sizeClassOf(63 * slabBytes);
    const blocks = takeAll(book, whole);
    expect(blocks.map(([segment]) => segment)).toEqual([...blocks.keys()]);
    book.give([blocks[2500] as Pair, blocks[70] as Pair]);
    expect(book.take(whole, 9).map(([segment]) => segment)).toEqual([70, 2500]);
    expect(exports.audit()).toBe(0);
  });
});

describe("a call that was cut off half way", () => {
  const { exports, write } = openDebug(SINGLE_BLOCKS);
  exports.addSegment(0);
  exports.takeBlocks(0, 2);
  const before = [exports.freeSlabs(0), exports.liveBlocks(0), exports.spanAt(0, 1), exports.classAt(0, slabBytes)];
  exports.cutOff();

  test.each<[keyof BookExports, number[]]>([
    ["init", [12, 1]],
    ["addSegment", [0]],
    ["dropSegment", [0]],
    ["openRun", [0, 0]],
    ["recycle", [0]],
    ["takeBlocks", [0, 1]],
    ["giveBlocks", [1]],
  ])("makes %s answer BUSY, and change nothing", (name, args) => {
    write([[0, slabBytes]]);
    expect(exports.isBusy()).toBe(1);
    for (let each = 0; each < 2; each++) {
      expect((exports[name] as (...args: number[]) => number)(...args)).toBe(Status.BUSY);
    }
    expect(exports.isBusy()).toBe(1);
    expect([exports.freeSlabs(0), exports.liveBlocks(0), exports.spanAt(0, 1), exports.classAt(0, slabBytes)]).toEqual(
      before,
    );
    expect(exports.audit()).toBe(0);
  });

  test.each([
    ["runs", RUNS],
    ["single blocks", SINGLE_BLOCKS],
  ] as const)(
    "is always noticed: after a vm timeout in a book of %s the audit is clean, or it is busy",
    (_name, mode) => {
      let cut = 0;
      for (let round = 0; round < 150; round++) {
        const { exports, write } = openBook("release", mode);
        for (let segment = 0; segment < 40; segment++) exports.addSegment(-64);
        const program =
          mode === RUNS
            ? "for (let s = 0; ; s = (s + 1) % 40) { while (exports.openRun(s, s) > 0); exports.recycle(s); }"
            : "for (let c = 0; ; c = (c + 1) % 40) { const n = exports.takeBlocks(c, 128); exports.giveBlocks(n >> (c & 1)); if (n < 9) exports.recycle(c); }";
        expect(() => runInNewContext(program, { exports }, { timeout: 2 })).toThrow(/timed out/);
        if (exports.isBusy() === 0) {
          expect(exports.audit()).toBe(0);
          continue;
        }
        cut++;
        write([[0, 0]]);
        expect(exports.recycle(0)).toBe(Status.BUSY);
        // What a torn book says need not be right, but it answers.
        exports.audit();
        for (let segment = -1; segment < 41; segment++) {
          exports.classAt(segment, slabBytes);
          exports.spanAt(segment, 1);
          exports.freeSlabs(segment);
          exports.liveBlocks(segment);
        }
      }
      console.log(`cut off half way: ${cut} of 150`);
    },
  );
});

describe("audit names", () => {
  /** A book with live and free blocks of many classes in two segments, and number 1 dropped. */
  function busyBook() {
    const book = openDebug(SINGLE_BLOCKS);
    for (let segment = 0; segment < 3; segment++) book.exports.addSegment(-64 * segment);
    for (let round = 0; round < 60; round++) {
      const blocks = book.take(round % 12, 20);
      book.give(blocks.filter((_, each) => each % 3 !== 0));
    }
    book.exports.dropSegment(1);
    expect(book.exports.audit()).toBe(0);
    return book;
  }

  /** Damages one field, expects the code, and undoes it. */
  function damage(book: ReturnType<typeof busyBook>, bytes: 1 | 2 | 4 | 8, at: number, value: number | bigint) {
    const view = new DataView(book.memory.buffer);
    const before = view.getBigUint64(at, true);
    if (bytes === 1) view.setUint8(at, Number(value));
    else if (bytes === 2) view.setUint16(at, Number(value), true);
    else if (bytes === 4) view.setUint32(at, Number(value), true);
    else view.setBigUint64(at, BigInt(value), true);
    const found = book.exports.audit();
    view.setBigUint64(at, before, true);
    expect(book.exports.audit()).toBe(0);
    return { invariant: found >> 24, segment: (found >> 8) & 0xffff, slab: found & 0xff };
  }

  const book = busyBook();
  const { exports } = book;
  const field = (name: keyof DebugBook) => (exports[name] as { value: number }).value;
  const freeMap = exports.segmentPtr(0) + field("FREE_MAP");
  const headMap = exports.segmentPtr(0) + field("HEAD_MAP");
  const view = new DataView(book.memory.buffer);
  const map = view.getBigUint64(freeMap, true);

  // A span with live and free blocks, its record, and its first free block's link.
  const span = Array.from({ length: SLAB_COUNT }, (_, slab) => slab).find((slab) => {
    const found = exports.spanAt(0, slab);
    return found >= 0 && (found & 0xffff) > 1 && (found & 0xffff) + 2 < blocksThatFit(exports, found >> 16, slabShift);
  }) as number;
  const record = exports.spanPtr(0, span);
  const [freeHead, capacity] = [record + field("FREE_HEAD"), record + field("CAPACITY")];
  const blockBytes = exports.blockBytes(exports.spanAt(0, span) >> 16);
  const linkOf = (index: number) => exports.linkPtr(0, span * slabBytes + index * blockBytes);
  const u16 = (at: number) => view.getUint16(at, true);
  const u32 = (at: number) => view.getUint32(at, true);
  const liveLink = (): number => {
    const index = Array.from({ length: u16(capacity) }, (_, each) => each).find((each) => u16(linkOf(each)) & 0x8000);
    return linkOf(index as number);
  };
  const classHead = exports.classHeadPtr(0);
  const liveBlocks = exports.segmentPtr(2) + field("LIVE_BLOCKS");

  // What the next test finds as well has one row for each invariant here, for the code and the place.
  test.each<[string, string, 1 | 2 | 4 | 8, at: number, value: number | bigint, segment: number, slab: number]>([
    ["B1", "the trap, free", 8, freeMap, map | 1n, 0, 0],
    ["B1", "a slab of no span that is not free", 8, freeMap, map & (map - 1n), 0, lowestBit(map)],
    ["B1", "a class that there is not", 1, exports.segmentPtr(0) + field("CLASSES") + 1, 200, 0, 1],
    ["B2", "a free list that starts nowhere", 2, freeHead, 0x1fff, 0, span],
    ["B2", "a free list that is a cycle", 2, linkOf(u16(freeHead)), 0x1fff, 0, span],
    ["B2", "a free block that says it is live", 2, linkOf(u16(freeHead)), 0x8000, 0, span],
    ["B3", "a live block that does not say so", 2, liveLink(), 0, 0, span],
    ["B3", "a live block of another class", 2, liveLink(), u16(liveLink()) ^ 1, 0, span],
    ["B3", "a live block that starts elsewhere", 2, liveLink(), u16(liveLink()) ^ 0x80, 0, span],
    ["B3", "a live link in a free slab", 2, exports.linkPtr(0, 63 * slabBytes), 0x8000, 0, 63],
    ["B4", "a class head that leads nowhere", 4, classHead, 0, 0, 0],
    ["B4", "a list that is a cycle", 4, record + field("NEXT"), span, 0, span],
    ["B5", "a segment whose live blocks are counted wrong", 4, liveBlocks, u32(liveBlocks) + 1, 2, 0],
    ["B6", "a free slab that the room map hides", 1, exports.roomBytePtr(2), 0, 0, 0],
    ["B6", "a dropped segment with free slabs", 8, exports.segmentPtr(1) + field("FREE_MAP"), 2n, 1, 0],
    ["B7", "a number out of use that the search would miss", 1, exports.segmentPtr(0) + field("IN_USE"), 0, 0, 0],
  ])("%s for %s", (invariant, _what, bytes, at, value, segment, slab) => {
    expect(damage(book, bytes, at, value)).toEqual({ invariant: Number(invariant[1]), segment, slab });
  });

  test("something for every bit of a segment's maps, of a span's counts and of the lists", () => {
    const missed: string[] = [];
    const flip = (what: string, at: number, bits: number) => {
      for (let bit = 0; bit < bits; bit++) {
        const byte = at + (bit >> 3);
        const before = view.getUint8(byte);
        view.setUint8(byte, before ^ (1 << (bit & 7)));
        if (exports.audit() === 0) missed.push(`${what} bit ${bit}`);
        view.setUint8(byte, before);
      }
    };
    flip("free map", freeMap, 64);
    flip("head map", headMap, 64);
    flip("live blocks", exports.segmentPtr(0) + field("LIVE_BLOCKS"), 32);
    flip("prev", record + field("PREV"), 32);
    flip("next", record + field("NEXT"), 32);
    flip("counts", record + field("FREE_HEAD"), 48);
    for (let each = 0; each < exports.classCount(); each++) flip(`class head ${each}`, exports.classHeadPtr(each), 32);
    expect(missed).toEqual([]);
    expect(exports.audit()).toBe(0);
  });

  test("the audit ends whatever the book's memory holds", () => {
    let random = 12345;
    for (let round = 0; round < 300; round++) {
      const { memory, exports } = busyBook();
      const bytes = new Uint8Array(memory.buffer);
      const from = exports.classHeadPtr(0);
      const to = exports.linkPtr(2, 63 * slabBytes);
      for (let each = 0; each < 1 + round * 4; each++) {
        random = (Math.imul(random, 1103515245) + 12345) >>> 0;
        const at = from + (random % (round % 2 === 0 ? to - from : 600));
        bytes[at] = random >>> 24;
      }
      exports.audit();
    }
  });
});

test("the statuses and numbers that the tests know are the module's", () => {
  const memory = new WebAssembly.Memory({ initial: 1 });
  const module = instantiateSync(debugModule, { env: { memory } }).exports as unknown as Record<
    string,
    { value: number }
  >;
  const numbers = { ...Status, EXCHANGE_CAPACITY, SLAB_COUNT, MAX_SEGMENTS };
  expect(Object.keys(numbers).map((name) => module[name]?.value)).toEqual(Object.values(numbers));
});

function expectEach(answers: readonly number[], status: number): void {
  expect(answers).toEqual(answers.map(() => status));
}

function takeAll(book: ReturnType<typeof openBook>, sizeClass: number): Pair[] {
  const blocks: Pair[] = [];
  for (;;) {
    const taken = book.take(sizeClass, EXCHANGE_CAPACITY);
    if (taken.length === 0) return blocks;
    blocks.push(...taken);
  }
}

function lowestBit(map: bigint): number {
  let bit = 0;
  while (((map >> BigInt(bit)) & 1n) === 0n) bit++;
  return bit;
}
