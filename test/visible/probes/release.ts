/** Giving back wrongly: twice, with and without another owner between, and never. */

import { collectUntil } from "../collector.ts";
import { formatBytes, Harm, type Observation, outcomeOf, type Probe, themed } from "../probe.ts";
import type { Allocator, Held } from "../subjects.ts";
import { acquireMarked, anyShared, gather, isAll, Mark, passBy, settle } from "../traffic.ts";

export const RELEASE_PROBES: readonly Probe[] = themed("a buffer given back wrongly", [
  { name: "released twice at once", run: twiceAtOnce },
  { name: "released twice, an owner between", run: twiceLater },
  { name: "leaked, never released", run: leaked },
]);

function twiceAtOnce(allocator: Allocator): Observation {
  const held = acquireMarked(allocator, Mark.first);
  held.release();
  const { threw } = outcomeOf(() => held.release());
  return describeOwners(
    threw,
    gather(allocator, () => {}),
    false,
  );
}

function twiceLater(allocator: Allocator): Observation {
  const held = acquireMarked(allocator, Mark.first);
  held.release();
  passBy(allocator, () => {});
  const between = gather(allocator, (owner) => owner.fill(Mark.other));
  const { threw } = outcomeOf(() => held.release());
  const wiped = !between.every(({ bytes }) => isAll(bytes, Mark.other));
  return describeOwners(threw, [...between, ...gather(allocator, () => {})], wiped);
}

function describeOwners(threw: string | null, owners: readonly Held[], wiped: boolean): Observation {
  const shared = anyShared(owners.map(({ bytes }) => bytes));
  for (const held of owners) held.release();
  if (shared) return { seen: "two owners get one buffer", harm: Harm.othersChanged };
  if (wiped) return { seen: "another owner's bytes change", harm: Harm.othersChanged };
  return { seen: `${threw === null ? "goes unnoticed" : `throws ${threw}`}, nobody is harmed`, harm: Harm.none };
}

const LEAKS = 800;

/** How much of the leaked memory is still there when others have come and gone and the collector has run. */
async function leaked(allocator: Allocator): Promise<Observation> {
  const buffers = leak(allocator);
  for (const held of settle(allocator)) held.release();
  const alive = (): number => sum(buffers.map((buffer) => buffer.deref()?.byteLength ?? 0));
  await collectUntil(() => alive() === 0);
  const left = alive();
  return { seen: left === 0 ? "collected" : `not collected, with the ${formatBytes(left)} around it`, harm: left };
}

/** In a function of its own, so that nothing is left on the stack. */
function leak(allocator: Allocator): WeakRef<ArrayBuffer>[] {
  const buffers = new Set<ArrayBuffer>();
  for (let count = 0; count < LEAKS; count++) {
    const { bytes } = acquireMarked(allocator, Mark.first);
    buffers.add(bytes.buffer);
  }
  return [...buffers].map((buffer) => new WeakRef(buffer));
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
