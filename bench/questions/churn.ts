/**
 * What a lease costs with many alive, in collections and memory too: for each lease
 * acquired another is given back. Owns the numbers alive and the orders.
 */

import { type Metrics, medians, type Timed, timedFrom, timings } from "../harness.ts";
import { churn as churnLoop, type Order, releaseOrder } from "../loops.ts";
import type { Form, Measurement, Outcome, Question, Table } from "../question.ts";
import {
  available,
  DEFAULT,
  FRESH,
  LEASES,
  NEVER_POOL,
  namesOf,
  OUTSIDERS,
  rivalNamed,
  THING_MALLOC,
} from "../rivals.ts";
import { figureOf, find, formatLength, formatNs, formatSpread, orDash, rivalsIn, where } from "../tables.ts";
import { type Watched, watch } from "../watch.ts";

interface Case {
  byteLength: number;
  alive: number;
  order: Order;
}

const FIFO: Order = "first in, first out";
const KiB = 1024;

const CASES: Readonly<Record<Form, readonly Case[]>> = {
  quick: [
    { byteLength: 64 * KiB, alive: 64, order: FIFO },
    { byteLength: 4 * KiB, alive: 256, order: "random" },
  ],
  full: [
    { byteLength: 64 * KiB, alive: 64, order: FIFO },
    { byteLength: 64 * KiB, alive: 64, order: "random" },
    { byteLength: 4 * KiB, alive: 256, order: FIFO },
    { byteLength: 4 * KiB, alive: 256, order: "random" },
    { byteLength: KiB, alive: 4096, order: FIFO },
    { byteLength: KiB, alive: 4096, order: "random" },
  ],
};
const RIVALS: Readonly<Record<Form, readonly string[]>> = {
  quick: [FRESH, DEFAULT, NEVER_POOL],
  full: [...namesOf(OUTSIDERS), ...namesOf(LEASES), NEVER_POOL],
};
const LEASES_IN_A_RUN: Readonly<Record<Form, number>> = { quick: 20_000, full: 200_000 };
const BATCHES = 20;
/** Looks at the memory in each batch. */
const LOOKS = 10;

export interface ChurnInput extends Case {
  rival: string;
  leases: number;
}

export interface ChurnOutcome extends Timed, Watched {
  peakExternalBytes: number;
  peakArrayBufferBytes: number;
  peakReservedBytes: number | null;
  overflowed: number | null;
}

export const churn: Question<ChurnInput, ChurnOutcome> = {
  name: "churn",
  question: "What does a lease cost with many alive, in collections and memory too?",
  rounds: { quick: 1, full: 3 },
  cases: (form) =>
    CASES[form].flatMap((each) =>
      available(RIVALS[form])
        .filter((rival) => !endsBefore(rival, each))
        .map((rival) => ({ ...each, rival, leases: LEASES_IN_A_RUN[form] })),
    ),
  run,
  measurements,
  tables,
};

/** Its release walks the list of all that is alive: 200,000 of them take half a minute, and show nothing more. */
function endsBefore(rival: string, { alive }: Case): boolean {
  return rival === THING_MALLOC && alive > 256;
}

async function run({ rival, byteLength, alive, order, leases }: ChurnInput): Promise<ChurnOutcome> {
  const allocator = await rivalNamed(rival).open({ byteLength, alive });
  const watching = watch();
  const before = process.memoryUsage();
  const peak = { ...before };
  const batch = churnLoop(allocator, byteLength, alive, releaseOrder(order, alive));
  const nsOfBatches: number[] = [];
  for (let each = 0; each < BATCHES; each++) {
    let ms = 0;
    for (let look = 0; look < LOOKS; look++) {
      const start = performance.now();
      batch(leases / BATCHES / LOOKS);
      ms += performance.now() - start;
      watching.sample();
      const now = process.memoryUsage();
      for (const kind of ["external", "arrayBuffers"] as const) peak[kind] = Math.max(peak[kind], now[kind]);
    }
    nsOfBatches.push((ms * 1e6) / (leases / BATCHES));
  }
  const footprint = allocator.footprint?.();
  return {
    ...timedFrom(nsOfBatches),
    ...(await watching.stop()),
    peakExternalBytes: peak.external - before.external,
    peakArrayBufferBytes: peak.arrayBuffers - before.arrayBuffers,
    peakReservedBytes: footprint?.peakReservedBytes ?? null,
    overflowed: footprint?.overflowed ?? null,
  };
}

const METRICS: Metrics<ChurnOutcome> = {
  collections: ["count", ({ collections }) => collections],
  "time in collections": ["ms", ({ collectionMs }) => collectionMs],
  "peak resident": ["bytes", ({ peakResidentBytes }) => peakResidentBytes],
  "peak external": ["bytes", ({ peakExternalBytes }) => peakExternalBytes],
  "peak array buffers": ["bytes", ({ peakArrayBufferBytes }) => peakArrayBufferBytes],
  "peak reserved": ["bytes", ({ peakReservedBytes }) => peakReservedBytes],
  overflowed: ["count", ({ overflowed }) => overflowed],
};

function measurements(outcomes: readonly Outcome<ChurnInput, ChurnOutcome>[]): Measurement[] {
  return outcomes.flatMap(({ input: { rival, ...at }, runs }) => [
    ...timings(rival, { ...at }, runs),
    ...medians(rival, { ...at }, runs, METRICS),
  ]);
}

function tables(measurements: readonly Measurement[]): Table[] {
  return casesIn(measurements).map((each) => caseTable(measurements, each));
}

/** The cases of `measurements`, each once. */
function casesIn(measurements: readonly Measurement[]): Case[] {
  const cases = measurements.map(({ at }) => JSON.stringify([at["byteLength"], at["alive"], at["order"]]));
  return [...new Set(cases)].map((each) => {
    const [byteLength, alive, order] = JSON.parse(each) as [number, number, Order];
    return { byteLength, alive, order };
  });
}

function caseTable(all: readonly Measurement[], { byteLength, alive, order }: Case): Table {
  const figures = where(all, { byteLength, alive, order });
  const leases = Number(figures[0]?.at["leases"]);
  const isShort = endsBefore(THING_MALLOC, { byteLength, alive, order });
  const note = isShort ? `; ${THING_MALLOC} left out: each release walks the list of all that is alive` : "";
  const bytes = (rival: string, metric: string): string => orDash(figureOf(figures, { rival, metric }), formatLength);
  return {
    title: `${leases} leases of ${formatLength(byteLength)}, ${alive} alive (${formatLength(byteLength * alive)}), ${order} (memory above what it was at the start)${note}`,
    head: [
      "",
      "ns",
      "± %",
      "collections",
      "ms in them",
      "resident",
      "external",
      "array buffers",
      "reserved",
      "overflowed",
    ],
    rows: rivalsIn(figures).map((rival) => {
      const time = find(figures, { rival });
      return [
        rival,
        formatNs(time?.value ?? Number.NaN),
        formatSpread(time?.spread),
        figureOf(figures, { rival, metric: "collections" }).toFixed(0),
        figureOf(figures, { rival, metric: "time in collections" }).toFixed(1),
        bytes(rival, "peak resident"),
        bytes(rival, "peak external"),
        bytes(rival, "peak array buffers"),
        bytes(rival, "peak reserved"),
        orDash(figureOf(figures, { rival, metric: "overflowed" }), String),
      ];
    }),
  };
}
