/**
 * How rivals are measured, the same in every file of this folder: batches inside
 * the timed task, because one cycle is shorter than a clock can tell; all rivals
 * in one process, interleaved round by round, because this machine is not the
 * same from one second to the next; medians, and their ratios.
 *
 * Owns the method. Knows no rival and no question.
 */

import { Bench } from "tinybench";
import { type Summary, summarize } from "./statistics.ts";

/** One batch of a rival: does its operation this many times. */
export type Batch = (operations: number) => unknown;

export interface Figure {
  /** Median nanoseconds for one operation. */
  ns: number;
  /** What the fastest tenth of the batches stayed below, for one operation: other processes and the collector can only add to it. */
  fastNs: number;
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
/** The compiler's rounds, which do not count. */
const WARM_UP_ROUNDS = 2;

/** Times every rival, interleaved, and gives each its figure. */
export function measure(rivals: Record<string, Batch>, plan: Plan): Record<string, Figure> {
  const samples = new Map<string, number[]>(Object.keys(rivals).map((name) => [name, []]));
  for (const round of interleave(rivals, plan, WARM_UP_ROUNDS, BATCHES_A_ROUND)) {
    for (const [name, ns] of round) samples.get(name)?.push(...ns);
  }
  return Object.fromEntries([...samples].map(([name, ns]) => [name, figureFrom(ns)]));
}

/** A rival's figure, and what it takes times what the first rival takes in the same round. */
export interface Compared {
  figure: Figure;
  ratio: Summary;
}

/**
 * For differences of a few percent: each round is one batch of each rival, and
 * what is compared are batches of one round, a few milliseconds apart. Many
 * rounds of short batches, rather than few of long ones.
 */
export function compare(rivals: Record<string, Batch>, plan: Plan): Record<string, Compared> {
  const rounds = [...interleave(rivals, plan, Math.max(WARM_UP_ROUNDS, plan.rounds / 10), 1)];
  const nsOf = (name: string): number[] => rounds.map((round) => round.get(name)?.[0] ?? Number.NaN);
  const names = Object.keys(rivals);
  const first = nsOf(names[0] ?? "");
  return Object.fromEntries(
    names.map((name) => {
      const ns = nsOf(name);
      return [
        name,
        { figure: figureFrom(ns), ratio: summarize(ns.map((each, at) => each / (first[at] ?? Number.NaN))) },
      ];
    }),
  );
}

/** Half the interval about a median in which, 19 times out of 20, that of endless samples lies: as for the notches of a box plot. */
export function uncertaintyOf({ value, spread, samples }: Summary): number {
  return (1.57 * 2 * spread * value) / Math.sqrt(samples);
}

/** Nanoseconds for one operation, of every batch of each rival, round by round. */
function* interleave(
  rivals: Record<string, Batch>,
  { operations, rounds, progress }: Plan,
  warmUp: number,
  batches: number,
): Generator<Map<string, readonly number[]>> {
  const names = Object.keys(rivals);
  const first = -Math.ceil(warmUp);
  for (let round = first; round < rounds; round++) {
    const bench = new Bench({ iterations: batches, time: 0, warmup: false, retainSamples: true, throws: true });
    // Turned each round, so that nobody always runs behind the same neighbour's garbage.
    for (let each = 0; each < names.length; each++) {
      const name = names[(each + round - first) % names.length] as string;
      const batch = rivals[name] as Batch;
      bench.add(name, () => {
        batch(operations);
      });
    }
    bench.runSync();
    progress?.((round - first + 1) / (rounds - first));
    if (round < 0) continue;
    yield new Map(
      bench.tasks.map(({ name, result }) => {
        if (!("latency" in result)) throw new Error(`${name} was not measured`);
        return [name, (result.latency.samples ?? []).map((ms) => (ms * 1e6) / operations)];
      }),
    );
  }
}

/** The median and the spread of `samples`, which are nanoseconds for one operation. */
export function figureFrom(samples: readonly number[]): Figure {
  const sorted = Float64Array.from(samples).sort();
  const at = (quantile: number): number => sorted[Math.floor(quantile * (sorted.length - 1))] ?? Number.NaN;
  return { ns: at(0.5), fastNs: at(0.1), spread: (at(0.75) - at(0.25)) / 2 / at(0.5), samples: sorted.length };
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
