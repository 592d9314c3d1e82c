/**
 * `npm run fuzz -- [--minutes N] [--operations N] [--seed S] [--mode M …] [--hostile]`:
 * random programs of the whole public API against the model, in each mode in turn,
 * until the time is over and each mode has had its operations. In one program of
 * eleven, or with `--hostile` in all, a holder writes over the bookkeeping. What it
 * finds it shrinks and prints as a program that runs by itself; then it exits with 1.
 */

import { parseArgs } from "node:util";
import type { RevokeMode } from "cleanslab";
import { fuzz } from "./campaign.js";
import { PlannedError } from "./finding.js";
import { MODES, REACTIONS, STEP_NAMES } from "./program.js";
import { emptyTally, type Tally } from "./steps.js";
import { Watchdog } from "./watchdog.js";

/** One arena serves a program of some thousand operations: making it costs as much as a hundred. */
const MAX_STEPS = 600;
const RUNS_PER_ROUND = 10;
const HOSTILE_RUNS_PER_ROUND = 1;
const CHECK_EVERY = 200;
const COLLECT_EVERY = 5;

// Every refusal is an error with a stack that nobody reads: a third of the time. The transcript says more.
Error.stackTraceLimit = 0;
// Nor are the stacks that traced leases keep, and mapping them back to TypeScript takes a millisecond each.
process.setSourceMapsEnabled(false);

const { values } = parseArgs({
  options: {
    minutes: { type: "string" },
    operations: { type: "string" },
    seed: { type: "string" },
    mode: { type: "string", multiple: true },
    hostile: { type: "boolean", default: false },
  },
});

/** @throws Error if `value` is no number, so that a slip of the pen does not fuzz for no time at all. */
function numberOf(option: string, value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const number = Number(value);
  if (!Number.isFinite(number) || number < 0) throw new Error(`--${option} ${value}: pass a number from 0`);
  return number;
}

const seed = numberOf("seed", values.seed) ?? Date.now() % 2 ** 31;
const operations = numberOf("operations", values.operations) ?? 0;
const minutes = numberOf("minutes", values.minutes) ?? (operations > 0 ? 0 : 1);
const modes = MODES.filter((mode) => values.mode?.includes(mode) ?? true);
if (modes.length === 0) throw new Error(`--mode ${values.mode}: pass ${MODES.join(", ")}`);

// What listeners throw on purpose comes here; anything else ends the process as ever.
process.on("uncaughtException", (error) => {
  if (error instanceof PlannedError) return;
  console.error(error);
  process.exit(2);
});

const watchdog = new Watchdog();
const tallies = new Map<RevokeMode, Tally>(modes.map((mode) => [mode, emptyTally()]));
const seconds = new Map<RevokeMode, number>(modes.map((mode) => [mode, 0]));

function doneIn(mode: RevokeMode): number {
  return Object.values(tallies.get(mode) ?? {}).reduce((sum, count) => sum + count, 0);
}

/** Sound programs, then hostile ones; false if one of them found anything. */
async function runRound(mode: RevokeMode, round: number): Promise<boolean> {
  const roundSeed = (seed + round) % 2 ** 31;
  const isSound =
    (values.hostile || (await runPrograms(mode, roundSeed, RUNS_PER_ROUND, false))) &&
    (await runPrograms(mode, roundSeed, values.hostile ? RUNS_PER_ROUND : HOSTILE_RUNS_PER_ROUND, true));
  // Each arena takes tens of gigabytes of addresses, of which there is an end.
  if (round % COLLECT_EVERY === 0) globalThis.gc?.();
  return isSound;
}

async function runPrograms(mode: RevokeMode, roundSeed: number, runs: number, hostile: boolean): Promise<boolean> {
  const again = `npm run fuzz -- --mode ${mode} --seed ${roundSeed} --operations 1${hostile ? " --hostile" : ""}`;
  const start = performance.now();
  const found = await fuzz({
    mode,
    seed: roundSeed,
    runs,
    maxSteps: MAX_STEPS,
    reactions: REACTIONS,
    hostile,
    tally: tallies.get(mode) ?? emptyTally(),
    world: { checkEvery: CHECK_EVERY },
    onProgram: () => watchdog.expect(again),
    onFinding: (message) => console.log(`\n${mode}: ${message}\nAgain: ${again}\nShrinking …`),
  });
  seconds.set(mode, (seconds.get(mode) ?? 0) + (performance.now() - start) / 1000);
  if (found === null) return true;
  console.log(`\n${mode}: ${found.finding.message}\n\n${found.source}\nAgain: ${again}`);
  return false;
}

function progressLine(): string {
  return modes.map((mode) => `${mode} ${(doneIn(mode) / 1e6).toFixed(2)} M`).join("   ");
}

function report(): string {
  const row = (name: string, of: (mode: RevokeMode) => number): string =>
    name.padEnd(14) + modes.map((mode) => of(mode).toLocaleString("en").padStart(16)).join("");
  return [
    "operations".padEnd(14) + modes.map((mode) => mode.padStart(16)).join(""),
    ...STEP_NAMES.map((name) => row(name, (mode) => tallies.get(mode)?.[name] ?? 0)),
    row("all", doneIn),
    row("a second", (mode) => Math.round(doneIn(mode) / (seconds.get(mode) || 1))),
  ].join("\n");
}

const end = Date.now() + minutes * 60_000;
const isLive = process.stdout.isTTY;
let isSound = true;
let saidAt = 0;
for (let round = 0; isSound; round++) {
  for (const mode of modes) {
    isSound &&= Date.now() < end || doneIn(mode) < operations ? await runRound(mode, round) : true;
  }
  if (Date.now() >= end && modes.every((mode) => doneIn(mode) >= operations)) break;
  if (Date.now() - saidAt < (isLive ? 500 : 30_000)) continue;
  saidAt = Date.now();
  process.stdout.write(isLive ? `\r${progressLine()}` : `${progressLine()}\n`);
}
console.log(`\n${report()}\nseed ${seed}: ${isSound ? "no finding" : "a finding, above"}`);
await watchdog.stop();
process.exitCode = isSound ? 0 : 1;
