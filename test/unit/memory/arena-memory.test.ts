/** One memory of the arena: its buffer, its revocation, what strangers can do to it, and how it is made under the cap. */

import { describe, expect, test } from "vitest";
import { type Memory, PAGE_BYTES } from "../../../src/memory/abi.ts";
import { type ArenaMemory, firstDirty, nextStagger, provideMemory } from "../../../src/memory/arena-memory.ts";
import { IdleStack } from "../../../src/memory/idle.ts";
import { OneLeaseMemory, type OneLeaseStore } from "../../../src/stores/one-lease.ts";
import { collectGarbageUntil, isAll, isZero, SEGMENT_BYTES } from "../../helpers.ts";
import { openTable, present } from "../helpers.ts";

function open(pages = 1, maxPages = pages, stagger = 64, opened = openTable()) {
  const memory = present(provideMemory(opened.table, pages, maxPages));
  const store = {} as OneLeaseStore; // asked at a release alone
  return { ...opened, memory: new OneLeaseMemory(memory, pages, stagger, opened.table, store) };
}

describe("a memory", () => {
  test("is charged when it is made, and when it is lengthened, and is zero to its end", () => {
    const { memory, table } = open(1, 3);
    expect(table.budget.reservedBytes).toBe(PAGE_BYTES);
    expect(memory.lengthen(3)).toBe(true);
    expect(isZero(memory.view(0, 3 * PAGE_BYTES))).toBe(true);
    expect(memory.lengthen(4)).toBe(false);
    expect([memory.pages, memory.reservedBytes / PAGE_BYTES, table.budget.reservedBytes / PAGE_BYTES]).toEqual([
      3, 3, 3,
    ]);
  });

  test.each(["made", "revoked", "lengthened", "revoked by a stranger"] as const)(
    "that was %s is kept, and charged, by a view of its newest buffer alone; and then is free",
    async (how) => {
      const opened = openTable();
      const views = (() => {
        const { memory } = open(1, 2, 64, opened);
        if (how === "revoked") memory.revoke();
        if (how === "lengthened") memory.lengthen(2);
        if (how === "revoked by a stranger") present(memory.memory).grow(0);
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

  test("of one lease begins it at the stagger where that fits, and at 0 where it does not", () => {
    const { memory } = open(1, 1, 192);
    const starts = [PAGE_BYTES - 192, PAGE_BYTES - 191, PAGE_BYTES].map((byteLength) => memory.startFor(byteLength));
    expect(starts).toEqual([192, 0, 0]);
  });
});

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

describe("a memory that is asked for", () => {
  test("is refused by the cap without asking the engine, and has the maximum that no stranger can exceed", () => {
    const { table } = openTable(1);
    expect(provideMemory(table, SEGMENT_BYTES / PAGE_BYTES + 1, 100)).toBeNull();
    expect(table.budget.reservedBytes).toBe(0);
    const memory = present(provideMemory(table, 1, 2)) as Memory;
    memory.grow(1);
    expect(() => memory.grow(1)).toThrow(RangeError);
  });

  test("is had in exchange for one idle memory where the engine refuses", () => {
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
});
