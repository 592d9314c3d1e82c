/** Leases that are waited for, and waiting that is given up. */

import { ArenaError } from "cleanslab";
import { PlannedError } from "../finding.js";
import { STEPS, type Step } from "../program.js";
import type { World } from "../world.js";
import { pickFrom } from "./step.js";

export async function acquireAsync(world: World, { way, byteLength }: Step): Promise<void> {
  const serial = world.nextSerial();
  const { arena } = world;
  const how = STEPS.acquireAsync[way];
  const controller = how === "without signal" ? undefined : new AbortController();
  const signal = controller?.signal;
  if (controller !== undefined) world.transcript?.assign(`controller${serial}`, "new AbortController()");
  if (how === "aborted") abortNow(world, serial, controller);
  const code =
    controller === undefined
      ? `arena.acquireAsync(${byteLength})`
      : `arena.acquireAsync(${byteLength}, { signal: controller${serial}.signal })`;
  const promise = world.attempt(`promise${serial}`, code, () => arena.acquireAsync(byteLength, { signal }));
  if (promise instanceof ArenaError) return;
  world.wait({ serial, byteLength, controller, aborted: how === "aborted" }, promise);
  await world.flush();
}

function abortNow(world: World, serial: number, controller: AbortController | undefined): void {
  world.say(`controller${serial}.abort(new Error("planned"));`);
  controller?.abort(new PlannedError("an abort"));
}

export async function abort(world: World, { pick }: Step): Promise<void> {
  const waiter = pickFrom(
    world.waiting.filter(({ controller }) => controller !== undefined),
    pick,
  );
  if (waiter === undefined) return;
  waiter.aborted = true;
  world.operations++;
  abortNow(world, waiter.serial, waiter.controller);
  await world.flush();
}
