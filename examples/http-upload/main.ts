/**
 * An upload server under load, its buffers made in four ways, side by side. Owns
 * the arguments, the order of runs and the table. Exit codes: 0 done, 1 a request
 * failed or an answer was wrong, 2 bad arguments. Its processes are the files beside
 * it, compiled if it is.
 */

import { type ChildProcess, fork } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { dirname, extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import Table from "cli-table3";
import { STRATEGIES, type Strategy } from "./bodies.ts";
import { bodyOf, type LoadPlan, type LoadReport } from "./load.ts";
import type { ServerPlan, ServerReport } from "./server.ts";

const KiB = 1024;
const MiB = 1024 * KiB;

const USAGE = `usage: npm run example:http-upload -- [--seconds N] [--rounds N] [--json FILE]

  --seconds N  load for each strategy, case and round; default 4
  --rounds N   default 3; the figures are medians over them
  --json FILE  write all figures to FILE
  --help       print this`;

interface Case {
  name: string;
  what: string;
  server: Omit<ServerPlan, "strategy">;
  connections: number;
  lengths: readonly number[];
}

/** The three cases in which pools are said to help. */
const CASES: readonly Case[] = [
  {
    name: "web server",
    what: "small bodies, digested at once",
    server: { maxBytes: 16 * MiB, work: "digest" },
    connections: 32,
    lengths: [1, 2, 1, 4, 1, 2, 8, 16].map((length) => length * KiB),
  },
  {
    name: "tasks",
    what: "4 to 64 KiB, held while they are compressed on another thread",
    server: { maxBytes: 32 * MiB, work: "compress" },
    connections: 32,
    lengths: [4, 8, 16, 64, 32].map((length) => length * KiB),
  },
  {
    name: "the cap",
    what: "200 clients at once with 256 KiB each; 16 MiB for the arena",
    server: { maxBytes: 16 * MiB, work: "digest" },
    connections: 200,
    lengths: [256 * KiB],
  },
];

interface Run {
  case: string;
  strategy: Strategy;
  load: LoadReport;
  server: ServerReport;
}

class UsageError extends Error {}

function readArguments() {
  const options = {
    seconds: { type: "string", default: "4" },
    rounds: { type: "string", default: "3" },
    json: { type: "string" },
    help: { type: "boolean", short: "h", default: false },
  } as const;
  let values: { seconds: string; rounds: string; json?: string | undefined; help: boolean };
  try {
    ({ values } = parseArgs({ options }));
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
  return {
    ...values,
    seconds: wholeNumber("--seconds", values.seconds),
    rounds: wholeNumber("--rounds", values.rounds),
  };
}

function wholeNumber(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1)
    throw new UsageError(`${name} must be a whole number from 1, not "${text}"`);
  return value;
}

function child(file: string, flag: string): ChildProcess {
  const own = fileURLToPath(import.meta.url);
  return fork(join(dirname(own), file + extname(own)), [flag]);
}

async function ask<T>(process: ChildProcess, message: object): Promise<T> {
  const answer = once(process, "message");
  process.send(message);
  return (await answer)[0] as T;
}

/** One strategy, one case, once: a new server, checked, loaded, and asked what it saw. */
async function runOnce(each: Case, strategy: Strategy, seconds: number): Promise<Run> {
  const server = child("server", "--serve");
  try {
    const port = await ask<number>(server, { ...each.server, strategy });
    const url = `http://127.0.0.1:${port}/`;
    await checkAnswers(url, each.lengths);
    await loadOnce({ url, connections: each.connections, seconds: 1, lengths: each.lengths });
    await ask<ServerReport>(server, {}); // what came before the load does not count
    const load = await loadOnce({ url, connections: each.connections, seconds, lengths: each.lengths });
    return { case: each.name, strategy, load, server: await ask<ServerReport>(server, {}) };
  } finally {
    server.disconnect();
    await once(server, "exit");
  }
}

async function loadOnce(plan: LoadPlan): Promise<LoadReport> {
  const loader = child("load", "--load");
  const exit = once(loader, "exit");
  const report = await ask<LoadReport>(loader, plan);
  await exit;
  return report;
}

async function checkAnswers(url: string, lengths: readonly number[]): Promise<void> {
  for (const byteLength of new Set(lengths)) {
    const body = bodyOf(byteLength);
    const response = await fetch(url, { method: "POST", body });
    const answer = (await response.json()) as { byteLength: number; digest: string };
    const digest = createHash("sha256").update(body).digest("hex");
    if (answer.digest !== digest)
      throw new Error(`a body of ${byteLength} bytes came back with the digest ${answer.digest}`);
  }
}

function median(values: number[]): number {
  const sorted = values.sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

function printCase({ name, what }: Case, runs: readonly Run[]): void {
  const head = [
    "",
    "requests/s",
    "p50 ms",
    "p99",
    "p99.9",
    "worst",
    "collections",
    "in them, ms",
    "peak resident",
    "overflowed",
  ];
  const table = new Table({
    head,
    colAligns: head.map((_, at) => (at === 0 ? "left" : "right")),
    style: { head: [], border: [] },
  });
  for (const strategy of STRATEGIES) {
    const own = runs.filter((run) => run.case === name && run.strategy === strategy);
    const of = (value: (run: Run) => number): number => median(own.map(value));
    table.push([
      strategy,
      of(({ load }) => load.requestsPerSecond).toFixed(0),
      of(({ load }) => load.p50),
      of(({ load }) => load.p99),
      of(({ load }) => load.p999),
      of(({ load }) => load.worst),
      of(({ server }) => server.collections),
      of(({ server }) => server.collectionMs).toFixed(0),
      `${(of(({ server }) => server.peakResidentBytes) / MiB).toFixed(0)} MiB`,
      of(({ server }) => server.overflowed),
    ]);
  }
  console.log(`\n${name}: ${what}\n${table.toString()}`);
}

async function main(): Promise<number> {
  const { seconds, rounds, json, help } = readArguments();
  if (help) {
    console.log(USAGE);
    return 0;
  }
  const runs: Run[] = [];
  for (const each of CASES) {
    // Interleaved, so that a slow minute of the machine meets all of them.
    for (let round = 0; round < rounds; round++) {
      for (const strategy of STRATEGIES) runs.push(await runOnce(each, strategy, seconds));
    }
    printCase(each, runs);
  }
  if (json !== undefined)
    writeFileSync(json, `${JSON.stringify({ node: process.version, seconds, rounds, runs }, null, 2)}\n`);
  const failed = runs.reduce((sum, { load }) => sum + load.failed, 0);
  const held = runs.reduce((sum, { server }) => sum + server.liveLeases, 0);
  if (failed + held > 0) console.error(`${failed} requests failed, ${held} leases were not released`);
  return failed + held > 0 ? 1 : 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(error instanceof UsageError ? `${error.message}\n\n${USAGE}` : error);
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
