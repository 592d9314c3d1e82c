/**
 * `npm start`: whole programs with and without an arena, on this machine, in a minute.
 * Three in which an arena wins, one in which it does not, and what a stale view sees.
 * With a folder it is examples/digest instead. Owns the arguments and the exit code:
 *
 *   0  done, and every version of a program found the same
 *   1  a program failed, or versions differ
 *   2  bad arguments
 */

import { writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { PROGRAMS } from "../../bench/programs/index.ts";
import { runProgram } from "../../bench/programs/run.ts";
import { type ProgramResult, resultOf } from "../../bench/programs/table.ts";
import { printStaleViews } from "../digest/report.ts";
import { watchStaleViews } from "../digest/stale.ts";
import { chart, headline } from "./chart.ts";

const USAGE = `usage: npm start -- [folder] [--json FILE]

Without a folder: runs four programs with ordinary buffers and with leases, and
draws what each of them cost. Takes about a minute.

  folder       read and digest the files in it instead, in every revoke mode
  --json FILE  write the figures to FILE as well
  --help       print this`;

/** In this order, with what a reader should know of each. */
const SHOWN: Readonly<Record<string, string>> = {
  proxy: "Every read is a lease that is written as it is; its bytes are read into again when the peer has them.",
  inflate: "Each body is inflated into a lease as long as its content, which is checked.",
  chunks: "What a reader of files or bodies does all day, and nothing else.",
  tokens: "The one to lose: up to 64 bytes, a fresh array costs less than a lease.",
};
const ROUNDS = 3;

async function demonstrate(jsonFile: string | undefined): Promise<boolean> {
  const results: ProgramResult[] = [];
  console.log(
    "The same programs with ordinary buffers and with leases, each in a process of its own. Shorter bars are better.\n",
  );
  for (const name of Object.keys(SHOWN)) {
    const program = PROGRAMS.find((each) => each.name === name);
    if (program === undefined) throw new Error(`there is no program called "${name}"`);
    const result = resultOf(await runProgram(program, { rounds: ROUNDS }), process.version);
    results.push(result);
    console.log(`${chart(result)}\n${SHOWN[name]}\n`);
  }
  console.log(`${headline(results)}\n\n${printStaleViews(watchStaleViews())}`);
  if (jsonFile !== undefined) writeFileSync(jsonFile, `${JSON.stringify(results, null, 2)}\n`);
  return results.every(agree);
}

/** Whether every version found the same, where a program sums up what it found. Servers' clients check each answer. */
function agree({ title, variants }: ProgramResult): boolean {
  const sums = new Set(variants.map(({ figures }) => figures["checksum"]));
  if (sums.size > 1) console.error(`"${title}": the versions found different things: ${[...sums].join(", ")}`);
  return sums.size === 1;
}

const { values, positionals } = readArguments();
if (values.help) {
  console.log(USAGE);
} else if (positionals.length > 0) {
  // Beside this file once both are bundled. It reads the same arguments.
  await import(new URL("../digest/main.js", import.meta.url).href);
} else {
  const started = process.env["npm_lifecycle_event"] === "start" ? process.env["INIT_CWD"] : undefined;
  const jsonFile = values.json === undefined ? undefined : resolve(started ?? process.cwd(), values.json);
  process.exitCode = (await demonstrate(jsonFile)) ? 0 : 1;
}

function readArguments() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: { json: { type: "string" }, help: { type: "boolean", short: "h" } },
    });
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`);
    process.exit(2);
  }
}
