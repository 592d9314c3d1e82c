/** Leases that end together. */

import { ArenaError } from "cleanslab";
import { expectMarked, expectNoRoom } from "../checks.js";
import type { OpenScope } from "../model.js";
import { STEPS, type Step } from "../program.js";
import type { World } from "../world.js";
import { pickFrom } from "./step.js";

const SCOPES_AT_MOST = 4;

/** In a scope that is open, or a new one. */
export function acquireInScope(world: World, { way, byteLength, pick }: Step): void {
  const serial = world.nextSerial();
  const open = openScope(world, serial, pick);
  if (open === undefined) return;
  const { scope } = open;
  if (STEPS.acquireInScope[way] === "bytes") {
    const code = `scope${open.serial}.bytes(${byteLength})`;
    const bytes = world.attempt(`bytes${serial}`, code, () => scope.bytes(byteLength), world.refusals);
    if (bytes instanceof ArenaError) expectNoRoom(world, byteLength, code);
    else if (!world.disposed) world.adoptBytes(serial, byteLength, bytes).scope = open;
    return;
  }
  const code = `scope${open.serial}.acquire(${byteLength})`;
  const lease = world.attempt(`lease${serial}`, code, () => scope.acquire(byteLength), world.refusals);
  if (lease instanceof ArenaError) {
    expectNoRoom(world, byteLength, code);
    return;
  }
  const live = world.adopt(serial, byteLength, lease);
  if (live !== null) live.scope = open;
}

function openScope(world: World, serial: number, pick: number): OpenScope | undefined {
  if (world.scopes.length === 0 || (pick < 0 && world.scopes.length < SCOPES_AT_MOST)) {
    const opened = world.attempt(`scope${serial}`, "arena.scope()", () => world.arena.scope());
    if (opened instanceof ArenaError) return undefined;
    world.scopes.push({ serial, scope: opened });
  }
  return pickFrom(world.scopes, pick);
}

export function closeScope(world: World, { way, pick }: Step): void {
  const open = pickFrom(world.scopes, pick);
  if (open === undefined) return;
  const { scope, serial } = open;
  const inside = world.live.filter((live) => live.scope === open && !live.ended);
  for (const live of inside) expectMarked(world, live);
  world.scopes.splice(world.scopes.indexOf(open), 1);
  const refusals = world.refusalsOfEnd(...inside);
  if (STEPS.closeScope[way] === "release") {
    world.attempt("", `scope${serial}.release()`, () => scope.release(), refusals);
  } else {
    world.attempt("", `scope${serial}[Symbol.dispose]()`, () => scope[Symbol.dispose](), refusals);
  }
  for (const live of inside) world.end(live);
  world.refuses(`scope${serial}.acquire(1)`, () => scope.acquire(1), "ERR_LEASE_RELEASED");
}
