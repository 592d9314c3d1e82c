/**
 * Owns the lengths, the rivals and the targets; what a rival does is allocators.ts,
 * how rivals are measured harness.ts, and what is read out of figures reading.ts.
 */

import { ARRAY_POOL, FRESH, LEASES, leaseRival, OUTSIDERS, POOLED_LEASES, THING_MALLOC } from "./allocators.ts";
import { floor } from "./baselines.ts";
import { type Batch, formatLength, formatNs, formatRatio, measure } from "./harness.ts";
import { cycle } from "./loops.ts";
import type { Measurement, Question, RunOptions, Table } from "./question.ts";
import {
  crossover,
  FASTEST_TENTH,
  fastTimings,
  figureOf,
  formatSpread,
  rivalsIn,
  timings,
  valuesOfAt,
  where,
} from "./reading.ts";

const LENGTHS = [16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 16_384, 65_536, 262_144, 1_048_576];
const QUICK_LENGTHS = [64, 256, 1024, 16_384, 65_536];
const DETAILED_LENGTHS = [64, 1024, 4096, 16_384, 65_536];

const FLOOR = "floor: 2 calls, view, fill";

export const leaseCycle: Question = {
  name: "lease-cycle",
  question: "What does one lease cost from acquire to release, nothing else alive?",
  run,
  tables,
};

async function run({ quick, progress }: RunOptions): Promise<Measurement[]> {
  const lengths = quick ? QUICK_LENGTHS : LENGTHS;
  const measurements: Measurement[] = [];
  for (const [done, byteLength] of lengths.entries()) {
    const figures = measure(await batchesAt(byteLength), {
      operations: operationsAt(byteLength, quick),
      rounds: quick ? 8 : 40,
      progress: (share) => progress((done + share) / lengths.length),
    });
    measurements.push(...timings(figures, { byteLength }), ...fastTimings(figures, { byteLength }));
  }
  return measurements;
}

/** Batches of half a millisecond or so: far longer than a clock's step, and many of them. */
function operationsAt(byteLength: number, quick: boolean): number {
  const operations = byteLength > 100_000 ? 32 : byteLength > 10_000 ? 200 : 1000;
  return quick ? operations / 4 : operations;
}

async function batchesAt(byteLength: number): Promise<Record<string, Batch>> {
  const batches: Record<string, Batch> = { [FLOOR]: await floor(byteLength) };
  for (const rival of [...OUTSIDERS, ...LEASES, ...POOLED_LEASES]) {
    batches[rival.name] = cycle(await rival.open({ byteLength, alive: 1 }), byteLength);
  }
  return batches;
}

function tables(measurements: readonly Measurement[]): Table[] {
  const lengths = valuesOfAt(measurements, "byteLength").map(Number);
  const detailed = lengths.filter((byteLength) => DETAILED_LENGTHS.includes(byteLength));
  return [
    overview("ns by length", "time", measurements, lengths),
    overview("ns by length, the fastest tenth of the batches", FASTEST_TENTH, measurements, lengths),
    crossovers(measurements, lengths),
    targets(measurements, lengths),
    ...detailed.map((byteLength) => detail(measurements, byteLength)),
  ];
}

function overview(
  title: string,
  metric: string,
  measurements: readonly Measurement[],
  lengths: readonly number[],
): Table {
  return {
    title,
    head: ["", ...lengths.map(formatLength)],
    rows: rivalsIn(measurements).map((rival) => [
      rival,
      ...lengths.map((byteLength) => formatNs(figureOf(measurements, { rival, byteLength, metric }))),
    ]),
  };
}

