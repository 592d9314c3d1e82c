/**
 * The benchmarks' own reckoning, and that each case and each load measures what it says. How
 * fast anything is, no test asks.
 */

import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { describe, expect, test } from "vitest";
import { crossover, figureOf, find, rivalsIn } from "../bench/figures.ts";
import { type Plan, time, timedFrom } from "../bench/harness.ts";
import { runIsolated } from "../bench/isolated.ts";
import { lend } from "../bench/loops.ts";
import { ENTRY, WAY_NAMES } from "../bench/messages.ts";
import type { Form, Measurement, Outcome, Question } from "../bench/question.ts";
import { aliasing } from "../bench/questions/aliasing.ts";
import { guard } from "../bench/questions/guard.ts";
import { oneLease, verdict } from "../bench/questions/one-lease.ts";
import { parsers } from "../bench/questions/parsers.ts";
import { pieces } from "../bench/questions/pieces.ts";
import { runSideEffects } from "../bench/questions/side-effects.ts";
import { threads } from "../bench/questions/threads.ts";
import { openRival, RIVAL_NAMES, SHARED_RIVALS } from "../bench/rivals.ts";
import { percentile, seededRandom, summarize } from "../bench/statistics.ts";
import { isZero } from "./helpers.ts";

const plan: Plan = { warmUpMs: 0, batchMs: 0.05, batches: 9 };

function expectTables(question: Question, measurements: readonly Measurement[]): void {
  const tables = question.tables(measurements);
  expect(tables.length).toBeGreaterThan(0);
  for (const { title, head, rows } of tables) {
    expect(rows.length, title).toBeGreaterThan(0);
    for (const row of rows) {
      expect(row.length, title).toBe(head.length);
      expect(row.join(" "), title).not.toMatch(/NaN|undefined|Infinity/);
    }
  }
}

/** Runs the cases of a question in this process, each once and shortened, and looks at its figures and tables. */
async function runShortened<Input extends object, Result>(
  question: Question<Input, Result>,
  shorten: Partial<Input>,
  form: Form = "quick",
): Promise<Measurement[]> {
  const outcomes: Outcome<Input, Result>[] = [];
  for (const input of await question.cases(form)) {
    outcomes.push({ input, runs: [await question.run({ ...input, ...shorten })] });
  }
  const measurements = question.measurements(outcomes);
  for (const measurement of measurements) {
    const { metric, value } = measurement;
    const least = metric === "time" ? Number.MIN_VALUE : 0;
    expect(Number.isFinite(value) && value >= least, JSON.stringify(measurement)).toBe(true);
  }
  expectTables(question, measurements);
  return measurements;
}

const all = (names: readonly string[]): unknown => expect.arrayContaining([...names]);

describe("the questions", () => {
  test("one-lease times every rival at every length, with 1, with 64 and with thousands alive", async () => {
    const measurements = await runShortened(oneLease, { plan }, "full");
    expect(rivalsIn(measurements)).toEqual(all(RIVAL_NAMES.filter((name) => !SHARED_RIVALS.includes(name))));
    for (const rival of ["new Uint8Array", "before-reuse, acquire", "never, acquire"]) {
      for (const byteLength of [64, 1024, 65_536]) {
        for (const count of [1, 64]) expect(find(measurements, { rival, byteLength, alive: count })).toBeDefined();
      }
      expect(find(measurements, { rival, alive: 100_000 })).toBeDefined();
    }
  });

  test("the others time all of their rivals", async () => {
    const ofParsers = rivalsIn(await runShortened(parsers, { warmUpPasses: 1, passes: 2 }));
    expect(ofParsers).toEqual(all(["before-reuse", "never", "fresh buffers", "redis-parser", "ws", "tar-stream"]));
    const ofGuard = rivalsIn(await runShortened(guard, { plan }));
    expect(ofGuard).toEqual(all(["guardEvery: 1", "channels, each subscribed"]));
    await runShortened(pieces, { plan: { ...plan, operations: 5 } });
  });

  test("threads sends every message by each way, and leases shared memory", async () => {
    const entryPoints = [fileURLToPath(new URL("../bench/messages.ts", import.meta.url))];
    await build({ entryPoints, outfile: fileURLToPath(ENTRY), bundle: true, format: "esm", packages: "external" });
    const shorter = { plan, messages: 40, runs: 1 };
    const measurements = await runShortened<object, unknown>(threads as Question<object, unknown>, shorter);
    expect(rivalsIn(measurements)).toEqual(all([...SHARED_RIVALS, ...WAY_NAMES, "array pool, fill(0)"]));
  });

  test("aliasing knows where blocks of linear memory begin, and no lease begins just above its source", async () => {
    const measurements = await runShortened(aliasing, { plan });
    const share = (rival: string): number => figureOf(measurements, { rival, metric: "1 to 63 above" });
    expect(["same start", "4 above", "63 above", "64 above"].map(share)).toEqual([0, 1, 1, 0]);
    expect(["from lease to lease", "from a page's start to a lease"].map(share)).toEqual([0, 0]);
  });

  test("a case runs in a process of its own, and says which it is if it fails there", async () => {
    const input = { rival: "before-reuse, acquire", byteLength: 1024, alive: 64, plan };
    const { ns, meanNs } = await runIsolated<{ ns: number; meanNs: number }>("one-lease", input);
    expect(Math.min(ns, meanNs)).toBeGreaterThan(0);
    await expect(runIsolated("one-lease", { ...input, rival: "nobody" })).rejects.toThrow('"rival":"nobody"');
  });

  test.each(["before-reuse: first revocation", "never: the same leases", "structuredClone with transfer"])(
    "side effects reads every byte before and after: %s",
    async (cause) => {
      const result = await runSideEffects({ cause, samples: 2 });
      expect(Object.keys(result)).toEqual(["bytes.length in the condition", "length in a variable"]);
      for (const { before, after } of Object.values(result)) expect(Math.min(before, after)).toBeGreaterThan(0);
    },
  );
});

