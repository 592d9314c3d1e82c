/** What each mode says of a stale view, how an arena ends, and what tracing reports. */

import type { Lease } from "cleanslab";
import {
  check,
  checkEqual,
  checkSame,
  checkSound,
  isAll,
  MODES,
  PAGE_BYTES,
  SEGMENT_MODES,
  smallArena,
  turn,
} from "./check.ts";
import type { ContractCase } from "./contract.ts";

/** Everything of a dead view that code may lean on. */
function checkDead(view: Uint8Array, what: string): void {
  checkEqual(view.length, 0, `the length of ${what}`);
  checkEqual(view[0], undefined, `a byte of ${what}`);
  let thrown: unknown;
  try {
    view.set([1]);
  } catch (error) {
    thrown = error;
  }
  check(thrown instanceof Error, `set on ${what} did not throw`);
}

const staleViews: readonly ContractCase[] = [
  {
    name: "before-reuse: a stale view keeps its own old bytes at first, and is dead before they are anyone else's",
    run(library) {
      using arena = smallArena(library);
      const lease = arena.acquire(1024);
      const stale = lease.bytes.fill(7);
      lease.release();
      check(stale.length === 1024 && isAll(stale, 7), "it does not keep its bytes");
      for (let round = 0; round < 3000 && stale.length > 0; round++) {
        const next = arena.acquire(1024);
        next.bytes.fill(9);
        check(isAll(stale, 7), "it reads the next owner's bytes");
        next.release();
      }
      checkDead(stale, "the stale view");
      check(arena.stats().revocations > 0, "no revocation was counted");
    },
  },
  {
    name: "on-release: a stale view is dead at once, and the buffer of a lease is its own",
    run(library) {
      using arena = smallArena(library, { revoke: "on-release", guardEvery: 1 });
      const other = arena.acquire(100);
      for (let round = 0; round < 10; round++) {
        const lease = arena.acquire(1024);
        const part = lease.bytes.subarray(8);
        const stale = lease.bytes.fill(7);
        lease.release();
        checkDead(stale, "the stale view");
        checkDead(part, "a part of it");
      }
      checkEqual(other.bytes.length, 100, "the length of the other");
      const { revocations, reservedBytes, missedGuards } = arena.stats();
      checkSame([revocations, reservedBytes, missedGuards], [10, 2 * PAGE_BYTES, 0], "the counts");
    },
  },
  {
    name: "never: a stale view lives, and sees the next owner's bytes",
    run(library) {
      using arena = smallArena(library, { revoke: "never" });
      const lease = arena.acquire(1024);
      const stale = lease.bytes.fill(7);
      lease.release();
      check(stale.length === 1024 && isAll(stale, 7), "it does not keep its bytes");
      arena.acquire(1024).bytes.fill(9);
      check(stale.length === 1024 && isAll(stale, 9), "the block most recently released was not the next handed out");
      checkEqual(arena.stats().revocations, 0, "revocations");
    },
  },
  ...SEGMENT_MODES.map(
    (revoke): ContractCase => ({
      name: `${revoke}: with guardEvery one lease in N dies at release`,
      run(library) {
        using arena = smallArena(library, { revoke, guardEvery: 10 });
        let guards = 0;
        for (let each = 0; each < 100; each++) {
          const lease = arena.acquire(100);
          const stale = lease.bytes.fill(7);
          const isGuard = lease.origin === "guard";
          lease.release();
          if (!isGuard) continue;
          guards++;
          checkDead(stale, "a guard's view");
        }
        checkEqual(guards, 10, "guards");
        checkSound(arena);
      },
    }),
  ),
];

const endings: readonly ContractCase[] = [
  ...MODES.map(
    (revoke): ContractCase => ({
      name: `${revoke}: trim lets go of what is not leased, dispose of all, and every view of it is dead`,
      run(library) {
        const arena = smallArena(library, { revoke });
        const old = arena.acquire(1024);
        const stale = old.bytes;
        old.release();
        const { reservedBytes } = arena.stats();
        checkEqual(arena.trim(), reservedBytes, "bytes trimmed");
        checkDead(stale, "the stale view");
        const lease = arena.acquire(1024);
        const live = lease.bytes;
        arena[Symbol.dispose]();
        arena[Symbol.dispose]();
        checkDead(live, "a live view");
        lease[Symbol.dispose]();
        checkEqual(arena.stats().reservedBytes, 0, "reservedBytes");
      },
    }),
  ),
  {
    name: "assertDrained names who acquired a traced lease",
    run(library) {
      using arena = smallArena(library, { trace: "all" });
      function forgetsToRelease(): Lease {
        const acquired = arena.acquire(77);
        // A tail call, which Bun would make of it without this, leaves no frame.
        acquired.bytes[0] = 1;
        return acquired;
      }
      const lease = forgetsToRelease();
      let message = "";
      try {
        arena.assertDrained();
      } catch (error) {
        message = (error as Error).message;
      }
      const [, first] = message.split(/77 bytes, oldest.*\n/);
      check(first !== undefined, `no site in: ${message}`);
      check(/^.*forgetsToRelease/.test(first), `the first frame is not the caller's: ${message}`);
      lease.release();
      arena.assertDrained();
    },
  },
  ...SEGMENT_MODES.map(
    (revoke): ContractCase => ({
      name: `${revoke}: with trace: all a write after release is reported as dirty, and nobody gets it`,
      async run(library) {
        using arena = smallArena(library, { revoke, trace: "all" }, 1);
        const events: { count: number; byteOffset: number }[] = [];
        arena.addEventListener("dirty", ({ count, byteOffset }) => events.push({ count, byteOffset }));
        const lease = arena.acquire(256);
        const stale = lease.bytes;
        const byteOffset = lease.byteOffset + 10;
        lease.release();
        stale[10] = 1;
        for (let each = 0; each < 2000; each++) {
          arena.use(256, (bytes) => check(isAll(bytes, 0), "the write reached a lease"));
        }
        await turn();
        checkSame(events, [{ count: 1, byteOffset }], "the events");
        checkEqual(arena.stats().dirtyBlocks, 1, "dirtyBlocks");
      },
    }),
  ),
];

export const modes: readonly ContractCase[] = [...staleViews, ...endings];
