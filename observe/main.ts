/**
 * Can outside code tell a reused buffer from a fresh one, or reach what is not
 * its own? Owns the arguments and the exit code:
 *
 *   0  every probe was tried on every subject, or could not be here
 *   1  a probe failed
 *   2  bad arguments
 */

import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { type Matrix, PROBES, runMatrix } from "./matrix.ts";
import { printMatrix } from "./report.ts";

const USAGE = `usage: npm run observe -- [--only SUBSTRING] [--json FILE]

Runs small outside programs against every allocator and prints what each could
tell of a buffer that a fresh allocation would not show.

  --only SUBSTRING  only probes whose name or theme contains it
  --json FILE       write all that was seen to FILE
  --help            print this`;

class UsageError extends Error {}

interface Arguments {
  help: boolean;
  json: string | undefined;
  only: string;
}

function readArguments(): Arguments {
  const options = {
    json: { type: "string" },
    only: { type: "string" },
    help: { type: "boolean", short: "h" },
  } as const;
  try {
    const { help = false, json, only = "" } = parseArgs({ options }).values;
    return { help, json, only };
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

async function observe(only: string): Promise<Matrix> {
  const probes = PROBES.filter(({ name, theme }) => name.includes(only) || theme.includes(only));
  if (probes.length === 0) throw new UsageError(`no probe's name or theme contains "${only}"`);
  return runMatrix({ probes, onProgress: showProgress });
}

/** On a terminal only. */
function showProgress(probe: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${probe}`);
}

async function main(): Promise<number> {
  const { help, json, only } = readArguments();
  if (help) {
    console.log(USAGE);
    return 0;
  }
  const matrix = await observe(only);
  if (process.stderr.isTTY) process.stderr.write("\r\x1b[K");
  console.log(printMatrix(matrix));
  if (json !== undefined) writeFileSync(json, `${JSON.stringify({ node: process.version, ...matrix }, null, 2)}\n`);
  return Object.values(matrix.counts).some(({ failed }) => failed > 0) ? 1 : 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  if (error instanceof UsageError) console.error(`${error.message}\n\n${USAGE}`);
  else console.error(error);
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
