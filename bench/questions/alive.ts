/**
 * What a lease costs as the arena fills. Owns the numbers alive, the rivals and where
 * they end. A process goes through all numbers, over and over: the collector walks
 * what is alive, whoever keeps it, so rivals must not share a heap here.
 */

import { type Timed, timedFrom, timings } from "../harness.ts";
import { churn, releaseOrder } from "../loops.ts";
import type { Form, Measurement, Outcome, Question, Table } from "../question.ts";
import {
  ARRAY_POOL,
  available,
  BARE,
  DEFAULT,
  FRESH,
  NEVER,
  NEVER_POOL,
  ON_RELEASE,
  rivalNamed,
  THING_MALLOC,
} from "../rivals.ts";
import { figureOf, find, formatLength, formatNs, orDash, rivalsIn, valuesOfAt, where } from "../tables.ts";

/** The short one shows the bookkeeping. 100,000 of the other are far more than any cache holds, for every pool. */
const LENGTHS: Readonly<Record<Form, readonly number[]>> = { quick: [1024], full: [128, 1024] };
const COUNTS: Readonly<Record<Form, readonly number[]>> = { quick: [10, 10_000], full: [10, 1000, 10_000, 100_000] };

const OURS = [DEFAULT, ON_RELEASE, NEVER, NEVER_POOL];
const RIVALS: Readonly<Record<Form, readonly string[]>> = {
  quick: [FRESH, ARRAY_POOL, DEFAULT, NEVER_POOL, BARE.name],
  full: [FRESH, ARRAY_POOL, THING_MALLOC, ...OURS, BARE.name],
};

/** Where a rival ends, and why. */
const MOST_ALIVE: Readonly<Record<string, { alive: number; because: string }>> = {
  [ON_RELEASE]: { alive: 10_000, because: "a memory for each lease, of which a process can have some 13,000" },
  [THING_MALLOC]: { alive: 10_000, because: "each release walks the list of all that is alive" },
};

const WANTED_RATIO = 1.5;

export interface AliveInput {
  rival: string;
  byteLength: number;
  /** How many alive; each in turn, and all of them `rounds` times. */
  counts: readonly number[];
  rounds: number;
  batches: number;
  /** Leases in one batch: enough for collections to be in every batch. */
  operations: number;
}

export const alive: Question<AliveInput, Timed[]> = {
  name: "alive",
  question: "What does a lease cost as the arena fills?",
  rounds: { quick: 1, full: 1 },
  nodeFlags: ["--expose-gc"],
  cases: (form) =>
    LENGTHS[form].flatMap((byteLength) =>
      available(RIVALS[form]).map((rival) => ({
        rival,
        byteLength,
        counts: COUNTS[form].filter((count) => count <= (MOST_ALIVE[rival]?.alive ?? Number.POSITIVE_INFINITY)),
        ...planFor(rival, form),
      })),
    ),
  run,
  measurements,
  tables,
};

function planFor(rival: string, form: Form): Pick<AliveInput, "rounds" | "batches" | "operations"> {
  if (form === "quick") return { rounds: 1, batches: 4, operations: 10_000 };
  // Its release is of another order with many alive: fewer of them make as good a figure.
  if (rival === THING_MALLOC) return { rounds: 2, batches: 3, operations: 20_000 };
  return { rounds: 3, batches: 3, operations: rival === ON_RELEASE ? 50_000 : 200_000 };
}

/** By number alive. */
async function run({ rival, byteLength, counts, rounds, batches, operations }: AliveInput): Promise<Timed[]> {
  const { gc } = globalThis;
  if (gc === undefined) throw new Error("run with --expose-gc");
  const samples: number[][] = counts.map(() => []);
  for (let round = -1; round < rounds; round++) {
    for (const [index, count] of counts.entries()) {
      const allocator = await rivalNamed(rival).open({ byteLength, alive: count });
      const batch = churn(allocator, byteLength, count, releaseOrder("first in, first out", count));
      batch(count); // from here on what is given back has lived as long as all that will be
      for (let each = 0; each < batches; each++) {
        const start = performance.now();
        batch(operations);
        const ns = ((performance.now() - start) * 1e6) / operations;
        if (round >= 0) samples[index]?.push(ns); // the round before the first is the compiler's
      }
      allocator.close?.();
      gc();
    }
  }
  return samples.map(timedFrom);
}

function measurements(outcomes: readonly Outcome<AliveInput, Timed[]>[]): Measurement[] {
  return outcomes.flatMap(({ input: { rival, byteLength, counts }, runs }) =>
    counts.flatMap((count, index) =>
      timings(
        rival,
        { byteLength, alive: count },
        runs.flatMap((each) => each[index] ?? []),
      ),
    ),
  );
}

function tables(measurements: readonly Measurement[]): Table[] {
  const counts = valuesOfAt(measurements, "alive")
    .map(Number)
    .sort((a, b) => a - b);
  return valuesOfAt(measurements, "byteLength").flatMap((byteLength) => {
    const figures = where(measurements, { byteLength });
    return [timeTable(figures, Number(byteLength), counts), ratioTable(figures, Number(byteLength), counts)];
  });
}

function timeTable(figures: readonly Measurement[], byteLength: number, counts: readonly number[]): Table {
  const rivals = rivalsIn(figures);
  const ended = rivals.filter((rival) => (MOST_ALIVE[rival]?.alive ?? Number.POSITIVE_INFINITY) < Math.max(...counts));
  const notes = ended.map((rival) => `; ${rival} ends at ${MOST_ALIVE[rival]?.alive}: ${MOST_ALIVE[rival]?.because}`);
  return {
    title: `ns for a lease of ${formatLength(byteLength)}, so many alive, first in, first out, a process each${notes.join("")}`,
    head: ["", ...counts.map(String)],
    rows: rivals.map((rival) => [
      rival,
      ...counts.map((alive) => {
        const found = find(figures, { rival, alive });
        return orDash(found?.value ?? Number.NaN, formatNs);
      }),
    ]),
  };
}

/** A lease may become so much slower, less what bare objects become: that is the collector's part, and everyone's. */
function ratioTable(figures: readonly Measurement[], byteLength: number, counts: readonly number[]): Table {
  const [least = 0] = counts;
  const most = counts.at(-1) ?? 0;
  const nsOf = (rival: string, count: number): number => figureOf(figures, { rival, alive: count });
  const lost = (rival: string, count: number): number => nsOf(rival, count) - nsOf(rival, least);
  const without = (rival: string, count: number): number =>
    1 + (lost(rival, count) - lost(BARE.name, count)) / nsOf(rival, least);
  return {
    title: `against the target: ${formatLength(byteLength)}, times the same rival's time with ${least} alive, less what bare objects lose; wanted at most ${WANTED_RATIO}×`,
    head: ["", ...counts.map(String), `less, with ${most}`, ""],
    rows: rivalsIn(figures).map((rival) => [
      rival,
      ...counts.map((count) => orDash(nsOf(rival, count) / nsOf(rival, least), (value) => `${value.toFixed(2)}×`)),
      orDash(without(rival, most), (value) => `${value.toFixed(2)}×`),
      OURS.includes(rival) ? verdict(counts.map((count) => without(rival, count))) : "",
    ]),
  };
}

function verdict(ratios: readonly number[]): string {
  return ratios.every((each) => !(each > WANTED_RATIO)) ? "met" : "not met";
}
