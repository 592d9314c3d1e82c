/**
 * The book against a plain model, through its exports: random operations on a few
 * segments of different bases. After every operation:
 *
 * - what was handed out lies in slabs 1 to 63 of a segment in use, and shares no byte
 *   with any other live block or run;
 * - a run or a block is refused only if no segment has room for it;
 * - what is not live is refused, and nothing changes;
 * - `audit` is 0, every span holds the model's live blocks and no others, and what is left is free.
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

/** How often each is done, in a book of runs and in one of single blocks. */
const WEIGHTS = {
  [RUNS]: { add: 3, drop: 1, recycle: 3, openRun: 20 },
  [SINGLE_BLOCKS]: { add: 3, drop: 1, recycle: 1, take: 14, give: 12, giveTwice: 1, giveBogus: 1 },
} as const;

/** What is done, and numbers for it: each takes those that it needs. */
interface Op {
  readonly do: "add" | "drop" | "recycle" | "openRun" | "take" | "give" | "giveTwice" | "giveBogus";
  readonly base: number;
  readonly pick: number;
  readonly stride: number;
  readonly count: number;
  readonly sizeClass: number;
  /** No live block, as a rule. */
  readonly bogus: Pair;
}

function operationsOf(mode: 0 | 1): fc.Arbitrary<Op> {
  const kinds = Object.entries(WEIGHTS[mode]).map(([name, weight]) => {
    return { weight, arbitrary: fc.constant(name as Op["do"]) };
  });
  return fc.record({
    do: fc.oneof(...kinds),
    base: fc.integer({ min: -63, max: 0 }).map((grains) => grains * 64),
    pick: fc.nat({ max: 2 ** 20 }),
    stride: fc.integer({ min: 1, max: 9 }),
    count: fc.oneof(fc.nat({ max: 12 }), fc.nat({ max: EXCHANGE_CAPACITY })),
    // Short classes more often than long ones, so that spans fill up and empty.
    sizeClass: fc.oneof(
      { weight: 6, arbitrary: fc.nat({ max: 20 }) },
      { weight: 3, arbitrary: fc.integer({ min: 16, max: 33 }) },
      { weight: 1, arbitrary: fc.integer({ min: 33, max: CLASS_COUNT - 1 }) },
    ),
    bogus: fc.tuple(
      fc.integer({ min: -1, max: MOST_SEGMENTS }),
      fc.integer({ min: -100, max: SLAB_COUNT * slabBytes + 100 }),
    ),
  });
}

/** What is handed out of a segment. */
class ModelSegment {
  /** By pointer, the class of a block, or of the blocks of a run. */
  readonly live = new Map<number, number>();
  /** By 16 bytes from slab 0's start: 1 if handed out. */
  readonly used = new Uint8Array((SLAB_COUNT * slabBytes) >> 4);
  /** By slab: what starts there. */
  readonly starts = new Int32Array(SLAB_COUNT);

