/**
 * Asks the questions of this folder. Owns the arguments, the printing and the
 * exit code: 0 measured, 1 failed, 2 bad arguments.
 */

import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import CliTable from "cli-table3";
import { type Machine, machine } from "./harness.ts";
import type { Measurement, Table } from "./question.ts";
import { QUESTIONS } from "./questions.ts";

const USAGE = `usage: npm run bench -- [QUESTION…] [--quick] [--json FILE]

  QUESTION     ${QUESTIONS.map(({ name }) => name).join(", ")}; all of them if none is named
  --quick      fewer cases and rounds
  --json FILE  write all figures to FILE
  --help       print this`;

/** What `--json` writes. */
export interface Results {
  machine: Machine;
  quick: boolean;
  results: { name: string; question: string; measurements: Measurement[] }[];
}

class UsageError extends Error {}

function readArguments() {
  const options = {
    quick: { type: "boolean", default: false },
    json: { type: "string" },
    help: { type: "boolean", short: "h", default: false },
  } as const;
  try {
    const { values, positionals } = parseArgs({ options, allowPositionals: true });
    const unknown = positionals.find((name) => !QUESTIONS.some((question) => question.name === name));
    if (unknown !== undefined) throw new UsageError(`there is no question called "${unknown}"`);
    return { ...values, names: positionals };
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

async function ask(names: readonly string[], quick: boolean): Promise<Results> {
  const results: Results["results"] = [];
  for (const question of QUESTIONS) {
    if (names.length > 0 && !names.includes(question.name)) continue;
    const measurements = await question.run({ quick, progress: () => {} });
    results.push({ name: question.name, question: question.question, measurements });
    console.log(`\n${question.question}`);
    for (const table of question.tables(measurements)) printTable(table);
  }
  return { machine: machine(), quick, results };
}

function printTable({ title, head, rows }: Table): void {
  const colAligns = head.map((_, column): "left" | "right" => (column === 0 ? "left" : "right"));
  const table = new CliTable({ head, colAligns, style: { head: [], border: [] } });
  table.push(...rows);
  console.log(`\n${title}\n${table.toString()}`);
}

async function main(): Promise<void> {
  const { names, quick, json, help } = readArguments();
  if (help) return console.log(USAGE);
  const { node, processor, date } = machine();
  console.log(`Node ${node}, ${processor}, ${date}. Medians, rivals interleaved.`);
  const results = await ask(names, quick);
  if (json !== undefined) writeFileSync(json, `${JSON.stringify(results, null, 2)}\n`);
}

try {
  await main();
} catch (error) {
  console.error(error instanceof UsageError ? `${error.message}\n\n${USAGE}` : error);
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
