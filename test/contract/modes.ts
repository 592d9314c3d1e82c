/** What each mode says of a stale view, how an arena ends, and what tracing reports. */

import type { DirtyEvent, Lease } from "cleanslab";
import {
  bytesNow,
  check,
  checkEqual,
  checkSame,
  checkSound,
  isAll,
  MODES,
  placeOf,
  REVOKING_MODES,
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
  ...REVOKING_MODES.map(
    (revoke): ContractCase => ({
      name: `${revoke}: a stale view of any kind keeps its own old bytes at the most, and is dead before they are anyone's`,
      run(library) {
        using arena = smallArena(library, { revoke });
        const lease = arena.acquire(1024);
        const bytes = lease.bytes.fill(7);
        const views = [
          bytes,
          bytes.subarray(8, 16),
          new Uint8Array(bytes.buffer, lease.byteOffset, 32),
          lease.view(Float64Array),
          lease.view(DataView),
        ];
        lease.release();
        // Not the view's own length: a DataView throws where an array answers 0.
        const dead = (): number => views.filter(({ buffer }) => buffer.byteLength === 0).length;
        checkEqual(dead(), revoke === "on-release" ? views.length : 0, "views that are dead when release returns");
        for (let round = 0; round < 3000; round++) {
          const next = arena.acquire(1024);
          check(isAll(next.bytes, 0), "a lease is not zero");
          next.bytes.fill(9);
          for (const view of views) {
            if (view.buffer.byteLength === 0) continue;
            const seen = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
            check(isAll(seen, 7), "a stale view sees the next owner's bytes");
            // Into its own old bytes, at most.
            seen.fill(7);
          }
          check(isAll(next.bytes, 9), "a stale view touched the next owner's bytes");
          next.release();
        }
        checkEqual(dead(), views.length, "views that are dead in the end");
        checkDead(bytes, "the stale view");
        check(arena.stats().revocations > 0, "no revocation was counted");
      },
    }),
  ),
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
  ...MODES.map(
    (revoke): ContractCase => ({
      name: `${revoke}: with trace: all a write after release is reported as dirty, with who had the bytes, and nobody gets it`,
      async run(library) {
        using arena = smallArena(library, { revoke, trace: "all" }, 1);
        const events: DirtyEvent[] = [];
        arena.addEventListener("dirty", (event) => events.push(event));
        function writesTooLate(): number {
          const lease = arena.acquire(256);
          const place = placeOf(lease);
          lease.release();
          // As a read still under way would, where the view itself is dead.
          bytesNow(place)[10] = 1;
          return place.byteOffset + 10;
        }
        const at = writesTooLate();
        for (let each = 0; each < 2000; each++) {
          arena.use(256, (bytes) => check(isAll(bytes, 0), "the write reached a lease"));
        }
        checkEqual(events.length, 0, "events before the arena was left");
        await turn();
        const [event] = events;
        checkSame([events.length, event?.count, event?.byteOffset], [1, 1, at], "the event");
        for (const stack of [event?.acquired, event?.released]) {
          check(stack?.includes("writesTooLate") === true, `who had the bytes is not named: ${stack}`);
        }
        checkEqual(arena.stats().dirtyBlocks, 1, "dirtyBlocks");
      },
    }),
  ),
];

export const modes: readonly ContractCase[] = [...staleViews, ...endings];
