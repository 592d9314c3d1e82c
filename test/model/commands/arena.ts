/** What is done with an arena as a whole. */

import fc from "fast-check";
import { afterCommand, expectAll, microtasks } from "../after.js";
import { expectCode, expectValue, Finding } from "../checks.js";
import type { Model } from "../model.js";
import type { Settings } from "../settings.js";
import type { World } from "../world.js";
import { dropFiller, releaseWriter } from "./bytes.js";
import { calls } from "./call.js";
import { endScope } from "./lending.js";

const trim = calls(2, [], {
  name: "trim",
  run(world) {
    trimmed(world);
  },
});

function trimmed(world: World): void {
  const { arena, model } = world;
  world.say("arena.trim();");
  const before = arena.stats().reservedBytes;
  const dropped = arena.trim();
  const { reservedBytes } = arena.stats();
  if (before - dropped !== reservedBytes) throw new Finding(`trim said ${dropped}: from ${before} to ${reservedBytes}`);
  if (model.liveLeases === 0) expectValue("arena.stats().reservedBytes", reservedBytes, 0);
}

const audit = calls(1, [], {
  name: "audit",
  run(world) {
    world.say("arena.audit();");
    expectAll(world);
  },
});

const setTrace = calls(1, [fc.constantFrom<Settings["trace"][]>("off", "off", "sampled", "all")], {
  name: "setTrace",
  run(world, level) {
    world.say(`arena.trace = "${level}";`);
    world.arena.trace = level;
    world.trace = level;
  },
});

/** Every view is dead, every call is refused, and another arena takes its place. */
const dispose = calls(1, [fc.nat(4)], {
  name: "dispose",
  async run(world, not) {
    if (not > 0) return;
    world.say("arena[Symbol.dispose]();");
    world.arena[Symbol.dispose]();
    await expectDisposed(world, world.model);
    world.restart();
  },
});

async function expectDisposed(world: World, model: Model): Promise<void> {
  const { arena } = world;
  for (const { name, bytes } of [...model.blocks, ...model.writers, ...(model.revokes ? model.stale : [])]) {
    expectValue(`${name}.length`, bytes.length, 0);
  }
  for (const { lease, leaseName } of model.held.slice(-3)) {
    world.refused(`${leaseName}.bytes`, () => lease.bytes, "ERR_ARENA_DISPOSED");
    world.refused(`${leaseName}.release()`, () => lease.release(), "ERR_ARENA_DISPOSED");
  }
  world.refused("arena.acquire(1)", () => arena.acquire(1), "ERR_ARENA_DISPOSED");
  world.refused("arena.trim()", () => arena.trim(), "ERR_ARENA_DISPOSED");
  const { liveLeases, reservedBytes } = arena.stats();
  expectValue("arena.stats().reservedBytes", liveLeases + reservedBytes, 0);
  for (const { pin } of model.pins) pin.release();
  for (const pending of model.pending) await pending.settle(true, true);
  await microtasks();
  for (const { name, outcome } of model.waiting) {
    if (outcome.state !== "rejected") throw new Finding(`${name} is ${outcome.state} after dispose`);
    expectCode(outcome.reason, "ERR_ARENA_DISPOSED");
  }
  for (const { name, outcome } of model.drains) {
    if (outcome.state !== "fulfilled") throw new Finding(`${name} is ${outcome.state} after dispose`);
  }
}

/** Releases everything: then nothing is out, nobody waits, and no memory is kept. */
export async function endProgram(world: World): Promise<void> {
  const { model } = world;
  world.lines = [];
  while (model.liveLeases + model.scopes.length > 0) {
    for (const pending of model.pending.splice(0)) {
      await pending.settle(true, false);
      await afterCommand(world);
    }
    for (const scope of [...model.scopes]) endScope(world, scope);
    for (const writing of [...model.writers]) releaseWriter(world, writing);
    for (const filling of [...model.fillers]) dropFiller(world, filling);
    for (const held of [...model.held]) world.release(held);
    for (const each of model.pins.splice(0)) world.unpin(each);
    await afterCommand(world);
  }
  expectAll(world);
  trimmed(world);
  await afterCommand(world);
  world.say("arena[Symbol.dispose]();");
  world.arena[Symbol.dispose]();
}

export const arenaCommands = [trim, audit, setTrace, dispose];
