/** Waiting: for room, for several leases at once, and for the moment when no lease is out. */

import type { Arena, Lease, RevokeMode } from "cleanslab";
import {
  check,
  checkArenaError,
  checkEqual,
  checkRejects,
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
import type { ContractCase, Library } from "./contract.ts";

/** An arena with room for two leases of `SEGMENT_BYTES`, one of which is out. */
function halfFull(library: Library, revoke: RevokeMode): { arena: Arena; held: Lease } {
  const arena = smallArena(library, { revoke, onExhausted: "throw" }, 2);
  return { arena, held: arena.acquire(SEGMENT_BYTES) };
}

function checkZero(leases: readonly Lease[]): void {
  for (const { bytes } of leases) check(isAll(bytes, 0), "a lease is not zero");
}

function several(revoke: RevokeMode): ContractCase[] {
  return [
    {
      name: `${revoke}: acquireAsync of several lengths gives all of these leases at once, in their order`,
      async run(library) {
        using arena = smallArena(library, { revoke });
        const byteLengths = [100, SEGMENT_BYTES, 0, 4096, PAGE_BYTES, 100];
        const leases = await arena.acquireAsync(byteLengths);
        checkSame(
          leases.map(({ byteLength }) => byteLength),
          byteLengths,
          "the lengths",
        );
        checkZero(leases);
        for (const [mark, { bytes }] of leases.entries()) bytes.fill(mark + 1);
        for (const [mark, { bytes }] of leases.entries()) check(isAll(bytes, mark + 1), "two leases overlap");
        for (const lease of leases) lease.release();
        checkSame(await arena.acquireAsync([]), [], "the leases for no length");
        arena.assertDrained();
        checkSound(arena);
      },
    },
    {
      name: `${revoke}: acquireAsync of several lengths holds none of them while it waits for all`,
      async run(library) {
        const { arena, held } = halfFull(library, revoke);
        const pair = arena.acquireAsync([SEGMENT_BYTES, SEGMENT_BYTES]);
        await turn();
        const { liveLeases, waiting } = arena.stats();
        checkSame([liveLeases, waiting], [1, 1], "liveLeases, waiting");
        // What it waits for is still there for others.
        arena.acquire(SEGMENT_BYTES).release();
        held.release();
        const leases = await pair;
        checkEqual(leases.length, 2, "leases");
        checkZero(leases);
        for (const lease of leases) lease.release();
        arena.assertDrained();
        checkSound(arena);
        arena[Symbol.dispose]();
      },
    },
    {
      name: `${revoke}: two calls that each want all of the cap are served one after the other`,
      async run(library) {
        const { arena, held } = halfFull(library, revoke);
        const order: number[] = [];
        const calls = [1, 2].map(async (call) => {
          const leases = await arena.acquireAsync([SEGMENT_BYTES, SEGMENT_BYTES]);
          order.push(call);
          await turn();
          for (const lease of leases) lease.release();
        });
        held.release();
        await Promise.all(calls);
        checkSame(order, [1, 2], "the order");
        arena.assertDrained();
        checkSound(arena);
        arena[Symbol.dispose]();
      },
    },
    {
      name: `${revoke}: several lengths that can never fit together are refused at once`,
      async run(library) {
        const { arena, held } = halfFull(library, revoke);
        const three = [SEGMENT_BYTES, SEGMENT_BYTES, SEGMENT_BYTES];
        await checkRejects(library, arena.acquireAsync(three), "ERR_ARENA_EXHAUSTED", "can never fit");
        checkEqual(arena.stats().waiting, 0, "waiting");
        held.release();
        arena.assertDrained();
        arena[Symbol.dispose]();
      },
    },
    {
      name: `${revoke}: a scope's acquireAsync gives leases that end with the scope, or none once it has ended`,
      async run(library) {
        const { arena, held } = halfFull(library, revoke);
        const scope = arena.scope();
        const leases = await scope.acquireAsync([100, 200]);
        const late = scope.acquireAsync([SEGMENT_BYTES, SEGMENT_BYTES]);
        scope.release();
        checkSame(
          leases.map(({ released }) => released),
          [true, true],
          "released",
        );
        held.release();
        checkArenaError(library, await rejectionOf(late), "ERR_LEASE_RELEASED", "scope has ended");
        arena.assertDrained();
        arena[Symbol.dispose]();
      },
    },
    {
      name: `${revoke}: drained resolves when no lease is out, and at once if none is`,
      async run(library) {
        using arena = smallArena(library, { revoke });
        await arena.drained();
        const leases = [arena.acquire(100), arena.acquire(SEGMENT_BYTES)];
        let isDrained = false;
        const drained = arena.drained().then(() => {
          isDrained = true;
        });
        leases[0]?.release();
        const pin = leases[1]?.pin();
        leases[1]?.release();
        await turn();
        check(!isDrained, "it did not wait for the pin");
        pin?.release();
        await drained;
        arena.assertDrained();
      },
    },
    {
      name: `${revoke}: drained gives up with its signal's reason, and resolves when the arena is disposed`,
      async run(library) {
        const { arena, held } = halfFull(library, revoke);
        const controller = new AbortController();
        const given = arena.drained({ signal: controller.signal });
        const kept = arena.drained();
        const reason = new Error("given up on purpose");
        controller.abort(reason);
        checkEqual(await rejectionOf(given), reason, "the reason");
        checkEqual(await rejectionOf(arena.drained({ signal: controller.signal })), reason, "the reason again");
        check(!held.released, "the lease was released");
        arena[Symbol.dispose]();
        await kept;
      },
    },
  ];
}

export const waiting: readonly ContractCase[] = [
  {
    name: "acquireAsync waits for room, first come first served, and an AbortSignal ends the wait",
    async run(library) {
      using arena = smallArena(library, { onExhausted: "throw" }, 1);
      const all = fillUp(library, arena);
      const order: number[] = [];
      const controller = new AbortController();
      const first = arena.acquireAsync(PAGE_BYTES).then((lease) => {
        order.push(1);
        return lease;
      });
      const aborted = arena.acquireAsync(PAGE_BYTES, { signal: controller.signal });
      const second = arena.acquireAsync(PAGE_BYTES).then((lease) => {
        order.push(2);
        return lease;
      });
      checkEqual(arena.stats().waiting, 3, "waiting");
      const reason = new Error("given up on purpose");
      controller.abort(reason);
      checkEqual(await rejectionOf(aborted), reason, "the reason");
      for (const lease of all) lease.release();
      for (const lease of [await first, await second]) {
        check(isAll(lease.bytes, 0), "a lease is not zero");
        lease.release();
      }
      checkSame(order, [1, 2], "the order");
      const { waited } = arena.stats();
      checkEqual(waited.count, 2, "calls that waited and were served");
      check(waited.totalMs >= waited.longestMs && waited.longestMs >= 0, "how long they waited");
      arena.assertDrained();
      checkSound(arena);
    },
  },
  {
    name: "nothing of the caller's runs inside release: those who wait are served in a microtask",
    async run(library) {
      using arena = smallArena(library, { onExhausted: "throw" }, 1);
      const all = fillUp(library, arena);
      const waiter = arena.acquireAsync(PAGE_BYTES);
      for (const lease of all) lease.release();
      const { waiting: before, liveLeases } = arena.stats();
      checkSame([before, liveLeases], [1, 0], "waiting, liveLeases");
      (await waiter).release();
      arena.assertDrained();
    },
  },
  ...MODES.flatMap(several),
];
