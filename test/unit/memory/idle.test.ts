/** The low-water decay of a stack of idle memories, with plain objects for memories. */

import { beforeEach, describe, expect, test } from "vitest";
import { Budget } from "../../../src/memory/budget.ts";
import { type IdleMemory, IdleStack } from "../../../src/memory/idle.ts";

interface Item extends IdleMemory {
  readonly name: number;
}

describe("an idle stack", () => {
  let dropped: number[];
  let stack: IdleStack<Item>;

  beforeEach(() => {
    dropped = [];
    stack = new IdleStack(new Budget(1000));
  });

  function item(name: number, reservedBytes = 10): Item {
    return { name, reservedBytes, idleSince: 0, drop: () => dropped.push(name) };
  }

  function pushItems(count: number): void {
    for (let name = 0; name < count; name++) stack.push(item(name));
  }

  /** A load that has `depth` things out at once, and puts them back in the order they lay. */
  function cycle(depth: number): void {
    const out: Item[] = [];
    for (let each = 0; each < depth; each++) {
      const popped = stack.pop();
      if (popped !== undefined) out.push(popped);
    }
    for (const each of out.reverse()) stack.push(each);
  }

  /** Such a load, for `times` as many rounds. */
  function work(depth: number, times: number): void {
    for (let time = 0; time < times; time++) {
      for (let each = 0; each < 3; each++) cycle(depth);
      stack.shrink();
    }
  }

  test("pops what was pushed last, and then nothing", () => {
    pushItems(3);
    expect([stack.length, stack.byteLength]).toEqual([3, 30]);
    expect([stack.pop()?.name, stack.pop()?.name, stack.pop()?.name]).toEqual([2, 1, 0]);
    expect(stack.pop()).toBeUndefined();
    expect([stack.length, stack.byteLength]).toEqual([0, 0]);
    expect(dropped).toEqual([]);
  });

  test("drops the coldest first, and says whether there was one", () => {
    pushItems(3);
    expect(stack.dropColdest()).toBe(true);
    expect(stack.dropColdest()).toBe(true);
    expect(dropped).toEqual([0, 1]);
    expect(stack.dropColdest()).toBe(true);
    expect(stack.dropColdest()).toBe(false);
    expect(dropped).toEqual([0, 1, 2]);
  });

  test("gives the shortest that is long enough and not too long, or the longest below; of several, what was pushed last", () => {
    for (const [name, reservedBytes] of [30, 10, 20, 20, 40, 10].entries()) stack.push(item(name, reservedBytes));
    const names = (): number[] => {
      const all: number[] = [];
      for (let each = stack.takeShortest(11, 30); each !== undefined; each = stack.takeShortest(11, 30)) {
        all.push(each.name);
      }
      return all;
    };
    expect(names()).toEqual([3, 2, 0]);
    expect([stack.takeLongest(40)?.name, stack.takeLongest(41)?.name, stack.takeLongest(10)]).toEqual([
      5,
      4,
      undefined,
    ]);
    expect([stack.length, stack.byteLength, dropped]).toEqual([1, 10, []]);
  });

  test("is known to its budget, which compares it with others by when things became idle", () => {
    const budget = new Budget(1000);
    const stacks = [new IdleStack<Item>(budget), new IdleStack<Item>(budget)];
    expect(stacks[0]?.coldestSince).toBe(Number.POSITIVE_INFINITY);
    for (let name = 0; name < 4; name++) stacks[name % 2]?.push(item(name));
    expect(budget.idleBytes).toBe(40);
    while (budget.dropColdest());
    expect(dropped).toEqual([0, 1, 2, 3]);
  });

  test("trims everything, coldest first", () => {
    pushItems(3);
    stack.trim();
    expect(dropped).toEqual([0, 1, 2]);
    expect(stack.length).toBe(0);
  });

  test("drops nothing at the end of the rounds in which it came, for it cannot know what is needed", () => {
    pushItems(10);
    stack.shrink();
    expect(dropped).toEqual([]);
    expect(stack.length).toBe(10);
  });

  test("drops half of what lay unused for all the rounds, rounded up, coldest first", () => {
    pushItems(10);
    stack.shrink();
    cycle(1);
    // Nine were never taken: five of them go.
    stack.shrink();
    expect(dropped).toEqual([0, 1, 2, 3, 4]);
    // Five lay there for all of the next ones.
    stack.shrink();
    expect(dropped).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(stack.length).toBe(2);
  });

  test("does not count what was pushed during the rounds as unused", () => {
    pushItems(2);
    stack.shrink();
    pushItems(100);
    stack.shrink();
    expect(dropped).toEqual([0]);
    expect(stack.length).toBe(101);
  });

  test("goes by the lowest point of the rounds, not by how they end", () => {
    pushItems(10);
    stack.shrink();
    cycle(8);
    cycle(1);
    stack.shrink();
    // Two were never taken.
    expect(dropped).toEqual([0]);
  });

  test("shrinks to what the load has out at its peak, and not below", () => {
    pushItems(50);
    work(3, 20);
    expect(stack.length).toBe(3);
    expect(dropped).toEqual(Array.from({ length: 47 }, (_value, name) => name));
    work(3, 20);
    expect(stack.length).toBe(3);
  });

  test("shrinks to nothing when nobody takes anything", () => {
    pushItems(50);
    for (let round = 0; round < 20; round++) stack.shrink();
    expect(stack.length).toBe(0);
    expect(dropped).toHaveLength(50);
  });

  test("drops nothing under a load that needs all of them once in every round", () => {
    pushItems(20);
    for (let round = 0; round < 20; round++) {
      cycle(1);
      cycle(20);
      cycle(2);
      stack.shrink();
    }
    expect(dropped).toEqual([]);
    expect(stack.length).toBe(20);
  });

  test("has fewer unused when some were dropped on demand", () => {
    pushItems(10);
    stack.shrink();
    for (let each = 0; each < 9; each++) stack.dropColdest();
    pushItems(100);
    stack.shrink();
    // One lay there all the while.
    expect(dropped).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });
});
