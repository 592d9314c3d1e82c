/** Asks questions of bench/ and shows the answers: tables in the terminal, or JSON. What stands in a table is its question's. */

import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { printTable } from "../bench/figures.ts";
import { ask } from "../bench/harness.ts";
import { type Machine, machine } from "../bench/machine.ts";
import type { Measurement, Question } from "../bench/question.ts";
import { EXIT, Failure, reasonOf, UsageError } from "./failure.ts";
import { openProgress, type Progress } from "./progress.ts";

export interface BenchOptions {
  full?: boolean;
  /** Wins over `full`. */
  quick?: boolean;
  /** A file for the figures. */
  out?: string;
  /** Figures on standard output instead of tables. */
  json?: boolean;
}

export interface Answer {
  /** Of the question. */
  name: string;
  question: string;
  /** How long it took to measure. */
  seconds: number;
  measurements: Measurement[];
  /** Why there are no measurements. */
  error?: string;
}

/** What `--json` and `--out` write. */
export interface Results {
  machine: Machine;
  /** The form that takes minutes. */
  quick: boolean;
  results: Answer[];
}

/** Gives the exit code: a question that could not be answered is a failure, and costs no other its answer. */
export async function bench(
  questions: readonly Question[],
  names: readonly string[],
  { quick, full, out, json = false }: BenchOptions,
): Promise<number> {
  const chosen = choose(questions, names);
  const results: Results = { machine: machine(), quick: quick === true || full !== true, results: [] };
  if (!json) console.log(describeMachine(results));
  const progress = openProgress();
  try {
    for (const [done, question] of chosen.entries()) {
      const answer = await answerTo(question, results.quick, progress, done, chosen.length);
      results.results.push(answer);
      progress.clear();
      if (!json) printAnswer(question, answer);
      if (out !== undefined) write(out, toJson(results)); // what was measured is not lost with what fails
    }
  } finally {
    progress.clear();
  }
  if (json) process.stdout.write(toJson(results));
  return results.results.some(({ error }) => error !== undefined) ? EXIT.failed : EXIT.done;
}

function choose(questions: readonly Question[], names: readonly string[]): readonly Question[] {
  const known = questions.map(({ name }) => name);
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined) {
    throw new UsageError(`there is no question called "${unknown}"; the questions are: ${known.join(", ")}`);
  }
  return names.length === 0 ? questions : questions.filter(({ name }) => names.includes(name));
}

async function answerTo(
  question: Question,
  quick: boolean,
  progress: Progress,
  done: number,
  count: number,
): Promise<Answer> {
  const { name, question: words } = question;
  progress.step(name, done / count);
  const start = performance.now();
  const seconds = (): number => Math.round((performance.now() - start) / 100) / 10;
  try {
    const update = (share: number): void => progress.update((done + share) / count);
    const measurements = await ask(question, quick ? "quick" : "full", update);
    return { name, question: words, seconds: seconds(), measurements };
  } catch (error) {
    const why = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return { name, question: words, seconds: seconds(), measurements: [], error: why };
  }
}

function describeMachine({ machine, quick }: Results): string {
  const { version, commit, node, processor, cores, date } = machine;
  const library = `cleanslab ${version}${commit === null ? "" : ` (${commit})`}`;
  return (
    `${library}, Node ${node}, ${processor}, ${cores} cores, ${date}${quick ? ", the quick form" : ""}.\n` +
    "Each rival in a process of its own, in turn. Medians."
  );
}

function printAnswer({ tables }: Question, { name, question, seconds, measurements, error }: Answer): void {
  console.log(`\n${question}  (${name}, ${seconds} s)`);
  if (error !== undefined) console.error(`\n${name} could not be answered: ${error}`);
  else for (const table of tables(measurements)) console.log(`\n${printTable(table)}`);
}

/** Makes the folders on the way. @throws Failure if it cannot be written. */
function write(path: string, text: string): void {
  try {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  } catch (error) {
    throw new Failure(`cannot write ${path}: ${reasonOf(error)}`);
  }
}

export function toJson(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
