/** Owns the numbers alive, the rivals and where they end; each runs in alive-task.ts. */

import type { AliveInput } from "./alive-task.ts";
import { ARRAY_POOL, BARE, FRESH, LEASES, leaseRival, THING_MALLOC } from "./allocators.ts";
import { figureFrom, formatLength, formatNs } from "./harness.ts";
import { runIsolated } from "./isolated.ts";
import type { Measurement, Question, RunOptions, Table } from "./question.ts";
import { figureOf, find, formatSpread, orDash, rivalsIn, timings, valuesOfAt } from "./reading.ts";

const BYTE_LENGTH = 1024;
const COUNTS = [10, 1000, 10_000, 100_000];
const QUICK_COUNTS = [10, 10_000];

const ON_RELEASE = leaseRival("on-release", "acquire");
const NEVER_POOL = leaseRival("never", "pool");
const RIVALS = [FRESH, ARRAY_POOL, THING_MALLOC, ...LEASES.map(({ name }) => name), NEVER_POOL, BARE.name];
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
  const measurements: Measurement[] = [];
  for (const [done, rival] of rivals.entries()) {
    const most = MOST_ALIVE[rival]?.alive ?? Number.POSITIVE_INFINITY;
    const counts = (quick ? QUICK_COUNTS : COUNTS).filter((count) => count <= most);
    const input: AliveInput = { rival, byteLength: BYTE_LENGTH, counts, ...planFor(rival, quick) };
    const samples = await runIsolated<number[][]>("alive", input, ["--expose-gc"]);
    for (const [index, count] of counts.entries()) {
      const figures = { [rival]: figureFrom(samples[index] ?? []) };
      measurements.push(...timings(figures, { byteLength: BYTE_LENGTH, alive: count }));
    }
    progress((done + 1) / rivals.length);
  }
  return measurements;
}

function planFor(rival: string, quick: boolean): Pick<AliveInput, "rounds" | "batches" | "operations"> {
  if (quick) return { rounds: 1, batches: 4, operations: 20_000 };
  // Its release is of another order with many alive: fewer of them make as good a figure.
  if (rival === THING_MALLOC) return { rounds: 3, batches: 3, operations: 20_000 };
  return { rounds: 3, batches: 4, operations: rival === ON_RELEASE ? 50_000 : 200_000 };
}

function tables(measurements: readonly Measurement[]): Table[] {
  const counts = valuesOfAt(measurements, "alive")
    .map(Number)
    .sort((a, b) => a - b);
  const rivals = rivalsIn(measurements);
  const least = counts[0] ?? Number.NaN;
  const most = Math.max(...counts);
  const ended = rivals.filter((rival) => (MOST_ALIVE[rival]?.alive ?? most) < most);
  const notes = ended.map((rival) => `; ${rival} ends at ${MOST_ALIVE[rival]?.alive}: ${MOST_ALIVE[rival]?.because}`);
  const ratio = (rival: string, count: number): number =>
    figureOf(measurements, { rival, alive: count }) / figureOf(measurements, { rival, alive: least });
  return [
    {
      title: `ns for a lease of ${formatLength(BYTE_LENGTH)}, so many alive, first in, first out, a process each (± %)${notes.join("")}`,
      head: ["", ...counts.map(String)],
      rows: rivals.map((rival) => [
        rival,
        ...counts.map((count) => {
          const found = find(measurements, { rival, alive: count });
          return found === undefined ? "–" : `${formatNs(found.value)} (${formatSpread(found.spread)})`;
        }),
      ]),
    },
    {
      title: `against the target: times the same rival's time with ${least} alive, wanted at most ${WANTED_RATIO}× in every mode`,
      head: ["", ...counts.map(String), ""],
      rows: rivals.map((rival) => {
        const ratios = counts.map((count) => ratio(rival, count));
        const isOurs = LEASES.some(({ name }) => name === rival) || rival === NEVER_POOL;
        const isMet = ratios.every((each) => !(each > WANTED_RATIO));
        return [
          rival,
          ...ratios.map((each) => orDash(each, (value) => `${value.toFixed(2)}×`)),
          isOurs ? (isMet ? "met" : "not met") : "",
        ];
      }),
    },
  ];
}
