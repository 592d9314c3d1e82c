/**
 * Digests every file under a folder, with fresh buffers, with `Buffer.allocUnsafe`
 * and with leases in each `revoke` mode, and reports what the difference was. Owns the arguments,
 * the order of things and the exit code:
 *
 *   0  done, and all digests identical
 *   1  digests differ, a pass failed, or there is nothing to read
 *   2  bad arguments
 */

import { closeSync, existsSync, openSync, rmSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { SingleBar } from "cli-progress";
import { findFiles, InputError, systemErrorCode } from "./files.ts";
import { makeReport, printReport, type Report } from "./report.ts";
import { compare, type Progress, runRounds, warmUp } from "./rounds.ts";
import { watchStaleViews } from "./stale.ts";

const USAGE = `usage: npm start -- [folder] [--json FILE]

Digests (sha-256) every file under folder, with fresh buffers, with Node's dirty
ones and with leases in each revoke mode, and prints what each of them cost. Takes
less than two minutes.

  folder       default: the project's node_modules (npm start without one runs examples/demo)
  --json FILE  write the same figures to FILE
  --help       print this`;

/** Found from the library: this file lies elsewhere once it is compiled. */
const DEFAULT_FOLDER = fileURLToPath(new URL("../node_modules", import.meta.resolve("cleanslab")));

interface Arguments {
  folder: string;
  jsonFile: string | null;
}

class UsageError extends Error {}

/** @returns `null` where help is asked for. */
function readArguments(): Arguments | null {
  const { values, positionals } = parse();
  if (values.help) return null;
  // "npm start --json FILE" without the "--": npm keeps the option and passes on the file.
  if (values.json === undefined && process.env["npm_config_json"] === "true") {
    throw new UsageError("npm took --json for itself; write: npm start -- [folder] --json FILE");
  }
  if (positionals.length > 1) throw new UsageError(`one folder at a time, not ${positionals.join(" and ")}`);
  return {
    folder: fromCaller(positionals[0] ?? DEFAULT_FOLDER),
    jsonFile: values.json === undefined ? null : fromCaller(values.json),
  };
}

function parse() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: { json: { type: "string" }, help: { type: "boolean", short: "h" } },
    });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

/** npm moves to the package's folder first; a path means what it meant where npm was called. */
function fromCaller(path: string): string {
  const callerFolder = process.env["npm_lifecycle_event"] === "start" ? process.env["INIT_CWD"] : undefined;
  return resolve(callerFolder ?? process.cwd(), path);
}

/** Before the long run rather than after it. @throws InputError */
function checkWritable(jsonFile: string): void {
  const isNew = !existsSync(jsonFile);
  try {
    closeSync(openSync(jsonFile, "a"));
  } catch (error) {
    throw new InputError(`can't write ${jsonFile} (${systemErrorCode(error)}); name a file that can be written`);
  }
  if (isNew) rmSync(jsonFile);
}

/** On a terminal a bar, else nothing. */
class ProgressBar implements Progress {
  readonly #bar = process.stderr.isTTY
    ? new SingleBar({ format: "{bar} {percentage} % | {doing}", clearOnComplete: true, gracefulExit: true })
    : null;

  begin(doing: string): void {
    this.#bar?.start(1, 0, { doing });
  }

  plan(fileCount: number): void {
    this.#bar?.setTotal(fileCount);
  }

  update(doneFiles: number, doing: string): void {
    this.#bar?.update(doneFiles, { doing });
  }

  end(): void {
    this.#bar?.stop();
  }
}

async function main(): Promise<number> {
  const given = readArguments();
  if (given === null) {
    console.log(USAGE);
    return 0;
  }
  const { folder, jsonFile } = given;
  if (jsonFile !== null) checkWritable(jsonFile);
  const report = await run(folder);
  console.log(printReport(report));
  if (jsonFile !== null) {
    writeFileSync(jsonFile, `${JSON.stringify(report, null, 2)}\n`);
    console.log(`The same figures are in ${jsonFile}`);
  }
  return report.digests.identical ? 0 : 1;
}

async function run(folder: string): Promise<Report> {
  const bar = new ProgressBar();
  try {
    bar.begin("looking for files");
    const found = await findFiles(folder);
    bar.update(0, "reading all files once, so that they are in the file cache");
    const warm = await warmUp(folder, found.list);
    const rounds = await runRounds(folder, warm, bar);
    const comparison = compare(warm.files, rounds);
    const leftOut = [...found.leftOut, ...warm.leftOut];
    return makeReport({ folder, files: warm.files, leftOut, rounds, comparison, staleViews: watchStaleViews() });
  } finally {
    bar.end();
  }
}

try {
  process.exitCode = await main();
} catch (error) {
  if (error instanceof UsageError) console.error(`${error.message}\n\n${USAGE}`);
  else if (error instanceof InputError) console.error(error.message);
  else console.error(error);
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
