/**
 * The book against a plain model, through its exports: random operations on a few
 * segments of different bases. After every operation:
 *
 * - what was handed out lies in slabs 1 to 63 of a segment in use, and shares no byte
 *   with any other live block or run;
 * - a run or a block is refused only if no segment has room for it;
 * - what is not live is refused, and nothing changes;
 * - `audit` is 0, and `freeSlabs`, `liveBlocks`, `spanAt` and `classAt` are the model's.
 *
 * Single cases and damage are test/unit/book.test.ts's business.
 */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  BOOK_BUILDS,
  type BookBuild,
  blocksThatFit,
  EXCHANGE_CAPACITY,
  openBook,
  type Pair,
  RUNS,
  SINGLE_BLOCKS,
  SLAB_COUNT,
  Status,
} from "../book.js";
import { runPrograms } from "../seeded.js";

const slabShift = 12;
const slabBytes = 1 << slabShift;
const CLASS_COUNT = 92;
const MOST_SEGMENTS = 5;

type Op =
  | { do: "add"; base: number }
  | { do: "drop"; pick: number }
  | { do: "recycle"; pick: number }
  | { do: "openRun"; pick: number; sizeClass: number }
  | { do: "take"; sizeClass: number; count: number }
  | { do: "give"; pick: number; stride: number; count: number }
  | { do: "giveWrong"; pick: number; count: number; wrong: "twice" | "bogus"; segment: number; ptr: number };

// Short classes more often than long ones, so that spans fill up and empty.
const sizeClass = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 0, max: 20 }) },
  { weight: 3, arbitrary: fc.integer({ min: 16, max: 33 }) },
  { weight: 1, arbitrary: fc.integer({ min: 33, max: CLASS_COUNT - 1 }) },
);
const pick = fc.nat({ max: 2 ** 20 });
const base = fc.integer({ min: -63, max: 0 }).map((grains) => grains * 64);
const count = fc.oneof(fc.integer({ min: 0, max: 12 }), fc.integer({ min: 0, max: EXCHANGE_CAPACITY }));

const segmentOps: fc.WeightedArbitrary<Op>[] = [
  { weight: 3, arbitrary: fc.record({ do: fc.constant("add" as const), base }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("drop" as const), pick }) },
];
const runOp: fc.Arbitrary<Op> = fc.oneof(
  ...segmentOps,
  { weight: 3, arbitrary: fc.record({ do: fc.constant("recycle" as const), pick }) },
  { weight: 20, arbitrary: fc.record({ do: fc.constant("openRun" as const), pick, sizeClass }) },
);
const blockOp: fc.Arbitrary<Op> = fc.oneof(
  ...segmentOps,
  { weight: 1, arbitrary: fc.record({ do: fc.constant("recycle" as const), pick }) },
  { weight: 14, arbitrary: fc.record({ do: fc.constant("take" as const), sizeClass, count }) },
  {
    weight: 12,
    arbitrary: fc.record({ do: fc.constant("give" as const), pick, stride: fc.integer({ min: 1, max: 9 }), count }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("giveWrong" as const),
      pick,
      count: fc.integer({ min: 1, max: 20 }),
      wrong: fc.constantFrom("twice" as const, "bogus" as const),
      segment: fc.integer({ min: -1, max: MOST_SEGMENTS }),
      ptr: fc.integer({ min: -100, max: SLAB_COUNT * slabBytes + 100 }),
    }),
  },
);

/** What is handed out: a block, or a whole run. */
interface Live {
  pair: Pair;
  sizeClass: number;
}

/** A segment as a plain list: which span each slab belongs to, and which 16 bytes are handed out. */
interface ModelSegment {
  base: number;
  /** By slab: the first slab of its span, or -1. */
  heads: Int8Array;
  /** By 16 bytes from slab 0's start: 1 if handed out. */
  used: Uint8Array;
  /** By pointer. */
  live: Map<number, Live>;
  /** By first slab: blocks of the span that are handed out. */
  counts: Int32Array;
}

class Model {
  readonly book;
  readonly segments = new Map<number, ModelSegment>();
  readonly #mode: 0 | 1;

  constructor(build: BookBuild, mode: 0 | 1) {
    this.book = openBook(build, mode, slabShift);
    this.#mode = mode;
    expect(this.book.exports.classCount()).toBe(CLASS_COUNT);
  }

  apply(op: Op): void {
    switch (op.do) {
      case "add":
        this.#add(op.base);
        break;
      case "drop":
      case "recycle":
        this.#forget(op.pick, op.do);
        break;
      case "openRun":
        this.#openRun(op.pick, op.sizeClass);
        break;
      case "take":
        this.#take(op.sizeClass, op.count);
        break;
      case "give":
        this.#give(op.pick, op.stride, op.count);
        break;
      case "giveWrong":
        this.#giveWrong(op);
        break;
    }
    this.#compare();
  }

