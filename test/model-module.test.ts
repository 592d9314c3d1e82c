/**
 * The module against a plain model, through its ABI. After every operation:
 *
 * - a block given out lies inside the slabs, on a multiple of 16, overlaps no
 *   live block, and is zero if it was to be;
 * - a block taken back is zero up to what was said to be written, and its
 *   neighbours are as they were;
 * - what is not a live block is refused, and nothing changes;
 * - `audit` holds, and the live count is the model's.
 *
 * Views, leases and revocation are test/model-arena.test.ts's business.
 */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { firstOther } from "../fuzz/marks.js";
import {
  blockBytesOf,
  classCount,
  createMemory,
  createSegmentExports,
  headerBytes,
  SLAB_COUNT,
  Status,
  segmentMemoryBytes,
  WHOLE_BLOCK,
} from "../src/abi.js";
import { runPrograms } from "./seeded.js";

const slabShift = 12;
const start = headerBytes(slabShift);
const end = segmentMemoryBytes(slabShift);

type Op =
  | { do: "acquire"; sizeClass: number }
  | { do: "release"; pick: number; written: boolean }
  | { do: "reacquire" }
  | { do: "releaseMany"; pick: number; count: number }
  | { do: "bogus"; ptr: number }
  | { do: "staleWrite"; at: number };

// Short classes more often than long ones, so that spans fill up and empty.
const sizeClass = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 0, max: 20 }) },
  { weight: 2, arbitrary: fc.integer({ min: 20, max: 33 }) },
  { weight: 1, arbitrary: fc.integer({ min: 33, max: classCount(slabShift) - 1 }) },
);

const operation: fc.Arbitrary<Op> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant("acquire" as const), sizeClass }) },
  {
    weight: 5,
    arbitrary: fc.record({ do: fc.constant("release" as const), pick: fc.nat(), written: fc.boolean() }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("reacquire" as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("releaseMany" as const), pick: fc.nat(), count: fc.nat({ max: 60 }) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("bogus" as const), ptr: fc.integer({ min: -100, max: end + 100 }) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("staleWrite" as const), at: fc.nat({ max: end - start - 1 }) }) },
);

interface Block {
  ptr: number;
  sizeClass: number;
  mark: number;
}

class Model {
  readonly live: Block[] = [];
  readonly exports;
  readonly bytes: Uint8Array;
  readonly #toRest: 0 | 1;
  #marks = 0;

  constructor(toRest: 0 | 1) {
    const memory = createMemory(segmentMemoryBytes(slabShift));
    if (memory === null) throw new Error("no memory");
    this.exports = createSegmentExports(memory, slabShift);
    this.bytes = new Uint8Array(memory.buffer);
    this.#toRest = toRest;
  }

  apply(op: Op): void {
    switch (op.do) {
      case "acquire":
        this.#acquire(op.sizeClass);
        break;
      case "release":
        this.#release(op.pick, op.written);
        break;
      case "reacquire":
        for (const { sizeClass } of this.live.slice(0, 3)) this.#acquire(sizeClass);
        break;
      case "releaseMany":
        for (let each = 0; each < op.count; each++) this.#release(op.pick + each * 7, false);
        break;
      case "bogus":
        this.#bogus(op.ptr);
        break;
      case "staleWrite":
        this.#staleWrite(start + op.at);
        break;
    }
    expect(this.exports.audit()).toBe(0);
    expect(this.exports.liveBlocks()).toBe(this.live.length);
  }

  #acquire(sizeClass: number): void {
    const ptr = this.exports.acquire(sizeClass, this.#toRest);
    if (ptr === Status.NO_ROOM) return;
    const length = blockBytesOf(sizeClass, slabShift);
    expect(ptr % 16).toBe(0);
    expect(ptr).toBeGreaterThanOrEqual(start);
    expect(ptr + length).toBeLessThanOrEqual(end);
    const near = this.live.find((block) => ptr < block.ptr + lengthOf(block) && block.ptr < ptr + length);
    if (near !== undefined) expect.fail(`block ${ptr} of ${length} overlaps ${near.ptr} of ${lengthOf(near)}`);
    this.#expectFilled(ptr, length, 0);
    const block = { ptr, sizeClass, mark: 1 + (this.#marks++ % 254) };
    this.bytes.fill(block.mark, ptr, ptr + length);
    this.live.push(block);
  }

  #release(pick: number, partly: boolean): void {
    if (this.live.length === 0) return;
    const [block] = this.live.splice(pick % this.live.length, 1) as [Block];
    const length = lengthOf(block);
    this.#expectFilled(block.ptr, length, block.mark);
    // Told the truth: only the first half is not zero.
    if (partly) this.bytes.fill(0, block.ptr + (length >> 1), block.ptr + length);
    const status = this.exports.release(block.ptr, partly ? length >> 1 : WHOLE_BLOCK, this.#toRest);
    expect(status).toBeGreaterThanOrEqual(Status.OK);
    this.#expectFilled(block.ptr, length, 0);
    if (this.#toRest === 1 && this.live.length === 0) {
      expect(status).toBe(SLAB_COUNT - this.exports.freeSlabs());
      expect(this.exports.reset()).toBe(Status.OK);
    }
  }

  #bogus(ptr: number): void {
    if (this.live.some((block) => block.ptr === ptr)) return;
    const status = this.exports.release(ptr, WHOLE_BLOCK, this.#toRest);
    expect([Status.BAD_ADDRESS, Status.NOT_LIVE]).toContain(status);
  }

  /** Where blocks are zeroed on the way out, what is free or rests may be written to. */
  #staleWrite(at: number): void {
    if (this.#toRest === 0) return;
    if (this.live.some((block) => at >= block.ptr && at < block.ptr + lengthOf(block))) return;
    this.bytes[at] = 0xff;
  }

  #expectFilled(ptr: number, length: number, value: number): void {
    const other = firstOther(this.bytes.subarray(ptr, ptr + length), value * 0x01010101);
    if (other >= 0) expect.fail(`byte ${ptr + other} is ${this.bytes[ptr + other]}, not ${value}`);
  }
}

function lengthOf(block: Block): number {
  return blockBytesOf(block.sizeClass, slabShift);
}

describe.each([
  ["freed at once", 0],
  ["resting until reset", 1],
] as const)("blocks %s", (name, toRest) => {
  test("do what the plain model does", { timeout: 1_800_000 }, async () => {
    await runPrograms(`module, blocks ${name}`, operation, (program) => {
      const model = new Model(toRest);
      for (const op of program) model.apply(op);
    });
  });
});