function crossovers(measurements: readonly Measurement[], lengths: readonly number[]): Table {
  const nsOf = (rival: string) => lengths.map((byteLength) => figureOf(measurements, { rival, byteLength }));
  const pools = [ARRAY_POOL, THING_MALLOC, "typedarray-pool, fill(0)"];
  const rows = [...pools, ...[...LEASES, ...POOLED_LEASES].map(({ name }) => name)].map((rival) => {
    const from = crossover(lengths, nsOf(rival), nsOf(FRESH));
    return [rival, from === null ? "at no length here" : formatLength(from)];
  });
  return { title: `the crossover: from which of these lengths on faster than ${FRESH}`, head: ["", "from"], rows };
}

interface Target {
  rival: string;
  against: string;
  /** Faster: so many times as fast at least. Slower: at most so many times its time. */
  kind: "faster" | "slower";
  wanted: Readonly<Record<number, number>>;
}

const NEVER_POOL = leaseRival("never", "pool");
const DEFAULT = leaseRival("before-reuse", "acquire");

/** What docs/DESIGN.md wants. */
const TARGETS: readonly Target[] = [
  { rival: DEFAULT, against: FRESH, kind: "faster", wanted: { 1024: 10, 4096: 10, 16384: 8, 65536: 3 } },
  { rival: DEFAULT, against: ARRAY_POOL, kind: "slower", wanted: { 64: 2, 1024: 2, 4096: 2, 16384: 2, 65536: 2 } },
  { rival: DEFAULT, against: FLOOR, kind: "slower", wanted: { 64: 2, 1024: 2, 4096: 2, 16384: 2, 65536: 2 } },
  { rival: NEVER_POOL, against: FRESH, kind: "faster", wanted: { 1024: 20, 4096: 15, 16384: 10, 65536: 4 } },
  { rival: NEVER_POOL, against: ARRAY_POOL, kind: "slower", wanted: { 64: 1, 1024: 1, 4096: 1, 16384: 1, 65536: 1 } },
  {
    rival: NEVER_POOL,
    against: FLOOR,
    kind: "slower",
    wanted: { 64: 1.3, 1024: 1.3, 4096: 1.3, 16384: 1.3, 65536: 1.3 },
  },
];

function targets(measurements: readonly Measurement[], lengths: readonly number[]): Table {
  const rows = TARGETS.flatMap(({ rival, against, kind, wanted }) =>
    lengths
      .filter((byteLength) => wanted[byteLength] !== undefined)
      .map((byteLength) => {
        const ratioOf = (metric: string): number => {
          const ours = figureOf(measurements, { rival, byteLength, metric });
          const theirs = figureOf(measurements, { rival: against, byteLength, metric });
          return kind === "faster" ? theirs / ours : ours / theirs;
        };
        const ratio = ratioOf("time");
        const want = wanted[byteLength] ?? Number.NaN;
        const isMet = kind === "faster" ? ratio >= want : ratio <= want;
        const comparison = kind === "faster" ? `faster than ${against}` : `times ${against}`;
        return [
          `${rival}: ${comparison}`,
          formatLength(byteLength),
          formatRatio(want),
          `${ratio.toFixed(2)}×`,
          `${ratioOf(FASTEST_TENTH).toFixed(2)}×`,
          isMet ? "met" : "not met",
        ];
      }),
  );
  return { title: "against the targets", head: ["", "length", "wanted", "medians", "fastest tenth", ""], rows };
}

function detail(measurements: readonly Measurement[], byteLength: number): Table {
  const nsOf = (rival: string): number => figureOf(measurements, { rival, byteLength });
  const figures = where(measurements, { byteLength }).filter(({ metric }) => metric === "time");
  return {
    title: formatLength(byteLength),
    head: ["", "ns", "± %", "samples", "faster than fresh", "of array pool", "of floor"],
    rows: figures.map(({ rival, value, spread, samples }) => [
      rival,
      formatNs(value),
      formatSpread(spread),
      String(samples),
      formatRatio(nsOf(FRESH) / value),
      formatRatio(value / nsOf(ARRAY_POOL)),
      formatRatio(value / nsOf(FLOOR)),
    ]),
  };
}
