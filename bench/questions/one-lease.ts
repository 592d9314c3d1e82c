/**
 * What one lease costs, against everything else that hands out bytes. Owns the
 * lengths, the numbers alive and the targets. What a rival does is rivals.ts.
 */

import {
  crossover,
  figureOf,
  find,
  formatLength,
  formatNs,
  formatSpread,
  orDash,
  rivalsIn,
  valuesOfAt,
  where,
} from "../figures.ts";
import { COMPILED_AT_ONCE, FASTEST_TENTH, MEAN, type Plan, type Timed, time, timings } from "../harness.ts";
import { lend } from "../loops.ts";
import type { Form, Measurement, Outcome, Question, Table } from "../question.ts";
import {
  ALLOC_UNSAFE,
  ALLOC_UNSAFE_WRITTEN,
  ARRAY_POOL,
  BARE,
  DEFAULT,
  FILLED,
  FILLED_WRITTEN,
  FRESH,
  NEVER,
  NEVER_POOL,
  ON_RELEASE,
  openRival,
  WIPE_ON_RELEASE,
} from "../rivals.ts";

const KiB = 1024;
const LENGTHS: Readonly<Record<Form, readonly number[]>> = {
  quick: [64, KiB, 4 * KiB, 16 * KiB, 64 * KiB],
  full: [64, 128, 256, KiB, 4 * KiB, 16 * KiB, 64 * KiB, 256 * KiB],
};
const ALIVE = [1, 64];
const PLANS: Readonly<Record<Form, Plan>> = {
  quick: { warmUpMs: 60, batchMs: 0.5, batches: 300 },
  full: { warmUpMs: 100, batchMs: 1, batches: 250 },
};

/** In this order, one process after the other. What is compared stands close together. */
const RIVALS = [
  FRESH,
  ARRAY_POOL,
  DEFAULT,
  FILLED,
  ALLOC_UNSAFE,
  FILLED_WRITTEN,
  ALLOC_UNSAFE_WRITTEN,
  WIPE_ON_RELEASE,
  NEVER,
  NEVER_POOL,
  ON_RELEASE,
];
const LEFT_OUT_OF_QUICK_CHURN = [FILLED_WRITTEN, ALLOC_UNSAFE_WRITTEN, WIPE_ON_RELEASE, NEVER_POOL];
/** A memory each: for long leases. */
const ON_RELEASE_FROM = 64 * KiB;

/** How the arena does as it fills. */
const MANY_BYTES = KiB;
const MANY: Readonly<Record<Form, readonly number[]>> = { quick: [10, 10_000], full: [10, 1000, 10_000, 100_000] };
const OURS = [DEFAULT, NEVER, NEVER_POOL];
const OF_MANY = [FRESH, ARRAY_POOL, ...OURS, BARE];
/** Enough for a batch to have collections in it, and for all that is held to be old. */
const MANY_PLAN: Plan = { warmUpMs: 300, batchMs: 0, batches: 4, operations: 100_000 };
const WANTED_OF_MANY = 1.5;

export interface OneLeaseInput {
  rival: string;
  byteLength: number;
  alive: number;
  plan: Plan;
}

export const oneLease: Question<OneLeaseInput, Timed> = {
  name: "one-lease",
  question: "What does one lease cost, alone, among 64, and among thousands?",
  rounds: { quick: 3, full: 7 },
  nodeFlags: COMPILED_AT_ONCE,
  cases,
  run: ({ rival, byteLength, alive, plan }) =>
    time(lend(openRival(rival, { byteLength, alive }), byteLength, alive), plan),
  measurements: (outcomes: readonly Outcome<OneLeaseInput, Timed>[]) =>
    outcomes.flatMap(({ input: { rival, byteLength, alive }, runs }) => timings(rival, { byteLength, alive }, runs)),
  tables,
};

function cases(form: Form): OneLeaseInput[] {
  const few = LENGTHS[form].flatMap((byteLength) =>
    ALIVE.flatMap((alive) =>
      RIVALS.filter((rival) => rival !== ON_RELEASE || byteLength >= ON_RELEASE_FROM)
        .filter((rival) => form === "full" || alive === 1 || !LEFT_OUT_OF_QUICK_CHURN.includes(rival))
        .map((rival) => ({ rival, byteLength, alive, plan: PLANS[form] })),
    ),
  );
  const many = OF_MANY.flatMap((rival) =>
    MANY[form].map((alive) => ({ rival, byteLength: MANY_BYTES, alive, plan: MANY_PLAN })),
  );
  return [...few, ...many];
}

function tables(figures: readonly Measurement[]): Table[] {
  const lengths = valuesOfAt(figures, "byteLength").map(Number);
  return [
    ...ALIVE.flatMap((alive) => [
      overview(
        where(figures, { alive }),
        MEAN,
        `ns for a lease, ${alive} alive, collections included (± % over rounds)`,
      ),
      overview(
        where(figures, { alive }),
        "time",
        `ns for a lease, ${alive} alive, median batch: seldom with a collection in it`,
      ),
    ]),
    withMany(figures),
    crossovers(where(figures, { alive: 1 }), lengths),
    targets(figures),
  ].filter(({ rows }) => rows.length > 0);
}

function overview(figures: readonly Measurement[], metric: string, title: string): Table {
  const lengths = valuesOfAt(figures, "byteLength").map(Number);
  return {
    title,
    head: ["", ...lengths.map(formatLength)],
    rows: rivalsIn(figures).map((rival) => [
      rival,
      ...lengths.map((byteLength) => {
        const found = find(figures, { rival, byteLength, metric });
        return found === undefined ? "–" : `${formatNs(found.value)} (${formatSpread(found.spread)})`;
      }),
    ]),
  };
}

