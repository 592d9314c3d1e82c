/**
 * The benchmarks' own reckoning, and that each case of the questions of length, number
 * alive, real lengths, messages and parsers measures what it says. How fast anything
 * is, no test asks.
 */

import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { describe, expect, test } from "vitest";
import { type Plan, time, timedFrom } from "../../bench/harness.ts";
import { runIsolated } from "../../bench/isolated.ts";
import { churn, cycle, releaseOrder, replay } from "../../bench/loops.ts";
import { ENTRY, WAY_NAMES } from "../../bench/messages.ts";
import type { Form, Measurement, Outcome, Question } from "../../bench/question.ts";
import { aliasing } from "../../bench/questions/aliasing.ts";
import { alive } from "../../bench/questions/alive.ts";
import { churn as churnQuestion } from "../../bench/questions/churn.ts";
import { guard } from "../../bench/questions/guard.ts";
import { type OneLeaseInput, oneLease, verdict } from "../../bench/questions/one-lease.ts";
import { parsers } from "../../bench/questions/parsers.ts";
import { explain, pieces } from "../../bench/questions/pieces.ts";
import { mostAlive, realSizes } from "../../bench/questions/real-sizes.ts";
import { threads } from "../../bench/questions/threads.ts";
import { writer } from "../../bench/questions/writer.ts";
import { LEASES, MORE_LEASES, namesOf, OUTSIDERS, RIVALS, SHARED_RIVALS, WRITTEN } from "../../bench/rivals.ts";
import { crossover, figureOf, find, rivalsIn } from "../../bench/tables.ts";
import { seed } from "../seeded.ts";

const FAST: Plan = { warmUpMs: 0, batchMs: 0.01, batches: 3 };

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
  for (const measurement of measurements) expectSane(measurement);
  expectTables(question, measurements);
  return measurements;
}

function expectSane(measurement: Measurement): void {
  const { metric, value } = measurement;
  const what = JSON.stringify(measurement);
  expect(Number.isFinite(value), what).toBe(true);
  if (metric === "time") expect(value, what).toBeGreaterThan(0);
  else expect(value, what).toBeGreaterThanOrEqual(metric.startsWith("peak") ? -Number.MAX_VALUE : 0);
}

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

const plan = FAST;

