/**
 * Rounds of random programs, and what becomes of a finding: it is shrunk, and
 * written as a program that runs by itself.
 */

import { setImmediate } from "node:timers/promises";
import type { RevokeMode } from "cleanslab";
import fc from "fast-check";
import { Finding } from "./finding.js";
import { type Program, programs, type Reaction, type Step } from "./program.js";
import { emptyTally, runProgram, type Tally } from "./steps.js";
import { Transcript } from "./transcript.js";
import type { WorldOptions } from "./world.js";

export interface Round {
  readonly mode: RevokeMode;
  readonly seed: number;
  /** Programs in the round. */
  readonly runs: number;
  readonly maxSteps: number;
  readonly reactions: readonly Reaction[];
  /** Whether someone writes over the bookkeeping. */
  readonly hostile: boolean;
  /** Counts what was done, by kind. */
  readonly tally: Tally;
  readonly world: Pick<WorldOptions, "checkEvery" | "create">;
  /** Called before each program, of the shrinking too. */
  readonly onProgram?: () => void;
  /** Called with what was found, before it is shrunk. */
  readonly onFinding?: (message: string) => void;
}

/** A program after which the arena is not as the model says. */
export interface Found {
  readonly program: Program;
  readonly finding: Finding;
  /** A module of plain JavaScript that shows it, with nothing but the library. */
  readonly source: string;
}

/** Runs a round; the shortest program that fails, if any does. */
export async function fuzz(round: Round): Promise<Found | null> {
  const property = fc.asyncProperty(programs(round.mode, round), async (program) => {
    round.onProgram?.();
    await runProgram(program, round.world, round.tally);
    // A job of its own for each, so that what one leaves behind can be collected.
    await setImmediate();
  });
  const result = await fc.check(property, { seed: round.seed, numRuns: round.runs, endOnFailure: true });
  if (result.counterexample === null) return null;
  const [program] = result.counterexample;
  const { message } = (await findingOf(program, round.world)) ?? {};
  if (message === undefined) throw new Error("a program failed only once: what it found depends on the collector");
  round.onFinding?.(message);
  const findsAlike = async (candidate: Program, world: Round["world"]): Promise<boolean> => {
    round.onProgram?.();
    const found = await findingOf(candidate, world);
    return found !== null && kindOf(found.message) === kindOf(message);
  };
  const shorter = await shrink(program, (candidate) => findsAlike(candidate, round.world));
  // Checked after each step, what is wrong is seen where it goes wrong: what only led to the next check can go too.
  const closely = { ...round.world, checkEvery: 1 };
  if (!(await findsAlike(shorter, closely))) return describeFinding(shorter, round.world);
  return describeFinding(await shrink(shorter, (candidate) => findsAlike(candidate, closely)), closely);
}

/** What `program` finds, if anything. */
async function findingOf(program: Program, world: Round["world"], transcript?: Transcript): Promise<Finding | null> {
  try {
    await runProgram(program, transcript === undefined ? world : { ...world, transcript }, emptyTally());
    return null;
  } catch (error) {
    return error instanceof Finding ? error : new Finding(String((error as Error).stack));
  } finally {
    await setImmediate();
  }
}

/** A finding without its numbers: shrinking keeps to what it started with. */
function kindOf(message: string): string {
  return message.replace(/\d+/g, "#");
}

/** After this what is smallest by then is good enough: a program may take seconds. */
const SHRINK_MS = 60_000;

/**
 * Delta debugging: steps go in halves, quarters, … and one by one, then options
 * and numbers become the plainest that still fail, until nothing more goes.
 * fast-check's own shrinking goes through a list from the front: it took a
 * minute where this takes seconds, and left steps that no longer matter.
 */
export async function shrink(program: Program, fails: (candidate: Program) => Promise<boolean>): Promise<Program> {
  let smallest = program;
  const end = Date.now() + SHRINK_MS;
  const accept = async (candidate: Program): Promise<boolean> => {
    if (Date.now() > end || !(await fails(candidate))) return false;
    smallest = candidate;
    return true;
  };
  // What comes behind the finding goes at once: most of it has nothing to do with it.
  for (let least = 0, most = program.steps.length; least < most; ) {
    const middle = (least + most) >> 1;
    if (await accept({ ...program, steps: program.steps.slice(0, middle) })) most = middle;
    else least = middle + 1;
  }
  for (let before: Program | undefined; before !== smallest; ) {
    before = smallest;
    for (let length = Math.ceil(smallest.steps.length / 2); length >= 1; length >>= 1) {
      for (let from = 0; from < smallest.steps.length; ) {
        const { steps } = smallest;
        const rest = [...steps.slice(0, from), ...steps.slice(from + length)];
        if (!(await accept({ ...smallest, steps: rest }))) from += length;
      }
    }
    for (const plainer of plainerThan(smallest)) await accept({ ...smallest, ...plainer });
    for (let at = 0; at < smallest.steps.length; at++) {
      for (const field of NUMBERS) await shrinkNumber(at, field);
    }
  }
  return smallest;

  /** Down to the least value, or else to one below which it no longer fails, by halves of what is between. */
  async function shrinkNumber(at: number, field: (typeof NUMBERS)[number]): Promise<void> {
    const step = smallest.steps[at] as Step;
    const failsWith = (value: number): Promise<boolean> =>
      accept({
        ...smallest,
        steps: smallest.steps.map((each, index) => (index === at ? { ...step, [field]: value } : each)),
      });
    const least = field === "times" ? 1 : 0;
    if (step[field] <= least || (await failsWith(least))) return;
    for (let passing = least, failing = step[field]; failing - passing > 1; ) {
      const middle = (passing + failing) >> 1;
      if (await failsWith(middle)) failing = middle;
      else passing = middle;
    }
  }
}

const NUMBERS = ["times", "way", "byteLength", "pick"] as const;

function plainerThan({ options, reaction }: Program): Partial<Program>[] {
  const plainer: Partial<Program>[] = [];
  if (reaction !== "nothing") plainer.push({ reaction: "nothing" });
  if (options.trace !== "off") plainer.push({ options: { ...options, trace: "off" } });
  if (options.guardEvery !== 0) plainer.push({ options: { ...options, guardEvery: 0 } });
  return plainer;
}

async function describeFinding(program: Program, world: Round["world"]): Promise<Found> {
  const transcript = new Transcript();
  const finding = await findingOf(program, world, transcript);
  if (finding === null) throw new Error("the shrunk program fails no more: what it found depends on the collector");
  return { program, finding, source: transcript.source(program, finding.message) };
}