/** What bare objects lose is the collector's part, and everyone's. */
function withMany(all: readonly Measurement[]): Table {
  const figures = all.filter(({ at }) => !ALIVE.includes(Number(at["alive"])));
  const counts = valuesOfAt(figures, "alive").map(Number);
  const [least = 0, most = 0] = [counts[0], counts.at(-1)];
  const nsOf = (rival: string, alive: number): number => figureOf(figures, { rival, alive, metric: MEAN });
  const lost = (rival: string): number => nsOf(rival, most) - nsOf(rival, least);
  const ratio = (rival: string): number => 1 + (lost(rival) - lost(BARE)) / nsOf(rival, least);
  return {
    title:
      `ns for a lease of ${formatLength(MANY_BYTES)} with so many alive, collections included; the last ratio, ` +
      `without what ${BARE} lose, is to be at most ${WANTED_OF_MANY}`,
    head: ["", ...counts.map(String), `${most} of ${least}`, `without what ${BARE} lose`, ""],
    rows: rivalsIn(figures).map((rival) => [
      rival,
      ...counts.map((count) => orDash(nsOf(rival, count), formatNs)),
      ...[nsOf(rival, most) / nsOf(rival, least), ratio(rival)].map((value) => orDash(value, formatHundredths)),
      !OURS.includes(rival) ? "" : ratio(rival) <= WANTED_OF_MANY ? "met" : "not met",
    ]),
  };
}

const formatHundredths = (value: number): string => value.toFixed(2);

function crossovers(figures: readonly Measurement[], lengths: readonly number[]): Table {
  const nsOf = (rival: string) => lengths.map((byteLength) => figureOf(figures, { rival, byteLength, metric: MEAN }));
  const rows = [ARRAY_POOL, DEFAULT, FILLED, WIPE_ON_RELEASE, NEVER].map((rival) => {
    const from = crossover(lengths, nsOf(rival), nsOf(FRESH));
    return [rival, from === null ? "at none of these" : formatLength(from)];
  });
  return { title: `The shortest of these lengths from which on it is faster than ${FRESH}`, head: ["", "from"], rows };
}

/** What docs/DESIGN.md wants, at each of these lengths. */
const TARGET_LENGTHS = [64, KiB, 4 * KiB, 16 * KiB, 64 * KiB];

interface Target {
  rival: string;
  against: string;
  alive: number;
  /** How many times as fast at least, or at most how many times its time. */
  kind: "faster than" | "time of";
  /** Of two figures the first is for an AMD EPYC with 1 MiB of L2, the second for an Intel Xeon with 2 MiB. */
  wanted: readonly (number | readonly [epyc: number, xeon: number] | null)[];
}

const OF_POOL = { against: ARRAY_POOL, alive: 1, kind: "time of" } as const;
const POOLED = [1.6, 1.5, 1.4, 1.3, 1.05];

const TARGETS: readonly Target[] = [
  {
    ...OF_POOL,
    rival: DEFAULT,
    wanted: [
      [1.4, 1.6],
      [1.9, 2.5],
      [1.7, 2.8],
      [1.6, 4],
      [1.45, 1.2],
    ],
  },
  { ...OF_POOL, rival: DEFAULT, alive: 64, wanted: [2.3, 2.3, 2.1, 1.7, 1.45] },
  { rival: DEFAULT, against: FRESH, alive: 1, kind: "faster than", wanted: [0.6, 8, 6, 4, 3.5] },
  { rival: FILLED, against: FRESH, alive: 1, kind: "faster than", wanted: [null, 10, 10, 15, 20] },
  { rival: FILLED, against: ALLOC_UNSAFE, alive: 1, kind: "faster than", wanted: [null, 2, 10, 4, 7] },
  { ...OF_POOL, rival: NEVER, wanted: POOLED },
  { ...OF_POOL, rival: NEVER_POOL, wanted: POOLED },
  { rival: NEVER, against: NEVER_POOL, alive: 1, kind: "time of", wanted: [1.05, 1.05, 1.05, 1.05, 1.05] },
];

function targets(figures: readonly Measurement[]): Table {
  const rows = TARGETS.flatMap(({ rival, against, alive, kind, wanted }) =>
    TARGET_LENGTHS.flatMap((byteLength, each) => {
      const want = wanted[each] ?? [];
      const both = typeof want === "number" ? [want] : want;
      if (both.length === 0) return [];
      const ratio = (metric: string): number => {
        const ours = figureOf(figures, { rival, byteLength, alive, metric });
        const theirs = figureOf(figures, { rival: against, byteLength, alive, metric });
        return kind === "faster than" ? theirs / ours : ours / theirs;
      };
      return [
        [
          `${rival}: ${kind} ${against}, ${alive} alive`,
          formatLength(byteLength),
          `${kind === "faster than" ? "≥" : "≤"} ${both.join(" / ")}`,
          // A fresh array costs a third in most batches, and the rest in those that are collected in.
          ...[MEAN, "time", FASTEST_TENTH].map((metric) => orDash(ratio(metric), formatHundredths)),
          verdict(ratio(MEAN), kind, both),
        ],
      ];
    }),
  );
  return {
    title:
      "Against the targets of docs/DESIGN.md; of two figures the first is for an AMD EPYC, the second for an Intel Xeon",
    head: ["", "length", "wanted", "collections included", "median batch", "fastest tenth", ""],
    rows,
  };
}

export function verdict(ratio: number, kind: Target["kind"], wanted: readonly number[]): string {
  const met = wanted.map((each) => (kind === "faster than" ? ratio >= each : ratio <= each));
  if (met.every(Boolean)) return "met";
  if (!met.some(Boolean)) return "not met";
  return `met for ${met[0] ? "the first" : "the second"} alone`;
}
