/** What is read out of measurements to lay them out as tables. Measures nothing. */

import type { Figure } from "./harness.ts";
import type { Measurement } from "./question.ts";

/** The figures of one `measure` as measurements of time. */
export function timings(figures: Readonly<Record<string, Figure>>, at: Measurement["at"]): Measurement[] {
  return Object.entries(figures).map(([rival, { ns, spread, samples }]) => ({
    rival,
    at,
    metric: "time",
    unit: "ns",
    value: ns,
    spread,
    samples,
  }));
}

export const FASTEST_TENTH = "time, fastest tenth";

/** Beside the medians, what is least disturbed by other processes and by rivals' garbage. */
export function fastTimings(figures: Readonly<Record<string, Figure>>, at: Measurement["at"]): Measurement[] {
  return Object.entries(figures).map(([rival, { fastNs: value }]) => ({
    rival,
    at,
    metric: FASTEST_TENTH,
    unit: "ns",
    value,
  }));
}

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
 * The crossover: the shortest of `lengths`, which ascend, from which on `ours` is
 * less than `theirs` at every length; `null` if it is not so even at the longest.
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

/** As whole percent; a dash where there was a single sample. */
export function formatSpread(spread: number | undefined): string {
  return spread === undefined ? "–" : (spread * 100).toFixed(0);
}

/** `format`ted, or a dash where nothing was measured. */
export function orDash(value: number, format: (value: number) => string): string {
  return Number.isFinite(value) ? format(value) : "–";
}
