/** What is done to the arena as a whole: settings, bad arguments, checks, trimming, collecting, its end. */

import { setImmediate } from "node:timers/promises";
import { type Arena, ArenaError, type ArenaErrorCode } from "cleanslab";
import { expectMarked } from "../checks.js";
import { STEPS, type Step } from "../program.js";
import type { World } from "../world.js";
import { pickFrom, pickHeld } from "./step.js";

/** From now on; leases that are out keep the level they have. */
export function setTrace(world: World, { way }: Step): void {
  const level = STEPS.setTrace[way] ?? "off";
  const { arena } = world;
  world.attempt("", `arena.trace = "${level}"`, () => {
    arena.trace = level;
  });
  if (arena.trace !== level) throw world.found("trace is not as it was set", `assert.equal(arena.trace, "${level}")`);
}

/** A value of the wrong type, where the types would not let it through. */
function wrong<T>(value: unknown): T {
  return value as T;
}

const BAD_CALLS: readonly (readonly [string, (arena: Arena) => unknown, ArenaErrorCode])[] = [
  ["arena.acquire(-1)", (arena) => arena.acquire(-1), "ERR_INVALID_ARGUMENT"],
  ["arena.acquire(1.5)", (arena) => arena.acquire(1.5), "ERR_INVALID_ARGUMENT"],
  ["arena.acquire(2 ** 32)", (arena) => arena.acquire(2 ** 32), "ERR_INVALID_ARGUMENT"],
  ['arena.acquire("1")', (arena) => arena.acquire(wrong("1")), "ERR_INVALID_ARGUMENT"],
  ["arena.pool(NaN)", (arena) => arena.pool(Number.NaN), "ERR_INVALID_ARGUMENT"],
  ["arena.copyOf([1])", (arena) => arena.copyOf(wrong([1])), "ERR_INVALID_ARGUMENT"],
  ["arena.use(1, null)", (arena) => arena.use(1, wrong(null)), "ERR_INVALID_ARGUMENT"],
  ["arena.scope().acquire({})", (arena) => arena.scope().acquire(wrong({})), "ERR_INVALID_ARGUMENT"],
  ["arena.writer(-1)", (arena) => arena.writer(-1), "ERR_INVALID_ARGUMENT"],
  [
    '(arena.trace = "some")',
    (arena) => {
      arena.trace = wrong("some");
    },
    "ERR_INVALID_ARGUMENT",
  ],
];

export function badArgument(world: World, { pick }: Step): void {
  const bad = pickFrom(BAD_CALLS, pick);
  if (bad === undefined) return;
  const [code, call, expected] = bad;
  world.refuses(code, () => call(world.arena), expected);
  const live = pickHeld(world, pick);
  const { lease, serial, byteLength } = live ?? {};
  if (live === undefined || lease === undefined || byteLength === undefined) return;
  const written = byteLength + 1;
  const release = () => lease.release({ written });
  world.refuses(`lease${serial}.release({ written: ${written} })`, release, "ERR_INVALID_ARGUMENT");
  expectMarked(world, live);
}

export async function trim(world: World): Promise<void> {
  const { arena } = world;
  const before = arena.stats().reservedBytes;
  const trimmed = world.attempt("", "arena.trim()", () => arena.trim());
  if (!(trimmed instanceof ArenaError) && trimmed > before) {
    throw world.found(`trimmed ${trimmed} of ${before} bytes`);
  }
  for (const live of world.live) expectMarked(world, live);
  await world.flush();
}

export async function check(world: World): Promise<void> {
  world.operations++;
  await world.flush();
  if (world.disposed) return;
  world.check();
  const { arena } = world;
  if (world.arena.stats().liveLeases === 0) world.attempt("", "arena.assertDrained()", () => arena.assertDrained());
  else world.refuses("arena.assertDrained()", () => arena.assertDrained(), "ERR_LEASES_OUTSTANDING");
}

export async function collect(world: World): Promise<void> {
  world.operations++;
  world.say("await collect();");
  await setImmediate();
  globalThis.gc?.();
  await setImmediate();
  await world.flush();
  if (!world.disposed) world.check();
}

export async function dispose(world: World): Promise<void> {
  world.operations++;
  await world.reopen();
}
