/** One memory of the arena: its buffer, its revocation, what strangers can do to it, and how it is made under the cap. */

import { afterEach, describe, expect, test, vi } from "vitest";
import { type Memory, PAGE_BYTES } from "../../../src/memory/abi.ts";
import { type ArenaMemory, firstDirty, nextStagger, provideMemory } from "../../../src/memory/arena-memory.ts";
import { IdleStack } from "../../../src/memory/idle.ts";
import { OneLeaseMemory } from "../../../src/memory/one-lease.ts";
import { collectGarbageUntil, isAll, isZero, SEGMENT_BYTES } from "../../helpers.ts";
import { openTable, present } from "../helpers.ts";

class PlainMemory extends OneLeaseMemory {}

function open(pages = 1, maxPages = pages, stagger = 64, opened = openTable()) {
  const memory = present(provideMemory(opened.table, pages, maxPages));
  return { ...opened, memory: new PlainMemory(memory, pages, stagger, opened.table) };
}

afterEach(() => {
  vi.restoreAllMocks();
});

describe("a memory", () => {
  test("is charged when it is made, and when it is lengthened", () => {
    const { memory, table } = open(1, 3);
    expect(table.budget.reservedBytes).toBe(PAGE_BYTES);
    expect(memory.lengthen(3)).toBe(true);
    expect([memory.pages, memory.reservedBytes, table.budget.reservedBytes]).toEqual([
      3,
      3 * PAGE_BYTES,
      3 * PAGE_BYTES,
    ]);
    expect(isZero(memory.view(0, 3 * PAGE_BYTES))).toBe(true);
    expect(memory.lengthen(4)).toBe(false);
    expect([memory.pages, table.budget.reservedBytes]).toEqual([3, 3 * PAGE_BYTES]);
  });

  test("that is revoked has new views of the same bytes", () => {
    const { memory } = open();
    const stale = memory.view(10, 20).fill(7);
    expect(memory.revoke()).toBe(true);
    expect(stale.length).toBe(0);
    expect(isAll(memory.view(10, 20), 7)).toBe(true);
  });

  test("that a stranger revoked has views and is zeroed all the same", () => {
    const { memory } = open();
    memory.view(0, 100).fill(7);
    present(memory.memory).grow(0);
    expect(isAll(memory.view(0, 100), 7)).toBe(true);
    present(memory.memory).grow(0);
    memory.zero(0, 50);
    expect(isZero(memory.view(0, 50))).toBe(true);
    expect(isAll(memory.view(50, 50), 7)).toBe(true);
  });

  test("passes on the error of a view that cannot be made", () => {
    const { memory } = open();
    expect(() => memory.view(0, PAGE_BYTES + 1)).toThrow(RangeError);
  });

  test("that a stranger grew says so, and is charged for what it was made with", () => {
    const { memory, table } = open(1, 2);
    expect(memory.isGrown).toBe(false);
    present(memory.memory).grow(1);
    memory.view(0, 1);
    memory.zero(0, 1);
    expect(memory.isGrown).toBe(true);
    expect(table.budget.reservedBytes).toBe(PAGE_BYTES);
  });

  test("that is dropped gives its bytes back, and its views are dead", () => {
    const { memory, table } = open();
    const stale = memory.view(0, 10);
    memory.drop();
    expect([stale.length, table.budget.reservedBytes, memory.account.state]).toEqual([0, 0, "dropped"]);
  });

  test("that is closed refuses everything, and its views are dead", () => {
    const { memory, table } = open();
    const stale = memory.view(0, 10);
    memory.close();
    expect([memory.closed, stale.length, table.budget.reservedBytes]).toEqual([true, 0, 0]);
  });

  test.each(["made", "revoked", "lengthened", "revoked by a stranger"] as const)(
    "that was %s is kept, and charged, by a view of its newest buffer alone",
    async (how) => {
      const opened = openTable();
      const view = (() => {
        const { memory } = open(1, 2, 64, opened);
        if (how === "revoked") memory.revoke();
        if (how === "lengthened") memory.lengthen(2);
        if (how === "revoked by a stranger") present(memory.memory).grow(0);
        return memory.view(0, 10).fill(7);
      })();
      await collectGarbageUntil(() => opened.heard.collected.length > 0, 10);
      expect(opened.heard.collected).toEqual([]);
      expect(opened.table.budget.reservedBytes).toBe((how === "lengthened" ? 2 : 1) * PAGE_BYTES);
      expect(isAll(view, 7)).toBe(true);
    },
  );

  test("of which nothing is held is collected, and its bytes are free", async () => {
    const opened = openTable();
    (() => void open(1, 1, 64, opened).memory.view(0, 10))();
    await collectGarbageUntil(() => opened.heard.collected.length > 0);
    expect(opened.table.budget.reservedBytes).toBe(0);
  });
});

