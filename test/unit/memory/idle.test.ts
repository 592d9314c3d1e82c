/** The cap, what is dropped for it, and the low-water decay of idle memories: with plain objects for memories. */

import { beforeEach, describe, expect, test } from "vitest";
import { Budget } from "../../../src/memory/budget.ts";
import { type IdleMemory, IdleStack } from "../../../src/memory/idle.ts";

interface Item extends IdleMemory {
  readonly name: number;
}

let budget: Budget;
let dropped: number[];
let stack: IdleStack<Item>;

beforeEach(() => {
  dropped = [];
  budget = new Budget(1000);
  stack = new IdleStack(budget);
});

function item(name: number, reservedBytes = 10): Item {
  const drop = (): void => {
    dropped.push(name);
    budget.reservedBytes -= reservedBytes;
  };
  return { name, reservedBytes, idleSince: 0, drop };
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, name) => name);

describe("a budget", () => {
  test("drops nothing for what fits, nor for what would not fit with everything dropped, to the byte", () => {
    for (const name of upTo(3)) stack.push(item(name, 100));
    budget.reservedBytes = 700;
    expect(budget.makeRoom(300)).toBe(true);
    budget.reservedBytes = 1000;
    expect([budget.idleBytes, budget.headroom, budget.makeRoom(301), dropped]).toEqual([300, 300, false, []]);
    expect([budget.makeRoom(300), budget.reservedBytes, budget.idleBytes]).toEqual([true, 700, 0]);
  });

  test("drops the coldest of all its stacks first, and no more than is needed", () => {
    const stacks = [stack, new IdleStack<Item>(budget), new IdleStack<Item>(budget)];
    expect(stack.coldestSince).toBe(Number.POSITIVE_INFINITY);
    for (const [name, each] of [2, 0, 0, 2].entries()) stacks[each]?.push(item(name, 100));
    budget.reservedBytes = 1000;
    expect([budget.makeRoom(150), dropped]).toEqual([true, [0, 1]]);
    expect([1, 2, 3].map(() => budget.dropColdest())).toEqual([true, true, false]);
    expect(dropped).toEqual(upTo(4));
  });

  test("lets idle memories shrink every sixteenth time that the whole cap changed hands", () => {
    for (const name of upTo(8)) stack.push(item(name));
    stack.shrink(); // from here on all of them lie unused
    for (let round = 0; round < 15; round++) budget.turnOver(1000);
    budget.turnOver(999);
    expect(dropped).toEqual([]);
    budget.turnOver(1);
    expect(dropped).toEqual(upTo(4));
    for (let round = 0; round < 16; round++) budget.turnOver(1000);
    expect(dropped).toEqual(upTo(6));
  });
});

describe("an idle stack", () => {
  function pushItems(count: number): void {
    for (const name of upTo(count)) stack.push(item(name));
  }

  /** A load that has `depth` things out at once, and puts them back in the order they lay. */
  function cycle(depth: number): void {
    const out = Array.from({ length: depth }, () => stack.pop());
    for (const each of out.reverse()) if (each !== undefined) stack.push(each);
  }

  test("pops what was pushed last, drops the coldest first, and trims all", () => {
    pushItems(5);
    expect([stack.length, stack.byteLength, stack.pop()?.name]).toEqual([5, 50, 4]);
    expect([stack.dropColdest(), dropped, stack.pop()?.name]).toEqual([true, [0], 3]);
    stack.trim();
    expect([dropped, stack.dropColdest(), stack.pop(), stack.length]).toEqual([[0, 1, 2], false, undefined, 0]);
  });

  test("gives the shortest that is long enough and not too long, or the longest below; of several, what was pushed last", () => {
    for (const [name, reservedBytes] of [30, 10, 20, 20, 40, 10].entries()) stack.push(item(name, reservedBytes));
    expect([1, 2, 3, 4].map(() => stack.takeShortest(11, 30)?.name)).toEqual([3, 2, 0, undefined]);
    expect([40, 41, 10].map((below) => stack.takeLongest(below)?.name)).toEqual([5, 4, undefined]);
    expect([stack.length, stack.byteLength, dropped]).toEqual([1, 10, []]);
  });

  /** What a load does between two ends of rounds, and how many of ten idle memories are dropped at the second. */
  const LOADS: [string, number, () => void][] = [
    ["none of them was taken, half", 5, () => {}],
    ["nine were never taken, five", 5, () => cycle(1)],
    ["eight were out at once, one, not by how the rounds end", 1, () => [cycle(8), cycle(1)]],
    ["all were out once", 0, () => [cycle(1), cycle(10), cycle(2)]],
    ["a hundred were pushed meanwhile, half of those that lay there", 5, () => pushItems(100)],
    [
      "nine were dropped on demand meanwhile, half of the one that lay there, rounded up",
      1,
      () => {
        for (let each = 0; each < 9; each++) stack.dropColdest();
        pushItems(100);
        dropped.length = 0;
      },
    ],
  ];
  test.each(LOADS)("drops, coldest first, where %s: %i", (_name, count, load) => {
    pushItems(10);
    stack.shrink();
    // It cannot know what is needed.
    expect(dropped).toEqual([]);
    load();
    const { length } = stack;
    stack.shrink();
    expect([dropped.length, stack.length]).toEqual([count, length - count]);
    if (length === 10) expect(dropped).toEqual(upTo(count));
  });

  test("shrinks to what the load has out at its peak, and not below, and to nothing without a load", () => {
    pushItems(50);
    for (let round = 0; round < 40; round++) {
      for (let each = 0; each < 3; each++) cycle(3);
      stack.shrink();
    }
    expect([stack.length, dropped]).toEqual([3, upTo(47)]);
    for (let round = 0; round < 20; round++) stack.shrink();
    expect([stack.length, dropped.length]).toEqual([0, 50]);
  });
});
