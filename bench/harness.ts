/**
 * How rivals are measured, the same in every file of this folder: batches inside
 * the timed task, because one cycle is shorter than a clock can tell; all rivals
 * in one process, interleaved round by round, because this machine is not the
 * same from one second to the next; medians, and their ratios.
 *
 * Owns the method. Knows no rival and no question.
 */

import { Bench } from "tinybench";

/** One batch of a rival: does its operation this many times. */
export type Batch = (operations: number) => unknown;

export interface Figure {
  /** Median nanoseconds for one operation. */
  ns: number;
  /** Half the distance between the quartiles over the median: how far to trust it. */
  spread: number;
  /** Batches timed. */
  samples: number;
}

export interface Plan {
  /** Operations in one batch. */
  operations: number;
  /** Rounds through all rivals. */
  rounds: number;
  /** Told what share of the rounds is done, 0 to 1. */
  progress?: (share: number) => void;
}

const BATCHES_A_ROUND = 4;

/** Times every rival, interleaved, and gives each its figure. */
export function measure(rivals: Record<string, Batch>, { operations, rounds, progress }: Plan): Record<string, Figure> {
  const names = Object.keys(rivals);
  const samples = new Map<string, number[]>(names.map((name) => [name, []]));
  for (let round = -2; round < rounds; round++) {
    const bench = new Bench({ iterations: BATCHES_A_ROUND, time: 0, warmup: false, retainSamples: true, throws: true });
    // Turned each round, so that nobody always runs behind the same neighbour's garbage.
    for (let each = 0; each < names.length; each++) {
      const name = names[(each + round + names.length * 2) % names.length] as string;
      const batch = rivals[name] as Batch;
      bench.add(name, () => {
        batch(operations);
      });
    }
    bench.runSync();
    progress?.((round + 3) / (rounds + 2));
    if (round < 0) continue; // the compiler's rounds
    for (const { name, result } of bench.tasks) {
      if (!("latency" in result)) throw new Error(`${name} was not measured`);
      for (const ms of result.latency.samples ?? []) samples.get(name)?.push((ms * 1e6) / operations);
    }
  }
  return Object.fromEntries(names.map((name) => [name, figureFrom(samples.get(name) ?? [])]));
}

/** The median and the spread of `samples`, which are nanoseconds for one operation. */
export function figureFrom(samples: readonly number[]): Figure {
  const sorted = Float64Array.from(samples).sort();
  const at = (quantile: number): number => sorted[Math.floor(quantile * (sorted.length - 1))] ?? Number.NaN;
  return { ns: at(0.5), spread: (at(0.75) - at(0.25)) / 2 / at(0.5), samples: sorted.length };
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
