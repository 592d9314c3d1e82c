/**
 * `npm run fuzz -- [--mode M …] [--minutes M] [--seed S] [--replay R]`: the programs of
 * arena.test.ts, in each mode in turn, until the time is over. Prints what it did. What fails is
 * shortened and printed as a program that runs by itself, with the line that repeats it; then it
 * exits with 1.
 */

import type { RevokeMode } from "cleanslab";
import { Command, InvalidArgumentError, Option } from "commander";
import { runRound, STAGGERS } from "./program.js";
import type { Tally } from "./world.js";

const MODES: readonly RevokeMode[] = ["before-reuse", "on-release", "never"];

const positive = (text: string): number => {
  const value = Number(text);
  if (!Number.isFinite(value) || value < 0) throw new InvalidArgumentError("Pass a number from 0.");
  return value;
};

const options = new Command("fuzz")
  .description("random programs of the whole API against a plain model")
  .addOption(new Option("--mode <mode...>", "revocation modes").choices(MODES).default(MODES))
  .option("--minutes <n>", "in all, at least", positive, 1)
  .option("--seed <n>", "of the first round", positive, Date.now() % 2 ** 31)
  .option("--replay <found>", "what an earlier run printed; needs its --mode")
  .parse()
  .opts<{ mode: RevokeMode[]; minutes: number; seed: number; replay?: string }>();

const tallies = new Map<RevokeMode, Tally>(options.mode.map((mode) => [mode, {}]));

/** Whether a round found nothing. */
async function isSoundIn(mode: RevokeMode, seed: number, path?: string): Promise<boolean> {
  const failure = await runRound({ mode, seed, path, tally: tallies.get(mode) ?? {} });
  if (failure === undefined) return true;
  console.log(`\n${mode}: ${failure.message}\n\n${failure.source}\n`);
  console.log(`Again: npm run fuzz -- --mode ${mode} --replay '${failure.replay}'`);
  return false;
}

/** Rounds in each mode in turn, until the time is over. */
async function fuzz(): Promise<boolean> {
  const end = performance.now() + options.minutes * 60_000;
  for (let round = 0; round === 0 || performance.now() < end; round++) {
    for (const mode of options.mode) if (!(await isSoundIn(mode, (options.seed + round) % 2 ** 31))) return false;
  }
  return true;
}

/** What depends on where blocks lie may show in one run of these only. */
async function replay(seed: number, path: string | undefined): Promise<boolean> {
  for (let run = 0; run < STAGGERS; run++) {
    if (!(await isSoundIn(options.mode[0] ?? "before-reuse", seed, path))) return false;
  }
  return true;
}

console.log(`seed ${options.seed}`);
const [seed, path] = options.replay?.split(";") ?? [];
const isSound = seed === undefined ? await fuzz() : await replay(Number(seed), path);
const done: Record<string, Partial<Record<RevokeMode, number>>> = {};
for (const [mode, tally] of tallies) {
  for (const [name, count] of Object.entries(tally)) done[name] = { ...done[name], [mode]: count };
}
console.table(done);
console.log(`seed ${seed ?? options.seed}: ${isSound ? "no finding" : "a finding, above"}`);
process.exitCode = isSound ? 0 : 1;
