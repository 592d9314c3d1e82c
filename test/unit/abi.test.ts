/**
 * The module through its ABI, in both builds: the release build by the library's
 * own boundary, the debug build by AssemblyScript's loader, which makes a failed
 * assert readable. Random programs are in test/model-module.test.ts.
 */

import { readFileSync } from "node:fs";
import { instantiateSync } from "@assemblyscript/loader";
import { describe, expect, test } from "vitest";
import {
  blockBytesOf,
  classCount,
  createMemory,
  createSegmentExports,
  headerBytes,
  lastGeometricClass,
  MAX_SLAB_SHIFT,
  MIN_SLAB_SHIFT,
  PAGE_BYTES,
  type SegmentExports,
  SLAB_COUNT,
  Status,
  segmentMemoryBytes,
  sizeClassOf,
  WHOLE_BLOCK,
} from "../../src/abi.js";

/** What only the debug build exports: its side of the numbers that src/abi.ts mirrors. */
interface DebugExports extends SegmentExports {
  headerBytes(slabShift: number): number;
  classCount(slabShift: number): number;
  blockBytes(sizeClass: number, slabShift: number): number;
  spanSlabs(sizeClass: number, slabShift: number): number;
}

const debugModule = readFileSync(new URL("../../build/debug.wasm", import.meta.url));

function openDebug(slabShift: number, extraPages = 0) {
  const pages = segmentMemoryBytes(slabShift) / PAGE_BYTES + extraPages;
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
  const exports = instantiateSync(debugModule, { env: { memory } }).exports as unknown as DebugExports;
  expect(exports.init(0, slabShift)).toBe(Status.OK);
  return { exports, bytes: new Uint8Array(memory.buffer) };
}

function openRelease(slabShift: number) {
  const memory = createMemory(segmentMemoryBytes(slabShift));
  if (memory === null) throw new Error("no memory");
  return { exports: createSegmentExports(memory, slabShift), bytes: new Uint8Array(memory.buffer) };
}

const shifts = Array.from({ length: MAX_SLAB_SHIFT - MIN_SLAB_SHIFT + 1 }, (_, each) => MIN_SLAB_SHIFT + each);

describe("both sides of the boundary agree", () => {
  const { exports: module } = openDebug(12);

  test.each(shifts)("on every number, for slabs of 1 << %i bytes", (slabShift) => {
    expect(module.headerBytes(slabShift)).toBe(headerBytes(slabShift));
    expect(module.classCount(slabShift)).toBe(classCount(slabShift));
    for (let sizeClass = 0; sizeClass < classCount(slabShift); sizeClass++) {
      expect(module.blockBytes(sizeClass, slabShift)).toBe(blockBytesOf(sizeClass, slabShift));
    }
  });

  test.each(shifts)(
    "a block is never more than 25 %% longer than asked above 64 bytes, slabs of 1 << %i",
    (slabShift) => {
      const longest = SLAB_COUNT * 2 ** slabShift;
      for (let sizeClass = 0; sizeClass < classCount(slabShift); sizeClass++) {
        const block = blockBytesOf(sizeClass, slabShift);
        const shortest = sizeClass === 0 ? 64 : blockBytesOf(sizeClass - 1, slabShift) + 1;
        expect(sizeClassOf(block, slabShift)).toBe(sizeClass);
        expect(sizeClassOf(shortest, slabShift)).toBe(sizeClass);
        expect(block).toBeLessThan(shortest * 1.25);
        expect(block % 16).toBe(0);
      }
      expect(blockBytesOf(classCount(slabShift) - 1, slabShift)).toBe(longest);
      expect(sizeClassOf(longest + 1, slabShift)).toBe(classCount(slabShift));
      expect(sizeClassOf(2 ** 32 - 1, slabShift)).toBeGreaterThanOrEqual(classCount(slabShift));
      expect(sizeClassOf(0, slabShift)).toBe(0);
    },
  );

  test.each(shifts)("a span leaves at most an eighth unused, slabs of 1 << %i", (slabShift) => {
    for (let sizeClass = 0; sizeClass < classCount(slabShift); sizeClass++) {
      const span = module.spanSlabs(sizeClass, slabShift) * 2 ** slabShift;
      const block = blockBytesOf(sizeClass, slabShift);
      expect(span).toBeGreaterThanOrEqual(block);
      expect(span % block).toBeLessThanOrEqual(span / 8);
    }
  });
});

