/**
 * The benchmarks' own reckoning, and that each case and each load measures what it says. How
 * fast anything is, no test asks.
 */

import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { describe, expect, test } from "vitest";
import { type Plan, time, timedFrom } from "../bench/harness.ts";
import { runIsolated } from "../bench/isolated.ts";
import type { Loan } from "../bench/lenders.ts";
import { churn, cycle, releaseOrder, replay } from "../bench/loops.ts";
import { ENTRY, WAY_NAMES } from "../bench/messages.ts";
import { createClock, openOwnClock } from "../bench/own-clock.ts";
import type { Form, Measurement, Outcome, Question } from "../bench/question.ts";
import { aliasing } from "../bench/questions/aliasing.ts";
import { alive } from "../bench/questions/alive.ts";
import { churn as churnQuestion } from "../bench/questions/churn.ts";
import { guard } from "../bench/questions/guard.ts";
import { type MixedResult, runMixed, Schedule } from "../bench/questions/mixed-lifetimes.ts";
import { oneLease, verdict } from "../bench/questions/one-lease.ts";
import { parsers } from "../bench/questions/parsers.ts";
import { explain, pieces } from "../bench/questions/pieces.ts";
import { mostAlive, realSizes } from "../bench/questions/real-sizes.ts";
import { runSideEffects } from "../bench/questions/side-effects.ts";
import { threads } from "../bench/questions/threads.ts";
import { writer } from "../bench/questions/writer.ts";
import { LEASES, MORE_LEASES, namesOf, OUTSIDERS, RIVALS, SHARED_RIVALS, WRITTEN } from "../bench/rivals.ts";
import { percentile, seededRandom, summarize } from "../bench/statistics.ts";
import { crossover, figureOf, find, rivalsIn } from "../bench/tables.ts";
import { MiB } from "./helpers.ts";
import { seed } from "./seeded.ts";

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
    const least = metric === "time" ? Number.MIN_VALUE : metric.startsWith("peak") ? -Number.MAX_VALUE : 0;
    expect(Number.isFinite(value) && value >= least, JSON.stringify(measurement)).toBe(true);
  }
  expectTables(question, measurements);
  return measurements;
}

const all = (names: readonly string[]): unknown => expect.arrayContaining([...names]);

