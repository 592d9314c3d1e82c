/** The low-water decay of a stack of idle things, with plain objects for memories. */

import { beforeEach, describe, expect, test } from "vitest";
import { IDLE_ROUNDS, IdleStack } from "../../src/idle.ts";

interface Item {
  readonly name: number;
}

describe("an idle stack", () => {
  let dropped: number[];
  let stack: IdleStack<Item>;

  beforeEach(() => {
    dropped = [];
    stack = new IdleStack(({ name }) => dropped.push(name));
  });

  function pushItems(count: number): void {
    for (let name = 0; name < count; name++) stack.push({ name });
  }

  /** As many rounds as something must lie unused. */
  function endRounds(): void {
    for (let round = 0; round < IDLE_ROUNDS; round++) stack.shrink();
  }

  /** A load that has `depth` things out at once, and puts them back in the order they lay. */
  function cycle(depth: number): void {
    const out: Item[] = [];
    for (let each = 0; each < depth; each++) {
      const item = stack.pop();
      if (item !== undefined) out.push(item);
    }
    for (const item of out.reverse()) stack.push(item);
  }

  /** Such a load, for `times` as many rounds. */
  function work(depth: number, times: number): void {
    for (let time = 0; time < times; time++) {
      for (let each = 0; each < 3; each++) cycle(depth);
      endRounds();
    }
  }

  test("pops what was pushed last, and then nothing", () => {
    pushItems(3);
    expect(stack.length).toBe(3);
    expect([stack.pop()?.name, stack.pop()?.name, stack.pop()?.name]).toEqual([2, 1, 0]);
    expect(stack.pop()).toBeUndefined();
    expect(stack.length).toBe(0);
    expect(dropped).toEqual([]);
  });

  test("drops the coldest first, and says whether there was one", () => {
    pushItems(3);
    expect(stack.dropColdest()).toBe(true);
    expect(stack.dropColdest()).toBe(true);
    expect(dropped).toEqual([0, 1]);
    expect(stack.length).toBe(1);
    expect(stack.dropColdest()).toBe(true);
    expect(stack.dropColdest()).toBe(false);
    expect(dropped).toEqual([0, 1, 2]);
  });

  test("forgets all of them without dropping one", () => {
    pushItems(4);
    endRounds();
    stack.clear();
    expect(stack.length).toBe(0);
    expect(stack.pop()).toBeUndefined();
    endRounds();
    expect(dropped).toEqual([]);
  });

  test("does not hold what was forgotten against what comes later", () => {
    pushItems(10);
    endRounds();
    stack.clear();
    pushItems(10);
    endRounds();
    expect(dropped).toEqual([]);
  });

  test("drops nothing at the end of the rounds in which it came, for it cannot know what is needed", () => {
    pushItems(10);
    endRounds();
    expect(dropped).toEqual([]);
    expect(stack.length).toBe(10);
  });

  test("drops half of what lay unused for all the rounds, rounded up, coldest first", () => {
    pushItems(10);
    endRounds();
    cycle(1);
    // Nine were never taken: five of them go.
    endRounds();
    expect(dropped).toEqual([0, 1, 2, 3, 4]);
    // Five lay there for all of the next ones.
    endRounds();
    expect(dropped).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(stack.length).toBe(2);
  });

  test("does not count what was pushed during the rounds as unused", () => {
    pushItems(2);
    endRounds();
    pushItems(100);
    endRounds();
    expect(dropped).toEqual([0]);
    expect(stack.length).toBe(101);
  });

  test("goes by the lowest point of the rounds, not by how they end", () => {
    pushItems(10);
    endRounds();
    cycle(8);
    cycle(1);
    endRounds();
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
    for (let round = 0; round < 20; round++) endRounds();
    expect(stack.length).toBe(0);
    expect(dropped).toHaveLength(50);
  });

  test("drops nothing under a load that needs all of them once in as many rounds", () => {
    pushItems(20);
    for (let round = 0; round < 10 * IDLE_ROUNDS; round++) {
      cycle(round % IDLE_ROUNDS === 5 ? 20 : 1);
      stack.shrink();
    }
    expect(dropped).toEqual([]);
  });

  test("drops nothing under a load that needs all of them once in every round", () => {
    pushItems(20);
    for (let round = 0; round < 20; round++) {
      cycle(1);
      cycle(20);
      cycle(2);
      endRounds();
    }
    expect(dropped).toEqual([]);
    expect(stack.length).toBe(20);
  });

  test("has fewer unused when some were dropped on demand", () => {
    pushItems(10);
    endRounds();
    for (let each = 0; each < 9; each++) stack.dropColdest();
    pushItems(100);
    endRounds();
    // One lay there all the while.
    expect(dropped).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });
});
