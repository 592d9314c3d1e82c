/** One memory of the arena: what keeps it, how it is made where the engine refuses; and a segment: its slabs and its trap. */

import { expect, test } from "vitest";
import { PAGE_BYTES, SLAB_COUNT } from "../../../src/memory/abi.ts";
import { type ArenaMemory, firstDirty, nextStagger, provideMemory } from "../../../src/memory/arena-memory.ts";
import { IdleStack } from "../../../src/memory/idle.ts";
import { provideSegment, Segment } from "../../../src/memory/segment.ts";
import { OneLeaseMemory, type OneLeaseStore } from "../../../src/stores/one-lease.ts";
import { collectGarbageUntil, isAll, isZero } from "../../helpers.ts";
import { openTable, present } from "../helpers.ts";

function open(pages = 1, maxPages = pages, stagger = 64, opened = openTable()) {
  const memory = present(provideMemory(opened.table, pages, maxPages));
  const store = {} as OneLeaseStore; // asked at a release alone
  return { ...opened, memory: new OneLeaseMemory(memory, pages, stagger, opened.table, store) };
}

test.each(["lengthened", "revoked by a stranger"] as const)(
  "a memory that was %s is kept, and charged, by a view of its newest buffer alone; and then is free",
  async (how) => {
    const opened = openTable();
    const views = (() => {
      const { memory } = open(1, 2, 64, opened);
      if (how === "lengthened") memory.lengthen(2);
      else present(memory.memory).grow(0);
      return [memory.view(0, 10).fill(7)];
    })();
    await collectGarbageUntil(() => opened.heard.collected.length > 0, 10);
    expect(opened.heard.collected).toEqual([]);
    expect(opened.table.budget.reservedBytes).toBe((how === "lengthened" ? 2 : 1) * PAGE_BYTES);
    expect(isAll(present(views.pop()), 7)).toBe(true);
    await collectGarbageUntil(() => opened.heard.collected.length > 0);
    expect(opened.table.budget.reservedBytes).toBe(0);
  },
);

test("staggers are multiples of 64 below a page of 4096, and differ from one memory to the next", () => {
  const staggers = Array.from({ length: 63 }, nextStagger).sort((a, b) => a - b);
  expect(staggers).toEqual(Array.from({ length: 63 }, (_, each) => 64 * (each + 1)));
});

test("the first byte that is not zero is found wherever it is, and only between the bounds", () => {
  const { memory } = open();
  expect(firstDirty(memory, 0, PAGE_BYTES)).toBe(-1);
  for (const at of [4, 5, 6, 7, 8, 4096, PAGE_BYTES - 5]) {
    memory.view(at, 1)[0] = 1;
    expect(firstDirty(memory, 4, PAGE_BYTES - 4)).toBe(at);
    memory.zero(at, at + 1);
  }
  for (const from of [0, PAGE_BYTES - 4]) memory.view(from, 4).fill(1);
  expect(firstDirty(memory, 4, PAGE_BYTES - 4)).toBe(-1);
});

test("a memory is had in exchange for one idle memory where the engine refuses", () => {
  const opened = openTable();
  const idle = new IdleStack<ArenaMemory & { idleSince: number }>(opened.table.budget);
  for (let each = 0; each < 3; each++) idle.push(open(1, 1, 64, opened).memory);
  const original = WebAssembly.Memory;
  let refusals = 0;
  Reflect.set(WebAssembly, "Memory", function refuse(descriptor: WebAssembly.MemoryDescriptor): WebAssembly.Memory {
    if (refusals-- > 0) throw new RangeError("out of memory");
    return new original(descriptor);
  });
  try {
    for (const [times, isHad, left] of [
      [1, true, 2],
      [2, false, 1],
    ] as const) {
      refusals = times;
      expect([provideMemory(opened.table, 1, 1) !== null, idle.length]).toEqual([isHad, left]);
    }
  } finally {
    Reflect.set(WebAssembly, "Memory", original);
    idle.trim();
  }
  expect(opened.table.budget.reservedBytes).toBe(0);
});

function openSegment(slabBytes = 4096): Segment {
  const { table } = openTable(1000);
  return new Segment(present(provideSegment(table, slabBytes)), slabBytes, table);
}

test.each([4096, 16384, 262144])(
  "a segment of slabs of %i bytes begins them at its stagger, within the memory",
  (slabBytes) => {
    const segments = Array.from({ length: 8 }, () => openSegment(slabBytes));
    for (const { base, firstPtr, reservedBytes } of segments) {
      const stagger = base + 4096;
      expect(stagger % 64 === 0 && stagger >= 64 && stagger <= 4032).toBe(true);
      // The trap has room, and the last slab ends inside.
      expect(firstPtr).toBe(base + slabBytes);
      expect(firstPtr).toBeGreaterThan(0);
      expect(base + SLAB_COUNT * slabBytes).toBeLessThanOrEqual(reservedBytes);
    }
    expect(new Set(segments.map(({ firstPtr }) => firstPtr % 4096)).size).toBe(8);
  },
);

test("a segment's trap tells of a write anywhere in it, once, is zero afterwards, and ends at the first slab", () => {
  const segment = openSegment();
  const { firstPtr } = segment;
  const bytes = new Uint8Array(present(segment.memory).buffer);
  bytes.fill(7, firstPtr);
  expect(segment.takeStrayWrite(PAGE_BYTES)).toBe(-1);
  for (const at of [0, 1, 7, 8, 63, firstPtr - 1]) {
    bytes.fill(7, at, firstPtr);
    expect([1, 2].map(() => segment.takeStrayWrite(PAGE_BYTES))).toEqual([at, -1]);
    expect(isZero(bytes.subarray(0, firstPtr))).toBe(true);
  }
  bytes[63] = 7;
  expect([segment.takeStrayWrite(), bytes[firstPtr]]).toEqual([63, 7]);
});
