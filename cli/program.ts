/** The arguments of `cleanslab`, and what a mistake in them or a failure is to the shell. */

import { Command, CommanderError } from "commander";
import { version } from "../bench/machine.ts";
import { QUESTIONS } from "../bench/questions.ts";
import { type AdviseOptions, advise } from "./advise.ts";
import { type BenchOptions, bench } from "./bench.ts";
import { EXIT, Failure, UsageError } from "./failure.ts";
import { type ObserveOptions, observe } from "./observe.ts";

/**
 * @param finish told the exit code of what was done.
 * @param writeError where commander's own complaints go.
 */
export function createProgram(finish: (code: number) => void, writeError: (text: string) => void): Command {
  const cleanslab = new Command("cleanslab")
    .description("What reuse of buffers brings on this machine, and what outside code can see of it.")
    .version(version(), "-v, --version")
    .exitOverride()
    .configureOutput({ writeErr: writeError })
    .showHelpAfterError("(--help says what there is)");
  cleanslab
    .command("observe")
    .summary("what outside code can tell between a fresh buffer and a reused one")
    .description(
      "Runs small outside programs against every allocator, and prints what each could tell of a buffer\nthat a fresh allocation would not show.",
    )
    .option("--only <substring>", "only probes whose name or theme contains it")
    .option("--json [file]", "write all that was seen to a file, or instead of the matrix to standard output")
    .action(async (options: ObserveOptions) => finish(await observe(options)));
  cleanslab
    .command("bench")
    .summary("reuse against fresh allocation, measured")
    .description("Asks the questions of the benchmarks, prints tables, and writes the figures and a page with charts.")
    .argument("[question...]", `${QUESTIONS.map(({ name }) => name).join(", ")}; all of them if none is named`)
    .option("--quick", "fewer cases and rounds: all questions within a minute (as if nothing was said)")
    .option("--full", "all cases and rounds: minutes")
    .option("--out <dir>", "the folder for results.json and index.html", "cleanslab-bench")
    .option("--json [file]", "write the figures to one more file, or instead of the tables to standard output")
    .option("--from <file>", "show the results.json of an earlier run, measure nothing")
    .option("--svg <dir>", "write each chart to a file of its own")
    .action(async (names: string[], options: BenchOptions) => finish(await bench(names, options)));
  cleanslab
    .command("advise")
    .summary("what is worth pooling: on this machine, or in your program")
    .description(
      "Measures for some seconds what is worth pooling on this machine. With the stats() of an arena in a\nreal program as JSON it says which options and pools would serve that program, and why.",
    )
    .argument("[stats.json]", "what JSON.stringify(arena.stats()) gave; - for standard input")
    .option("--segment-bytes <bytes>", "the arena's segmentBytes, where the stats do not show it")
    .option("--json", "print the advice as JSON")
    .action(async (file: string | undefined, options: AdviseOptions) => finish(await advise(file, options)));
  return cleanslab;
}

/** Says what went wrong, unless commander has, and gives the exit code. */
export function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.badArguments;
  if (error instanceof UsageError) {
    console.error(`error: ${error.message}\n(--help says what there is)`);
    return EXIT.badArguments;
  }
  console.error(error instanceof Failure ? `error: ${error.message}` : error);
  return EXIT.failed;
}
