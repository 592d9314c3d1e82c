/**
 * What happens when the engine has no more memories to give, long before the
 * cap: browsers allow a process a hundred to a thousand. Nothing is lost, and
 * what is idle is used.
 */

import type { Arena, Lease } from "cleanslab";
import { check, checkEqual, checkSound, checkThrows, isAll, PAGE_BYTES } from "./check.ts";
import type { ContractCase, Environment, Library } from "./contract.ts";

/** More memories than a page of any browser known gets. */
const MANY = 1500;
/** How many leases are tried once the engine has refused. */
const MORE = 20;

/** Leases with a memory each until one comes from elsewhere; skips the case where the engine gives all. */
function useUpMemories(environment: Environment, arena: Arena): Lease[] {
  const leases: Lease[] = [];
  while (leases.length < MANY) {
    const lease = arena.acquire(100);
    leases.push(lease);
    if (lease.origin === "heap") return leases;
  }
  releaseAll(leases);
  environment.skip(`this engine gives a program more than ${MANY} memories`);
}

/** The engine can be asked again; skips where it still has no memory, because it does not collect when it has none. */
function requireMemory(environment: Environment): void {
  const { WebAssembly } = globalThis as unknown as { WebAssembly: { Memory: new (descriptor: object) => unknown } };
  try {
    new WebAssembly.Memory({ initial: 1, maximum: 1 });
  } catch {
    environment.skip("this engine has no memory to give, and has not collected those let go of");
  }
}

function releaseAll(leases: Iterable<Lease>): void {
  for (const lease of leases) lease.release();
}

function roomyArena({ Arena }: Library, options = {}): Arena {
  return new Arena({ revoke: "on-release", maxBytes: 4 * MANY * PAGE_BYTES, trace: "off", ...options });
}

export const limits: readonly ContractCase[] = [
  {
    name: "on-release: when the engine gives no more memories, leases come from the heap, counted, and nothing is lost",
    run(library, environment) {
      using arena = roomyArena(library);
      const leases = useUpMemories(environment, arena);
      const memories = leases.length - 1;
      for (let each = 1; each < MORE; each++) leases.push(arena.acquire(100));
      const { overflowed, reservedBytes, oneLease } = arena.stats();
      checkEqual(overflowed, MORE, "overflowed");
      checkEqual(oneLease.leased, memories, "memories");
      checkEqual(reservedBytes, memories * PAGE_BYTES, "reservedBytes");
      for (const [each, lease] of leases.entries()) {
        check(isAll(lease.bytes, 0), "a lease is not zero");
        lease.bytes.fill(each);
      }
      for (const [each, lease] of leases.entries()) {
        const stale = lease.bytes;
        check(isAll(stale, each & 0xff), "two leases overlap");
        lease.release();
        checkEqual(stale.length, 0, "the length of a stale view");
      }
      arena.assertDrained();
      checkSound(arena);
    },
  },
  {
    name: "with onExhausted: throw, an engine without memories is a typed error, and a release makes room",
    run(library, environment) {
      using arena = roomyArena(library);
      const leases = useUpMemories(environment, arena);
      using strict = roomyArena(library, { onExhausted: "throw" });
      checkThrows(library, () => strict.acquire(100), "ERR_ARENA_EXHAUSTED");
      checkEqual(strict.stats().reservedBytes, 0, "reservedBytes");
      // A released lease still holds the memory it lay in.
      releaseAll(leases.splice(0));
      arena.trim();
      requireMemory(environment);
      strict.acquire(100).release();
      checkSound(strict);
    },
  },
  {
    name: "before-reuse: when the engine gives no more segments, leases come from the heap, and segments are used again",
    run(library, environment) {
      using arena = roomyArena(library, { revoke: "before-reuse" });
      using other = roomyArena(library);
      requireMemory(environment);
      const own = arena.acquire(100);
      const leases = useUpMemories(environment, other);
      const held: Lease[] = [];
      while (held.at(-1)?.origin !== "heap") held.push(arena.acquire(PAGE_BYTES));
      releaseAll(held);
      own.release();
      checkSound(arena);
      const { overflowed } = arena.stats();
      const again = arena.acquire(PAGE_BYTES);
      checkEqual(again.origin, "arena", "origin");
      checkEqual(arena.stats().overflowed, overflowed, "overflowed");
      again.release();
      releaseAll(leases);
    },
  },
];
