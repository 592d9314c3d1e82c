/**
 * What is looked at after each command: a little of everything always, everything now and
 * then, and who of those who wait was served.
 */

import { expectAudit, expectCode, expectCounts, expectStale, expectWhole, Finding } from "./checks.js";
import { type Block, bufferOf, type Held, type Outcome, removeFrom, type Waiting } from "./model.js";
import type { World } from "./world.js";

/** Commands between two looks at everything. */
const AUDIT_EVERY = 100;
/** Up to this length every byte is looked at after each command; of what is longer, one at a time. */
const SHORT_BYTES = 2048;
/** Longer than the longest chain of promises from a release to the caller of `scope.acquireAsync`. */
const MICROTASKS = 20;

/** What is due in microtasks has run. */
export async function microtasks(): Promise<void> {
  for (let turn = 0; turn < MICROTASKS; turn++) await null;
}

/** Follows a promise of the library's. */
export function follow<T>(promise: Promise<T>): Outcome<T> {
  const outcome: Outcome<T> = { state: "pending" };
  promise.then(
    (value) => Object.assign(outcome, { state: "fulfilled", value }),
    (reason: unknown) => Object.assign(outcome, { state: "rejected", reason }),
  );
  return outcome;
}

export async function afterCommand(world: World): Promise<void> {
  const { model, arena, settings } = world;
  if (model.waiting.length > 0 || model.drains.length > 0) {
    world.say("await settled();");
    await microtasks();
    collectServed(world);
  }
  model.wasDrained = model.liveLeases === 0;
  const tick = ++model.ticks;
  const isDue = (byteLength: number, each: number, count: number): boolean =>
    byteLength <= SHORT_BYTES || each === tick % count;
  const used = [...model.blocks, ...model.writers];
  for (const [each, block] of used.entries()) if (isDue(block.byteLength, each, used.length)) expectWhole(block);
  if (model.blocks.length > 0) expectAsIs(model.blocks[tick % model.blocks.length] as Block);
  const { stale } = model;
  for (const [each, view] of stale.entries()) {
    if (model.revokes && isDue(view.bytes.length, each, stale.length)) expectStale(view);
  }
  expectCounts(model, arena, settings);
  if (tick % AUDIT_EVERY === 0) expectAll(world);
}

/** Everything at once. */
export function expectAll({ model, arena }: World): void {
  expectAudit(model, arena);
  for (const block of model.blocks) expectWhole(block);
  if (model.revokes) for (const view of model.stale) expectStale(view);
}

/** What a lease says of itself. */
function expectAsIs(block: Block): void {
  const { bytes, byteLength, byteOffset, memory } = block;
  const { lease, leaseName } = block as Partial<Held>;
  if (lease === undefined || lease.released || block.isDetached) return;
  if (lease.bytes !== bytes) throw new Finding(`${leaseName}.bytes is another object`);
  if (lease.byteLength !== byteLength || lease.byteOffset !== byteOffset) {
    throw new Finding(`${leaseName} has moved to ${lease.byteOffset}`);
  }
  if (memory !== undefined && byteLength > 0 && bufferOf(block) !== bytes.buffer) {
    throw new Finding(`${leaseName}.memory is not where its bytes are`);
  }
}

/** First come, first served; nobody waits once no lease is out. */
function collectServed(world: World): void {
  const { model } = world;
  let passedOver: string | undefined;
  for (const waiting of [...model.waiting]) {
    const { name, outcome, byteLengths, isList, scope } = waiting;
    if (outcome.state === "pending") {
      passedOver ??= name;
      continue;
    }
    removeFrom(model.waiting, waiting);
    if (outcome.state === "rejected") {
      expectRejection(world, waiting, outcome.reason);
    } else if (passedOver !== undefined) {
      throw new Finding(
        `${name} was served before ${passedOver}`,
        `assert.equal(await Promise.race([${name}.then(() => 1), ${passedOver}.then(() => 2)]), 2);`,
      );
    } else {
      world.served(outcome.value ?? [], byteLengths, `await ${name}`, isList, scope);
    }
  }
  const first = model.waiting[0];
  if (model.liveLeases === 0 && first !== undefined) throw new Finding(`${first.name} waits, and no lease is out`);
  for (const drain of [...model.drains]) {
    const { state } = drain.outcome;
    if (state === "pending" && model.liveLeases > 0) continue;
    removeFrom(model.drains, drain);
    if (state === "fulfilled" && model.wasDrained) continue;
    throw new Finding(`${drain.name} is ${state} with ${model.liveLeases} leases out`);
  }
}

/** Nobody can make room, or the caller gave up. */
function expectRejection(world: World, waiting: Waiting, reason: unknown): void {
  const { model, settings } = world;
  const { name, scope, byteLengths, controller } = waiting;
  world.say(`await assert.rejects(${name});`);
  if (controller?.signal.aborted && reason === controller.signal.reason) return;
  if (scope?.ended) {
    expectCode(reason, "ERR_LEASE_RELEASED", "ERR_ARENA_EXHAUSTED");
    return;
  }
  expectCode(reason, "ERR_ARENA_EXHAUSTED");
  const total = byteLengths.reduce((sum, byteLength) => sum + byteLength, 0);
  if (total > settings.maxBytes) return;
  // Several lengths may not go together though each of them would.
  if (model.wasDrained && (byteLengths.length > 1 || model.liveLeases > 0)) return;
  throw new Finding(`${name} was refused with ${model.liveLeases} leases out: ${(reason as Error).message}`);
}
