/**
 * What one lease costs, against everything else that hands out bytes. Owns the
 * lengths, the numbers alive and the targets. What a rival does is rivals.ts.
 */

import { COMPILED_AT_ONCE, FASTEST_TENTH, MEAN, type Plan, type Timed, time, timings } from "../harness.ts";
import { churn, cycle, releaseOrder } from "../loops.ts";
import type { Form, Measurement, Outcome, Question, Table } from "../question.ts";
import {
  ALLOC_UNSAFE,
  ALLOC_UNSAFE_WRITTEN,
  ARRAY_POOL,
  available,
  DEFAULT,
  FILLED,
  FILLED_WRITTEN,
  FRESH,
  NEVER,
  NEVER_POOL,
  namesOf,
  ON_RELEASE,
  OUTSIDERS,
  rivalNamed,
  WIPE_ON_RELEASE,
} from "../rivals.ts";
import {
  crossover,
  figureOf,
  formatLength,
  formatNs,
  formatSpread,
  orDash,
  rivalsIn,
  valuesOfAt,
  where,
} from "../tables.ts";

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

export interface OneLeaseInput {
  rival: string;
  byteLength: number;
  alive: number;
  plan: Plan;
}

export const oneLease: Question<OneLeaseInput, Timed> = {
  name: "one-lease",
  question: "What does one lease cost, with nothing else alive and with 64?",
  rounds: { quick: 3, full: 7 },
  nodeFlags: COMPILED_AT_ONCE,
  cases,
  async run({ rival, byteLength, alive, plan }) {
    const allocator = await rivalNamed(rival).open({ byteLength, alive });
    const batch =
      alive === 1
        ? cycle(allocator, byteLength)
        : churn(allocator, byteLength, alive, releaseOrder("first in, first out", alive));
    return time(batch, plan);
  },
  measurements,
  tables,
};

function cases(form: Form): OneLeaseInput[] {
  const others = form === "quick" ? [] : available(namesOf(OUTSIDERS)).filter((rival) => !RIVALS.includes(rival));
  return LENGTHS[form].flatMap((byteLength) =>
    ALIVE.flatMap((alive) =>
      [...RIVALS, ...others]
        .filter((rival) => rival !== ON_RELEASE || byteLength >= ON_RELEASE_FROM)
        .filter((rival) => form === "full" || alive === 1 || !LEFT_OUT_OF_QUICK_CHURN.includes(rival))
        .map((rival) => ({ rival, byteLength, alive, plan: PLANS[form] })),
    ),
  );
}

function measurements(outcomes: readonly Outcome<OneLeaseInput, Timed>[]): Measurement[] {
  return outcomes.flatMap(({ input: { rival, byteLength, alive }, runs }) =>
    timings(rival, { byteLength, alive }, runs),
  );
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
    crossovers(where(figures, { alive: 1 }), lengths),
    targets(figures, lengths),
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
        const found = where(figures, { byteLength }).find((each) => each.rival === rival && each.metric === metric);
        return found === undefined ? "–" : `${formatNs(found.value)} (${formatSpread(found.spread)})`;
      }),
    ]),
  };
}

function crossovers(figures: readonly Measurement[], lengths: readonly number[]): Table {
  const nsOf = (rival: string) => lengths.map((byteLength) => figureOf(figures, { rival, byteLength, metric: MEAN }));
  const rows = [ARRAY_POOL, DEFAULT, FILLED, WIPE_ON_RELEASE, NEVER].map((rival) => {
    const from = crossover(lengths, nsOf(rival), nsOf(FRESH));
    return [rival, from === null ? "at none of these" : formatLength(from)];
  });
  return { title: `The shortest of these lengths from which on it is faster than ${FRESH}`, head: ["", "from"], rows };
}

/** What docs/DESIGN.md wants. Where two figures stand, the first is an AMD EPYC with 1 MiB of L2, the second an Intel Xeon with 2 MiB. */
interface Target {
  rival: string;
  against: string;
  alive: number;
  /** How many times as fast at least, or at most how many times its time. */
  kind: "faster than" | "time of";
  wanted: Readonly<Record<number, number | readonly [epyc: number, xeon: number]>>;
}

const POOLED = { 64: 1.6, 1024: 1.5, 4096: 1.4, 16384: 1.3, 65536: 1.05 };

export const TARGETS: readonly Target[] = [
  {
    rival: DEFAULT,
    against: ARRAY_POOL,
    alive: 1,
    kind: "time of",
    wanted: { 64: [1.4, 1.6], 1024: [1.9, 2.5], 4096: [1.7, 2.8], 16384: [1.6, 4], 65536: [1.45, 1.2] },
  },
  {
    rival: DEFAULT,
    against: ARRAY_POOL,
    alive: 64,
    kind: "time of",
    wanted: { 64: 2.3, 1024: 2.3, 4096: 2.1, 16384: 1.7, 65536: 1.45 },
  },
  {
    rival: DEFAULT,
    against: FRESH,
    alive: 1,
    kind: "faster than",
    wanted: { 64: 0.6, 1024: 8, 4096: 6, 16384: 4, 65536: 3.5 },
  },
  {
    rival: FILLED,
    against: FRESH,
    alive: 1,
    kind: "faster than",
    wanted: { 1024: 10, 4096: 10, 16384: 15, 65536: 20 },
  },
  {
    rival: FILLED,
    against: ALLOC_UNSAFE,
    alive: 1,
    kind: "faster than",
    wanted: { 1024: 2, 4096: 10, 16384: 4, 65536: 7 },
  },
  { rival: NEVER, against: ARRAY_POOL, alive: 1, kind: "time of", wanted: POOLED },
  { rival: NEVER_POOL, against: ARRAY_POOL, alive: 1, kind: "time of", wanted: POOLED },
  {
    rival: NEVER,
    against: NEVER_POOL,
    alive: 1,
    kind: "time of",
    wanted: { 64: 1.05, 1024: 1.05, 4096: 1.05, 16384: 1.05, 65536: 1.05 },
  },
];

function targets(figures: readonly Measurement[], lengths: readonly number[]): Table {
  const rows = TARGETS.flatMap(({ rival, against, alive, kind, wanted }) =>
    lengths.flatMap((byteLength) => {
      const want = wanted[byteLength];
      if (want === undefined) return [];
      const ratio = (metric: string): number => {
        const ours = figureOf(figures, { rival, byteLength, alive, metric });
        const theirs = figureOf(figures, { rival: against, byteLength, alive, metric });
        return kind === "faster than" ? theirs / ours : ours / theirs;
      };
      const both = typeof want === "number" ? [want] : want;
      return [
        [
          `${rival}: ${kind} ${against}, ${alive} alive`,
          formatLength(byteLength),
          `${kind === "faster than" ? "≥" : "≤"} ${both.join(" / ")}`,
          // A fresh array costs a third in most batches, and the rest in those that are collected in.
          ...[MEAN, "time", FASTEST_TENTH].map((metric) => orDash(ratio(metric), (value) => value.toFixed(2))),
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
