/**
 * `measurements FOLDER DOCS`: docs/measurements.md and its chart, out of the JSON files
 * that scripts/bench.mjs collected. Measures nothing.
 */

import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Results } from "../cli/bench.ts";
import type { Matrix } from "../test/visible/matrix.ts";
import { signOf } from "../test/visible/report.ts";
import { programsChart } from "./chart.ts";
import type { Machine } from "./machine.ts";
import { type ProgramResult, tableOf } from "./programs/table.ts";
import type { Table } from "./question.ts";
import { QUESTIONS } from "./questions.ts";

const HEAD = `# Measurements

What \`npm run measure\` found: what outside code can see of reuse, what whole programs gain, and what one lease costs. Each rival ran in a process of its own, rivals in turn, and figures are medians. How the questions are asked, and where we lose, is in [bench/README.md](../bench/README.md). Your machine will differ: ask it with \`npm run bench\`.
`;

interface Measured {
  readonly markdown: string;
  /** Of the programs on the newest Node. */
  readonly chart: string | null;
}

/** @param folder has the files that scripts/bench.mjs wrote. */
export function measurements(folder: string): Measured {
  const read = (name: string): string => readFileSync(join(folder, name), "utf8");
  const names = readdirSync(folder).sort();
  const sections = [HEAD];
  let chart: string | null = null;
  const seen = JSON.parse(read("observe.json")) as Seen;
  for (const name of names.filter((each) => each.startsWith("programs-"))) {
    const lines = read(name).trim().split("\n");
    const results = lines.map((line) => JSON.parse(line) as ProgramResult);
    // Measured in one go with the questions.
    const { machine } = JSON.parse(read(name.replace("programs-", "bench-"))) as Results;
    sections.push(programs(results, machine));
    chart = programsChart(results);
  }
  if (chart !== null)
    sections.push("![Whole programs: leases beside the best ordinary version](charts/programs.svg)\n");
  sections.push(visible(seen));
  for (const name of names.filter((each) => each.startsWith("bench-"))) {
    const { machine, quick, results } = JSON.parse(read(name)) as Results;
    const form = quick ? "quick form" : "full form";
    sections.push(`## One buffer, Node ${machine.node.slice(1)}\n\n${machineLine(machine)}, the ${form}.\n`);
    for (const answer of results) {
      sections.push(`### ${answer.question}\n`);
      const question = QUESTIONS.find((each) => each.name === answer.name);
      sections.push(...(question?.tables(answer.measurements) ?? []).map(markdown));
    }
  }
  return { markdown: sections.join("\n"), chart };
}

function machineLine({ commit, processor, cores, date }: Machine): string {
  return `${date}, commit ${commit ?? "unknown"}, ${processor}, ${cores} cores`;
}

type Seen = Matrix & { readonly machine: Machine; readonly threads: Matrix };

function visible({ machine, threads, ...buffers }: Seen): string {
  const table = ({ beside, subjects, rows }: Matrix): string =>
    markdown({
      title: "",
      head: ["probe", `${beside} shows`, ...subjects],
      rows: rows.map((row) => [row.probe, row.fresh, ...subjects.map((subject) => signOf(row, subject))]),
    });
  return `## What outside code can see

Each probe is a small program that tries to tell a reused buffer from a fresh one, or to reach what is not its own. \`·\` is the same as a fresh allocation, \`+\` better, \`~\` different and harmless, \`✗\` worse. \`npm run observe\` says in words what each saw. Node ${machine.node.slice(1)}, ${machineLine(machine)}.

${table(buffers)}
Between this thread and a worker:

${table(threads)}`;
}

function programs(results: readonly ProgramResult[], machine: Machine): string {
  const tables = results.map((result) => markdown(tableOf(result)));
  const heading = `## Whole programs, Node ${results[0]?.node.slice(1)}`;
  return `${heading}\n\n${machineLine(machine)}. Medians of three rounds.\n\n${tables.join("\n")}`;
}

function markdown({ title, head, rows }: Table): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  const rule = `|---|${"--:|".repeat(head.length - 1)}`;
  return [...(title === "" ? [] : [`*${title}*`, ""]), line(head), rule, ...rows.map(line), ""].join("\n");
}

const [folder, docs] = process.argv.slice(2);
if (folder !== undefined && docs !== undefined) {
  const measured = measurements(folder);
  writeFileSync(join(docs, "measurements.md"), measured.markdown);
  mkdirSync(join(docs, "charts"), { recursive: true });
  if (measured.chart !== null) writeFileSync(join(docs, "charts/programs.svg"), measured.chart);
}