  #add(base: number): void {
    if (this.segments.size === MOST_SEGMENTS) return;
    const segment = this.book.exports.addSegment(base);
    expect(segment).toBe([0, 1, 2, 3, 4].find((each) => !this.segments.has(each)));
    this.segments.set(segment, emptySegment(base));
  }

  #forget(pick: number, how: "drop" | "recycle"): void {
    const [segment, model] = this.#pickSegment(pick);
    if (model === undefined) return;
    if (how === "drop") {
      expect(this.book.exports.dropSegment(segment)).toBe(Status.OK);
      this.segments.delete(segment);
    } else {
      expect(this.book.exports.recycle(segment)).toBe(Status.OK);
      this.segments.set(segment, emptySegment(model.base));
    }
  }

  #openRun(pick: number, sizeClass: number): void {
    const { exports } = this.book;
    const [segment, model] = this.#pickSegment(pick);
    if (model === undefined) {
      expect(exports.openRun(segment, sizeClass)).toBe(Status.BAD_SEGMENT);
      return;
    }
    const lowest = lowestRun(model, exports.spanSlabs(sizeClass));
    const ptr = exports.openRun(segment, sizeClass);
    expect(ptr).toBe(lowest < 0 ? Status.NO_ROOM : model.base + lowest * slabBytes);
    if (lowest < 0) return;
    const blocks = blocksThatFit(exports, sizeClass, slabShift);
    expect(exports.spanAt(segment, lowest)).toBe((sizeClass << 16) | blocks);
    this.#handOut({ pair: [segment, ptr], sizeClass }, blocks * exports.blockBytes(sizeClass));
    const within = blocks >> 1;
    expect(exports.classAt(segment, ptr + within * exports.blockBytes(sizeClass))).toBe(sizeClass);
  }

  #take(sizeClass: number, count: number): void {
    const { exports } = this.book;
    const blocks = this.book.take(sizeClass, count);
    const block = exports.blockBytes(sizeClass);
    for (const pair of blocks) {
      this.#handOut({ pair, sizeClass }, block);
      const found = exports.classAt(...pair);
      if (found !== sizeClass) expect.fail(`class ${found}, not ${sizeClass}, at ${pair}`);
    }
    if (blocks.length === count) return;
    // There is no room: no span of the class has a free block, and no segment the slabs for another.
    const capacity = blocksThatFit(exports, sizeClass, slabShift);
    for (const [segment, model] of this.segments) {
      expect(lowestRun(model, exports.spanSlabs(sizeClass))).toBe(-1);
      for (const slab of headsOf(model)) {
        if (exports.spanAt(segment, slab) >> 16 === sizeClass) {
          expect(exports.spanAt(segment, slab) & 0xffff).toBe(capacity);
        }
      }
    }
  }

  #give(pick: number, stride: number, count: number): void {
    const given = this.#pickLive(pick, stride, count);
    if (given.length > 0) this.book.give(given.map(({ pair }) => pair));
    for (const each of given) this.#takeBack(each);
    for (const { pair } of given) {
      const found = this.book.exports.classAt(...pair);
      if (found !== Status.NOT_LIVE) expect.fail(`class ${found} at ${pair}, which was given back`);
    }
  }

  #giveWrong({ pick, count, wrong, segment, ptr }: Op & { do: "giveWrong" }): void {
    const given = this.#pickLive(pick, 1, count).map(({ pair }) => pair);
    if (wrong === "twice" ? given.length === 0 : this.#isLive(segment, ptr)) return;
    const bad: Pair = wrong === "twice" ? (given[pick % given.length] as Pair) : [segment, ptr];
    given.splice(pick % (given.length + 1), 0, bad);
    const before = this.book.bytesOutsideExchange();
    this.book.write(given);
    expect([Status.NOT_LIVE, Status.BAD_ADDRESS, Status.BAD_SEGMENT]).toContain(
      this.book.exports.giveBlocks(given.length),
    );
    expect(Buffer.compare(this.book.bytesOutsideExchange(), before)).toBe(0);
  }

  /** Enters what the book handed out; fails if it overlaps anything. */
  #handOut(live: Live, bytes: number): void {
    const [segment, ptr] = live.pair;
    const model = this.segments.get(segment) ?? expect.fail(`segment ${segment} is not in use`);
    const offset = ptr - model.base;
    if (offset % 16 !== 0 || offset < slabBytes || offset + bytes > SLAB_COUNT * slabBytes) {
      expect.fail(`${bytes} bytes at ${ptr} of segment ${segment} are not in its slabs`);
    }
    if (model.used.subarray(offset >> 4, (offset + bytes) >> 4).includes(1)) {
      expect.fail(`${bytes} bytes at ${ptr} of segment ${segment} overlap what is live`);
    }
    model.used.fill(1, offset >> 4, (offset + bytes) >> 4);
    model.live.set(ptr, live);
    const slab = Math.floor(offset / slabBytes);
    if (model.heads[slab] === -1) {
      // The first block of a new span lies in the span's first slab.
      const slabs = this.book.exports.spanSlabs(live.sizeClass);
      expect(this.book.exports.spanAt(segment, slab) >> 16).toBe(live.sizeClass);
      expect(model.heads.subarray(slab, slab + slabs).every((head) => head === -1)).toBe(true);
      model.heads.fill(slab, slab, slab + slabs);
    }
    const head = model.heads[slab] as number;
    model.counts[head] = (model.counts[head] as number) + 1;
  }

  #takeBack({ pair: [segment, ptr], sizeClass }: Live): void {
    const model = this.segments.get(segment) as ModelSegment;
    const offset = ptr - model.base;
    model.used.fill(0, offset >> 4, (offset + this.book.exports.blockBytes(sizeClass)) >> 4);
    model.live.delete(ptr);
    const head = model.heads[Math.floor(offset / slabBytes)] as number;
    const left = (model.counts[head] as number) - 1;
    model.counts[head] = left;
    if (left === 0) {
      model.heads.fill(-1, head, head + this.book.exports.spanSlabs(sizeClass));
    }
  }

  #compare(): void {
    const { exports } = this.book;
    expect(exports.audit()).toBe(0);
    expect(exports.isBusy()).toBe(0);
    for (let segment = 0; segment <= MOST_SEGMENTS; segment++) {
      const model = this.segments.get(segment);
      if (model === undefined) {
        expect(exports.freeSlabs(segment)).toBe(Status.BAD_SEGMENT);
        continue;
      }
      expect(exports.freeSlabs(segment)).toBe(model.heads.filter((head) => head === -1).length - 1);
      expect(exports.spanAt(segment, 0)).toBe(-1);
      if (this.#mode === RUNS) continue;
      expect(exports.liveBlocks(segment)).toBe(model.live.size);
      for (const slab of headsOf(model)) {
        const live = exports.spanAt(segment, slab) & 0xffff;
        if (live !== model.counts[slab]) expect.fail(`${live} blocks, not ${model.counts[slab]}, live at slab ${slab}`);
      }
    }
  }

  #isLive(segment: number, ptr: number): boolean {
    return this.segments.get(segment)?.live.has(ptr) ?? false;
  }

  #pickSegment(pick: number): [number, ModelSegment | undefined] {
    const segment = pick % (MOST_SEGMENTS + 1);
    return [segment, this.segments.get(segment)];
  }

  /** Up to `count` different live blocks, of any segments. */
  #pickLive(pick: number, stride: number, count: number): Live[] {
    const all = [...this.segments.values()].flatMap(({ live }) => [...live.values()]);
    const picked = new Set<Live>();
    for (let each = 0; each < Math.min(count, all.length); each++) {
      picked.add(all[(pick + each * stride) % all.length] as Live);
    }
    return [...picked];
  }
}

function emptySegment(base: number): ModelSegment {
  return {
    base,
    heads: new Int8Array(SLAB_COUNT).fill(-1),
    used: new Uint8Array((SLAB_COUNT * slabBytes) >> 4),
    live: new Map(),
    counts: new Int32Array(SLAB_COUNT),
  };
}

function headsOf({ heads }: ModelSegment): number[] {
  return [...new Set(heads)].filter((head) => head >= 0);
}

/** First slab of the lowest run of `slabs` free slabs behind the trap, or -1. */
function lowestRun({ heads }: ModelSegment, slabs: number): number {
  for (let first = 1; first + slabs <= SLAB_COUNT; first++) {
    if (heads.subarray(first, first + slabs).every((head) => head === -1)) return first;
  }
  return -1;
}

describe.each(BOOK_BUILDS)("the %s build does what the plain model does", (build) => {
  test.each([
    ["whole runs", RUNS, runOp],
    ["single blocks", SINGLE_BLOCKS, blockOp],
  ] as const)("with %s", { timeout: 1_800_000 }, async (name, mode, operation) => {
    await runPrograms(`book, ${build}, ${name}`, operation, (program) => {
      const model = new Model(build, mode);
      for (const op of program) model.apply(op);
    });
  });
});
