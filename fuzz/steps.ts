/**
 * Runs programs: each step by the one who knows it, in steps/, then everything is
 * given back, and at last nothing may be left. Everything is done through the
 * public API, by calls that are also said to the transcript.
 */

import { ArenaError } from "cleanslab";
import { type Program, STEP_NAMES, type StepName } from "./program.js";
import { badArgument, check, collect, dispose, setTrace, trim } from "./steps/arena.js";
import { acquire, copy, leak, release, useEnded, view } from "./steps/leases.js";
import { pin, releaseAfter, settle, unpin, unpinOnce, use } from "./steps/lending.js";
import { acquireInScope, closeScope } from "./steps/scopes.js";
import type { Perform } from "./steps/step.js";
import { abort, acquireAsync } from "./steps/waiting.js";
import { write } from "./steps/writers.js";
import { bufferWrite, damage, staleWrite } from "./steps/writes.js";
import { World, type WorldOptions } from "./world.js";

const performers: Record<StepName, Perform> = {
  acquire,
  acquireInScope,
  acquireAsync,
  abort,
  use,
  settle,
  release,
  pin,
  unpin,
  releaseAfter,
  closeScope,
  view,
  copy,
  write,
  staleWrite,
  bufferWrite,
  damage,
  useEnded,
  badArgument,
  setTrace,
  trim,
  check,
  leak,
  collect,
  dispose,
};

/** How many operations of each kind were done. */
export type Tally = Record<StepName, number>;

export function emptyTally(): Tally {
  return Object.fromEntries(STEP_NAMES.map((name) => [name, 0])) as Tally;
}

/** Runs `program`, and releases everything in the end. Throws a `Finding`. */
export async function runProgram(program: Program, options: WorldOptions, tally: Tally): Promise<void> {
  const world = new World(program, options);
  for (const step of program.steps) {
    // A listener may have disposed the arena in a job of its own, after the step before was settled.
    if (world.disposed) await world.reopen();
    const perform = performers[step.do];
    const before = world.operations;
    for (let count = step.times; count > 0; count--) {
      const done = perform(world, step);
      if (done instanceof Promise) await done;
      if (world.disposed) break;
    }
    tally[step.do] += world.operations - before;
    await world.settle();
  }
  await finish(world);
}

/** Everything is given back, whoever still waits is served, and nothing is left but what leaked. */
async function finish(world: World): Promise<void> {
  const any = { do: "check", way: 0, byteLength: 0, pick: 0, times: 1 } as const;
  while (world.live.length > 0 || world.waiting.length > 0) {
    if (world.disposed) await world.reopen();
    const before = world.operations;
    while (world.pending.length > 0) await settle(world, any);
    while (world.scopes.length > 0) closeScope(world, any);
    for (const live of [...world.live]) {
      while (live.pins.length > 0) unpinOnce(world, live);
    }
    for (let live = world.live[0]; live !== undefined && !world.disposed; live = world.live[0]) {
      release(world, { ...any, pick: world.live.indexOf(live) });
    }
    await world.settle();
    // Leases leaked in segments that other leases hold may take all the room there is.
    if (world.operations === before && world.live.length === 0) break;
  }
  if (world.disposed) await world.reopen();
  world.check();
  if (world.leaked === 0) expectNothingLeft(world);
  await world.close();
}

/** Nothing is reserved once all is trimmed, and of what was damaged nothing is left: the arena is as good as new. */
function expectNothingLeft(world: World): void {
  const { arena } = world;
  world.attempt("", "arena.trim()", () => arena.trim());
  const { reservedBytes } = arena.stats();
  if (reservedBytes > 0) {
    throw world.found(
      `${reservedBytes} bytes are reserved after all was released and trimmed`,
      "assert.equal(arena.stats().reservedBytes, 0)",
    );
  }
  world.damaged.clear();
  const serial = world.nextSerial();
  const lease = world.attempt(`lease${serial}`, "arena.acquire(1000)", () => arena.acquire(1000), world.refusals);
  if (lease instanceof ArenaError) throw world.found("no room though nothing is reserved", "arena.acquire(1000)");
  world.adopt(serial, 1000, lease);
  world.check();
}
