/** What is read out of measurements, and how figures are written. Measures nothing. What stands in a table is said by its question. */

import type { Measurement, Table } from "./question.ts";

/** Each rival once, in the order in which they were measured. */
export function rivalsIn(measurements: readonly Measurement[]): string[] {
  return [...new Set(measurements.map(({ rival }) => rival))];
}

/** Each value of one circumstance once, in the order in which they were measured. */
export function valuesOfAt(measurements: readonly Measurement[], key: string): (number | string)[] {
  return [...new Set(measurements.flatMap(({ at }) => at[key] ?? []))];
}

/** The measurements made under these circumstances, whatever else was the case. */
export function where(
  measurements: readonly Measurement[],
  circumstances: Readonly<Record<string, number | string>>,
): Measurement[] {
  const wanted = Object.entries(circumstances);
  return measurements.filter(({ at }) => wanted.every(([key, value]) => at[key] === value));
}

/** What to look for: a rival, perhaps a metric, and any circumstances. */
export type Wanted = Readonly<Record<string, number | string>> & { rival: string; metric?: string };

/** The one measurement that fits, if there is one. The metric is time unless another is named. */
export function find(measurements: readonly Measurement[], wanted: Wanted): Measurement | undefined {
  const { rival, metric = "time", ...circumstances } = wanted;
  const ofRival = measurements.filter((each) => each.rival === rival && each.metric === metric);
  return where(ofRival, circumstances)[0];
}

/** Its value, or NaN: a case that was left out. */
export function figureOf(measurements: readonly Measurement[], wanted: Wanted): number {
  return find(measurements, wanted)?.value ?? Number.NaN;
}

/**
 * The shortest of `lengths`, which ascend, from which on `ours` is less than `theirs`
 * at every length; `null` if it is not so even at the longest.
 */
export function crossover(
  lengths: readonly number[],
  ours: readonly number[],
  theirs: readonly number[],
): number | null {
  let from: number | null = null;
  for (let each = lengths.length - 1; each >= 0; each--) {
    if (!((ours[each] ?? Number.NaN) < (theirs[each] ?? Number.NaN))) break;
    from = lengths[each] ?? null;
  }
  return from;
}

export function formatNs(ns: number): string {
  return ns < 100 ? ns.toFixed(1) : ns.toFixed(0);
}

export function formatRatio(ratio: number): string {
  return `${ratio < 10 ? ratio.toFixed(1) : ratio.toFixed(0)}×`;
}

export function formatLength(byteLength: number): string {
  const binary = (unit: number): string => String(Math.round((byteLength / unit) * 10) / 10);
  if (byteLength >= 1024 ** 3) return `${binary(1024 ** 3)} GiB`;
  if (byteLength >= 1024 ** 2) return `${binary(1024 ** 2)} MiB`;
  return byteLength >= 1024 ? `${binary(1024)} KiB` : `${byteLength} B`;
}

/** As whole percent; a dash where there was a single sample. */
export function formatSpread(spread: number | undefined): string {
  return spread === undefined ? "–" : (spread * 100).toFixed(0);
}

/** `format`ted, or a dash where nothing was measured. */
export function orDash(value: number, format: (value: number) => string): string {
  return Number.isFinite(value) ? format(value) : "–";
}

/** Columns under their heads, words to the left and figures to the right. */
export function printTable({ title, head, rows }: Table): string {
  const widths = head.map((_, column) => Math.max(...[head, ...rows].map((cells) => cells[column]?.length ?? 0)));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join("  ")
      .trimEnd();
  const rule = widths.map((width) => "─".repeat(width)).join("  ");
  return [...(title === "" ? [] : [title, ""]), line(head), rule, ...rows.map(line)].join("\n");
}
