/** What a program's run gave, as plain data and as a table. Measures nothing. */

import type { Table } from "../question.ts";
import type { Outcome } from "./run.ts";

/** Plain data: what `--json` prints, one program a line. */
export interface ProgramResult {
  readonly program: string;
  readonly title: string;
  readonly node: string;
  readonly variants: readonly {
    readonly name: string;
    readonly isOrdinary: boolean;
    /** Medians over the rounds. */
    readonly figures: Readonly<Record<string, number>>;
  }[];
}

const COLUMNS: Readonly<Record<string, string>> = {
  cpuMs: "CPU ms",
  peakRssMiB: "peak MiB",
  averageRssMiB: "avg MiB",
  collections: "GC",
  majorCollections: "major",
  collectionMs: "GC ms",
  megabytesPerSecond: "MB/s",
  p99Ms: "p99 ms",
  worstMs: "worst ms",
  worst1in10000Ms: "1/10k ms",
  wallMs: "wall ms",
};

export function resultOf(outcomes: readonly Outcome[], node: string): ProgramResult {
  const { name = "", title = "" } = outcomes[0]?.program ?? {};
  const variants = outcomes.map(({ variant, figures }) => ({
    name: variant.name,
    isOrdinary: variant.isOrdinary,
    figures,
  }));
  return { program: name, title, node, variants };
}

/** A line for each variant. Its last column is the processor time over that of the best ordinary variant. */
export function tableOf({ title, variants }: ProgramResult): Table {
  const cpuMs = (figures: Readonly<Record<string, number>>): number => figures["cpuMs"] ?? Number.NaN;
  const best = Math.min(...variants.filter(({ isOrdinary }) => isOrdinary).map(({ figures }) => cpuMs(figures)));
  const columns = Object.entries(COLUMNS).filter(([name]) =>
    variants.some(({ figures }) => figures[name] !== undefined),
  );
  return {
    title,
    head: ["", ...columns.map(([, heading]) => heading), "of best CPU"],
    rows: variants.map(({ name, figures }) => [
      name,
      ...columns.map(([column]) => format(figures[column])),
      (cpuMs(figures) / best).toFixed(2),
    ]),
  };
}

function format(value: number | undefined): string {
  if (value === undefined) return "";
  return value >= 100 ? value.toFixed(0) : value.toFixed(value >= 10 ? 1 : 2);
}
