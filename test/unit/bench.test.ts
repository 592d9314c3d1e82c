/**
 * The benchmarks' own reckoning, and that the quick form of every question of
 * length, churn, number alive, real lengths and parsers measures what it says. What the
 * figures are is nobody's business here: a time is only asserted to be one.
 */

import { describe, expect, test } from "vitest";
import { alive } from "../../bench/alive.ts";
import { LEASES, OUTSIDERS, POOLED_LEASES, RIVALS } from "../../bench/allocators.ts";
import { churn } from "../../bench/churn.ts";
import { figureFrom } from "../../bench/harness.ts";
import { leaseCycle } from "../../bench/lease-cycle.ts";
import { churn as churnLoop, cycle, releaseOrder, replay } from "../../bench/loops.ts";
import { ownCopy } from "../../bench/own-copy.ts";
import { FORMATS, rivalsOf } from "../../bench/parser-loads.ts";
import { parsers } from "../../bench/parsers.ts";
import type { Measurement, Question } from "../../bench/question.ts";
import { crossover, FASTEST_TENTH, figureOf, find, rivalsIn } from "../../bench/reading.ts";
import { mostAlive, realSizes } from "../../bench/real-sizes.ts";
import { seed } from "../seeded.ts";

async function runQuick(question: Question): Promise<Measurement[]> {
  const shares: number[] = [];
  const measurements = await question.run({ quick: true, progress: (share) => shares.push(share) });
  expect(shares, "the shares of the work done ascend").toEqual([...shares].sort((a, b) => a - b));
  expect(shares.at(-1)).toBeCloseTo(1);
  for (const measurement of measurements) expectSane(measurement);
  for (const { title, head, rows } of question.tables(measurements)) {
    expect(rows.length, title).toBeGreaterThan(0);
    for (const row of rows) {
      expect(row.length, title).toBe(head.length);
      expect(row.join(" "), title).not.toMatch(/NaN|undefined|Infinity/);
    }
  }
  return measurements;
}

function expectSane(measurement: Measurement): void {
  const { metric, value, spread, samples } = measurement;
  const what = JSON.stringify(measurement);
  expect(Number.isFinite(value), what).toBe(true);
  if (/time|bytes leased|reserved|most alive/.test(metric)) expect(value, what).toBeGreaterThanOrEqual(0);
  if (metric === "time") {
    expect(value, what).toBeGreaterThan(0);
    expect(spread, what).toBeGreaterThanOrEqual(0);
    expect(samples, what).toBeGreaterThan(1);
  }
}

const namesOf = (rivals: readonly { name: string }[]): string[] => rivals.map(({ name }) => name);

