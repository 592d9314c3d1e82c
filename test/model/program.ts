/** Random programs: what they are made of, one run of one, and what becomes of one that fails. */

import { setImmediate } from "node:timers/promises";
import type { RevokeMode } from "cleanslab";
import fc from "fast-check";
import { arenaCommands, endProgram } from "./commands/arena.js";
import { bytesCommands } from "./commands/bytes.js";
import type { Command } from "./commands/call.js";
import { filledCommands } from "./commands/filled.js";
import { leaseCommands } from "./commands/leases.js";
import { lendingCommands } from "./commands/lending.js";
import { waitingCommands } from "./commands/waiting.js";
import { writeCommands } from "./commands/writes.js";
import { type Settings, settings } from "./settings.js";
import { type CreateArena, type Tally, World } from "./world.js";

/** In a program, at most. */
const COMMANDS = 500;
/** In a round. */
const PROGRAMS = 10;
/** Different places for the first block of a memory. */
export const STAGGERS = 64;

export interface Round {
  readonly mode: RevokeMode;
  readonly seed: number;
  /** Of an earlier finding: which program of the round. */
  readonly path?: string | undefined;
  /** Counts the commands done. */
  readonly tally: Tally;
  /** For tests of these tests: makes arenas that are broken on purpose. */
  readonly create?: CreateArena;
}

export interface Failure {
  readonly message: string;
  /** The shortened program: a module of plain JavaScript that fails by itself. */
  readonly source: string;
  /** Commands in it. */
  readonly commands: number;
  /** For `npm run fuzz -- --replay`. */
  readonly replay: string;
}

const any: fc.Arbitrary<Command> = fc.oneof(
  ...leaseCommands,
  ...filledCommands,
  ...lendingCommands,
  ...bytesCommands,
  ...waitingCommands,
  ...writeCommands,
  ...arenaCommands,
);

export function anyCommands(maxCommands = COMMANDS): fc.Arbitrary<Iterable<Command>> {
  return fc.commands([any], { size: "max", maxCommands });
}

/** Runs a round of programs. `undefined` if none failed. */
export async function runRound({ mode, seed, path, tally, create }: Round): Promise<Failure | undefined> {
  const property = fc.asyncProperty(settings(mode), anyCommands(), async (options, list) => {
    await run(options, list, tally, create);
  });
  // What fails is shortened here: fast-check goes through a list once, from the front, and keeps to no kind of fault.
  const parameters = { seed, numRuns: PROGRAMS, endOnFailure: true, ...(path === undefined ? {} : { path }) };
  const { counterexample, counterexamplePath, errorInstance } = await fc.check(property, parameters);
  if (counterexample === null) return undefined;
  const [options, list] = counterexample;
  const failure = await describe(options, [...list], create);
  const once = {
    message: `${String(errorInstance)}, in one run only`,
    source: String(list),
    commands: [...list].length,
  };
  return { ...(failure ?? once), replay: `${seed};${counterexamplePath}` };
}

/** Runs one program to its end, where everything is released. What was said there. */
async function run(
  options: Settings,
  commands: Iterable<Command>,
  tally: Tally,
  create?: CreateArena,
): Promise<string[]> {
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

/** What a program fails with, if it does. */
type Fault = Error & { readonly assertion?: string; readonly last?: readonly string[] };

/** The calls of a program that has run just now, as code; at its end `lines`. */
function sourceOf(options: Settings, commands: readonly Command[], lines: readonly string[]): string {
  const calls = [...commands.map(String).filter((code) => !code.startsWith("//")), ...lines].join("\n");
  const waits = calls.includes("await settled();") ? "const settled = () => new Promise(setImmediate);\n" : "";
  return (
    'import assert from "node:assert/strict";\nimport { Arena } from "cleanslab";\n\n' +
    `const options = ${JSON.stringify(options)};\nlet arena = new Arena(options);\n${waits}${calls}`
  );
}

/** A program as code. Rejects with what it fails with. */
export async function transcriptOf(
  options: Settings,
  commands: Iterable<Command>,
  create?: CreateArena,
): Promise<string> {
  const listed = [...commands];
  return sourceOf(options, listed, await run(options, listed, {}, create));
}

/** A message without its numbers: shortening keeps to what it started with. */
export function kindOf(fault: Error | undefined): string | undefined {
  return fault?.message.replace(/\d+/g, "#");
}

/** Leaves out of a list what can go: halves of it, quarters, and in the end single ones. */
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

/** The shortest program with the plainest options that fails alike; `undefined` if it does not fail again. */
async function describe(
  found: Settings,
  commands: readonly Command[],
  create: CreateArena | undefined,
): Promise<Omit<Failure, "replay"> | undefined> {
  const faultOf = (options: Settings, list: readonly Command[]): Promise<Fault | undefined> =>
    run(options, list, {}, create).then(
      () => undefined,
      (error: Fault) => error,
    );
  // The library counts on from one memory to the next to place the blocks of neighbours differently:
  // what depends on the place may show in one run of these.
  const anyFaultOf = async (options: Settings, list: readonly Command[]): Promise<Fault | undefined> => {
    let fault: Fault | undefined;
    for (let each = 0; each < STAGGERS && fault === undefined; each++) fault = await faultOf(options, list);
    return fault;
  };
  const kind = kindOf(await anyFaultOf(found, commands));
  const failsAlike = async (options: Settings, list: readonly Command[]): Promise<boolean> =>
    kind !== undefined && kindOf(await faultOf(options, list)) === kind;
  let options = found;
  const plain = { trace: "off", guardEvery: 0, wipeOnRelease: false, onExhausted: "allocate" } as const;
  for (const [name, value] of Object.entries(plain)) {
    const plainer = { ...options, [name]: value };
    if (await failsAlike(plainer, commands)) options = plainer;
  }
  const shortest = await shorten(commands, (candidate) => failsAlike(options, candidate));
  const fault = await anyFaultOf(options, shortest);
  if (fault === undefined) return undefined;
  const last = fault.last ?? [];
  // Of a command that failed, the list says it already.
  const end = shortest.at(-1)?.toString() === last.join("\n") ? [] : last;
  const lines = [...end, `// ${fault.message}`, ...(fault.assertion === undefined ? [] : [fault.assertion])];
  return { message: fault.message, source: sourceOf(options, shortest, lines), commands: shortest.length };
}
