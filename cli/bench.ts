/** Asks the questions of bench/ and shows the answers: tables in the terminal, or JSON. Measures nothing itself. */

import { ask } from "../bench/harness.ts";
import { machine } from "../bench/machine.ts";
import type { Question } from "../bench/question.ts";
import { QUESTIONS } from "../bench/questions/index.ts";
import { EXIT, UsageError } from "./failure.ts";
import { readJson, toJson, writeText } from "./files.ts";
import { openProgress, type Progress } from "./progress.ts";
import { type Answer, parseResults, type Results } from "./results.ts";
import { printTable, tablesOf } from "./tables.ts";

export interface BenchOptions {
  full?: boolean;
  /** Wins over `full`. */
  quick?: boolean;
  /** A file for the figures. */
  out?: string;
  /** Figures on standard output instead of tables. */
  json?: boolean;
  /** Show this file instead of measuring. */
  from?: string;
}

/** Gives the exit code: a question that could not be answered is a failure, and costs no other its answer. */
export async function bench(names: readonly string[], options: BenchOptions): Promise<number> {
  const questions = chosen(names);
  const { from, out, json = false } = options;
  const results =
    from === undefined ? await askAll(questions, options) : show(parseResults(readJson(from), from), questions, !json);
  if (json) writeText("-", toJson(results));
  if (out !== undefined) writeText(out, toJson(results));
  return results.results.some(({ error }) => error !== undefined) ? EXIT.failed : EXIT.done;
}

function chosen(names: readonly string[]): readonly Question[] {
  const known = QUESTIONS.map(({ name }) => name);
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined) {
    throw new UsageError(`there is no question called "${unknown}"; the questions are: ${known.join(", ")}`);
  }
  return names.length === 0 ? QUESTIONS : QUESTIONS.filter(({ name }) => names.includes(name));
}

async function askAll(questions: readonly Question[], { quick, full, out, json }: BenchOptions): Promise<Results> {
  const results: Results = { machine: machine(), quick: quick === true || full !== true, results: [] };
  if (!json) console.log(describeMachine(results));
  const progress = openProgress();
  try {
    for (const [done, question] of questions.entries()) {
      const answer = await answerTo(question, results.quick, progress, done, questions.length);
      results.results.push(answer);
      progress.clear();
      if (!json) printAnswer(answer);
      if (out !== undefined) writeText(out, toJson(results)); // what was measured is not lost with what fails
    }
  } finally {
    progress.clear();
  }
  return results;
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

function describeMachine({ machine, quick }: Results): string {
  const { version, commit, node, processor, cores, date } = machine;
  const library = `cleanslab ${version}${commit === null ? "" : ` (${commit})`}`;
  return (
    `${library}, Node ${node}, ${processor}, ${cores} cores, ${date}${quick ? ", the quick form" : ""}.\n` +
    "Each rival in a process of its own, in turn. Medians."
  );
}

function printAnswer(answer: Answer): void {
  console.log(`\n${answer.question}  (${answer.name}, ${answer.seconds} s)`);
  if (answer.error !== undefined) console.error(`\n${answer.name} could not be answered: ${answer.error}`);
  else for (const table of tablesOf(answer)) console.log(`\n${printTable(table)}`);
}
