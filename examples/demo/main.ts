/**
 * `npm start`: whole programs with and without an arena, on this machine, in a minute.
 * Three in which an arena wins, one in which it does not, and what a stale view sees.
 * With a folder: its files, read and hashed with ordinary buffers and in every revoke mode.
 * Owns the arguments and the exit code:
 *
 *   0  done, and every version of a program found the same
 *   1  a program failed, or versions differ
 *   2  bad arguments
 */

import { writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { printTable } from "../../bench/figures.ts";
import { digest, filesUnder } from "../../bench/programs/digest.ts";
import { PROGRAMS } from "../../bench/programs/index.ts";
import type { Program } from "../../bench/programs/program.ts";
import { runProgram } from "../../bench/programs/run.ts";
import { type ProgramResult, resultOf, tableOf } from "../../bench/programs/table.ts";
import { chart, headline } from "./chart.ts";
import { staleViews } from "./stale.ts";

const USAGE = `usage: npm start -- [folder] [--json FILE]

Without a folder: runs four programs with ordinary buffers and with leases, and
draws what each of them cost. Takes about a minute.

  folder       read and hash the files in it instead, in every revoke mode
  --json FILE  write the figures to FILE as well
  --help       print this`;

/** In this order, with what a reader should know of each. */
const SHOWN: readonly [program: string, remark: string][] = [
  ["proxy", "Every read is a lease that is written as it is; its bytes are read into again when the peer has them."],
  ["inflate", "Each body is inflated into a lease as long as its content, which is checked."],
  ["chunks", "What a reader of files or bodies does all day, and nothing else."],
  ["tokens", "The one to lose: up to 64 bytes, a fresh array costs less than a lease."],
];

async function measure(program: Program): Promise<ProgramResult> {
  return resultOf(await runProgram(program, { rounds: 3 }), process.version);
}

async function demonstrate(): Promise<ProgramResult[]> {
  console.log("The same programs with ordinary buffers and with leases, each in a process of its own.");
  console.log("Shorter bars are better.\n");
  const results: ProgramResult[] = [];
  for (const [program, remark] of SHOWN) {
    const result = await measure(PROGRAMS.find(({ name }) => name === program) as Program);
    results.push(result);
    console.log(`${chart(result)}\n${remark}\n`);
  }
  return results;
}

class UsageError extends Error {}

/** @throws UsageError */
async function digestFiles(folder: string): Promise<ProgramResult[]> {
  const files = find(folder);
  const mebibytes = files.reduce((sum, { byteLength }) => sum + byteLength, 0) / 2 ** 20;
  console.log(`${files.length} files under ${folder}, ${mebibytes.toFixed(1)} MiB; Node ${process.version}\n`);
  process.env["CLEANSLAB_DIGEST"] = folder;
  const result = await measure(digest);
  console.log(`${printTable(tableOf(result))}\n`);
  return [result];
}

function find(folder: string): ReturnType<typeof filesUnder> {
  try {
    const files = filesUnder(folder);
    if (files.length > 0) return files;
  } catch (error) {
    throw new UsageError(`${folder} cannot be read: ${(error as Error).message}`);
  }
  throw new UsageError(`there is no file to read under ${folder}`);
}

/** Whether every version found the same, where a program sums up what it found. Servers' clients check each answer. */
function agree({ title, variants }: ProgramResult): boolean {
  const sums = new Set(variants.map(({ figures }) => figures["checksum"]));
  if (sums.size > 1) console.error(`"${title}": the versions found different things: ${[...sums].join(", ")}`);
  return sums.size === 1;
}

/** npm moves to the package's folder first; a path means what it meant where npm was called. */
function fromCaller(path: string): string {
  const callerFolder = process.env["npm_lifecycle_event"] === "start" ? process.env["INIT_CWD"] : undefined;
  return resolve(callerFolder ?? process.cwd(), path);
}

async function main(): Promise<number> {
  const options = { json: { type: "string" }, help: { type: "boolean", short: "h" } } as const;
  const { values, positionals } = parseArgs({ allowPositionals: true, options });
  const [folder] = positionals;
  if (positionals.length > 1) throw new UsageError(`one folder at a time, not ${positionals.join(" and ")}`);
  if (values.help) {
    console.log(USAGE);
    return 0;
  }
  const results = await (folder === undefined ? demonstrate() : digestFiles(fromCaller(folder)));
  console.log(`${headline(results)}\n\n${printTable(staleViews())}`);
  if (values.json !== undefined) writeFileSync(fromCaller(values.json), `${JSON.stringify(results, null, 2)}\n`);
  return results.every(agree) ? 0 : 1;
}

try {
  process.exitCode = await main();
} catch (error) {
  const { code = "", message } = error as NodeJS.ErrnoException;
  const isUsage = error instanceof UsageError || code.startsWith("ERR_PARSE_ARGS");
  console.error(isUsage ? `${message}\n\n${USAGE}` : error);
  process.exitCode = isUsage ? 2 : 1;
}
