/** Owns the numbers alive, the rivals and where they end; each runs in alive-task.ts. */

import type { AliveInput } from "./alive-task.ts";
import { ARRAY_POOL, BARE, FRESH, LEASES, leaseRival, THING_MALLOC } from "./allocators.ts";
import { figureFrom, formatLength, formatNs } from "./harness.ts";
import { runIsolated } from "./isolated.ts";
import type { Measurement, Question, RunOptions, Table } from "./question.ts";
import { figureOf, find, formatSpread, orDash, rivalsIn, timings, valuesOfAt, where } from "./reading.ts";

/** The short one shows the bookkeeping; 100,000 of the other are far more than any cache holds, for every pool. */
const LENGTHS = [128, 1024];
const QUICK_LENGTHS = [1024];
const COUNTS = [10, 1000, 10_000, 100_000];
const QUICK_COUNTS = [10, 10_000];

const ON_RELEASE = leaseRival("on-release", "acquire");
const NEVER_POOL = leaseRival("never", "pool");
const OURS = [...LEASES.map(({ name }) => name), NEVER_POOL];
const RIVALS = [FRESH, ARRAY_POOL, THING_MALLOC, ...OURS, BARE.name];
const QUICK_RIVALS = [FRESH, ARRAY_POOL, leaseRival("before-reuse", "acquire"), NEVER_POOL, BARE.name];

/** Where a rival ends, and why. */
const MOST_ALIVE: Readonly<Record<string, { alive: number; because: string }>> = {
  [ON_RELEASE]: { alive: 10_000, because: "a memory for each lease, of which a process can have some 13,000" },
  [THING_MALLOC]: { alive: 10_000, because: "each release walks the list of all that is alive" },
};

const WANTED_RATIO = 1.5;

export const alive: Question = {
  name: "alive",
  question: "What does a lease cost as the arena fills?",
  run,
  tables,
};

async function run({ quick, progress }: RunOptions): Promise<Measurement[]> {
  const rivals = quick ? QUICK_RIVALS : RIVALS;
  const cases = (quick ? QUICK_LENGTHS : LENGTHS).flatMap((byteLength) =>
    rivals.map((rival) => ({ rival, byteLength, counts: countsFor(rival, quick), ...planFor(rival, quick) })),
  );
  const measurements: Measurement[] = [];
  for (const [done, input] of cases.entries()) {
    const samples = await runIsolated<number[][]>("alive", input satisfies AliveInput, ["--expose-gc"]);
    for (const [index, count] of input.counts.entries()) {
      const figures = { [input.rival]: figureFrom(samples[index] ?? []) };
      measurements.push(...timings(figures, { byteLength: input.byteLength, alive: count }));
    }
    progress((done + 1) / cases.length);
  }
  return measurements;
}

function countsFor(rival: string, quick: boolean): number[] {
  const most = MOST_ALIVE[rival]?.alive ?? Number.POSITIVE_INFINITY;
  return (quick ? QUICK_COUNTS : COUNTS).filter((count) => count <= most);
}

function planFor(rival: string, quick: boolean): Pick<AliveInput, "rounds" | "batches" | "operations"> {
  if (quick) return { rounds: 1, batches: 4, operations: 10_000 };
  // Its release is of another order with many alive: fewer of them make as good a figure.
  if (rival === THING_MALLOC) return { rounds: 2, batches: 3, operations: 20_000 };
  return { rounds: 3, batches: 3, operations: rival === ON_RELEASE ? 50_000 : 200_000 };
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
    title: `ns for a lease of ${formatLength(byteLength)}, so many alive, first in, first out, a process each (± %)${notes.join("")}`,
    head: ["", ...counts.map(String)],
    rows: rivals.map((rival) => [
      rival,
      ...counts.map((alive) => {
        const found = find(figures, { rival, alive });
        return found === undefined ? "–" : `${formatNs(found.value)} (${formatSpread(found.spread)})`;
      }),
    ]),
  };
}

function ratioTable(figures: readonly Measurement[], byteLength: number, counts: readonly number[]): Table {
  const least = counts[0] ?? Number.NaN;
  const ratios = (rival: string): number[] => {
    const base = figureOf(figures, { rival, alive: least });
    return counts.map((alive) => figureOf(figures, { rival, alive }) / base);
  };
  return {
    title: `against the target: ${formatLength(byteLength)}, times the same rival's time with ${least} alive, wanted at most ${WANTED_RATIO}× in every mode`,
    head: ["", ...counts.map(String), ""],
    rows: rivalsIn(figures).map((rival) => [
      rival,
      ...ratios(rival).map((each) => orDash(each, (value) => `${value.toFixed(2)}×`)),
      OURS.includes(rival) ? (ratios(rival).every((each) => !(each > WANTED_RATIO)) ? "met" : "not met") : "",
    ]),
  };
}
