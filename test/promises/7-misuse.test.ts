/**
 * Promise 7: every misuse is a typed error, and leaves the arena as it was. Here one case
 * for each code; test/misuse has each way in at length.
 */

import { Readable } from "node:stream";
import { type Arena, ArenaError, type ArenaErrorCode } from "cleanslab";
import { collect } from "cleanslab/node";
import { describe, expect, test } from "vitest";
import { expectArenaError, expectSound, expectUsable, growUnder, MODES, rejectionOf, smallArena } from "../helpers.ts";

const body = (): Readable => Readable.from([Buffer.alloc(100)], { objectMode: false });

/** Each but `ERR_WASM_UNAVAILABLE`, which faults.test.ts has, and those between threads, which test/shared has. */
const MISUSES: Partial<Record<ArenaErrorCode, (arena: Arena) => unknown>> = {
  ERR_INVALID_ARGUMENT: (arena) => arena.acquire(-1),
  ERR_LEASE_RELEASED: (arena) => {
    const lease = arena.acquire(10);
    lease.release();
    lease.release();
  },
  ERR_LEASE_DETACHED: (arena) => {
    using lease = arena.acquire(10);
    growUnder(lease, 0);
    void lease.bytes;
  },
  ERR_LEASE_PINNED: (arena) => {
    using lease = arena.acquire(10);
    using _pin = lease.pin();
    lease.resize(5);
  },
  ERR_LEASES_OUTSTANDING: (arena) => {
    using _lease = arena.acquire(10);
    arena.assertDrained();
  },
  ERR_LIMIT_EXCEEDED: (arena) => collect(body(), arena, { limit: 99 }),
  ERR_LENGTH_MISMATCH: (arena) => collect(body(), arena, { byteLength: 101 }),
  ERR_OUT_OF_BOUNDS: (arena) => {
    using filler = arena.filler(10);
    filler.take();
  },
  ERR_ARENA_EXHAUSTED: (arena) => arena.acquireAsync([2 ** 30, 2 ** 30]),
  ERR_ARENA_DISPOSED: () => {
    const arena = smallArena();
    arena[Symbol.dispose]();
    arena.acquire(10);
  },
};

describe.each(MODES)("revoke: %s", (revoke) => {
  test.each(Object.entries(MISUSES))("%s is thrown, and the arena is as it was", async (code, misuse) => {
    using arena = smallArena({ revoke, onExhausted: "throw" });
    const error = await rejectionOf((async () => misuse(arena))());
    expectArenaError(error, code as ArenaErrorCode);
    expect(arena.stats()).toMatchObject({ liveLeases: 0, liveBytes: 0, overflowed: 0, leakedLeases: 0, waiting: 0 });
    arena.assertDrained();
    expectSound(arena);
    expectUsable(arena);
  });
});

test("two copies of the class know each other's errors by their code and name", () => {
  const error = new ArenaError("ERR_LEASE_RELEASED", "said", { cause: 5 });
  expect([error.name, error.code, error.message, error.cause]).toEqual(["ArenaError", "ERR_LEASE_RELEASED", "said", 5]);
});
