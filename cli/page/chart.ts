/**
 * What a chart is, as data, and how figures become one. Knows no question and
 * nothing of drawing.
 */

import type { Measurement } from "../../bench/question.ts";
import { formatFigure } from "../tables.ts";

interface ChartBase {
  /** Unique; the name of the file that it is written to. */
  id: string;
  title: string;
  /** What the axis of the figures says. */
  label: string;
  /** What there is to see, for those who cannot see it. */
  alt: string;
}

/** Times as good as the baseline, on a logarithmic scale on which the baseline is 1. */
export interface BarChart extends ChartBase {
  kind: "bars";
  baseline: string;
  groups: { title: string; bars: Bar[] }[];
}

export interface Bar {
  rival: string;
  ratio: number;
  low: number;
  high: number;
  /** The figure itself, e.g. `"120 ns"`. */
  figure: string;
}

/** A line for each rival, on a logarithmic scale. */
export interface LineChart extends ChartBase {
  kind: "lines";
  xLabel: string;
  /** `"even"`: one beside the other, whatever their distance. */
  xScale: "log" | "even";
  /** In their order, and how they are written. */
  xs: { x: number; text: string }[];
  format(value: number): string;
  series: { rival: string; points: Point[] }[];
}

export interface Point {
  x: number;
  value: number;
  low: number;
  high: number;
}

export type Chart = BarChart | LineChart;

type At = Measurement["at"];

interface Selection {
  metric: string;
  /** In this order; all that there are if left out. */
  rivals?: readonly string[];
  where?: (at: At) => boolean;
}

export interface BarPlan extends Selection {
  id: string;
  title: string;
  /** The rival that all others are compared with. */
  baseline: string;
  groupBy: (at: At) => string;
  /** Whether more is better, as with throughput. */
  moreIsBetter?: boolean;
  label?: string;
}

/** None where there is nothing to compare. */
export function barChart(measurements: readonly Measurement[], plan: BarPlan): Chart[] {
  const { id, title, baseline, groupBy, moreIsBetter = false, label = `times faster than ${baseline}` } = plan;
  const groups: BarChart["groups"] = [];
  for (const [name, figures] of grouped(select(measurements, plan), ({ at }) => groupBy(at))) {
    const base = figures.find(({ rival }) => rival === baseline);
    if (base === undefined || base.value <= 0) continue;
    const others = figures.filter(({ rival, value }) => rival !== baseline && value > 0);
    if (others.length > 0)
      groups.push({ title: name, bars: others.map((each) => bar(each, base.value, moreIsBetter)) });
  }
  if (groups.length === 0) return [];
  const inWords = groups.map((group) => `${group.title}: ${group.bars.map(barInWords).join(", ")}.`);
  return [{ kind: "bars", id, title, label, baseline, groups, alt: `Bars, ${label}. ${inWords.join(" ")}` }];
}

function bar({ rival, value, unit, spread = 0 }: Measurement, base: number, moreIsBetter: boolean): Bar {
  const ratio = (figure: number): number => (moreIsBetter ? figure / base : base / figure);
  const ends = [ratio(value * (1 + spread)), ratio(value / (1 + spread))]; // as far apart to both sides on this scale
  return {
    rival,
    ratio: ratio(value),
    low: Math.min(...ends),
    high: Math.max(...ends),
    figure: formatFigure(value, unit),
  };
}

function barInWords({ rival, ratio, figure }: Bar): string {
  return `${rival} ${formatTimes(ratio)} (${figure})`;
}

/** `0.25×`, `5.5×`, `120×`. */
export function formatTimes(ratio: number): string {
  return `${ratio < 1 ? ratio.toPrecision(2) : ratio < 10 ? ratio.toFixed(1) : ratio.toFixed(0)}×`;
}

export interface LinePlan extends Selection {
  id: string;
  title: string;
  label: string;
  xLabel: string;
  xScale: LineChart["xScale"];
  /** What lies on the axis. */
  x: (at: At) => number;
  formatX: (x: number) => string;
}

/** None where there are no two points to connect. */
export function lineChart(measurements: readonly Measurement[], plan: LinePlan): Chart[] {
  const { id, title, label, xLabel, xScale, x, formatX } = plan;
  const chosen = select(measurements, plan).filter(({ value }) => value > 0);
  const xs = [...new Set(chosen.map(({ at }) => x(at)))].sort((a, b) => a - b);
  const unit = chosen[0]?.unit;
  if (xs.length < 2 || unit === undefined) return [];
  const series = [...grouped(chosen, ({ rival }) => rival)].map(([rival, figures]) => {
    const points = figures
      .toSorted((a, b) => x(a.at) - x(b.at))
      .map(({ at, value, spread = 0 }) => ({
        x: x(at),
        value,
        low: value / (1 + spread),
        high: value * (1 + spread),
      }));
    return { rival, points };
  });
  const format = (value: number): string => formatOnAxis(value, unit);
  const inWords = series.map(({ rival, points }) => {
    return `${rival}: ${points.map((point) => `${format(point.value)} at ${formatX(point.x)}`).join(", ")}.`;
  });
  const alt = `Lines, ${label} by ${xLabel}. ${inWords.join(" ")}`;
  const ticks = xs.map((each) => ({ x: each, text: formatX(each) }));
  return [{ kind: "lines", id, title, label, xLabel, xScale, xs: ticks, format, series, alt }];
}

/** Round figures, in the unit that people would use. */
function formatOnAxis(value: number, unit: Measurement["unit"]): string {
  if (unit !== "ns" && unit !== "ms") return formatFigure(value, unit);
  const ns = unit === "ms" ? value * 1e6 : value;
  const [scale, name] = ns < 1e3 ? [1, "ns"] : ns < 1e6 ? [1e3, "µs"] : [1e6, "ms"];
  return `${Number((ns / scale).toPrecision(3))} ${name}`;
}

function select(
  measurements: readonly Measurement[],
  { metric, rivals, where = () => true }: Selection,
): Measurement[] {
  const chosen = measurements.filter((each) => each.metric === metric && Number.isFinite(each.value) && where(each.at));
  if (rivals === undefined) return chosen;
  return rivals.flatMap((name) => chosen.filter(({ rival }) => rival === name));
}

function grouped<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) groups.set(keyOf(item), [...(groups.get(keyOf(item)) ?? []), item]);
  return groups;
}