test.each(RIVAL_NAMES)("%s lends as many as are to be alive, each of its length, and zeros if it says so", (name) => {
  const allocator = openRival(name, { byteLength: 3000, alive: 40 });
  const isDirty = /dirty|written|bare/.test(name);
  for (let round = 0; round < 3; round++) {
    const held = Array.from({ length: 40 }, () => allocator.acquire(3000));
    for (const each of held) {
      const bytes = allocator.bytesOf(each);
      expect([bytes.length, isDirty || isZero(bytes)]).toEqual([3000, true]);
      bytes.fill(9);
    }
    for (const each of held) allocator.release(each);
  }
});

/** Counts what it lends, and hands out numbers for it. */
function countingAllocator() {
  const lent = new Map<number, number>();
  const acquired: number[] = [];
  const released: number[] = [];
  const allocator = {
    acquire: (byteLength: number): number => {
      lent.set(acquired.length, byteLength);
      return acquired.push(byteLength) - 1;
    },
    bytesOf: (held: number): Uint8Array => new Uint8Array(lent.get(held) ?? 0),
    release: (held: number): void => {
      if (!lent.delete(held)) throw new Error(`${held} was released twice`);
      released.push(held);
    },
  };
  return { allocator, lent, acquired, released };
}

describe("loops", () => {
  test("lend as many as they are told, and give back the oldest first", () => {
    const one = countingAllocator();
    lend(one.allocator, 10, 1)(25);
    expect([one.acquired.length, one.lent.size]).toEqual([25, 0]);
    const { allocator, lent, released } = countingAllocator();
    const batch = lend(allocator, 10, 7);
    for (const operations of [20, 3]) batch(operations);
    expect(lent.size).toBe(7);
    expect(released).toEqual(Array.from({ length: 23 }, (_, each) => each));
  });
});

describe("reading figures", () => {
  test("a percentile is the sample that so many percent of all do not exceed, never a mean", () => {
    const thousand = Float64Array.from({ length: 1000 }, (_, each) => each + 1);
    const of = (samples: ArrayLike<number>, ...percents: number[]): number[] =>
      percents.map((each) => percentile(samples as number[], each));
    expect(of(thousand, 0, 0.05, 1, 50, 50.01, 99, 99.9, 99.95, 100)).toEqual([
      1, 1, 10, 500, 501, 990, 999, 1000, 1000,
    ]);
    expect(of([10, 20, 30, 1000], 25, 26, 50, 75, 76, 99.9)).toEqual([10, 20, 20, 30, 1000, 1000]);
    expect([...of([7], 1, 100), ...of([], 50)]).toEqual([7, 7, Number.NaN]);
  });

  test("runs are summed up by their median and the distance of their quartiles, batches also by their fastest tenth", () => {
    expect(summarize([5, 1, 3])).toEqual({ value: 3, spread: 4 / 2 / 3, samples: 3 });
    expect(summarize([4, 1, 2, 3]).value).toBe(2.5);
    expect(timedFrom([20, 30, 10, 1000, 20])).toEqual({ ns: 20, fastNs: 10, meanNs: 216 });
    const calls: number[] = [];
    time((operations) => calls.push(operations), { warmUpMs: 0, batchMs: 0, batches: 4, operations: 7 });
    // Five untimed; and again where the system told of a longer wait than a batch took.
    expect(calls.length).toBeGreaterThanOrEqual(9);
    expect(new Set(calls)).toEqual(new Set([7]));
  });

  test.each([
    [1.4, "time of", [1.5], "met"],
    [1.6, "time of", [1.5], "not met"],
    [1.6, "time of", [1.5, 2.5], "met for the second alone"],
    [1.3, "time of", [1.45, 1.2], "met for the first alone"],
    [8, "faster than", [8], "met"],
    [7.9, "faster than", [8], "not met"],
    [Number.NaN, "time of", [1.5, 2.5], "not met"],
  ] as const)("a target of %d × %s, wanted %j, is %s", (ratio, kind, wanted, said) => {
    expect(verdict(ratio, kind, wanted)).toBe(said);
  });

  test.each<[number[], number[], number | null]>([
    [[90, 90, 90, 90], [20, 25, 300, 500], 256],
    [[10, 10, 10, 10], [20, 25, 300, 500], 16],
    // Faster by chance, equal, or not measured is no crossover.
    [[10, 90, 90, 90], [20, 25, 300, 500], 256],
    [[10, 10, 10, 600], [20, 25, 300, 500], null],
    [[20, 25, 300, 500], [20, 25, 300, 500], null],
    [[10, 10, 10], [20, 25, 300, 500], null],
  ])("the crossover is the shortest length from which on ours is faster: %j, %j", (ours, theirs, length) => {
    expect(crossover([16, 64, 256, 1024], ours, theirs)).toBe(length);
  });

  test("seeded numbers lie evenly between 0 and 1, the same for a seed", () => {
    const random = seededRandom(1);
    expect(seededRandom(1)()).toBe(seededRandom(1)());
    expect(seededRandom(1)()).not.toBe(seededRandom(2)());
    const tenths = new Array<number>(10).fill(0);
    for (let each = 0; each < 10_000; each++) (tenths[Math.floor(random() * 10)] as number)++;
    for (const count of tenths) expect(Math.abs(count - 1000)).toBeLessThan(150);
  });
});
