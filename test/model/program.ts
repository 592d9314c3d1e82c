/** Random programs: what they are made of, one run of one, and what becomes of one that fails. */

import { setImmediate } from "node:timers/promises";
import type { RevokeMode } from "cleanslab";
import fc from "fast-check";
import { arenaCommands, endProgram } from "./commands/arena.js";
import { bytesCommands } from "./commands/bytes.js";
import { filledCommands } from "./commands/filled.js";
import { leaseCommands } from "./commands/leases.js";
import { lendingCommands } from "./commands/lending.js";
import { waitingCommands } from "./commands/waiting.js";
import { writeCommands } from "./commands/writes.js";
import type { Model } from "./model.js";
import { type Settings, settings } from "./settings.js";
import { type CreateArena, type Tally, World } from "./world.js";

type Commands = Iterable<fc.AsyncCommand<Model, World>>;

export interface Round {
  readonly mode: RevokeMode;
  readonly seed: number;
  readonly programs: number;
  /** Commands in a program, at most. */
  readonly maxCommands: number;
  /** Counts the commands done. */
  readonly tally: Tally;
  /** Of an earlier finding: which program, and which of its commands. */
  readonly path?: string;
  readonly replayPath?: string;
  /** For tests of these tests: makes arenas that are broken on purpose. */
  readonly create?: CreateArena;
}

export interface Failure {
  readonly message: string;
  /** The shrunk program: a module of plain JavaScript that fails by itself. */
  readonly source: string;
  /** Commands in it. */
  readonly commands: number;
  /** For `npm run fuzz -- --replay`. */
  readonly replay: string;
}

const any = fc.oneof(
  ...(leaseCommands as fc.WeightedArbitrary<fc.AsyncCommand<Model, World>>[]),
  ...filledCommands,
  ...lendingCommands,
  ...bytesCommands,
  ...waitingCommands,
  ...writeCommands,
  ...arenaCommands,
);

export function anyCommands(constraints: fc.CommandsContraints): fc.Arbitrary<Commands> {
  return fc.commands([any], { size: "max", ...constraints });
}

/** Shrinking goes on for so long: a long program takes a second. */
const SHRINK_MS = 60_000;
/** Different places for the first block of a memory. */
const STAGGERS = 64;

/** Runs a round of programs. `undefined` if none failed. */
export async function runRound(round: Round): Promise<Failure | undefined> {
  const { mode, seed, programs: numRuns, path, replayPath, maxCommands, tally, create } = round;
  const commands = anyCommands({ maxCommands, ...(replayPath === undefined ? {} : { replayPath }) });
  let failedAt = 0;
  const property = fc.asyncProperty(settings(mode), commands, async (options, list) => {
    // What is smallest by then is good enough.
    if (failedAt > 0 && performance.now() > failedAt + SHRINK_MS) return;
    try {
      await run(options, list, failedAt > 0 ? {} : tally, create);
    } catch (error) {
      failedAt ||= performance.now();
      throw error;
    }
  });
  const details = await fc.check(property, { seed, numRuns, ...(path === undefined ? {} : { path }) });
  if (details.counterexample === null) return undefined;
  const [options, list] = details.counterexample;
  const commandsRun = String(list);
  const [, replayed] = /replayPath="([^"]*)"/.exec(commandsRun) ?? [];
  const replay = `${seed};${details.counterexamplePath};${replayed}`;
  const shrunk = await describe(options, [...list], create, replay);
  const message = `${String(details.errorInstance)}, in one run only`;
  return shrunk ?? { message, source: commandsRun, commands: [...list].length, replay };
}

/** Runs one program to its end, where everything is released. What was said there. */
async function run(options: Settings, commands: Commands, tally: Tally, create?: CreateArena): Promise<string[]> {
  const { stackTraceLimit } = Error;
  // Every refusal is an error with a stack that nobody reads.
  Error.stackTraceLimit = 0;
  const world = new World(options, tally, create);
  try {
    await fc.asyncModelRun(() => ({ model: world.model, real: world }), commands);
    await endProgram(world);
    return world.lines;
  } catch (error) {
    throw Object.assign(error as Error, { last: world.lines });
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
    // A job of its own for each, so that what one leaves behind can be collected.
    await setImmediate();
  }
}

