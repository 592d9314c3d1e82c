/** `npm run bench -- programs [NAME …] [--node PATH] [--rounds N] [--json]`: runs programs, and prints a table for each. */

import { parseArgs } from "node:util";
import { PROGRAMS } from "./index.ts";
import { type Outcome, runProgram } from "./run.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { node: { type: "string" }, rounds: { type: "string", default: "3" }, json: { type: "boolean" } },
});
const programs = positionals.length === 0 ? PROGRAMS : PROGRAMS.filter(({ name }) => positionals.includes(name));
const COLUMNS: Record<string, string> = {
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

function show(outcomes: readonly Outcome[]): void {
  const title = outcomes[0]?.program.title;
  console.log(`\n${title}`);
  const best = Math.min(
    ...outcomes.filter(({ variant }) => variant.isOrdinary).map(({ figures }) => figures["cpuMs"] ?? 0),
  );
  const names = Object.keys(COLUMNS).filter((name) => outcomes.some(({ figures }) => figures[name] !== undefined));
  const rows = [
    ["", ...names.map((name) => COLUMNS[name] as string), "of best CPU"],
    ...outcomes.map(({ variant, figures }) => [
      variant.name,
      ...names.map((name) => format(figures[name])),
      ((figures["cpuMs"] ?? 0) / best).toFixed(2),
    ]),
  ];
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => (row[column] ?? "").length))) ?? [];
  for (const row of rows) {
    console.log(
      row
        .map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)))
        .join("  "),
    );
  }
}

function format(value: number | undefined): string {
  if (value === undefined) return "";
  return value >= 100 ? value.toFixed(0) : value.toFixed(value >= 10 ? 1 : 2);
}

for (const program of programs) {
  const outcomes = await runProgram(program, { rounds: Number(values.rounds), node: values.node });
  if (values.json)
    console.log(
      JSON.stringify(
        outcomes.map(({ variant, figures }) => ({ program: program.name, variant: variant.name, ...figures })),
      ),
    );
  else show(outcomes);
}
