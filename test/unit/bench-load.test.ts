/**
 * The loads of bench/ and the figures made of them: that percentiles are what
 * they are called, that a seed gives one load, that each load does what it says.
 * How fast anything is, no test asks.
 */

import { beforeEach, describe, expect, test } from "vitest";
import { runIsolated } from "../../bench/isolated.ts";
import type { Loan } from "../../bench/lenders.ts";
import { createClock, openOwnClock } from "../../bench/own-clock.ts";
import { type MixedResult, runMixed, Schedule } from "../../bench/questions/mixed-lifetimes.ts";
import { runSideEffects } from "../../bench/questions/side-effects.ts";
import { percentile, seededRandom, summarize } from "../../bench/statistics.ts";

const KiB = 1024;
const MiB = 1024 * KiB;

describe("a percentile", () => {
  const thousand = Float64Array.from({ length: 1000 }, (_, each) => each + 1);

  test("is the sample that so many percent of all do not exceed", () => {
    expect([0, 0.05, 1, 50, 50.01, 99, 99.9, 99.95, 100].map((each) => percentile(thousand, each))).toEqual([
      1, 1, 10, 500, 501, 990, 999, 1000, 1000,
    ]);
  });

  test("of one sample is that sample, of none is no number", () => {
    expect(percentile([7], 1)).toBe(7);
    expect(percentile([7], 100)).toBe(7);
    expect(percentile([], 50)).toBeNaN();
  });

  test("of few samples is one of them, never a mean", () => {
    expect([25, 26, 50, 75, 76, 99.9].map((each) => percentile([10, 20, 30, 1000], each))).toEqual([
      10, 20, 20, 30, 1000, 1000,
    ]);
  });
});

test("runs are summed up by their median and the distance of their quartiles", () => {
  expect(summarize([5, 1, 3])).toEqual({ value: 3, spread: 4 / 2 / 3, samples: 3 });
  expect(summarize([4, 1, 2, 3]).value).toBe(2.5);
  expect(summarize([0, 0])).toEqual({ value: 0, spread: 0, samples: 2 });
});

test("seeded numbers lie evenly between 0 and 1, the same for a seed", () => {
  const random = seededRandom(1);
  expect(seededRandom(1)()).toBe(seededRandom(1)());
  expect(seededRandom(1)()).not.toBe(seededRandom(2)());
  const tenths = new Array<number>(10).fill(0);
  for (let each = 0; each < 10_000; each++) (tenths[Math.floor(random() * 10)] as number)++;
  for (const count of tenths) expect(Math.abs(count - 1000)).toBeLessThan(150);
});

test("a clock without its waits stands still, and never goes back, when a wait is told of late", () => {
  const walls = [0, 0, 10, 10, 20, 20];
  const waits = [0, 0, 0, 15];
  const clock = createClock(
    () => walls.shift() ?? 20,
    () => waits.shift() ?? 15,
  );
  expect([clock.now(), clock.now(), clock.now()]).toEqual([0, 10, 10]);
});

describe("the load of mixed lifetimes", () => {
  const load = { oneIn: 100, timesLonger: 200, warmup: 20_000, loans: 10_000 };

  test("ends each loan once, after half to one and a half times its mean lifetime", () => {
    const schedule = new Schedule(60_000, { oneIn: 10, timesLonger: 100 }, 5);
    const lifetimes = new Map<number, number>();
    const alive: (Loan | undefined)[] = [];
    let now = 0;
    for (; now < schedule.loans; now++) {
      const born = now;
      const release = (): void => {
        if (lifetimes.has(born)) expect.fail(`loan ${born} ended twice`);
        lifetimes.set(born, now - born);
      };
      alive[born] = { bytes: new Uint8Array(0), release };
      schedule.endAfter(now, alive);
    }
    expect(alive.filter((loan) => loan !== undefined).length).toBe(schedule.loans - lifetimes.size);
    const means = new Set<number>();
    for (const [born, lifetime] of lifetimes) {
      const mean = 64 * (schedule.isLong[born] === 1 ? 100 : 1);
      if (lifetime < mean / 2 - 1 || lifetime > mean * 1.5) expect.fail(`loan ${born} lived ${lifetime}, mean ${mean}`);
      means.add(mean);
    }
    expect([...means].sort((a, b) => a - b)).toEqual([64, 6400]);
    expect(schedule.isLong.reduce((sum, each) => sum + each, 0) / schedule.loans).toBeCloseTo(0.1, 1);
  });

  test("pins an arena's segments down, and stats() shows it, in a process of its own", async () => {
    const input = { ...load, variant: "before-reuse, one arena" };
    const result = await runIsolated<MixedResult>("mixed-lifetimes", input);
    expect(result.retiredBytes).toBeGreaterThan(10 * MiB);
    expect(result.retiredLiveBytes).toBeGreaterThan(0);
    expect(result.retiredLiveBytes).toBeLessThan(result.retiredBytes / 10);
    expect(result.sumOfPeaksReserved).toBeGreaterThan(10 * result.peakLiveBytes);
  });

  test("with an arena for each lifetime reserves a fraction of that", async () => {
    const one = await runMixed({ ...load, variant: "before-reuse, one arena" });
    const two = await runMixed({ ...load, variant: "before-reuse, two arenas" });
    expect(two.sumOfPeaksReserved).toBeLessThan(one.sumOfPeaksReserved / 4);
    expect(two.peakOfSumReserved).toBeLessThanOrEqual(two.sumOfPeaksReserved);
  });
});

test.each(["before-reuse: first revocation", "never: the same leases", "structuredClone with transfer"])(
  "the byte loops read every byte before and after: %s",
  async (cause) => {
    const result = await runSideEffects({ cause, samples: 2 });
    expect(Object.keys(result)).toEqual(["bytes.length in the condition", "length in a variable"]);
    for (const { before, after } of Object.values(result)) {
      expect(before).toBeGreaterThan(0);
      expect(after).toBeGreaterThan(0);
    }
  },
);

describe("a program's own clock", () => {
  let wall: number;
  let waited: number;
  let asked: number;

  beforeEach(() => {
    wall = waited = 100;
    asked = 0;
  });

  function clock() {
    return createClock(
      () => wall,
      () => {
        asked++;
        return waited;
      },
    );
  }

  test("stands still while others have the processor", () => {
    const own = clock();
    const start = own.now();
    wall += 50;
    waited += 30;
    expect(own.now() - start).toBe(20);
    expect(own.waitedMs).toBe(30);
    wall += 5;
    expect(own.now() - start).toBe(25);
  });

  test("does not ask the system while nothing can have happened", () => {
    const own = clock();
    own.now();
    const before = asked;
    for (let each = 0; each < 1000; each++) {
      wall += 0.01;
      own.now();
    }
    expect(asked).toBe(before);
  });

  test("never goes back, not even if kept waiting while it asks", () => {
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

  test("ends its asking where that takes long itself", () => {
    const own = createClock(
      () => wall,
      () => {
        wall += 1;
        return waited;
      },
    );
    expect(own.now()).toBeGreaterThan(0);
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
