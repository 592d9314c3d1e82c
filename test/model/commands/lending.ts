/** Leases that end together, and blocks that stay past their lease's end. */

import { follow } from "../after.js";
import { type Held, type HeldPin, MOST_BLOCKS, type Model, type OpenScope, picked, removeFrom } from "../model.js";
import { byteLengths, pick } from "../settings.js";
import type { World } from "../world.js";
import { calls } from "./call.js";
import { expectOutcome, Later } from "./later.js";

const hasLease = (model: Model): boolean => model.held.length > 0;
const MOST_PINS = 20;
const MOST_PENDING = 6;
const MOST_SCOPES = 4;

const pin = calls(3, [pick], {
  name: "pin",
  can: (model) => hasLease(model) && model.pins.length < MOST_PINS,
  run(world, index) {
    const held = picked(world.model.held, index) as Held;
    const name = `pin${world.next()}`;
    world.say(`const ${name} = ${held.leaseName}.pin();`);
    world.model.pins.push({ name, pin: held.lease.pin(), held });
    held.pins++;
  },
});

const unpin = calls(4, [pick], {
  name: "unpin",
  can: (model) => model.pins.length > 0,
  run(world, index) {
    const each = picked(world.model.pins, index) as HeldPin;
    removeFrom(world.model.pins, each);
    world.unpin(each);
    world.refused(`${each.name}.release()`, () => each.pin.release(), "ERR_LEASE_RELEASED");
  },
});

const releaseAfter = calls(2, [pick], {
  name: "releaseAfter",
  can: (model) => hasLease(model) && model.pending.length < MOST_PENDING,
  run(world, index) {
    const held = picked(world.model.held, index) as Held;
    const name = `after${world.next()}`;
    const later = new Later<string>(world);
    world.say(`const ${name} = ${held.leaseName}.releaseAfter(${later.code});\n${name}.catch(() => {});`);
    const outcome = follow(held.lease.releaseAfter(later.promise));
    held.pins++;
    world.ended(held);
    world.model.pending.push({
      name,
      async settle(isFulfilled, isDisposed) {
        await later.settle(world, isFulfilled, "mine");
        world.say(`await ${name}.catch(() => {});`);
        if (!isDisposed) world.unpinned(held);
        expectOutcome(name, outcome, isFulfilled, "mine");
      },
    });
  },
});

const openScope = calls(1, [], {
  name: "scope",
  can: (model) => model.scopes.length < MOST_SCOPES,
  run(world) {
    const name = `scope${world.next()}`;
    world.say(`const ${name} = arena.scope();`);
    world.model.scopes.push({ name, scope: world.arena.scope(), leases: [], ended: false });
  },
});

const acquireInScope = calls(3, [byteLengths, pick], {
  name: "acquireInScope",
  can: (model) => model.scopes.length > 0 && model.blocks.length < MOST_BLOCKS,
  run(world, byteLength, index) {
    const { name, scope, leases } = picked(world.model.scopes, index) as OpenScope;
    const held = world.obtain(`${name}.acquire(${byteLength})`, byteLength, () => scope.acquire(byteLength));
    if (held !== undefined) leases.push(held);
  },
});

/** Releases what is left of the scope's leases. */
export function endScope(world: World, open: OpenScope): void {
  const { name, scope, leases } = open;
  world.say(`${name}.release();`);
  scope.release();
  open.ended = true;
  removeFrom(world.model.scopes, open);
  for (const held of leases) if (!held.hasEnded) world.ended(held);
}

const releaseScope = calls(1, [pick], {
  name: "releaseScope",
  can: (model) => model.scopes.length > 0,
  run(world, index) {
    const open = picked(world.model.scopes, index) as OpenScope;
    endScope(world, open);
    const { name, scope } = open;
    world.refused(`${name}.acquire(1)`, () => scope.acquire(1), "ERR_LEASE_RELEASED");
    world.refused(`${name}.release()`, () => scope.release(), "ERR_LEASE_RELEASED");
  },
});

export const lendingCommands = [pin, unpin, releaseAfter, openScope, acquireInScope, releaseScope];
