/** Giving back wrongly: twice, with and without another owner between, and never. */

import { setTimeout as sleep } from "node:timers/promises";
import {
  collectGarbage,
  firstOf,
  formatBytes,
  Harm,
  type Observation,
  type Probe,
  themed,
  thrownBy,
} from "../probe.ts";
import type { Allocator, Held } from "../subjects.ts";
import { acquireMarked, anyShared, gather, isAll, Mark, passBy, settle } from "../traffic.ts";

export const RELEASE_PROBES: readonly Probe[] = themed("a buffer given back wrongly", {
  "released twice at once": (from) => releasedTwice(from, () => []),
  "released twice, an owner between": (from) =>
    releasedTwice(from, () => {
      passBy(from, () => {});
      return gather(from, (owner) => owner.fill(Mark.other));
    }),
  "leaked, never released": leaked,
});

function releasedTwice(allocator: Allocator, come: () => Held[]): Observation {
  const held = acquireMarked(allocator, Mark.first);
  held.release();
  const between = come();
  const threw = thrownBy(() => held.release());
  const isWiped = !between.every(({ bytes }) => isAll(bytes, Mark.other));
  const owners = [...between, ...gather(allocator, () => {})];
  const isShared = anyShared(owners.map(({ bytes }) => bytes));
  for (const owner of owners) owner.release();
  return firstOf(
    [
      [isShared, "two owners get one buffer", Harm.othersChanged],
      [isWiped, "another owner's bytes change", Harm.othersChanged],
    ],
    `${threw === null ? "goes unnoticed" : `throws ${threw}`}, nobody is harmed`,
  );
}

const LEAKS = 800;
const MAX_ROUNDS = 30;

/** How much of the leaked memory is still there when others have come and gone and the collector has run. */
async function leaked(allocator: Allocator): Promise<Observation> {
  const buffers = leak(allocator);
  for (const held of settle(allocator)) held.release();
  const alive = (): number => buffers.reduce((total, buffer) => total + (buffer.deref()?.byteLength ?? 0), 0);
  for (let round = 0; round < MAX_ROUNDS && alive() > 0; round++) {
    await sleep(1); // a WeakRef holds what it showed until the job ends
    collectGarbage();
    await sleep(1); // finalizers
  }
  const left = alive();
  return { seen: left === 0 ? "collected" : `not collected, with the ${formatBytes(left)} around it`, harm: left };
}

/** In a function of its own, so that nothing is left on the stack. */
function leak(allocator: Allocator): WeakRef<ArrayBuffer>[] {
  const leaks = Array.from({ length: LEAKS }, () => acquireMarked(allocator, Mark.first).bytes.buffer);
  return [...new Set(leaks)].map((buffer) => new WeakRef(buffer));
}