describe.each([
  ["release", openRelease],
  ["debug", openDebug],
] as const)("the %s build", (_build, open) => {
  const slabShift = 12;
  const slabBytes = 2 ** slabShift;
  const start = headerBytes(slabShift);
  const end = segmentMemoryBytes(slabShift);

  test("gives every block of a class once, then none, and all again after they were released", () => {
    const { exports } = open(slabShift);
    const sizeClass = sizeClassOf(1024, slabShift);
    for (let round = 0; round < 2; round++) {
      const seen = new Set<number>();
      for (let ptr = exports.acquire(sizeClass, 0); ptr > 0; ptr = exports.acquire(sizeClass, 0)) {
        expect(ptr).toBeGreaterThanOrEqual(start);
        expect(ptr + 1024).toBeLessThanOrEqual(end);
        seen.add(ptr);
      }
      expect(seen.size).toBe((SLAB_COUNT * slabBytes) / 1024);
      expect(exports.acquire(sizeClass, 0)).toBe(Status.NO_ROOM);
      expect(exports.audit()).toBe(0);
      for (const ptr of seen) expect(exports.release(ptr, WHOLE_BLOCK, 0)).toBeGreaterThanOrEqual(Status.OK);
      expect(exports.liveBlocks()).toBe(0);
      expect(exports.freeSlabs()).toBe(SLAB_COUNT);
      expect(exports.audit()).toBe(0);
    }
  });

  test("hands out the block released last first", () => {
    const { exports } = open(slabShift);
    const blocks = [0, 1, 2].map(() => exports.acquire(0, 0));
    for (const ptr of blocks.slice(1)) exports.release(ptr, WHOLE_BLOCK, 0);
    expect(exports.acquire(0, 0)).toBe(blocks[2]);
    expect(exports.acquire(0, 0)).toBe(blocks[1]);
  });

  test("a slab goes back to the map when its last block does, and serves another class", () => {
    const { exports } = open(slabShift);
    const all = SLAB_COUNT * (slabBytes / 64);
    const blocks = Array.from({ length: all }, () => exports.acquire(0, 0));
    const other = sizeClassOf(slabBytes, slabShift);
    expect(exports.acquire(other, 0)).toBe(Status.NO_ROOM);
    const inFirstSlab = blocks.filter((ptr) => ptr < start + slabBytes);
    const statuses = inFirstSlab.map((ptr) => exports.release(ptr, WHOLE_BLOCK, 0));
    expect(statuses[0]).toBe(Status.ROOM_AGAIN);
    expect(new Set(statuses.slice(1, -1))).toEqual(new Set([Status.OK]));
    expect(statuses.at(-1)).toBe(Status.SLABS_RETURNED);
    expect(exports.acquire(other, 0)).toBe(start);
    expect(exports.audit()).toBe(0);
  });

  test("serves runs of slabs up to the whole segment", () => {
    const { exports } = open(slabShift);
    for (const slabs of [5, 17, 63, 64]) {
      const sizeClass = sizeClassOf(slabs * slabBytes, slabShift);
      const ptr = exports.acquire(sizeClass, 0);
      expect(ptr).toBe(start);
      expect(exports.freeSlabs()).toBe(SLAB_COUNT - slabs);
      expect(exports.audit()).toBe(0);
      expect(exports.release(ptr + slabBytes, WHOLE_BLOCK, 0)).toBe(Status.NOT_LIVE);
      expect(exports.release(ptr, WHOLE_BLOCK, 0)).toBe(Status.SLABS_RETURNED);
    }
    expect(exports.acquire(classCount(slabShift), 0)).toBe(Status.BAD_CLASS);
    expect(exports.acquire(-1, 0)).toBe(Status.BAD_CLASS);
  });

  test("release wipes the whole block when less of it was asked for", () => {
    const { exports, bytes } = open(slabShift);
    const sizeClass = sizeClassOf(65, slabShift);
    const keep = exports.acquire(sizeClass, 0);
    const ptr = exports.acquire(sizeClass, 0);
    bytes.fill(0xaa, ptr, ptr + 80);
    bytes.fill(0xbb, keep, keep + 80);
    exports.release(ptr, WHOLE_BLOCK, 0);
    expect(bytes.subarray(ptr, ptr + 80).every((byte) => byte === 0)).toBe(true);
    expect(bytes.subarray(keep, keep + 80).every((byte) => byte === 0xbb)).toBe(true);
  });

  test.each([0, 1, 15, 16, 100, 1024])(
    "release wipes only the first %i bytes if told that no more were written",
    (written) => {
      const { exports, bytes } = open(slabShift);
      exports.acquire(sizeClassOf(1024, slabShift), 0);
      const ptr = exports.acquire(sizeClassOf(1024, slabShift), 0);
      bytes.fill(0xaa, ptr, ptr + 1024);
      exports.release(ptr, written, 0);
      expect(bytes.subarray(ptr, ptr + 1024).findIndex((byte) => byte !== 0)).toBe(written === 1024 ? -1 : written);
      expect(exports.findDirty()).toBe(written === 1024 ? 0 : ptr + written);
    },
  );

  test.each(["to be free", "to rest"] as const)("a double release %s is NOT_LIVE and changes nothing", (how) => {
    const { exports, bytes } = open(slabShift);
    const toRest = how === "to rest" ? 1 : 0;
    const [other, ptr] = [exports.acquire(3, 0), exports.acquire(3, 0)];
    exports.release(ptr, WHOLE_BLOCK, toRest);
    const before = bytes.slice();
    expect(exports.release(ptr, WHOLE_BLOCK, toRest)).toBe(Status.NOT_LIVE);
    expect(exports.release(ptr, WHOLE_BLOCK, toRest === 1 ? 0 : 1)).toBe(Status.NOT_LIVE);
    expect(Buffer.compare(bytes, before)).toBe(0);
    expect(exports.liveBlocks()).toBe(1);
    expect(exports.audit()).toBe(0);
    expect(exports.release(other, WHOLE_BLOCK, toRest)).toBeGreaterThanOrEqual(Status.OK);
  });

  test("no address but a live block's start is ever taken back", () => {
    const { exports, bytes } = open(slabShift);
    const live = new Set([0, 1, 2, 5, 9, 24, 26, 30].map((sizeClass) => exports.acquire(sizeClass, 0)));
    const rested = exports.acquire(1, 0);
    exports.release(rested, WHOLE_BLOCK, 1);
    const before = bytes.slice();
    for (let ptr = -64; ptr < end + 64; ptr++) {
      if (live.has(ptr)) continue;
      const status = exports.release(ptr, WHOLE_BLOCK, 0);
      if (status !== Status.BAD_ADDRESS && status !== Status.NOT_LIVE) expect.fail(`${ptr} gave ${status}`);
    }
    for (const ptr of [-1, 2 ** 31 - 1, -(2 ** 31), 2 ** 32 - 16, Number.NaN]) {
      expect(exports.release(ptr, WHOLE_BLOCK, 1)).toBe(Status.BAD_ADDRESS);
    }
    expect(Buffer.compare(bytes, before)).toBe(0);
    expect(exports.liveBlocks()).toBe(live.size);
    expect(exports.audit()).toBe(0);
  });

  test("resting blocks stay out of use until reset, which waits for the last live one", () => {
    const { exports, bytes } = open(slabShift);
    const sizeClass = sizeClassOf(slabBytes, slabShift);
    const blocks = Array.from({ length: SLAB_COUNT }, () => exports.acquire(sizeClass, 1));
    for (const ptr of blocks.slice(1)) expect(exports.release(ptr, WHOLE_BLOCK, 1)).toBe(Status.OK);
    expect(exports.acquire(sizeClass, 1)).toBe(Status.NO_ROOM);
    expect(exports.reset()).toBe(Status.BUSY);
    expect(exports.audit()).toBe(0);
    expect(exports.release(blocks[0] as number, WHOLE_BLOCK, 1)).toBe(SLAB_COUNT);
    expect(exports.reset()).toBe(Status.OK);
    expect(exports.freeSlabs()).toBe(SLAB_COUNT);
    bytes.fill(0xee, start, end); // what stale views may have done
    const again = exports.acquire(sizeClass, 1);
    expect(bytes.subarray(again, again + slabBytes).every((byte) => byte === 0)).toBe(true);
    expect(exports.audit()).toBe(0);
  });

  test("after releaseAndReset the same block is known to be zero, once and only if wiped whole", () => {
    const { exports, bytes } = open(slabShift);
    const ptr = exports.acquire(9, 1);
    expect(exports.releaseAndReset(ptr, WHOLE_BLOCK)).toBe(Status.OK);
    expect(exports.liveBlocks()).toBe(0);
    // Not wiped again: whoever resets has seen to it that nobody can write. This test can, and does.
    bytes[ptr] = 1;
    expect(exports.acquire(9, 1)).toBe(ptr);
    expect(bytes[ptr]).toBe(1);
    bytes[ptr + 50] = 1;
    expect(exports.releaseAndReset(ptr, 10)).toBe(Status.OK);
    expect(exports.acquire(9, 1)).toBe(ptr);
    expect(bytes[ptr + 50]).toBe(0);
    exports.acquire(9, 1);
    expect(exports.releaseAndReset(ptr, WHOLE_BLOCK)).toBe(Status.BUSY);
    expect(exports.audit()).toBe(0);
  });

  test("a block known to be zero is so only until anything else is acquired", () => {
    const { exports, bytes } = open(slabShift);
    const [first, second] = [exports.acquire(9, 1), exports.acquire(9, 1)];
    exports.release(first, WHOLE_BLOCK, 1);
    expect(exports.releaseAndReset(second, WHOLE_BLOCK)).toBe(Status.OK);
    expect(exports.acquire(9, 1)).toBe(first);
    bytes[second] = 1; // through the .buffer of the view that is out now
    expect(exports.acquire(9, 1)).toBe(second);
    expect(bytes[second]).toBe(0);
  });

  test("firstDirty finds the first byte that is not zero, wherever it is", () => {
    const { exports, bytes } = open(slabShift);
    for (const byteLength of [0, 1, 15, 63, 64, 65, 200, 4096]) {
      expect(exports.firstDirty(start, byteLength)).toBe(-1);
      for (const at of [0, 1, 31, 63, 64, 127, 199, 4095]) {
        bytes[start + at] = 1;
        expect(exports.firstDirty(start, byteLength)).toBe(at < byteLength ? at : -1);
        bytes[start + at] = 0;
      }
    }
  });

  test("init refuses slabs out of range, a crooked base and a memory too short", () => {
    const { exports } = open(slabShift);
    for (const shift of [-1, 0, MIN_SLAB_SHIFT - 1, MAX_SLAB_SHIFT + 1, 31, 64]) {
      expect(exports.init(0, shift)).toBe(Status.BAD_LAYOUT);
    }
    expect(exports.init(0, slabShift + 1)).toBe(Status.BAD_LAYOUT);
    expect(exports.init(16, slabShift)).toBe(Status.BAD_LAYOUT);
    expect(exports.init(-16, slabShift)).toBe(Status.BAD_LAYOUT);
    expect(exports.init(8, slabShift)).toBe(Status.BAD_LAYOUT);
    expect(exports.init(0, slabShift)).toBe(Status.OK);
  });

  test("audit names the invariant that damage to the records broke", () => {
    const { exports, bytes } = open(slabShift);
    const blocks = Array.from({ length: 200 }, (_, each) => exports.acquire(each % 20, 0));
    for (const ptr of blocks.filter((_, each) => each % 3 === 0)) exports.release(ptr, WHOLE_BLOCK, 0);
    expect(exports.audit()).toBe(0);
    const noticed = new Set<number>();
    for (let at = 0; at < 128 + 64 * 32; at++) {
      bytes[at] = (bytes[at] as number) ^ 0xff;
      const found = exports.audit();
      if (found !== 0) noticed.add(found >> 8);
      bytes[at] = (bytes[at] as number) ^ 0xff;
    }
    expect([...noticed].sort()).toEqual([1, 2, 3]);
    expect(exports.audit()).toBe(0);
  });

  test("audit notices a span with room that its class's list does not lead to", () => {
    const { exports, bytes } = open(slabShift);
    exports.acquire(0, 0);
    bytes[0] = 0xff; // the head of class 0's list: none
    expect(exports.audit() >> 8).toBe(3);
  });

  test("audit notices a free list that goes on behind its last block", () => {
    const { exports, bytes } = open(slabShift);
    const ptr = exports.acquire(0, 0);
    exports.acquire(0, 0);
    exports.release(ptr, WHOLE_BLOCK, 0);
    expect(exports.audit()).toBe(0);
    new DataView(bytes.buffer).setUint16(4096, 1, true);
    expect(exports.audit() >> 8).toBe(2);
  });

  test("audit notices a live block that passes for a resting one, by the totals", () => {
    const { exports, bytes } = open(slabShift);
    exports.acquire(0, 0);
    new DataView(bytes.buffer).setUint16(4096, 0x7ffe, true);
    expect(exports.audit() >> 8).toBe(4);
  });
});