describe("the questions", () => {
  test("one-lease times every rival at every length, with 1 and with 64 alive", async () => {
    const measurements = await runShortened(oneLease, { plan }, "full");
    expect(rivalsIn(measurements)).toEqual(all(namesOf([...OUTSIDERS, ...LEASES, ...MORE_LEASES, WRITTEN])));
    for (const rival of ["new Uint8Array", "before-reuse, acquire", "never, pool"]) {
      for (const byteLength of [64, 1024, 65_536]) {
        for (const count of [1, 64]) expect(find(measurements, { rival, byteLength, alive: count })).toBeDefined();
      }
    }
  });

  test("churn counts the collections and the memory of a process", async () => {
    const measurements = await runShortened(churnQuestion, { leases: 20_000 });
    const fresh = { rival: "new Uint8Array", byteLength: 65_536, alive: 64 };
    const leased = { ...fresh, rival: "before-reuse, acquire" };
    // 20,000 fresh arrays of 64 KiB are 1.2 GiB: no heap takes them without collecting.
    expect(figureOf(measurements, { ...fresh, metric: "collections" })).toBeGreaterThan(0);
    expect(figureOf(measurements, { ...fresh, metric: "peak array buffers" })).toBeGreaterThanOrEqual(63 * 65_536);
    expect(figureOf(measurements, { ...leased, metric: "peak reserved" })).toBeGreaterThanOrEqual(64 * 65_536);
    expect(figureOf(measurements, { ...leased, metric: "overflowed" })).toBe(0);
  });

  test("the others time all of their rivals", async () => {
    const ofAlive = await runShortened(alive, { operations: 500 });
    for (const rival of ["new Uint8Array", "array pool, fill(0)", "before-reuse, acquire", "bare objects"]) {
      for (const count of [10, 10_000]) expect(find(ofAlive, { rival, alive: count }), rival).toBeDefined();
    }
    const ofSizes = await runShortened(realSizes, { plan: { ...plan, operations: 2000 } });
    expect(rivalsIn(ofSizes)).toEqual(all(namesOf([...OUTSIDERS, ...LEASES])));
    for (const [rival, metric] of [
      ["live bytes", "most alive"],
      ["before-reuse, acquire", "peak reserved"],
      ["before-reuse, acquire", "bytes leased"],
    ] as const) {
      expect(figureOf(ofSizes, { rival, metric })).toBeGreaterThan(0);
    }
    const ofWriter = rivalsIn(await runShortened(writer, { plan }));
    expect(ofWriter).toEqual(all(["bl", "before-reuse, writer()", "never, writer()"]));
    const ofParsers = rivalsIn(await runShortened(parsers, { warmUpPasses: 1, passes: 2 }));
    expect(ofParsers).toEqual(all(["before-reuse", "never", "fresh buffers", "redis-parser", "ws", "tar-stream"]));
    const ofGuard = rivalsIn(await runShortened(guard, { plan }));
    expect(ofGuard).toEqual(all(["guardEvery: 1", "channels, each subscribed"]));
    const ofPieces = await runShortened(pieces, { plan: { ...plan, operations: 5 } });
    for (const piece of Object.values(explain(ofPieces, 4096))) expect(piece).toBeGreaterThan(0);
  });

  test("threads sends every message by each way, and leases shared memory", async () => {
    const entryPoints = [fileURLToPath(new URL("../bench/messages.ts", import.meta.url))];
    await build({ entryPoints, outfile: fileURLToPath(ENTRY), bundle: true, format: "esm", packages: "external" });
    const shorter = { plan, messages: 40, runs: 1 };
    const measurements = await runShortened<object, unknown>(threads as Question<object, unknown>, shorter);
    expect(rivalsIn(measurements)).toEqual(all([...namesOf(SHARED_RIVALS), ...WAY_NAMES, "array pool, fill(0)"]));
  });

  test("aliasing knows where blocks of linear memory begin, and no lease begins just above its source", async () => {
    const measurements = await runShortened(aliasing, { plan });
    const share = (rival: string): number => figureOf(measurements, { rival, metric: "1 to 63 above" });
    expect(["same start", "4 above", "63 above", "64 above"].map(share)).toEqual([0, 1, 1, 0]);
    expect(["from lease to lease", "from a page's start to a lease"].map(share)).toEqual([0, 0]);
    expect(share("from a fresh array to a lease"), "JavaScript cannot tell").toBeNaN();
  });

  test("a case runs in a process of its own, and says which it is if it fails there", async () => {
    const input = { rival: "before-reuse, acquire", byteLength: 1024, alive: 64, plan };
    const { ns, meanNs } = await runIsolated<{ ns: number; meanNs: number }>("one-lease", input);
    expect(Math.min(ns, meanNs)).toBeGreaterThan(0);
    await expect(runIsolated("one-lease", { ...input, rival: "nobody" })).rejects.toThrow('"rival":"nobody"');
  });

  test("mixed lifetimes pin an arena's segments down, and an arena for each lifetime reserves a fraction of that", async () => {
    const load = { oneIn: 100, timesLonger: 200, warmup: 20_000, loans: 10_000 };
    const one = await runIsolated<MixedResult>("mixed-lifetimes", { ...load, variant: "before-reuse, one arena" });
    expect(one.retiredBytes).toBeGreaterThan(10 * MiB);
    expect(one.retiredLiveBytes).toBeLessThan(one.retiredBytes / 10);
    expect(one.sumOfPeaksReserved).toBeGreaterThan(10 * one.peakLiveBytes);
    const two = await runMixed({ ...load, variant: "before-reuse, two arenas" });
    expect(two.sumOfPeaksReserved).toBeLessThan(one.sumOfPeaksReserved / 4);
    expect(two.peakOfSumReserved).toBeLessThanOrEqual(two.sumOfPeaksReserved);
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

describe("rivals", () => {
  test("lend as many as are to be alive, each of its length, or lengths that differ, and zeros if they say so", async () => {
    for (const rival of RIVALS) {
      const allocator = await rival.open({ byteLength: 3000, alive: 40 });
      const isDirty = /dirty|written|bare/.test(rival.name);
      for (let round = 0; round < 3; round++) {
        const held = Array.from({ length: 40 }, () => allocator.acquire(3000));
        for (const each of held) {
          const bytes = allocator.bytesOf(each);
          expect(bytes, rival.name).toHaveLength(3000);
          if (!isDirty)
            expect(
              bytes.every((byte) => byte === 0),
              rival.name,
            ).toBe(true);
          bytes.fill(9);
        }
        for (const each of held) allocator.release(each);
      }
      allocator.close?.();
    }
    for (const rival of [...OUTSIDERS, ...LEASES]) {
      const allocator = await rival.open({ byteLength: 100_000, alive: 8, mixed: true });
      for (const byteLength of [1, 2, 3, 64, 65, 4096, 4097, 65_536, 100_000]) {
        const held = allocator.acquire(byteLength);
        expect(allocator.bytesOf(held).length, rival.name).toBeGreaterThanOrEqual(byteLength);
        allocator.release(held);
      }
      allocator.close?.();
    }
  });
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
  test("a cycle leaves nothing alive, and churn as many as it was told, the oldest given back first", () => {
    const cycled = countingAllocator();
    cycle(cycled.allocator, 10)(25);
    expect([cycled.acquired.length, cycled.lent.size]).toEqual([25, 0]);
    const { allocator, lent, released } = countingAllocator();
    const batch = churn(allocator, 10, 7, releaseOrder("first in, first out", 7));
    for (const operations of [20, 3]) batch(operations);
    expect(lent.size).toBe(7);
    expect(released).toEqual(Array.from({ length: 23 }, (_, each) => each));
  });

  test("replay asks for the lengths in their order, over and over", () => {
    const { allocator, lent, acquired } = countingAllocator();
    replay(allocator, Uint32Array.of(5, 6, 7), 2, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8))(7);
    expect([acquired.slice(2), lent.size]).toEqual([[5, 6, 7, 5, 6, 7, 5], 2]);
  });

  test("random order picks every place about as often, and the same places for the same seed", () => {
    const order = releaseOrder("random", 16, seed);
    const picks = new Uint32Array(16);
    for (const place of order) picks[place] = (picks[place] ?? 0) + 1;
    for (const each of picks) expect(each / (order.length / 16), `CLEANSLAB_SEED=${seed}`).toBeCloseTo(1, 0);
    expect(releaseOrder("random", 16, seed)).toEqual(order);
    expect(releaseOrder("random", 16, seed + 1)).not.toEqual(order);
  });

  test("each loan of mixed lifetimes ends once, after half to one and a half times its mean lifetime", () => {
    const schedule = new Schedule(60_000, { oneIn: 10, timesLonger: 100 }, 5);
    const lifetimes = new Map<number, number>();
    const held: (Loan | undefined)[] = [];
    let now = 0;
    for (; now < schedule.loans; now++) {
      const born = now;
      const release = (): void => {
        if (lifetimes.has(born)) expect.fail(`loan ${born} ended twice`);
        lifetimes.set(born, now - born);
      };
      held[born] = { bytes: new Uint8Array(0), release };
      schedule.endAfter(now, held);
    }
    expect(held.filter((loan) => loan !== undefined).length).toBe(schedule.loans - lifetimes.size);
    for (const [born, lifetime] of lifetimes) {
      const mean = 64 * (schedule.isLong[born] === 1 ? 100 : 1);
      if (lifetime < mean / 2 - 1 || lifetime > mean * 1.5) expect.fail(`loan ${born} lived ${lifetime}, mean ${mean}`);
    }
    expect(schedule.isLong.reduce((sum, each) => sum + each, 0) / schedule.loans).toBeCloseTo(0.1, 1);
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
    expect(calls).toEqual(new Array(9).fill(7)); // five untimed
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

  test("the most bytes alive at a time are found across the end of the trace", () => {
    expect([2, 1].map((count) => mostAlive(Uint32Array.of(5, 1, 1, 6), count))).toEqual([11, 6]);
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

describe("a program's own clock", () => {
  test("stands still while others have the processor, and asks the system only when that can have happened", () => {
    let wall = 100;
    let waited = 100;
    let asked = 0;
    const own = createClock(
      () => wall,
      () => {
        asked++;
        return waited;
      },
    );
    const start = own.now();
    wall += 50;
    waited += 30;
    expect([own.now() - start, own.waitedMs]).toEqual([20, 30]);
    const before = asked;
    for (let each = 0; each < 1000; each++) {
      wall += 0.01;
      own.now();
    }
    expect(asked).toBe(before);
  });

  test("never goes back, when a wait is told of late or the asking itself is kept waiting", () => {
    const walls = [0, 0, 10, 10, 20, 20];
    const waits = [0, 0, 0, 15];
    const late = createClock(
      () => walls.shift() ?? 20,
      () => waits.shift() ?? 15,
    );
    expect([late.now(), late.now(), late.now()]).toEqual([0, 10, 10]);
    let wall = 100;
    let waited = 100;
    let delays = 0;
    const own = createClock(
      () => wall,
      () => {
        if (delays-- > 0) {
          wall += 10;
          waited += 10;
        }
        return waited;
      },
    );
    const start = own.now();
    wall += 1;
    delays = 2;
    expect(own.now() - start).toBe(1);
  });

  test("goes on in this process, whether or not the system says who waited", () => {
    const own = openOwnClock();
    const start = own.now();
    let now = start;
    for (const end = performance.now() + 20; performance.now() < end; ) {
      const next = own.now();
      expect(next).toBeGreaterThanOrEqual(now);
      now = next;
    }
    own.close();
    expect(now).toBeGreaterThan(start);
  });
});