type Listed = readonly fc.AsyncCommand<Model, World>[];

/** What a program fails with, if it does. */
type Fault = Error & { readonly assertion?: string; readonly last?: readonly string[] };

async function faultOf(options: Settings, commands: Listed, create?: CreateArena): Promise<Fault | undefined> {
  try {
    await run(options, commands, {}, create);
    return undefined;
  } catch (error) {
    return error as Fault;
  }
}

/** The calls of a program that has run just now, as code; at its end `lines`. */
function sourceOf(options: Settings, commands: Listed, lines: readonly string[]): string {
  const calls = [...commands.map(String).filter((code) => !code.startsWith("//")), ...lines].join("\n");
  const waits = calls.includes("await settled();") ? "const settled = () => new Promise(setImmediate);\n" : "";
  return (
    'import assert from "node:assert/strict";\nimport { Arena } from "cleanslab";\n\n' +
    `const options = ${JSON.stringify(options)};\nlet arena = new Arena(options);\n${waits}${calls}`
  );
}

/** A program as code. Rejects with what it fails with. */
export async function transcriptOf(options: Settings, commands: Commands, create?: CreateArena): Promise<string> {
  const listed = [...commands];
  return sourceOf(options, listed, await run(options, listed, {}, create));
}

/** A message without its numbers: shrinking keeps to what it started with. */
export function kindOf(fault: Error | undefined): string | undefined {
  return fault?.message.replace(/\d+/g, "#");
}

/**
 * Leaves out of a list that fast-check has shrunk what still can go, in halves, quarters and
 * one by one. fast-check goes through a list once, from the front.
 */
export async function shorten<T>(
  commands: readonly T[],
  fails: (candidate: readonly T[]) => Promise<boolean>,
): Promise<readonly T[]> {
  let shortest = commands;
  for (let before: readonly T[] | undefined; before !== shortest; ) {
    before = shortest;
    for (let length = Math.ceil(shortest.length / 2); length >= 1; length >>= 1) {
      for (let from = 0; from < shortest.length; ) {
        const candidate = [...shortest.slice(0, from), ...shortest.slice(from + length)];
        if (await fails(candidate)) shortest = candidate;
        else from += length;
      }
    }
  }
  return shortest;
}

/**
 * Runs `attempt` until it finds something. The library counts on from one memory to the next to
 * place the blocks of neighbours differently: what depends on the place may show in one run of these.
 */
export async function repeatedly<T>(attempt: () => Promise<T | undefined>): Promise<T | undefined> {
  let found: T | undefined;
  for (let run = 0; run < STAGGERS && found === undefined; run++) found = await attempt();
  return found;
}

async function describe(
  found: Settings,
  commands: Listed,
  create: CreateArena | undefined,
  replay: string,
): Promise<Failure | undefined> {
  const kind = kindOf(await repeatedly(() => faultOf(found, commands, create)));
  const failsAlike = async (options: Settings, candidate: Listed): Promise<boolean> =>
    kind !== undefined && kindOf(await faultOf(options, candidate, create)) === kind;
  let options = found;
  const plain = { trace: "off", guardEvery: 0, wipeOnRelease: false, onExhausted: "allocate" } as const;
  for (const [name, value] of Object.entries(plain)) {
    const plainer = { ...options, [name]: value };
    if (await failsAlike(plainer, commands)) options = plainer;
  }
  const shortest = await shorten(commands, (candidate) => failsAlike(options, candidate));
  const fault = await repeatedly(() => faultOf(options, shortest, create));
  if (fault === undefined) return undefined;
  const last = fault.last ?? [];
  // Of a command that failed, the list says it already.
  const end = shortest.at(-1)?.toString() === last.join("\n") ? [] : last;
  const lines = [...end, `// ${fault.message}`, ...(fault.assertion === undefined ? [] : [fault.assertion])];
  return {
    message: fault.message,
    source: sourceOf(options, shortest, lines),
    commands: shortest.length,
    replay,
  };
}