describe("a damaged record hands nothing out:", () => {
  const slabShift = 12;
  const start = headerBytes(slabShift);

  /** Two live blocks of class 0, the first in slab 0; the record of its span is at byte 128. */
  function openWithTwoBlocks() {
    const { exports, bytes } = openRelease(slabShift);
    expect(exports.acquire(0, 0)).toBe(start);
    expect(exports.acquire(0, 0)).toBe(start + 64);
    return { exports, record: new DataView(bytes.buffer, 128, 32) };
  }

  test.each([
    ["of another class", 1, 5],
    ["of no head", 0, 2],
  ])("one that says it is %s", (_what, at, value) => {
    const { exports, record } = openWithTwoBlocks();
    record.setUint8(at, value);
    expect(exports.acquire(0, 0)).toBe(Status.CORRUPT);
    expect(exports.liveBlocks()).toBe(2);
  });

  test("one that would carve a block behind its span, out of another's slab", () => {
    const { exports, record } = openWithTwoBlocks();
    record.setUint32(8, start + 2 ** slabShift, true);
    expect(exports.acquire(0, 0)).toBe(Status.CORRUPT);
    expect(exports.liveBlocks()).toBe(2);
  });

  test("one whose free list begins with a live block", () => {
    const { exports, record } = openWithTwoBlocks();
    exports.release(start, WHOLE_BLOCK, 0);
    record.setUint16(18, 1, true);
    expect(exports.acquire(0, 0)).toBe(Status.CORRUPT);
    expect(exports.liveBlocks()).toBe(1);
  });
});

