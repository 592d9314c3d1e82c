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
  PAGE_BYTES,
  REVOKING_MODES,
  smallArena,
} from "./check.ts";
import type { ContractCase } from "./contract.ts";

const LEAKED = 4;

/** Acquires and forgets: in a function of its own, so that no frame keeps the leases. */
function leak(arena: Arena): void {
  for (let each = 0; each < LEAKED; each++) arena.acquire(PAGE_BYTES).bytes.fill(7);
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
        // Full, so that the arena lets go of the segment.
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
    name: "a waiter gets the room that a leak gives back",
    async run(library, environment) {
      using arena = smallArena(library, {}, 1);
      leak(arena);
      overwriteStack();
      let got = false;
      const later = arena.acquireAsync(PAGE_BYTES).then((lease) => {
        got = true;
        return lease;
      });
      await collectUntil(environment, () => got);
      const lease = await later;
      checkEqual(lease.origin, "arena", "origin");
      lease.release();
      arena.assertDrained();
    },
  },
  {
    name: "a view outlives the collected memory of its leaked lease, and keeps its bytes",
    async run(library, environment) {
      using arena = smallArena(library, { revoke: "on-release" });
      const leaked = listen(arena);
      const view = (() => arena.acquire(1024).bytes.fill(5))();
      overwriteStack();
      await collectUntil(environment, () => leaked.leases() === 1);
      check(view.length === 1024 && view.every((byte) => byte === 5), "the view changed");
      checkSound(arena);
    },
  },
];
