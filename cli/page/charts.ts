/**
 * Which charts a question's figures make. Apart from the questions: they measure,
 * this shows. A question that is not here has its tables.
 */

import { formatLength } from "../../bench/harness.ts";
import type { Measurement } from "../../bench/question.ts";
import { barChart, type Chart, lineChart } from "./chart.ts";

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
];

const CHARTS: Readonly<Record<string, (measurements: readonly Measurement[]) => Chart[]>> = {
  "lease-cycle": (measurements) => [
    ...lineChart(measurements, {
      id: "lease-cycle-curve",
      title: "Where a lease starts to pay",
      label: "for one buffer, taken and given back",
      xLabel: "length of the buffer",
      xScale: "log",
      metric: "time",
      rivals: EXEMPLARY,
      x: ({ byteLength }) => Number(byteLength),
      formatX: formatLength,
    }),
    ...barChart(measurements, {
      id: "lease-cycle-bars",
      title: "One lease beside a fresh allocation",
      metric: "time",
      baseline: FRESH,
      rivals: EXEMPLARY,
      groupBy: ({ byteLength }) => formatLength(Number(byteLength)),
      where: ({ byteLength }) => BAR_LENGTHS.includes(Number(byteLength)),
    }),
  ],
  latency: (measurements) => [
    ...lineChart(measurements, {
      id: "latency",
      title: "How long requests take that hold buffers of 4 to 64 KiB",
      label: "from when the request was due",
      xLabel: "share of requests that were faster",
      xScale: "even",
      metric: "latency",
      x: ({ percentile }) => Number(percentile),
      formatX: (percentile) => (percentile === 100 ? "worst" : `${percentile} %`),
    }),
  ],
};

const BAR_LENGTHS = [64, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576];

export function chartsOf(question: string, measurements: readonly Measurement[]): Chart[] {
  return CHARTS[question]?.(measurements) ?? [];
}
