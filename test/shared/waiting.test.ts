/**
 * `acquireAsync`, as far as the contract (test/contract/shared.ts) and the random model
 * (test/model/shared) do not show it: its order, who is woken, and who stays alive.
 */

import { SharedArena } from "cleanslab/shared";
import { expect, test } from "vitest";
import { BELL } from "../../src/shared/abi.ts";
import { expectArenaError, expectThrow, isSettled, promptly, rejectionOf, settle } from "../helpers.ts";
import { deepestPad, nearStackEnd, pad } from "../stack-end.ts";
import { expectAllBack } from "./helpers.ts";
import { Thread } from "./threads.ts";

const SLAB = 65536;

function full(slabs = 2) {
  const here = new SharedArena({ maxBytes: slabs * SLAB });
  return {
    here,
    there: SharedArena.attach(here.handle),
    leases: Array.from({ length: slabs }, () => here.acquire(SLAB)),
  };
}

test("waits in one thread end first come, first served, though a later one would fit", async () => {
  const { here, leases } = full();
  leases.pop()?.release();
  const [first, second] = [here.acquireAsync(2 * SLAB), here.acquireAsync(10)];
  for (const wait of [first, second]) expect(await isSettled(wait)).toBe(false);
  expect(here.stats().waiting).toBe(2);
  leases[0]?.release();
  const lease = await first;
  expect(await isSettled(second)).toBe(false);
  lease.release();
  (await second).release();
  expect(here.stats()).toMatchObject({ waiting: 0, waited: { count: 2 } });
  expectAllBack(here);
});

// Once a flag was set before the microtask was asked for: one overflow there, and nobody was ever served again.
test("a stack overflow while one gives up never keeps the next from being served", async () => {
  const giveUp = async (call: (abort: () => void) => void): Promise<void> => {
    const { here, leases } = full(1);
    let abort = (): void => {};
    const signal = {
      aborted: false,
      reason: "gave up",
      addEventListener(_type: "abort", listener: () => void) {
        abort = listener;
      },
      removeEventListener() {},
    };
    const first = here
      .acquireAsync(SLAB, { signal })
      .then((lease) => lease.release())
      .catch(() => {});
    const second = here.acquireAsync(SLAB);
    await settle();
    call(abort);
    leases[0]?.release();
    await promptly(first);
    (await promptly(second)).release();
    here[Symbol.dispose]();
  };
  // A function that was never called has no bytecode, and compiling takes more of the stack than is left.
  await giveUp((abort) => abort());
  for (let back = 0; back < 60; back++) {
    await giveUp((abort) =>
      nearStackEnd(() => {
        const deepest = deepestPad(() => {});
        try {
          abort.apply(undefined, pad(deepest - back));
        } catch {
          // Overflowed somewhere inside.
        }
      }),
    );
  }
});

test("a wait ends with what a thread kept that is never idle", async () => {
  const here = new SharedArena({ maxBytes: 4 * SLAB });
  const flag = new Int32Array(new SharedArrayBuffer(4));
  const busy = new Thread("busy", { handle: here.handle, flag });
  await busy.hear();
  (await here.acquireAsync(3 * SLAB)).release();
  Atomics.store(flag, 0, 1);
  await busy.exited;
  expectAllBack(here);
});

test("a wait keeps its thread alive, and ends with a release in another", async () => {
  const { here, leases } = full();
  const waiter = new Thread("wait", { handle: here.handle, count: 2 * SLAB });
  expect(await waiter.hear()).toBe("waiting");
  leases[0]?.release();
  expect(await waiter.stays()).toBe(true);
  leases[1]?.release();
  expect(await waiter.hear()).toBe(2 * SLAB);
  waiter.say("end");
  expect(await waiter.exited).toBe(0);
  expectAllBack(here);
});

test("several leases come at once or not at all, and two that wait for them let each other be", async () => {
  const { here, there, leases } = full(3);
  const words = new Int32Array(here.handle.book.buffer);
  leases.pop()?.release();
  const waits = [here, there].map((arena) => arena.acquireAsync([1000, 2 * SLAB]));
  for (const wait of waits) expect(await isSettled(wait)).toBe(false);
  expect(here.stats()).toMatchObject({ liveLeases: 2, waiting: 1 });
  expect(there.stats()).toMatchObject({ liveLeases: 0, waiting: 1 });
  // Each takes the short one and gives it back. If that were news to the other, they would never rest.
  const rung = Atomics.load(words, BELL);
  for (let turn = 0; turn < 20; turn++) await settle();
  expect(Atomics.load(words, BELL)).toBe(rung);
  for (const lease of leases) lease.release();
  const [one, other] = await Promise.race(waits.map(async (wait, each) => [await wait, waits[1 - each]] as const));
  for (const lease of one) lease.release();
  for (const lease of (await other) ?? []) lease.release();
  there.trim();
  expectAllBack(here);
});

test("what can never fit is refused at once", async () => {
  const { here, leases } = full();
  // The last one: fewer bytes than there are, but each length takes slabs of its own.
  for (const byteLengths of [[2 * SLAB + 1], [SLAB, SLAB, 1], [10, 300, 1000]]) {
    expectArenaError(await rejectionOf(here.acquireAsync(byteLengths)), "ERR_ARENA_EXHAUSTED", "never fit");
  }
  expectThrow(() => here.acquire(2 * SLAB + 1), "ERR_ARENA_EXHAUSTED", "never fit");
  for (const lease of leases) lease.release();
  expectAllBack(here);
});