describe("the quick forms", () => {
  test("lease-cycle times every rival and the floor at every length, and the fastest tenth of each", async () => {
    const measurements = await runQuick(leaseCycle);
    const rivals = rivalsIn(measurements);
    expect(rivals).toEqual(expect.arrayContaining(namesOf([...OUTSIDERS, ...LEASES, ...POOLED_LEASES])));
    const lengths = new Set(measurements.map(({ at }) => at["byteLength"]));
    for (const metric of ["time", FASTEST_TENTH]) {
      expect(measurements.filter((each) => each.metric === metric)).toHaveLength(rivals.length * lengths.size);
    }
  });

  test("churn times every rival, and counts the collections and the memory of a process", async () => {
    const measurements = await runQuick(churn);
    expect(rivalsIn(measurements)).toEqual(expect.arrayContaining(namesOf([...OUTSIDERS, ...LEASES])));
    const fresh = { rival: "new Uint8Array", byteLength: 65_536, alive: 64 };
    const leased = { ...fresh, rival: "before-reuse, acquire" };
    // 20,000 fresh arrays of 64 KiB are 1.2 GiB: no heap takes them without collecting.
    expect(figureOf(measurements, { ...fresh, metric: "collections" })).toBeGreaterThan(0);
    expect(figureOf(measurements, { ...fresh, metric: "peak array buffers" })).toBeGreaterThanOrEqual(63 * 65_536);
    expect(figureOf(measurements, { ...leased, metric: "peak reserved" })).toBeGreaterThanOrEqual(64 * 65_536);
    expect(figureOf(measurements, { ...leased, metric: "overflowed" })).toBe(0);
  });

  test("alive times its rivals with few and with many alive", async () => {
    const measurements = await runQuick(alive);
    for (const rival of ["new Uint8Array", "array pool, fill(0)", "before-reuse, acquire", "bare objects"]) {
      for (const count of [10, 10_000]) expect(find(measurements, { rival, alive: count }), rival).toBeDefined();
    }
  });

  test("real-sizes replays a recorded trace with every rival that takes any length", async () => {
    const measurements = await runQuick(realSizes);
    expect(rivalsIn(measurements)).toEqual(expect.arrayContaining(namesOf([...OUTSIDERS, ...LEASES])));
    const rival = "before-reuse, acquire";
    const live = figureOf(measurements, { rival: "live bytes", metric: "most alive" });
    expect(figureOf(measurements, { rival, metric: "peak reserved" })).toBeGreaterThanOrEqual(live);
    expect(figureOf(measurements, { rival, metric: "bytes leased" })).toBeGreaterThan(0);
  });

  test("parsers times every format with each rival, all of which find the same bytes", async () => {
    const measurements = await runQuick(parsers);
    for (const format of FORMATS) {
      for (const rival of rivalsOf(format)) {
        expect(figureOf(measurements, { rival, format }), `${format}, ${rival}`).toBeGreaterThan(0);
      }
    }
  });
});

