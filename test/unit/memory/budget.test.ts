/** The cap, and in which order idle memories are dropped for it. Plain objects stand for the stacks. */

import { describe, expect, test } from "vitest";
import { Budget, type IdleMemories } from "../../../src/memory/budget.ts";

/** A stack of memories of 100 bytes that became idle at these times. */
class FakeStack implements IdleMemories {
  readonly since: number[];
  readonly #budget: Budget;

  constructor(budget: Budget, ...since: number[]) {
    this.since = since;
    this.#budget = budget;
    budget.enlist(this);
  }

  get byteLength(): number {
    return 100 * this.since.length;
  }

  get coldestSince(): number {
    return this.since[0] ?? Number.POSITIVE_INFINITY;
  }

  dropColdest(): boolean {
    if (this.since.shift() === undefined) return false;
    this.#budget.reservedBytes -= 100;
    return true;
  }

  shrink(): void {}
}

describe("a budget", () => {
  test("drops nothing for what fits, nor for what would not fit with everything dropped, to the byte", () => {
    const budget = new Budget(1000);
    const stacks = [new FakeStack(budget, 1, 2), new FakeStack(budget, 3)];
    budget.reservedBytes = 700;
    expect(budget.makeRoom(300)).toBe(true);
    budget.reservedBytes = 1000;
    expect([budget.idleBytes, budget.headroom, budget.makeRoom(301)]).toEqual([300, 300, false]);
    expect(stacks.map(({ since }) => since)).toEqual([[1, 2], [3]]);
    expect(budget.makeRoom(300)).toBe(true);
    expect([budget.reservedBytes, budget.idleBytes]).toEqual([700, 0]);
  });

  test("drops the coldest of all stacks first, and no more than is needed", () => {
    const budget = new Budget(1000);
    const stacks = [new FakeStack(budget, 2, 5), new FakeStack(budget), new FakeStack(budget, 1, 9)];
    budget.reservedBytes = 1000;
    expect(budget.makeRoom(150)).toBe(true);
    expect(stacks.map(({ since }) => since)).toEqual([[5], [], [9]]);
    expect([1, 2, 3].map(() => budget.dropColdest())).toEqual([true, true, false]);
  });
});
