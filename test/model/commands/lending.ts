/** Leases that end together, and blocks that stay past their lease's end. */

import { follow } from "../after.js";
import { type Held, MOST_BLOCKS, type Model, type OpenScope, removeFrom } from "../model.js";
import { byteLengths } from "../settings.js";
import type { World } from "../world.js";
import { calls, callsOn } from "./call.js";
import { expectOutcome, Later } from "./later.js";

const heldIn = ({ held }: Model): Held[] => held;
const scopesIn = ({ scopes }: Model): OpenScope[] => scopes;
const MOST_PINS = 20;
const MOST_PENDING = 6;
const MOST_SCOPES = 4;

const pin = callsOn(3, heldIn, [], {
  name: "pin",
  can: (model) => model.pins.length < MOST_PINS,
  run(world, held) {
    const name = `pin${world.next()}`;
    world.say(`const ${name} = ${held.leaseName}.pin();`);
    world.model.pins.push({ name, pin: held.lease.pin(), held });
    held.pins++;
  },
});

const unpin = callsOn(4, ({ pins }) => pins, [], {
  name: "unpin",
  run(world, each) {
    removeFrom(world.model.pins, each);
    world.unpin(each);
    world.refused(`${each.name}.release()`, () => each.pin.release(), "ERR_LEASE_RELEASED");
  },
});

const releaseAfter = callsOn(2, heldIn, [], {
  name: "releaseAfter",
  can: (model) => model.pending.length < MOST_PENDING,
  run(world, held) {
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

const acquireInScope = callsOn(3, scopesIn, [byteLengths], {
  name: "acquireInScope",
  can: (model) => model.blocks.length < MOST_BLOCKS,
  run(world, { name, scope, leases }, byteLength) {
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

const releaseScope = callsOn(1, scopesIn, [], {
  name: "releaseScope",
  run(world, open) {
    endScope(world, open);
    const { name, scope } = open;
    world.refused(`${name}.acquire(1)`, () => scope.acquire(1), "ERR_LEASE_RELEASED");
    world.refused(`${name}.release()`, () => scope.release(), "ERR_LEASE_RELEASED");
  },
});

export const lendingCommands = [pin, unpin, releaseAfter, openScope, acquireInScope, releaseScope];
