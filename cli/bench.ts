/**
 * Asks the questions of bench/ and shows the answers: tables in the terminal,
 * JSON and a page with charts in a folder. Measures nothing itself.
 */

import { join } from "node:path";
import { machine } from "../bench/machine.ts";
import type { Question, Table } from "../bench/question.ts";
import { QUESTIONS } from "../bench/questions.ts";
import { EXIT, UsageError } from "./failure.ts";
import { readJson, toJson, writeText } from "./files.ts";
import { openProgress, type Progress } from "./progress.ts";
import { type Answer, parseResults, type Results } from "./results.ts";
import { printTable, tablesOf } from "./tables.ts";

export interface BenchOptions {
  full?: boolean;
  /** Wins over `full`. */
  quick?: boolean;
  /** The folder for `results.json` and `index.html`. */
  out: string;
  /** Another file for the figures, or `true` for standard output instead of the tables. */
  json?: string | true;
  /** Show this file instead of measuring. */
  from?: string;
  /** A folder for the charts alone. */
  svg?: string;
}

/** Gives the exit code: a question that could not be answered is a failure, and costs no other its answer. */
export async function bench(names: readonly string[], options: BenchOptions): Promise<number> {
  const questions = chosen(names, options.json);
  const forMachines = options.json === true || options.json === "-";
  const results =
    options.from === undefined
      ? await ask(questions, options, !forMachines)
      : show(parseResults(readJson(options.from), options.from), questions, !forMachines);
  const written = await write(results, options);
  if (!forMachines) console.log(`\n${written.map((file) => `wrote ${file}`).join("\n")}`);
  return results.results.some(({ error }) => error !== undefined) ? EXIT.failed : EXIT.done;
}

function chosen(names: readonly string[], json: BenchOptions["json"]): readonly Question[] {
  const known = QUESTIONS.map(({ name }) => name);
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined) {
    throw new UsageError(`there is no question called "${unknown}"; the questions are: ${known.join(", ")}`);
  }
  if (typeof json === "string" && known.includes(json)) {
    throw new UsageError(`--json takes "${json}" for its file; put --json after the questions, or write --json=-`);
  }
  return names.length === 0 ? QUESTIONS : QUESTIONS.filter(({ name }) => names.includes(name));
}

async function ask(questions: readonly Question[], options: BenchOptions, print: boolean): Promise<Results> {
  const quick = options.quick === true || options.full !== true;
  const results: Results = { machine: machine(), quick, results: [] };
  if (print) console.log(`${describeMachine(results)}\nMedians, rivals interleaved.`);
  const progress = openProgress();
  try {
    for (const [done, question] of questions.entries()) {
      const answer = await answerTo(question, quick, progress, done, questions.length);
      results.results.push(answer);
      progress.clear();
      if (print) printAnswer(answer);
      writeText(join(options.out, "results.json"), toJson(results)); // what was measured is not lost with what fails
    }
  } finally {
    progress.clear();
  }
  return results;
}

async function answerTo(
  { name, question, run }: Question,
  quick: boolean,
  progress: Progress,
  done: number,
  count: number,
): Promise<Answer> {
  progress.step(name, done / count);
  const start = performance.now();
  const seconds = (): number => Math.round((performance.now() - start) / 100) / 10;
  try {
    const measurements = await run({ quick, progress: (share) => progress.update((done + share) / count) });
    return { name, question, seconds: seconds(), measurements };
  } catch (error) {
    const why = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return { name, question, seconds: seconds(), measurements: [], error: why };
  }
}

function show(results: Results, questions: readonly Question[], print: boolean): Results {
  const known = QUESTIONS.map(({ name }) => name);
  // Of what this version does not ask, all is shown: another may have asked it.
  const wanted = (name: string): boolean => !known.includes(name) || questions.some((each) => each.name === name);
  const kept = { ...results, results: results.results.filter(({ name }) => wanted(name)) };
  if (print) {
    console.log(describeMachine(kept));
    for (const answer of kept.results) printAnswer(answer);
  }
  return kept;
}

async function write(results: Results, { out, json, from, svg }: BenchOptions): Promise<string[]> {
  // Loaded late: drawing is most of what there is to load, and none of it is in the way of what is measured.
  const { renderPage, renderCharts } = await import("./page/page.ts");
  const files = new Map<string, string>();
  if (from === undefined) files.set(join(out, "results.json"), toJson(results));
  files.set(join(out, "index.html"), renderPage(results));
  if (svg !== undefined) for (const [name, chart] of renderCharts(results)) files.set(join(svg, `${name}.svg`), chart);
  if (json !== undefined) files.set(json === true ? "-" : json, toJson(results));
  for (const [path, text] of files) writeText(path, text);
  return [...files.keys()];
}

function describeMachine({ machine, quick }: Results): string {
  const { version, commit, node, processor, cores, date } = machine;
  const library = `cleanslab ${version}${commit === null ? "" : ` (${commit})`}`;
  return `${library}, Node ${node}, ${processor}, ${cores} cores, ${date}${quick ? ", the quick form" : ""}.`;
}

function printAnswer(answer: Answer): void {
  console.log(`\n${answer.question}  (${answer.name}, ${answer.seconds} s)`);
  if (answer.error !== undefined) console.error(`\n${answer.name} could not be answered: ${answer.error}`);
  else for (const table of tablesOf(answer)) print(table);
}

function print(table: Table): void {
  console.log(`\n${printTable(table)}`);
}
