/** Bytes lent to callbacks and promises, and blocks kept in place past their release. */

import { ArenaError, type ArenaErrorCode } from "cleanslab";
import { expectMarked, expectNoRoom } from "../checks.js";
import { PlannedError } from "../finding.js";
import { type Live, type Pending, REST_TURNS } from "../model.js";
import { STEPS, type Step } from "../program.js";
import type { World } from "../world.js";
import { pickFrom, pickHeld } from "./step.js";

export function use(world: World, { way, byteLength }: Step): void {
  const serial = world.nextSerial();
  const how = STEPS.use[way] ?? "returns";
  const deferred = how === "resolves later" ? promiseFor(world, serial) : undefined;
  const planned = new PlannedError("a callback throws");
  let live: Live | undefined;
  let inside = "";
  let hasThrown = false;
  let refusals: readonly ArenaErrorCode[] = world.refusals;
  const body = (bytes: Uint8Array<ArrayBuffer>): unknown => {
    world.transcript?.open();
    try {
      world.transcript?.assign(`bytes${serial}`, "bytes");
      live = world.adoptBytes(serial, byteLength, bytes);
      refusals = world.refusalsOfEnd(live);
      if (how === "nests") useInside(world, live);
      world.say(RETURNED[how](serial));
      if (how === "throws") throw planned;
      return deferred?.promise ?? serial;
    } finally {
      inside = world.transcript?.close() ?? "";
    }
  };
  const call = (): unknown => {
    try {
      return world.arena.use(byteLength, body);
    } catch (error) {
      hasThrown = error === planned;
      if (hasThrown) return planned;
      throw error;
    }
  };
  const source = (): string => {
    const code = `arena.use(${byteLength}, (bytes) => {${inside}\n})`;
    return hasThrown ? `assert.throws(() => ${code}, /planned/)` : code;
  };
  const result = world.attempt(`used${serial}`, source, call, () => refusals);
  if (live === undefined) {
    if (result instanceof ArenaError) expectNoRoom(world, byteLength, `arena.use(${byteLength}, () => {})`);
    return;
  }
  if (deferred !== undefined && result instanceof Promise) {
    holdUntil(world, live, deferred, result);
    return;
  }
  world.end(live);
  if (world.disposed || result instanceof ArenaError) return;
  if (result !== (how === "throws" ? planned : serial)) {
    throw world.found(`use answered ${String(result)}`, `assert.equal(used${serial}, ${serial})`);
  }
}

const RETURNED: Record<(typeof STEPS.use)[number], (serial: number) => string> = {
  returns: (serial) => `return ${serial};`,
  throws: () => 'throw new Error("planned");',
  nests: (serial) => `return ${serial};`,
  "resolves later": (serial) => `return deferred${serial}.promise;`,
};

/** Within `use`: another lease comes and goes, and `outer` is untouched. */
function useInside(world: World, outer: Live): void {
  const serial = world.nextSerial();
  const { byteLength } = outer;
  const { arena } = world;
  const code = `arena.acquire(${byteLength})`;
  const lease = world.attempt(`lease${serial}`, code, () => arena.acquire(byteLength), world.refusals);
  if (lease instanceof ArenaError) return;
  const live = world.adopt(serial, byteLength, lease);
  if (live === null) return;
  expectMarked(world, outer);
  world.attempt("", `lease${serial}.release()`, () => lease.release(), world.refusalsOfEnd(live));
  world.end(live);
  expectMarked(world, outer);
}

interface Deferred {
  readonly promise: Promise<number>;
  resolve(value: number): void;
  reject(reason: unknown): void;
}

function promiseFor(world: World, serial: number): Deferred {
  world.transcript?.assign(`deferred${serial}`, "later()");
  const settlers: Omit<Deferred, "promise">[] = [];
  const promise = new Promise<number>((resolve, reject) => settlers.push({ resolve, reject }));
  const [settler] = settlers;
  if (settler === undefined) throw new Error("a promise's executor runs at once");
  return { promise, ...settler };
}

