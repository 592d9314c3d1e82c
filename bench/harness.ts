/**
 * How rivals are measured, the same in every file of this folder: batches inside
 * the timed task, because one cycle is shorter than a clock can tell; all rivals
 * in one process, interleaved round by round, because this machine is not the
 * same from one second to the next; medians, and their ratios.
 *
 * Owns the method and the printing. Knows no rival.
 */

import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import Table from "cli-table3";
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
}

const BATCHES_A_ROUND = 4;

/** Times every rival, interleaved, and gives each its figure. */
export function measure(rivals: Record<string, Batch>, { operations, rounds }: Plan): Record<string, Figure> {
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
    if (round < 0) continue; // the compiler's rounds
    for (const { name, result } of bench.tasks) {
      if (!("latency" in result)) throw new Error(`${name} was not measured`);
      for (const ms of result.latency.samples ?? []) samples.get(name)?.push((ms * 1e6) / operations);
    }
  }
  return Object.fromEntries(names.map((name) => [name, toFigure(samples.get(name) ?? [])]));
}

function toFigure(samples: number[]): Figure {
  const sorted = Float64Array.from(samples).sort();
  const at = (quantile: number): number => sorted[Math.floor(quantile * (sorted.length - 1))] ?? Number.NaN;
  return { ns: at(0.5), spread: (at(0.75) - at(0.25)) / 2 / at(0.5), samples: sorted.length };
}

/** What one needs to know to doubt a figure. */
export function machine(): { node: string; v8: string; processor: string; cores: number; date: string } {
  return {
    node: process.version,
    v8: process.versions.v8,
    processor: cpus()[0]?.model ?? "unknown",
    cores: cpus().length,
    date: new Date().toISOString().slice(0, 10),
  };
}

export function printTable(title: string, head: string[], rows: string[][]): void {
  const colAligns = head.map((_, column): "left" | "right" => (column === 0 ? "left" : "right"));
  const table = new Table({ head, colAligns, style: { head: [], border: [] } });
  table.push(...rows);
  console.log(`\n${title}\n${table.toString()}`);
}

/** Writes `figures` where `--json FILE` says, if it does. */
export function writeJson(figures: unknown): void {
  const at = process.argv.indexOf("--json");
  const file = at < 0 ? undefined : process.argv[at + 1];
  if (file === undefined) return;
  writeFileSync(file, `${JSON.stringify({ machine: machine(), ...(figures as object) }, null, 2)}\n`);
}

export function formatNs(ns: number): string {
  return ns < 100 ? ns.toFixed(1) : ns.toFixed(0);
}

export function formatLength(byteLength: number): string {
  if (byteLength >= 1024 * 1024) return `${byteLength / 1024 / 1024} MiB`;
  return byteLength >= 1024 ? `${byteLength / 1024} KiB` : `${byteLength} B`;
}