describe("the questions", () => {
  test("one-lease times every rival at every length, with 1 and with 64 alive", async () => {
    const measurements = await runShortened(oneLease, { plan }, "full");
    expect(rivalsIn(measurements)).toEqual(
      expect.arrayContaining(namesOf([...OUTSIDERS, ...LEASES, ...MORE_LEASES, WRITTEN])),
    );
    for (const alive of [1, 64]) {
      for (const byteLength of [64, 1024, 65_536]) {
        for (const rival of ["new Uint8Array", "before-reuse, acquire", "never, pool"]) {
          expect(find(measurements, { rival, byteLength, alive }), `${rival}, ${byteLength}, ${alive}`).toBeDefined();
        }
      }
    }
  });

  test("a case runs in a process of its own", async () => {
    const input: OneLeaseInput = { rival: "before-reuse, acquire", byteLength: 1024, alive: 64, plan };
    const { ns, meanNs } = await runIsolated<{ ns: number; meanNs: number }>("one-lease", input);
    expect(ns).toBeGreaterThan(0);
    expect(meanNs).toBeGreaterThan(0);
  });

  test("a case that fails in its process says which", async () => {
    const input = { rival: "nobody", byteLength: 1, alive: 1, plan };
    await expect(runIsolated("one-lease", input)).rejects.toThrow('"rival":"nobody"');
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

  test("alive times its rivals with few and with many alive", async () => {
    const measurements = await runShortened(alive, { operations: 500 });
    for (const rival of ["new Uint8Array", "array pool, fill(0)", "before-reuse, acquire", "bare objects"]) {
      for (const count of [10, 10_000]) expect(find(measurements, { rival, alive: count }), rival).toBeDefined();
    }
  });

  test("real-sizes replays a recorded trace with every rival that takes any length", async () => {
    const measurements = await runShortened(realSizes, { plan: { ...plan, operations: 2000 } });
    expect(rivalsIn(measurements)).toEqual(expect.arrayContaining(namesOf([...OUTSIDERS, ...LEASES])));
    const rival = "before-reuse, acquire";
    expect(figureOf(measurements, { rival: "live bytes", metric: "most alive" })).toBeGreaterThan(0);
    expect(figureOf(measurements, { rival, metric: "peak reserved" })).toBeGreaterThan(0);
    expect(figureOf(measurements, { rival, metric: "bytes leased" })).toBeGreaterThan(0);
  });

  test("writer builds every message with every rival, all of the same length", async () => {
    const measurements = await runShortened(writer, { plan });
    expect(rivalsIn(measurements)).toEqual(expect.arrayContaining(["bl", "before-reuse, writer()", "never, writer()"]));
  });

  test("parsers times every format with each rival, all of which find the same bytes", async () => {
    const measurements = await runShortened(parsers, { warmUpPasses: 1, passes: 2 });
    expect(rivalsIn(measurements)).toEqual(
      expect.arrayContaining(["before-reuse", "never", "fresh buffers", "redis-parser", "ws", "tar-stream"]),
    );
  });

  test("threads sends every message by each way, and leases shared memory", async () => {
    const entryPoints = [fileURLToPath(new URL("../../bench/messages.ts", import.meta.url))];
    await build({ entryPoints, outfile: fileURLToPath(ENTRY), bundle: true, format: "esm", packages: "external" });
    const measurements = await runShortened<object, unknown>(threads as Question<object, unknown>, {
      plan,
      messages: 40,
      runs: 1,
    });
    expect(rivalsIn(measurements)).toEqual(
      expect.arrayContaining([...namesOf(SHARED_RIVALS), ...WAY_NAMES, "array pool, fill(0)"]),
    );
  });

  test("guard watches as each case says, and no other", async () => {
    const measurements = await runShortened(guard, { plan });
    expect(rivalsIn(measurements)).toEqual(
      expect.arrayContaining(["guardEvery: 1", "channels with a subscriber each"]),
    );
  });

  test("aliasing knows where blocks of linear memory begin, and no lease begins just above its source", async () => {
    const measurements = await runShortened(aliasing, { plan });
    const share = (rival: string): number => figureOf(measurements, { rival, metric: "1 to 63 above" });
    expect([share("same start"), share("4 above"), share("63 above"), share("64 above")]).toEqual([0, 1, 1, 0]);
    expect([share("from lease to lease"), share("from a page's start to a lease")]).toEqual([0, 0]);
    expect(share("from a fresh array to a lease"), "JavaScript cannot tell").toBeNaN();
  });

  test("pieces measures each piece, and explains a lease by them", async () => {
    const measurements = await runShortened(pieces, { plan: { ...plan, operations: 5 } });
    for (const piece of Object.values(explain(measurements, 4096))) expect(piece).toBeGreaterThan(0);
  });
});

describe("a target", () => {
  test.each([
    [1.4, "time of", [1.5], "met"],
    [1.6, "time of", [1.5], "not met"],
    [1.6, "time of", [1.5, 2.5], "met for the second alone"],
    [1.3, "time of", [1.45, 1.2], "met for the first alone"],
    [8, "faster than", [8], "met"],
    [7.9, "faster than", [8], "not met"],
    [Number.NaN, "time of", [1.5, 2.5], "not met"],
  ] as const)("%d × %s, wanted %j, is %s", (ratio, kind, wanted, said) => {
    expect(verdict(ratio, kind, wanted)).toBe(said);
  });
});

describe("a timed batch", () => {
  test("is what the clock says, by its operations, and warmed up", () => {
    const calls: number[] = [];
    const timed = time((operations) => calls.push(operations), { warmUpMs: 0, batchMs: 0, batches: 4, operations: 7 });
    expect(calls).toEqual(new Array(9).fill(7)); // five untimed
    expect(timed.ns).toBeGreaterThanOrEqual(0);
  });

  test("figures are the median, the fastest tenth and the mean of the batches", () => {
    expect(timedFrom([20, 30, 10, 1000, 20])).toEqual({ ns: 20, fastNs: 10, meanNs: 216 });
  });
});

describe("rivals", () => {
  test.each(namesOf(RIVALS))("%s lends as many as are to be alive, each of its length", async (name) => {
    const allocator = await RIVALS.find((each) => each.name === name)?.open({ byteLength: 3000, alive: 40 });
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
    const wiping = RIVALS.filter(({ name }) => !/dirty|written|bare/.test(name));
    for (const rival of wiping) {
      const allocator = await rival.open({ byteLength: 500, alive: 1 });
      for (let round = 0; round < 4; round++) {
        const held = allocator.acquire(500);
        const bytes = allocator.bytesOf(held);
        expect(
          bytes.every((byte) => byte === 0),
          rival.name,
        ).toBe(true);
        bytes.fill(9);
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
    const batch = churn(allocator, 10, 7, releaseOrder("first in, first out", 7));
    batch(20);
    batch(3);
    expect(lent.size).toBe(7);
    expect(released).toEqual(Array.from({ length: 23 }, (_, each) => each));
  });

  test("churn in random order gives back young and old alike", () => {
    const { allocator, lent, released } = countingAllocator();
    churn(allocator, 10, 7, releaseOrder("random", 7, seed))(200);
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

  test("the most bytes alive at a time are found across the end of the trace", () => {
    expect(mostAlive(Uint32Array.of(5, 1, 1, 6), 2)).toBe(11);
    expect(mostAlive(Uint32Array.of(5, 1, 1, 6), 1)).toBe(6);
  });
});