/** `live` is out until `deferred` settles, which makes `result` settle. */
function holdUntil(world: World, live: Live, { resolve, reject }: Deferred, result: Promise<unknown>): void {
  live.held++;
  live.ended = true;
  const planned = new PlannedError("a promise rejects");
  const pending: Pending = { live, planned, resolve, reject, outcome: undefined };
  const settled = (outcome: unknown): void => {
    pending.outcome = outcome;
  };
  result.then(settled, settled);
  world.say(`used${live.serial}.catch(() => {});`);
  world.pending.push(pending);
}

export async function settle(world: World, { way, pick }: Step): Promise<void> {
  const pending = pickFrom(world.pending, pick);
  if (pending === undefined) return;
  const { live, planned } = pending;
  const { serial } = live;
  const isFulfilled = STEPS.settle[way] === "fulfilled";
  expectMarked(world, live);
  world.operations++;
  world.pending.splice(world.pending.indexOf(pending), 1);
  const refusals = world.refusalsOfEnd(live);
  const settling = isFulfilled ? `resolve(${serial})` : 'reject(new Error("planned"))';
  world.say(`deferred${serial}.${settling};`);
  if (isFulfilled) pending.resolve(serial);
  else pending.reject(planned);
  for (let turn = 0; turn < REST_TURNS; turn++) await undefined;
  const isAsWanted = pending.outcome === (isFulfilled ? serial : planned);
  const isRefused = !isAsWanted && refusals.some((code) => hasCode(pending.outcome, code));
  const asWanted = isFulfilled
    ? `assert.equal(await used${serial}, ${serial});`
    : `await assert.rejects(used${serial}, /planned/);`;
  world.say(isRefused ? `await assert.rejects(used${serial});` : asWanted);
  world.transcript?.rest();
  if (!isAsWanted && !isRefused) throw world.found(`a promise came out as ${String(pending.outcome)}`);
  live.held--;
  world.buryIfReturned(live);
}

function hasCode(outcome: unknown, code: ArenaErrorCode): boolean {
  if (outcome instanceof AggregateError) return outcome.errors.some((error) => hasCode(error, code));
  return outcome instanceof ArenaError && outcome.code === code;
}

export function releaseAfter(world: World, { pick }: Step): void {
  const live = pickHeld(world, pick);
  if (live?.lease === undefined) return;
  const { lease, serial } = live;
  expectMarked(world, live);
  const deferred = promiseFor(world, serial);
  const code = `lease${serial}.releaseAfter(deferred${serial}.promise)`;
  const result = world.attempt(`used${serial}`, code, () => lease.releaseAfter(deferred.promise));
  if (result instanceof ArenaError) return;
  holdUntil(world, live, deferred, result);
  world.end(live);
}

export function pin(world: World, { pick }: Step): void {
  const live = pickHeld(world, pick);
  if (live?.lease === undefined) return;
  const { lease, serial, pins } = live;
  const held = world.attempt(`pin${serial}_${pins.length}`, `lease${serial}.pin()`, () => lease.pin());
  if (!(held instanceof ArenaError)) pins.push(held);
}

export function unpin(world: World, { pick }: Step): void {
  const live = pickFrom(
    world.live.filter(({ pins }) => pins.length > 0),
    pick,
  );
  if (live !== undefined) unpinOnce(world, live);
}

/** The pin that was taken last goes first. */
export function unpinOnce(world: World, live: Live): void {
  const held = live.pins.pop();
  if (held === undefined) return;
  expectMarked(world, live);
  const name = `pin${live.serial}_${live.pins.length}`;
  world.attempt("", `${name}.release()`, () => held.release(), world.refusalsOfEnd(live));
  world.refuses(`${name}.release()`, () => held.release(), "ERR_LEASE_RELEASED");
  world.buryIfReturned(live);
}