describe("allocators", () => {
  test.each(namesOf(RIVALS))("%s lends as many as are to be alive, each of its length", async (name) => {
    const rival = RIVALS.find((each) => each.name === name);
    const allocator = await rival?.open({ byteLength: 3000, alive: 40 });
    if (allocator === undefined) throw new Error(`no rival ${name}`);
    for (let round = 0; round < 3; round++) {
      const held = Array.from({ length: 40 }, () => allocator.acquire(3000));
      for (const each of held) expect(allocator.bytesOf(each)).toHaveLength(3000);
      for (const each of held) allocator.release(each);
    }
    allocator.close?.();
  });

  test.each(namesOf([...OUTSIDERS, ...LEASES]))("%s lends lengths that differ", async (name) => {
    const rival = RIVALS.find((each) => each.name === name);
    const allocator = await rival?.open({ byteLength: 100_000, alive: 8, mixed: true });
    if (allocator === undefined) throw new Error(`no rival ${name}`);
    for (const byteLength of [1, 2, 3, 64, 65, 4096, 4097, 65_536, 100_000]) {
      const held = allocator.acquire(byteLength);
      expect(allocator.bytesOf(held).length).toBeGreaterThanOrEqual(byteLength);
      allocator.release(held);
    }
    allocator.close?.();
  });

  test("what is wiped by a rival that says so comes back as zeros", async () => {
    const wiping = RIVALS.filter(({ name }) => !name.includes("dirty") && name !== "bare objects");
    for (const rival of wiping) {
      const allocator = await rival.open({ byteLength: 500, alive: 1 });
      for (let round = 0; round < 4; round++) {
        const held = allocator.acquire(500);
        expect(
          allocator.bytesOf(held).every((byte) => byte === 0),
          rival.name,
        ).toBe(true);
        allocator.bytesOf(held).fill(9);
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

const bytesOf = ({ buffer }: Uint32Array): Uint8Array => new Uint8Array(buffer);

describe("loops", () => {
  test("a cycle leaves nothing alive", () => {
    const { allocator, lent, acquired } = countingAllocator();
    cycle(allocator, 10)(25);
    expect(acquired).toHaveLength(25);
    expect(lent.size).toBe(0);
  });

  test("churn keeps as many alive as it was told, and gives back the oldest first", () => {
    const { allocator, lent, released } = countingAllocator();
    const batch = churnLoop(allocator, 10, 7, releaseOrder("first in, first out", 7));
    batch(20);
    batch(3);
    expect(lent.size).toBe(7);
    expect(released).toEqual(Array.from({ length: 23 }, (_, each) => each));
  });

  test("churn in random order gives back young and old alike", () => {
    const { allocator, lent, released } = countingAllocator();
    churnLoop(allocator, 10, 7, releaseOrder("random", 7, seed))(200);
    expect(lent.size, `CLEANSLAB_SEED=${seed}`).toBe(7);
    expect(new Set(released).size).toBe(200);
    expect(released).not.toEqual([...released].sort((a, b) => a - b));
  });

  test("replay asks for the lengths in their order, over and over", () => {
    const { allocator, lent, acquired } = countingAllocator();
    replay(allocator, Uint32Array.of(5, 6, 7), 2, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8))(7);
    expect(acquired.slice(2)).toEqual([5, 6, 7, 5, 6, 7, 5]);
    expect(lent.size).toBe(2);
  });

  test("first in, first out goes through every place once in a round", () => {
    expect([...releaseOrder("first in, first out", 5)]).toEqual([0, 1, 2, 3, 4]);
  });

  test("random order picks every place about as often, and the same places for the same seed", () => {
    const order = releaseOrder("random", 16, seed);
    const picks = new Uint32Array(16);
    for (const place of order) picks[place] = (picks[place] ?? 0) + 1;
    expect(
      picks.reduce((sum, each) => sum + each, 0),
      "no place out of range",
    ).toBe(order.length);
    for (const each of picks) expect(each / (order.length / 16), `CLEANSLAB_SEED=${seed}`).toBeCloseTo(1, 0);
    expect(Buffer.compare(bytesOf(releaseOrder("random", 16, seed)), bytesOf(order))).toBe(0);
    expect(Buffer.compare(bytesOf(releaseOrder("random", 16, seed + 1)), bytesOf(order))).not.toBe(0);
  });

  test("an own copy of a function does the same and is another function", () => {
    const named = (add: number) => {
      const inner = (value: number): number => value + add;
      return inner;
    };
    const copies = [ownCopy(named), ownCopy(named)];
    expect(copies[0]).not.toBe(copies[1]);
    expect(copies.map((copy) => copy(2)(3))).toEqual([5, 5]);
  });
});

describe("reading figures", () => {
  const lengths = [16, 64, 256, 1024];

  test("the crossover is the shortest length from which on ours is faster", () => {
    expect(crossover(lengths, [90, 90, 90, 90], [20, 25, 300, 500])).toBe(256);
    expect(crossover(lengths, [10, 10, 10, 10], [20, 25, 300, 500])).toBe(16);
  });

  test("a length at which ours is faster by chance is no crossover", () => {
    expect(crossover(lengths, [10, 90, 90, 90], [20, 25, 300, 500])).toBe(256);
    expect(crossover(lengths, [10, 10, 10, 600], [20, 25, 300, 500])).toBeNull();
  });

  test("equal is not faster, and what was not measured is not either", () => {
    expect(crossover(lengths, [20, 25, 300, 500], [20, 25, 300, 500])).toBeNull();
    expect(crossover(lengths, [10, 10, 10], [20, 25, 300, 500])).toBeNull();
    expect(crossover([], [], [])).toBeNull();
  });

  test("a figure is the median, half the distance of the quartiles over it, and the fastest tenth", () => {
    expect(figureFrom([50, 10, 30, 20, 40])).toEqual({ ns: 30, fastNs: 10, spread: 1 / 3, samples: 5 });
  });

  test("the most bytes alive at a time are found across the end of the trace", () => {
    expect(mostAlive(Uint32Array.of(5, 1, 1, 6), 2)).toBe(11);
    expect(mostAlive(Uint32Array.of(5, 1, 1, 6), 1)).toBe(6);
  });
});
