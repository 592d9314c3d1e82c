/** Waiting: for room, for several leases at once, and for the moment when no lease is out. */

import type { RevokeMode } from "cleanslab";
import {
  check,
  checkArenaError,
  checkEqual,
  checkSame,
  checkSound,
  fillUp,
  isAll,
  MODES,
  PAGE_BYTES,
  rejectionOf,
  SEGMENT_BYTES,
  smallArena,
  turn,
} from "./check.ts";
import type { ContractCase } from "./contract.ts";

function several(revoke: RevokeMode): ContractCase {
  return {
    name: `${revoke}: acquireAsync of several lengths holds none of them while it waits for all, and is served in turn`,
    async run(library) {
      using arena = smallArena(library, { revoke, onExhausted: "throw" }, 2);
      const held = arena.acquire(SEGMENT_BYTES);
      const order: number[] = [];
      const calls = [1, 2].map(async (call) => {
        const leases = await arena.acquireAsync([SEGMENT_BYTES, SEGMENT_BYTES]);
        order.push(call, leases.length);
        await turn();
        for (const lease of leases) lease.release();
      });
      const scope = arena.scope();
      const late = scope.acquireAsync([SEGMENT_BYTES, SEGMENT_BYTES]);
      await turn();
      const { liveLeases, waiting } = arena.stats();
      checkSame([liveLeases, waiting], [1, 3], "liveLeases, waiting");
      // What they wait for is still there for others.
      arena.acquire(SEGMENT_BYTES).release();
      scope.release();
      held.release();
      await Promise.all(calls);
      checkSame(order, [1, 2, 2, 2], "the order");
      checkArenaError(library, await rejectionOf(late), "ERR_LEASE_RELEASED", "scope has ended");
      arena.assertDrained();
      checkSound(arena);
    },
  };
}

export const waiting: readonly ContractCase[] = [
  {
    name: "acquireAsync waits for room, first come first served, and an AbortSignal ends the wait",
    async run(library) {
      using arena = smallArena(library, { onExhausted: "throw" }, 1);
      const all = fillUp(library, arena);
      const order: number[] = [];
      const wait = async (call: number): Promise<void> => {
        const lease = await arena.acquireAsync(PAGE_BYTES);
        order.push(call);
        check(isAll(lease.bytes, 0), "a lease is not zero");
        lease.release();
      };
      const controller = new AbortController();
      const first = wait(1);
      const aborted = arena.acquireAsync(PAGE_BYTES, { signal: controller.signal });
      const second = wait(2);
      checkEqual(arena.stats().waiting, 3, "waiting");
      const reason = new Error("given up on purpose");
      controller.abort(reason);
      checkEqual(await rejectionOf(aborted), reason, "the reason");
      for (const lease of all) lease.release();
      // Nothing of the caller's runs inside release: those who wait are served in a microtask.
      const { waiting: left, liveLeases } = arena.stats();
      checkSame([left, liveLeases], [2, 0], "waiting, liveLeases");
      await Promise.all([first, second]);
      checkSame(order, [1, 2], "the order");
      const { waited } = arena.stats();
      checkEqual(waited.count, 2, "calls that waited and were served");
      check(waited.totalMs >= waited.longestMs && waited.longestMs >= 0, "how long they waited");
      arena.assertDrained();
      checkSound(arena);
    },
  },
  {
    name: "drained resolves when no lease is out or pinned, or gives up with its signal's reason",
    async run(library) {
      using arena = smallArena(library);
      const lease = arena.acquire(SEGMENT_BYTES);
      const controller = new AbortController();
      const given = arena.drained({ signal: controller.signal });
      let isDrained = false;
      const drained = arena.drained().then(() => {
        isDrained = true;
      });
      const reason = new Error("given up on purpose");
      controller.abort(reason);
      checkEqual(await rejectionOf(given), reason, "the reason");
      const pin = lease.pin();
      lease.release();
      await turn();
      check(!isDrained, "it did not wait for the pin");
      pin.release();
      await drained;
    },
  },
  ...MODES.map(several),
];
