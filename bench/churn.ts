/**
 * Owns the cases of churn: so many alive, and for each lease acquired another
 * given back. Times are taken in one process, interleaved; collections and memory
 * in a process for each rival (churn-task.ts), where nobody else makes garbage.
 */

import {
  type Allocator,
  FRESH,
  LEASES,
  leaseRival,
  OUTSIDERS,
  type Rival,
  rivalNamed,
  THING_MALLOC,
} from "./allocators.ts";
import type { ChurnInput, ChurnOutcome } from "./churn-task.ts";
import { type Batch, figureFrom, formatLength, formatNs, measure } from "./harness.ts";
import { runIsolated } from "./isolated.ts";
import { churn as churnLoop, type Order, releaseOrder } from "./loops.ts";
import type { Measurement, Question, RunOptions, Table } from "./question.ts";
import { figureOf, find, formatSpread, orDash, rivalsIn, timings, where } from "./reading.ts";

interface Case {
  byteLength: number;
  alive: number;
  order: Order;
}

const FIFO: Order = "first in, first out";
const KiB = 1024;

/** In one process, side by side. 4096 of 64 KiB would be 256 MiB for every rival at once. */
const TIMED: readonly Case[] = [64, 256, 4096].flatMap((alive) =>
  [KiB, 4 * KiB, 64 * KiB]
    .filter((byteLength) => alive * byteLength <= 16 * KiB * KiB)
    .flatMap((byteLength) => [FIFO, "random" as const].map((order) => ({ byteLength, alive, order }))),
);
const QUICK_TIMED: readonly Case[] = [
  { byteLength: 4 * KiB, alive: 64, order: FIFO },
  { byteLength: 4 * KiB, alive: 256, order: "random" },
];

/** The case for which docs/DESIGN.md wants less than a hundredth of the collections of fresh arrays. */
const TARGET: Case = { byteLength: 64 * KiB, alive: 64, order: FIFO };
const WANTED_SHARE = 0.01;

/** In a process each. */
const ISOLATED: readonly Case[] = [
  TARGET,
  { byteLength: 64 * KiB, alive: 64, order: "random" },
  { byteLength: 4 * KiB, alive: 256, order: FIFO },
  { byteLength: KiB, alive: 4096, order: FIFO },
  { byteLength: KiB, alive: 4096, order: "random" },
];

const RIVALS: readonly Rival[] = [...OUTSIDERS, ...LEASES, rivalNamed(leaseRival("never", "pool"))];
const QUICK_ISOLATED = [FRESH, leaseRival("before-reuse", "acquire"), leaseRival("never", "pool")];

export const churn: Question = {
  name: "churn",
  question: "What does a lease cost with many alive, in collections and memory too?",
  run,
  tables,
};

async function run({ quick, progress }: RunOptions): Promise<Measurement[]> {
  const timed = quick ? QUICK_TIMED : TIMED;
  const measurements: Measurement[] = [];
  for (const [done, each] of timed.entries()) {
    const half = (share: number): void => progress(((done + share) / timed.length) * 0.5);
    measurements.push(...(await timeCase(each, quick, half)));
  }
  const leases = quick ? 20_000 : 200_000;
  const names = quick ? QUICK_ISOLATED : RIVALS.map(({ name }) => name);
  const inputs = (quick ? [TARGET] : ISOLATED).flatMap((each) =>
    names.filter((rival) => !endsBefore(rival, each)).map((rival) => ({ ...each, rival, leases })),
  );
  for (const [done, input] of inputs.entries()) {
    measurements.push(...outcomeOf(input, await runIsolated<ChurnOutcome>("churn", input)));
    progress(0.5 + ((done + 1) / inputs.length) * 0.5);
  }
  return measurements;
}

/** Its release walks the list of all that is alive: 200,000 of them take half a minute, and show nothing more. */
function endsBefore(rival: string, { alive }: Case): boolean {
  return rival === THING_MALLOC && alive > 256;
}

async function timeCase(each: Case, quick: boolean, progress: (share: number) => void): Promise<Measurement[]> {
  const { byteLength, alive, order } = each;
  const turns = releaseOrder(order, alive);
  const opened: Allocator[] = [];
  const batches: Record<string, Batch> = {};
  for (const rival of RIVALS) {
    const allocator = await rival.open({ byteLength, alive });
    opened.push(allocator);
    batches[rival.name] = churnLoop(allocator, byteLength, alive, turns);
  }
  const operations = quick || alive > 256 ? 200 : 1000;
  const figures = measure(batches, { operations, rounds: quick ? 6 : 24, progress });
  for (const allocator of opened) allocator.close?.();
  return timings(figures, { ...each });
}

