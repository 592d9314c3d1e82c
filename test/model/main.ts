/**
 * `npm run fuzz -- [--mode M …] [--operations N] [--minutes M] [--seed S] [--replay R]`: the
 * programs of arena.test.ts, longer ones, in each mode in turn, until the time is over and each
 * mode has had its operations. Prints what it did. What fails is shrunk and printed as a
 * program that runs by itself, with the line that repeats it; then it exits with 1.
 */

import type { RevokeMode } from "cleanslab";
import { Command, InvalidArgumentError, Option } from "commander";
import { repeatedly, runRound } from "./program.js";
import type { Tally } from "./world.js";

const MODES: readonly RevokeMode[] = ["before-reuse", "on-release", "never"];
/** Making an arena costs as much as some twenty commands. */
const ROUND = { programs: 10, maxCommands: 1000 };
const SAY_EVERY_MS = 30_000;

const positive = (text: string): number => {
  const value = Number(text);
  if (!Number.isFinite(value) || value < 0) throw new InvalidArgumentError("Pass a number from 0.");
  return value;
};

const options = new Command("fuzz")
  .description("random programs of the whole API against a plain model")
  .addOption(new Option("--mode <mode...>", "revocation modes").choices(MODES).default(MODES))
  .option("--operations <n>", "in each mode, at least", positive, 0)
  .option("--minutes <n>", "in all, at least; 1 if no operations are given", positive)
  .option("--seed <n>", "of the first round", positive, Date.now() % 2 ** 31)
  .option("--replay <found>", "what an earlier run printed; needs its --mode")
  .parse()
  .opts<{ mode: RevokeMode[]; operations: number; minutes?: number; seed: number; replay?: string }>();

const tallies = new Map(options.mode.map((mode) => [mode, {} as Tally]));
const seconds = new Map(options.mode.map((mode) => [mode, 0]));

function doneIn(mode: RevokeMode): number {
  return Object.values(tallies.get(mode) ?? {}).reduce((sum, count) => sum + count, 0);
}

/** Whether a round found nothing. */
async function isSoundIn(mode: RevokeMode, seed: number, replay: string[] = []): Promise<boolean> {
  const [, path, replayPath] = replay;
  const start = performance.now();
  const round = { mode, seed, ...ROUND, tally: tallies.get(mode) ?? {} };
  const failure =
    path === undefined || replayPath === undefined
      ? await runRound(round)
      : await repeatedly(() => runRound({ ...round, path, replayPath }));
  seconds.set(mode, (seconds.get(mode) ?? 0) + (performance.now() - start) / 1000);
  if (failure === undefined) return true;
  console.log(`\n${mode}: ${failure.message}\n\n${failure.source}\n`);
  console.log(`Again: npm run fuzz -- --mode ${mode} --replay '${failure.replay}'`);
  return false;
}

/** Rounds in each mode in turn, until there were enough. */
async function fuzz(): Promise<boolean> {
  const minutes = options.minutes ?? (options.operations > 0 ? 0 : 1);
  const end = performance.now() + minutes * 60_000;
  const isDue = (mode: RevokeMode): boolean => performance.now() < end || doneIn(mode) < options.operations;
  let saidAt = performance.now();
  for (let round = 0; options.mode.some(isDue); round++) {
    for (const mode of options.mode.filter(isDue)) {
      if (!(await isSoundIn(mode, (options.seed + round) % 2 ** 31))) return false;
    }
    if (performance.now() - saidAt < SAY_EVERY_MS) continue;
    saidAt = performance.now();
    console.log(options.mode.map((mode) => `${mode} ${doneIn(mode).toLocaleString("en")}`).join("   "));
  }
  return true;
}

function report(): string {
  const names = [...new Set([...tallies.values()].flatMap((tally) => Object.keys(tally)))].sort();
  const row = (name: string, of: (mode: RevokeMode) => number): string =>
    name.padEnd(20) + options.mode.map((mode) => of(mode).toLocaleString("en").padStart(16)).join("");
  return [
    "operations".padEnd(20) + options.mode.map((mode) => mode.padStart(16)).join(""),
    ...names.map((name) => row(name, (mode) => tallies.get(mode)?.[name] ?? 0)),
    row("all", doneIn),
    row("a second", (mode) => Math.round(doneIn(mode) / (seconds.get(mode) || 1))),
  ].join("\n");
}

console.log(`seed ${options.seed}`);
const replay = options.replay?.split(";");
const isSound =
  replay === undefined ? await fuzz() : await isSoundIn(options.mode[0] ?? "before-reuse", Number(replay[0]), replay);
console.log(`\n${report()}\nseed ${replay?.[0] ?? options.seed}: ${isSound ? "no finding" : "a finding, above"}`);
process.exitCode = isSound ? 0 : 1;
