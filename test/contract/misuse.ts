/**
 * Promise 7: misuse is a typed error that says what to do, and leaves the arena as it was.
 * Here every use after an end; wrong arguments and what else callers do are test/misuse's.
 */

import type { RevokeMode } from "cleanslab";
import { check, checkRejects, checkThrows, checkUnharmed, isAll, MODES, PAGE_BYTES, smallArena } from "./check.ts";
import type { ContractCase } from "./contract.ts";

function misuseIn(revoke: RevokeMode): ContractCase[] {
  return [
    {
      name: `${revoke}: every use after release throws, and the block stays its next owner's`,
      run(library) {
        using arena = smallArena(library, { revoke });
        const lease = arena.acquire(100);
        lease.release();
        const next = arena.acquire(100);
        next.bytes.fill(7);
        checkUnharmed(arena, () => {
          for (const use of [
            () => lease.release(),
            () => lease.bytes,
            () => lease.view(DataView),
            () => lease.copy(),
            () => lease.memory,
            () => lease.origin,
            // That it has ended is said before what is wrong with the argument.
            () => lease.resize(-1),
            () => lease.pin(),
            () => lease.releaseAfter(Promise.resolve()),
          ]) {
            checkThrows(library, use, "ERR_LEASE_RELEASED", "100 bytes", "acquire a new one");
          }
          lease[Symbol.dispose]();
        });
        check(isAll(next.bytes, 7), "the next owner's bytes changed");
        next.release();
      },
    },
    {
      name: `${revoke}: what is asked of a disposed arena or its leases throws`,
      async run(library) {
        const arena = smallArena(library, { revoke });
        const lease = arena.acquire(100);
        const pool = arena.pool(100);
        arena[Symbol.dispose]();
        for (const ask of [
          () => arena.acquire(1),
          () => pool.acquire(),
          () => arena.pool(100),
          () => arena.scope(),
          () => arena.use(1, () => 0),
          () => arena.copyOf(new Uint8Array(1)),
          () => arena.acquireFilled(1, () => 1),
          () => arena.filler(1),
          () => arena.writer(),
          () => arena.trim(),
          () => arena.audit(),
          () => lease.bytes,
          () => lease.resize(50),
          () => lease.release(),
        ]) {
          checkThrows(library, ask, "ERR_ARENA_DISPOSED", "create a new one");
        }
        await checkRejects(library, arena.acquireAsync(1), "ERR_ARENA_DISPOSED");
        await checkRejects(library, arena.acquireAsync([1, 2]), "ERR_ARENA_DISPOSED");
        await arena.drained();
      },
    },
  ];
}

export const misuse: readonly ContractCase[] = [
  ...MODES.flatMap(misuseIn),
  {
    name: "a copy of a dead view is refused",
    run(library) {
      using arena = smallArena(library, { revoke: "on-release" });
      const lease = arena.acquire(10);
      const dead = lease.view(DataView);
      lease.release();
      checkUnharmed(arena, () => {
        checkThrows(library, () => arena.copyOf(dead), "ERR_INVALID_ARGUMENT", "still attached");
      });
    },
  },
  {
    name: "assertDrained throws with the number and bytes of the leases still out",
    run(library) {
      using arena = smallArena(library);
      const leases = [arena.acquire(10), arena.acquire(PAGE_BYTES)];
      const says = ["2 leases", `${PAGE_BYTES + 10} bytes`, "trace: 'all'"];
      checkThrows(library, () => arena.assertDrained(), "ERR_LEASES_OUTSTANDING", ...says);
      for (const lease of leases) lease.release();
      arena.assertDrained();
    },
  },
];