function outcomeOf({ rival, leases, ...at }: ChurnInput, outcome: ChurnOutcome): Measurement[] {
  const { ns, spread, samples } = figureFrom(outcome.nsOfBatches);
  const single = { rival, at: { ...at, leases } };
  const measurements: Measurement[] = [
    { ...single, metric: "time in a process of its own", unit: "ns", value: ns, spread, samples },
    { ...single, metric: "collections", unit: "count", value: outcome.collections },
    { ...single, metric: "time in collections", unit: "ms", value: outcome.collectionMs },
    { ...single, metric: "peak resident", unit: "bytes", value: outcome.peakResidentBytes },
    { ...single, metric: "peak external", unit: "bytes", value: outcome.peakExternalBytes },
    { ...single, metric: "peak array buffers", unit: "bytes", value: outcome.peakArrayBufferBytes },
  ];
  const { peakReservedBytes, overflowed } = outcome;
  if (peakReservedBytes !== null) {
    measurements.push({ ...single, metric: "peak reserved", unit: "bytes", value: peakReservedBytes });
  }
  if (overflowed !== null) measurements.push({ ...single, metric: "overflowed", unit: "count", value: overflowed });
  return measurements;
}

function tables(measurements: readonly Measurement[]): Table[] {
  const isolated = measurements.filter(({ at }) => at["leases"] !== undefined);
  return [
    ...[FIFO, "random"].map((order) => timeTable(measurements, order)).filter(({ rows }) => rows.length > 0),
    ...casesIn(isolated).map((each) => processTable(isolated, each)),
    targetTable(isolated),
  ];
}

/** The cases of `measurements`, each once. */
function casesIn(measurements: readonly Measurement[]): Case[] {
  const cases = measurements.map(({ at }) => JSON.stringify([at["byteLength"], at["alive"], at["order"]]));
  return [...new Set(cases)].map((each) => {
    const [byteLength, alive, order] = JSON.parse(each) as [number, number, Order];
    return { byteLength, alive, order };
  });
}

function timeTable(measurements: readonly Measurement[], order: string): Table {
  const timed = measurements.filter(({ metric, at }) => metric === "time" && at["order"] === order);
  const cases = casesIn(timed);
  return {
    title: `ns for a lease, ${order}, in one process (± %)`,
    head: ["", ...cases.map(({ alive, byteLength }) => `${alive} × ${formatLength(byteLength)}`)],
    rows: rivalsIn(timed).map((rival) => [
      rival,
      ...cases.map((each) => {
        const found = find(timed, { rival, ...each });
        return found === undefined ? "–" : `${formatNs(found.value)} (${formatSpread(found.spread)})`;
      }),
    ]),
  };
}

function processTable(isolated: readonly Measurement[], { byteLength, alive, order }: Case): Table {
  const figures = where(isolated, { byteLength, alive, order });
  const leases = Number(figures[0]?.at["leases"]);
  const isShort = endsBefore(THING_MALLOC, { byteLength, alive, order });
  const note = isShort ? `; ${THING_MALLOC} left out: each release walks the list of all that is alive` : "";
  const bytes = (rival: string, metric: string): string => orDash(figureOf(figures, { rival, metric }), formatLength);
  return {
    title: `${leases} leases of ${formatLength(byteLength)}, ${alive} alive (${formatLength(byteLength * alive)}), ${order}, a process each; memory above the start${note}`,
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
      const time = find(figures, { rival, metric: "time in a process of its own" });
      return [
        rival,
        formatNs(time?.value ?? Number.NaN),
        formatSpread(time?.spread),
        String(figureOf(figures, { rival, metric: "collections" })),
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

function targetTable(isolated: readonly Measurement[]): Table {
  const { byteLength, alive, order } = TARGET;
  const shareOf = (rival: string, metric: string): number =>
    figureOf(isolated, { rival, metric, byteLength, alive, order }) /
    figureOf(isolated, { rival: FRESH, metric, byteLength, alive, order });
  const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;
  const ours = rivalsIn(isolated).filter((rival) =>
    [...LEASES.map(({ name }) => name), leaseRival("never", "pool")].includes(rival),
  );
  return {
    title: `against the target: collections of fresh arrays' in the churn of ${formatLength(byteLength)}, ${alive} alive, ${order}`,
    head: ["", "wanted under", "measured", "", "of their time"],
    rows: ours.map((rival) => {
      const share = shareOf(rival, "collections");
      return [
        rival,
        percent(WANTED_SHARE),
        percent(share),
        share < WANTED_SHARE ? "met" : "not met",
        percent(shareOf(rival, "time in collections")),
      ];
    }),
  };
}