  constructor(readonly base: number) {}
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
    this[op.do](op);
    this.#compare();
  }

  add({ base }: Op): void {
    if (this.segments.size === MOST_SEGMENTS) return;
    const segment = this.book.exports.addSegment(base);
    expect(segment).toBe([0, 1, 2, 3, 4].find((each) => !this.segments.has(each)));
    this.segments.set(segment, new ModelSegment(base));
  }

  drop({ pick }: Op): void {
    const segment = pick % (MOST_SEGMENTS + 1);
    const expected = this.segments.delete(segment) ? Status.OK : Status.BAD_SEGMENT;
    expect(this.book.exports.dropSegment(segment)).toBe(expected);
  }

  recycle({ pick }: Op): void {
    const segment = pick % (MOST_SEGMENTS + 1);
    const model = this.segments.get(segment);
    expect(this.book.exports.recycle(segment)).toBe(model === undefined ? Status.BAD_SEGMENT : Status.OK);
    if (model !== undefined) this.segments.set(segment, new ModelSegment(model.base));
  }

  openRun({ pick, sizeClass }: Op): void {
    const { exports } = this.book;
    const segment = pick % (MOST_SEGMENTS + 1);
    const model = this.segments.get(segment);
    const lowest = model === undefined ? -1 : this.#lowestRun(segment, exports.spanSlabs(sizeClass));
    const ptr = exports.openRun(segment, sizeClass);
    if (model === undefined || lowest < 0) {
      expect(ptr).toBe(model === undefined ? Status.BAD_SEGMENT : Status.NO_ROOM);
      return;
    }
    expect(ptr).toBe(model.base + lowest * slabBytes);
    const blocks = blocksThatFit(exports, sizeClass, slabShift);
    this.#handOut([segment, ptr], sizeClass, blocks * exports.blockBytes(sizeClass));
    expect(exports.classAt(segment, ptr + (blocks >> 1) * exports.blockBytes(sizeClass))).toBe(sizeClass);
  }

  take({ sizeClass, count }: Op): void {
    const { exports } = this.book;
    const blocks = this.book.take(sizeClass, count);
    for (const pair of blocks) {
      this.#handOut(pair, sizeClass, exports.blockBytes(sizeClass));
      const found = exports.classAt(...pair);
      if (found !== sizeClass) expect.fail(`class ${found}, not ${sizeClass}, at ${pair}`);
    }
    if (blocks.length === count) return;
    // There is no room: no span of the class has a free block, and no segment the slabs for another.
    const capacity = blocksThatFit(exports, sizeClass, slabShift);
    for (const segment of this.segments.keys()) {
      expect(this.#lowestRun(segment, exports.spanSlabs(sizeClass))).toBe(-1);
      for (const span of this.#spansOf(segment)) if (span.sizeClass === sizeClass) expect(span.live).toBe(capacity);
    }
  }

  give(op: Op): void {
    const given = this.#pickLive(op);
    if (given.length > 0) this.book.give(given);
    for (const [segment, ptr] of given) {
      const { base, live, used, starts } = this.segments.get(segment) as ModelSegment;
      const offset = ptr - base;
      used.fill(0, offset >> 4, (offset + this.book.exports.blockBytes(live.get(ptr) as number)) >> 4);
      live.delete(ptr);
      (starts[Math.floor(offset / slabBytes)] as number)--;
    }
    for (const pair of given) {
      const found = this.book.exports.classAt(...pair);
      if (found !== Status.NOT_LIVE) expect.fail(`class ${found} at ${pair}, which was given back`);
    }
  }

  giveTwice(op: Op): void {
    const given = this.#pickLive({ ...op, stride: 1 });
    const [first] = given;
    if (first !== undefined) this.#expectRefused(op, given, first);
  }

  giveBogus(op: Op): void {
    const [segment, ptr] = op.bogus;
    if (!this.segments.get(segment)?.live.has(ptr)) this.#expectRefused(op, this.#pickLive(op), op.bogus);
  }

  #expectRefused({ pick }: Op, given: Pair[], bad: Pair): void {
    if (given.length === EXCHANGE_CAPACITY) given.pop();
    given.splice(pick % (given.length + 1), 0, bad);
    const before = this.book.bytesOutsideExchange();
    this.book.write(given);
    expect([Status.NOT_LIVE, Status.BAD_ADDRESS, Status.BAD_SEGMENT]).toContain(
      this.book.exports.giveBlocks(given.length),
    );
    expect(Buffer.compare(this.book.bytesOutsideExchange(), before)).toBe(0);
  }

  /** Enters what the book handed out; fails if it overlaps anything. */
  #handOut([segment, ptr]: Pair, sizeClass: number, bytes: number): void {
    const { base, live, used, starts } = this.segments.get(segment) ?? expect.fail(`segment ${segment} is not in use`);
    const offset = ptr - base;
    if (offset % 16 !== 0 || offset < slabBytes || offset + bytes > SLAB_COUNT * slabBytes) {
      expect.fail(`${bytes} bytes at ${ptr} of segment ${segment} are not in its slabs`);
    }
    if (used.subarray(offset >> 4, (offset + bytes) >> 4).includes(1)) {
      expect.fail(`${bytes} bytes at ${ptr} of segment ${segment} overlap what is live`);
    }
    used.fill(1, offset >> 4, (offset + bytes) >> 4);
    live.set(ptr, sizeClass);
    (starts[Math.floor(offset / slabBytes)] as number)++;
  }

  #compare(): void {
    const { exports } = this.book;
    expect([exports.audit(), exports.isBusy()]).toEqual([0, 0]);
    for (let segment = 0; segment <= MOST_SEGMENTS; segment++) {
      const model = this.segments.get(segment);
      if (model === undefined) {
        expect(exports.freeSlabs(segment)).toBe(Status.BAD_SEGMENT);
        continue;
      }
      let free = SLAB_COUNT - 1;
      let live = 0;
      for (const { first, end, ...span } of this.#spansOf(segment)) {
        free -= end - first;
        const starts: number = model.starts.subarray(first, end).reduce((sum, each) => sum + each, 0);
        live += starts;
        // A run is handed out whole.
        const isRight = this.#mode === RUNS ? starts === 1 : starts === span.live && starts > 0;
        if (!isRight) expect.fail(`${span.live} blocks, not ${starts}, live at slab ${first} of segment ${segment}`);
      }
      expect([exports.freeSlabs(segment), live]).toEqual([free, model.live.size]);
      if (this.#mode === SINGLE_BLOCKS) expect(exports.liveBlocks(segment)).toBe(live);
    }
  }

  /** As the book has them. */
  #spansOf(segment: number): { first: number; end: number; sizeClass: number; live: number }[] {
    const { exports } = this.book;
    const spans = [];
    for (let first = 0; first < SLAB_COUNT; first++) {
      const found = exports.spanAt(segment, first);
      if (found < 0) continue;
      const sizeClass = found >> 16;
      const end = first + exports.spanSlabs(sizeClass);
      spans.push({ first, end, sizeClass, live: found & 0xffff });
      if (first < 1 || end > SLAB_COUNT) expect.fail(`a span at slab ${first} of segment ${segment}`);
      first = end - 1;
    }
    return spans;
  }

  /** First slab of the lowest run of `slabs` free slabs behind the trap, or -1. */
  #lowestRun(segment: number, slabs: number): number {
    let first = 1;
    for (const span of [...this.#spansOf(segment), { first: SLAB_COUNT, end: 0 }]) {
      if (first + slabs <= span.first) return first;
      first = span.end;
    }
    return -1;
  }

  /** Up to `count` different live blocks, of any segments. */
  #pickLive({ pick, stride, count }: Op): Pair[] {
    const all = [...this.segments].flatMap(([segment, { live }]) =>
      [...live.keys()].map((ptr): Pair => [segment, ptr]),
    );
    const picked = new Set<Pair>();
    for (let each = 0; each < Math.min(count, all.length); each++) {
      picked.add(all[(pick + each * stride) % all.length] as Pair);
    }
    return [...picked];
  }
}

describe.each(BOOK_BUILDS)("the %s build does what the plain model does", (build) => {
  test.each([
    ["whole runs", RUNS],
    ["single blocks", SINGLE_BLOCKS],
  ] as const)("with %s", { timeout: 1_800_000 }, async (name, mode) => {
    await runPrograms(`book, ${build}, ${name}`, operationsOf(mode), (program) => {
      const model = new Model(build, mode);
      for (const op of program) model.apply(op);
    });
  });
});