describe.each(shifts)("a damaged link, slabs of 1 << %i bytes", (slabShift) => {
  test("is refused and never traps, whatever it says", () => {
    const { exports, bytes } = openRelease(slabShift);
    const links = new Uint16Array(bytes.buffer, 4096, 64);
    const ptr = exports.acquire(0, 0);
    const sound = links[0];
    for (let link = 0; link < 0x10000; link += link < 0x8000 ? 97 : 1) {
      links[0] = link;
      if (link === sound) continue;
      if (exports.release(ptr, WHOLE_BLOCK, 1) < Status.OK) continue;
      // A link may be damaged into that of another class; nothing outside the slabs is touched then.
      expect(link & 0x7f).toBeLessThan(classCount(slabShift));
      exports.reset();
      exports.acquire(0, 0);
    }
  });
});

test("a segment can lie anywhere in its memory", () => {
  const { exports, bytes } = openDebug(12, 2);
  const base = 2 * PAGE_BYTES;
  expect(exports.init(base, 12)).toBe(Status.OK);
  bytes.fill(0x55, 0, base);
  const blocks = Array.from({ length: 3000 }, (_, each) => exports.acquire(each % 30, 1)).filter((ptr) => ptr > 0);
  expect(Math.min(...blocks)).toBe(base + headerBytes(12));
  expect(exports.audit()).toBe(0);
  for (const ptr of blocks) expect(exports.release(ptr, WHOLE_BLOCK, 0)).toBeGreaterThanOrEqual(Status.OK);
  expect(exports.audit()).toBe(0);
  expect(bytes.subarray(0, base).every((byte) => byte === 0x55)).toBe(true);
});

test("the last class spaced by doublings is four slabs long", () => {
  for (const slabShift of shifts) {
    expect(blockBytesOf(lastGeometricClass(slabShift), slabShift)).toBe(4 * 2 ** slabShift);
  }
});
