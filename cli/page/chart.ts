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

/**
 * `"ratio"`: times as good as a baseline, on a logarithmic scale, from 1.
 * `"amount"`: the figures themselves, from 0.
 */
export interface BarChart extends ChartBase {
  kind: "bars";
  scale: "ratio" | "amount";
  unit: Measurement["unit"];
  format(value: number): string;
  groups: { title: string; bars: Bar[] }[];
}

export interface Bar {
  rival: string;
  value: number;
  low: number;
  high: number;
  /** Behind the bar where there is room for it, e.g. `"5.5× (120 ns)"`. */
  text: string;
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

export interface AmountPlan extends Selection {
  id: string;
  title: string;
  label: string;
  groupBy: (at: At) => string;
}

/** None where there are no figures. */
export function amountChart(measurements: readonly Measurement[], plan: AmountPlan): Chart[] {
  const { id, title, label, groupBy } = plan;
  const chosen = select(measurements, plan);
  const unit = chosen[0]?.unit;
  if (unit === undefined) return [];
  const format = (value: number): string => formatOnAxis(value, unit);
  const groups = [...grouped(chosen, ({ at }) => groupBy(at))].map(([name, figures]) => ({
    title: name,
    bars: figures.map(({ rival, value, spread = 0 }): Bar => {
      return { rival, value, low: value / (1 + spread), high: value * (1 + spread), text: formatFigure(value, unit) };
    }),
  }));
  const alt = `Bars, ${label}. ${inWords(groups)}`;
  return [{ kind: "bars", scale: "amount", unit, id, title, label, format, groups, alt }];
}

export interface RatioPlan extends AmountPlan {
  /** The rival that all others are compared with. */
  baseline: string;
  /** Whether more is better, as with throughput. */
  moreIsBetter?: boolean;
}

/** None where there is nothing to compare. */
export function ratioChart(measurements: readonly Measurement[], plan: RatioPlan): Chart[] {
  const { id, title, label, baseline, groupBy, moreIsBetter = false } = plan;
  const groups: BarChart["groups"] = [];
  for (const [name, figures] of grouped(select(measurements, plan), ({ at }) => groupBy(at))) {
    const base = figures.find(({ rival }) => rival === baseline);
    if (base === undefined || base.value <= 0) continue;
    const others = figures.filter(({ rival, value }) => rival !== baseline && value > 0);
    const bars = others.map((each) => ratioBar(each, base.value, moreIsBetter));
    if (bars.length > 0) groups.push({ title: name, bars });
  }
  if (groups.length === 0) return [];
  const format = (value: number): string => `${value}×`;
  const alt = `Bars, ${label}. ${inWords(groups)}`;
  return [{ kind: "bars", scale: "ratio", unit: "×", id, title, label: `${label}, logarithmic`, format, groups, alt }];
}

function ratioBar({ rival, value, unit, spread = 0 }: Measurement, base: number, moreIsBetter: boolean): Bar {
  const ratio = (figure: number): number => (moreIsBetter ? figure / base : base / figure);
  const ends = [ratio(value * (1 + spread)), ratio(value / (1 + spread))]; // as far apart to both sides on this scale
  const text = `${formatTimes(ratio(value))} (${formatFigure(value, unit)})`;
  return { rival, value: ratio(value), low: Math.min(...ends), high: Math.max(...ends), text };
}

function inWords(groups: BarChart["groups"]): string {
  return groups
    .map(({ title, bars }) => `${title}: ${bars.map(({ rival, text }) => `${rival} ${text}`).join(", ")}.`)
    .join(" ");
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
  if (value === 0) return "0";
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
