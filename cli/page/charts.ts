/**
 * Which charts a question's figures make. Apart from the questions: they measure,
 * this shows. A question that is not here has its tables.
 */

import { formatLength } from "../../bench/harness.ts";
import type { Measurement } from "../../bench/question.ts";
import { amountChart, type Chart, lineChart, ratioChart } from "./chart.ts";

const FRESH = "new Uint8Array";
/** One of each kind, where all would be too many to tell apart. */
const EXEMPLARY = [
  FRESH,
  "Buffer.allocUnsafe, dirty",
  "array pool, fill(0)",
  "@thi.ng/malloc",
  "before-reuse, acquire",
  "on-release, acquire",
  "never, pool",
  "never, acquire",
];
/** Those of the targets in docs/DESIGN.md: more would not fit on a screen. */
const BAR_LENGTHS = [64, 1024, 4096, 16_384, 65_536];
/** As many as have room for their words, and every other one on a phone. */
const SHOWN_PERCENTILES = [10, 50, 75, 90, 95, 99, 99.5, 99.9, 99.99, 100];
const FASTER = `times faster than ${FRESH}`;

type Charts = (measurements: readonly Measurement[]) => Chart[];

const CHARTS: Readonly<Record<string, Charts>> = {
  "lease-cycle": (measurements) => [
    ...lineChart(measurements, {
      id: "lease-cycle-curve",
      title: "Where a lease starts to pay",
      label: "for one buffer, taken and given back",
      xLabel: "length of the buffer",
      xScale: "log",
      metric: "time",
      rivals: EXEMPLARY.slice(0, 7),
      x: ({ byteLength }) => Number(byteLength),
      formatX: formatLength,
    }),
    ...ratioChart(measurements, {
      id: "lease-cycle-bars",
      title: "One lease beside a fresh allocation",
      label: FASTER,
      metric: "time",
      baseline: FRESH,
      rivals: EXEMPLARY.slice(0, 7),
      groupBy: ({ byteLength }) => formatLength(Number(byteLength)),
      where: ({ byteLength }) => BAR_LENGTHS.includes(Number(byteLength)),
    }),
  ],
  churn: (measurements) => [
    ...ratioChart(measurements, {
      id: "churn",
      title: "A lease of 4 KiB with others alive",
      label: FASTER,
      metric: "time",
      baseline: FRESH,
      rivals: EXEMPLARY,
      where: ({ byteLength }) => byteLength === 4096,
      groupBy: ({ alive, order }) => `${alive} alive, given back ${inOrder(order)}`,
    }),
    ...amountChart(measurements, {
      id: "churn-collections",
      title: "Time in garbage collections",
      label: "in collections",
      metric: "time in collections",
      rivals: EXEMPLARY,
      where: ({ byteLength, order }) => byteLength === 65_536 && order !== "random",
      groupBy: ({ alive, byteLength, leases }) =>
        `${Number(leases).toLocaleString("en")} leases of ${formatLength(Number(byteLength))}, ${alive} alive`,
    }),
  ],
  alive: (measurements) => {
    const lengths = [...new Set(measurements.map(({ at }) => Number(at["byteLength"])))];
    return lengths.flatMap((byteLength) =>
      lineChart(measurements, {
        id: `alive-${byteLength}`,
        title: `A lease of ${formatLength(byteLength)} as the arena fills`,
        label: "for one lease",
        xLabel: "leases alive",
        xScale: "log",
        metric: "time",
        where: (at) => at["byteLength"] === byteLength,
        rivals: [...EXEMPLARY, "bare objects"],
        x: ({ alive }) => Number(alive),
        formatX: (alive) => alive.toLocaleString("en"),
      }),
    );
  },
  "real-sizes": (measurements) =>
    ratioChart(measurements, {
      id: "real-sizes",
      title: "Leases as long as real files and socket reads",
      label: FASTER,
      metric: "time",
      baseline: FRESH,
      groupBy: ({ trace, use }) => `${trace}, ${use}`,
    }),
  latency: (measurements) => [
    ...lineChart(measurements, {
      id: "latency",
      title: "How long requests take that hold buffers of 4 to 64 KiB",
      label: "from when the request was due",
      xLabel: "share of requests that were as fast",
      xScale: "even",
      metric: "latency",
      where: ({ percentile }) => SHOWN_PERCENTILES.includes(Number(percentile)),
      x: ({ percentile }) => Number(percentile),
      formatX: (percentile) => (percentile === 100 ? "worst" : `${percentile} %`),
    }),
  ],
  cap: (measurements) =>
    ["peak resident", "kept resident"].flatMap((metric) =>
      amountChart(measurements, {
        id: `cap-${metric.split(" ")[0]}`,
        title: metric === "peak resident" ? "Memory at the height of a burst" : "Memory kept after the bursts",
        label: metric,
        metric,
        groupBy: ({ burstBytes, maxBytes }) =>
          `${formatLength(Number(burstBytes))} wanted at a time, the cap is ${formatLength(Number(maxBytes))}`,
      }),
    ),
  "mixed-lifetimes": (measurements) => [
    ...amountChart(measurements, {
      id: "mixed-lifetimes",
      title: "One lease in N held a thousand times longer",
      label: "peak resident",
      metric: "peak resident",
      groupBy: ({ oneIn }) => `one in ${Number(oneIn).toLocaleString("en")}`,
    }),
    ...ratioChart(measurements, {
      id: "mixed-lifetimes-time",
      title: "What that costs in time",
      label: FASTER,
      metric: "time",
      baseline: FRESH,
      groupBy: ({ oneIn }) => `one in ${Number(oneIn).toLocaleString("en")}`,
    }),
  ],
  "side-effects": (measurements) =>
    amountChart(measurements, {
      id: "side-effects",
      title: "Byte loops over ordinary arrays, after over before",
      label: "time after, as times of before",
      metric: "after / before",
      groupBy: ({ loop }) => `${loop}`,
    }),
  pieces: (measurements) =>
    amountChart(measurements, {
      id: "pieces",
      title: "The pieces of a lease",
      label: "for one",
      metric: "time",
      where: ({ byteLength }) => byteLength === 4096 || byteLength === 1024,
      groupBy: ({ byteLength }) => formatLength(Number(byteLength)),
    }),
};

function inOrder(order: unknown): string {
  return order === "random" ? "in random order" : String(order);
}

export function chartsOf(question: string, measurements: readonly Measurement[]): Chart[] {
  return CHARTS[question]?.(measurements) ?? [];
}
