/**
 * The arguments of `cleanslab`, and what a mistake in them or a failure is to the shell.
 * Its exit code: 0 done, 1 something failed, 2 bad arguments.
 */

import { parseArgs } from "node:util";
import { version } from "../bench/machine.ts";
import type { Question } from "../bench/question.ts";
import { bench } from "./bench.ts";
import { EXIT, Failure, UsageError } from "./failure.ts";
import { observe } from "./observe.ts";
import { watch } from "./watch.ts";

const HELP = `cleanslab bench [QUESTION…]   what reuse gains over fresh allocation, here
    --quick       fewer cases and rounds: minutes for all (the default)
    --full        all cases and rounds: most of an hour
    --out FILE    write the figures to a file as JSON
    --json        figures as JSON instead of tables
cleanslab observe             how outside code can tell a reused buffer: minutes
    --only TEXT   only probes whose name or theme contains it
    --json        all that was seen as JSON instead of the matrix
cleanslab watch PORT          the arenas of a program that calls serveWatch
    --once        one picture, and the end
cleanslab --version, cleanslab --help

Questions:
`;

const OPTIONS = {
  help: { type: "boolean", short: "h" },
  version: { type: "boolean", short: "v" },
  json: { type: "boolean" },
  quick: { type: "boolean" },
  full: { type: "boolean" },
  out: { type: "string" },
  only: { type: "string" },
  once: { type: "boolean" },
} as const;

type OptionName = keyof typeof OPTIONS;
const COMMANDS: Readonly<Record<string, readonly OptionName[]>> = {
  bench: ["json", "quick", "full", "out"],
  observe: ["json", "only"],
  watch: ["once"],
};

/** Does what the process was asked for, and sets its exit code. */
export async function main(questions: readonly Question[]): Promise<void> {
  try {
    process.exitCode = await run(process.argv.slice(2), questions);
  } catch (error) {
    process.exitCode = report(error);
  }
}

/**
 * Does what `args` ask for.
 *
 * @returns the exit code.
 * @throws UsageError, Failure
 */
export async function run(args: readonly string[], questions: readonly Question[]): Promise<number> {
  const { values, positionals } = parse(args);
  if (values.help) {
    return say(`${HELP}${questions.map(({ name, question }) => `  ${name.padEnd(11)}${question}\n`).join("")}`);
  }
  if (values.version) return say(`${version()}\n`);
  const [command, ...names] = positionals;
  const known = COMMANDS[command ?? ""];
  if (known === undefined) {
    throw new UsageError(
      command === undefined ? "say bench, observe or watch" : `there is no command called "${command}"`,
    );
  }
  const odd = (Object.keys(values) as OptionName[]).find((name) => !known.includes(name));
  if (odd !== undefined) throw new UsageError(`${command} has no --${odd}`);
  if (command === "bench") return bench(questions, names, values);
  if (command === "watch") {
    if (names.length > 1) throw new UsageError(`watch takes one port, and no "${names[1]}"`);
    return watch(names[0], values);
  }
  if (names.length > 0) throw new UsageError(`observe takes no "${names[0]}"; --only chooses probes`);
  return observe(values);
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function say(text: string): number {
  process.stdout.write(text);
  return EXIT.done;
}

/** Says what went wrong, and gives the exit code. */
function report(error: unknown): number {
  if (error instanceof UsageError) {
    console.error(`error: ${error.message}\n(--help says what there is)`);
    return EXIT.badArguments;
  }
  console.error(error instanceof Failure ? `error: ${error.message}` : error);
  return EXIT.failed;
}
