/**
 * Promise 6: a leak is found by the collector, reported, and not permanent.
 * Needs an engine that can be asked to collect.
 */

import type { Arena, LeakEvent } from "cleanslab";
import {
  check,
  checkEqual,
  checkSound,
  checkUsable,
  collectUntil,
  isAll,
  PAGE_BYTES,
  REVOKING_MODES,
  SEGMENT_BYTES,
  smallArena,
} from "./check.ts";
import type { ContractCase } from "./contract.ts";

/** As many leases of a page as one segment holds. */
const LEAKED = 3;

/** Acquires and forgets: in a function of its own, so that no frame keeps the leases. */
function leak(arena: Arena): void {
  for (let each = 0; each < LEAKED; each++) arena.acquire(PAGE_BYTES).bytes.fill(7);
}

function leakKeepingView(arena: Arena): Uint8Array {
  return arena.acquire(1024).bytes.fill(5);
}

/** Deep frames over what conservative stack scanning might still find. */
function overwriteStack(depth = 50): number {
  return depth === 0 ? 0 : overwriteStack(depth - 1) + 1;
}

function listen(arena: Arena): { leases(): number; byteLength(): number } {
  const events: LeakEvent[] = [];
  arena.addEventListener("leak", (event) => events.push(event));
  return {
    leases: () => events.reduce((sum, { leases }) => sum + leases, 0),
    byteLength: () => events.reduce((sum, { byteLength }) => sum + byteLength, 0),
  };
}

export const leaks: readonly ContractCase[] = [
  ...REVOKING_MODES.map(
    (revoke): ContractCase => ({
      name: `${revoke}: leaked leases are reported with their bytes, and the cap gets its bytes back`,
      async run(library, environment) {
        using arena = smallArena(library, { revoke, onExhausted: "throw" }, 1);
        const leaked = listen(arena);
        leak(arena);
        overwriteStack();
        const { liveLeases, liveBytes } = arena.stats();
        checkEqual(liveLeases, LEAKED, "liveLeases");
        checkEqual(liveBytes, LEAKED * PAGE_BYTES, "liveBytes");
        // The arena holds a segment only while it can hand out of it.
        if (revoke === "before-reuse") arena.trim();

        await collectUntil(environment, () => leaked.leases() === LEAKED);
        checkEqual(leaked.byteLength(), LEAKED * PAGE_BYTES, "bytes in the events");
        const after = arena.stats();
        checkEqual(after.leakedLeases, LEAKED, "leakedLeases");
        checkEqual(after.liveLeases, 0, "liveLeases");
        checkEqual(after.reservedBytes, 0, "reservedBytes");
        checkUsable(arena, PAGE_BYTES);
        checkSound(arena);
      },
    }),
  ),
  {
    name: "a waiter gets the room that a leak gives back, for a memory of its own and for two leases too",
    async run(library, environment) {
      for (const byteLengths of [[PAGE_BYTES], [SEGMENT_BYTES], [PAGE_BYTES, PAGE_BYTES]]) {
        using arena = smallArena(library, {}, 1);
        leak(arena);
        overwriteStack();
        let got = false;
        const later = arena.acquireAsync(byteLengths).then((leases) => {
          got = true;
          return leases;
        });
        await collectUntil(environment, () => got);
        for (const lease of await later) {
          checkEqual(lease.origin, "arena", "origin");
          check(isAll(lease.bytes, 0), "a lease is not zero");
          lease.release();
        }
        checkEqual(arena.stats().liveLeases, 0, "leases out");
      }
    },
  },
  ...REVOKING_MODES.map(
    (revoke): ContractCase => ({
      name: `${revoke}: while a view of a leaked lease is held it keeps its bytes and counts under the cap; then it is a leak`,
      async run(library, environment) {
        using arena = smallArena(library, { revoke });
        const leaked = listen(arena);
        const held: { view: Uint8Array | null } = { view: leakKeepingView(arena) };
        overwriteStack();
        if (revoke === "before-reuse") arena.trim();
        const { reservedBytes } = arena.stats();
        let collections = 0;
        await collectUntil(environment, () => ++collections > 10);
        check(held.view?.length === 1024 && isAll(held.view, 5), "the view changed");
        checkEqual(leaked.leases(), 0, "leaks reported while the view was held");
        checkEqual(arena.stats().reservedBytes, reservedBytes, "reservedBytes while the view was held");
        checkSound(arena);

        held.view = null;
        overwriteStack();
        await collectUntil(environment, () => leaked.leases() === 1);
        checkEqual(arena.stats().reservedBytes, 0, "reservedBytes");
        checkSound(arena);
      },
    }),
  ),
];