describe("a memory of one lease", () => {
  test("begins its lease at the stagger where that fits, and at 0 where it does not", () => {
    const { memory } = open(1, 1, 192);
    expect(memory.startFor(PAGE_BYTES - 192)).toBe(192);
    expect(memory.startFor(PAGE_BYTES - 191)).toBe(0);
    expect(memory.startFor(PAGE_BYTES)).toBe(0);
  });
});

describe("staggers", () => {
  test("are multiples of 64 below a page of 4096, and differ from one memory to the next", () => {
    const staggers = Array.from({ length: 63 }, nextStagger);
    for (const stagger of staggers) {
      expect(stagger % 64).toBe(0);
      expect(stagger).toBeGreaterThanOrEqual(64);
      expect(stagger).toBeLessThanOrEqual(4032);
    }
    expect(new Set(staggers).size).toBe(63);
  });
});

describe("the first byte that is not zero", () => {
  test("is found wherever it is, and only between the bounds", () => {
    const { memory } = open();
    expect(firstDirty(memory, 0, PAGE_BYTES)).toBe(-1);
    for (const at of [4, 5, 6, 7, 8, 4096, PAGE_BYTES - 5]) {
      memory.view(at, 1)[0] = 1;
      expect(firstDirty(memory, 4, PAGE_BYTES - 4)).toBe(at);
      memory.zero(at, at + 1);
    }
    memory.view(0, 4).fill(1);
    memory.view(PAGE_BYTES - 4, 4).fill(1);
    expect(firstDirty(memory, 4, PAGE_BYTES - 4)).toBe(-1);
  });
});

describe("a memory that is asked for", () => {
  test("is refused by the cap without asking the engine, and nothing stays reserved", () => {
    const { table } = openTable(1);
    expect(provideMemory(table, SEGMENT_BYTES / PAGE_BYTES + 1, 100)).toBeNull();
    expect(table.budget.reservedBytes).toBe(0);
  });

  test("is had in exchange for one idle memory where the engine refuses", () => {
    const opened = openTable();
    const idle = new IdleStack<ArenaMemory & { idleSince: number }>(opened.table.budget);
    for (let each = 0; each < 3; each++) idle.push(open(1, 1, 64, opened).memory);
    const original = WebAssembly.Memory;
    let refusals = 1;
    const refusing = function refuse(descriptor: WebAssembly.MemoryDescriptor): WebAssembly.Memory {
      if (refusals-- > 0) throw new RangeError("out of memory");
      return new original(descriptor);
    };
    Reflect.set(WebAssembly, "Memory", refusing);
    try {
      expect(provideMemory(opened.table, 1, 1)).not.toBeNull();
      expect(idle.length).toBe(2);
      refusals = 2;
      expect(provideMemory(opened.table, 1, 1)).toBeNull();
      expect(idle.length).toBe(1);
    } finally {
      Reflect.set(WebAssembly, "Memory", original);
      idle.trim();
    }
    expect(opened.table.budget.reservedBytes).toBe(0);
  });

  test("has the maximum it was asked with, which no stranger can exceed", () => {
    const { table } = openTable();
    const memory = present(provideMemory(table, 1, 2)) as Memory;
    memory.grow(1);
    expect(() => memory.grow(1)).toThrow(RangeError);
  });
});
