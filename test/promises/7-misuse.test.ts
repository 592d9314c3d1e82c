/**
 * Promise 7: every misuse is a typed error, and leaves the arena as it was. Here one case
 * for each code and way in; test/misuse has each of them at length.
 */

import { Arena, ArenaError, type ArenaErrorCode, type Lease, type RevokeMode } from "cleanslab";
import { describe, expect, test } from "vitest";
import {
  expectThrow,
  expectUnharmed,
  expectUnharmedAsync,
  growUnder,
  MODES,
  rejectionOf,
  smallArena,
  wrong,
} from "../helpers.ts";

type Misuse = (arena: Arena) => unknown;

const released = (arena: Arena): Lease => {
  const lease = arena.acquire(10);
  lease.release();
  return lease;
};

/** Runs `fn` with a lease that is released afterwards. */
const withLease =
  (fn: (lease: Lease) => unknown): Misuse =>
  (arena) => {
    const lease = arena.acquire(10);
    try {
      return fn(lease);
    } finally {
      lease[Symbol.dispose]();
    }
  };

const SYNCHRONOUS: [string, ArenaErrorCode, Misuse][] = [
  ["acquiring a length that is none", "ERR_INVALID_ARGUMENT", (arena) => arena.acquire(-1)],
  ["acquiring a length of another type", "ERR_INVALID_ARGUMENT", (arena) => arena.acquire(wrong("10"))],
  ["acquiring 4 GiB", "ERR_INVALID_ARGUMENT", (arena) => arena.acquire(2 ** 32)],
  ["acquiring more than the cap", "ERR_ARENA_EXHAUSTED", (arena) => arena.acquire(2 ** 31)],
  ["a pool of a length that is none", "ERR_INVALID_ARGUMENT", (arena) => arena.pool(1.5)],
  ["using without a function", "ERR_INVALID_ARGUMENT", (arena) => arena.use(10, wrong(undefined))],
  ["filling without a function", "ERR_INVALID_ARGUMENT", (arena) => arena.acquireFilled(10, wrong("fn"))],
  ["filling more than there is", "ERR_INVALID_ARGUMENT", (arena) => arena.acquireFilled(10, () => 11)],
  ["copying what is no view", "ERR_INVALID_ARGUMENT", (arena) => arena.copyOf(wrong("bytes"))],
  ["a writer of a length that is none", "ERR_INVALID_ARGUMENT", (arena) => arena.writer(-5)],
  ["a filler of a length that is none", "ERR_INVALID_ARGUMENT", (arena) => arena.filler(Number.NaN)],
  ["setting trace to no level", "ERR_INVALID_ARGUMENT", (arena) => Object.assign(arena, { trace: "loud" })],
  ["releasing twice", "ERR_LEASE_RELEASED", (arena) => released(arena).release()],
  ["reading bytes after release", "ERR_LEASE_RELEASED", (arena) => released(arena).bytes],
  ["reading the memory after release", "ERR_LEASE_RELEASED", (arena) => released(arena).memory],
  ["reading the origin after release", "ERR_LEASE_RELEASED", (arena) => released(arena).origin],
  ["resizing after release", "ERR_LEASE_RELEASED", (arena) => released(arena).resize(5)],
  ["pinning after release", "ERR_LEASE_RELEASED", (arena) => released(arena).pin()],
  ["a view that is none", "ERR_INVALID_ARGUMENT", withLease((lease) => lease.view(wrong(Map)))],
  ["a view that does not divide", "ERR_INVALID_ARGUMENT", withLease((lease) => lease.view(Float64Array))],
  ["resizing to a length that is none", "ERR_INVALID_ARGUMENT", withLease((lease) => lease.resize(-1))],
  ["resizing past the cap", "ERR_ARENA_EXHAUSTED", withLease((lease) => lease.resize(2 ** 31))],
  [
    "releasing after no promise",
    "ERR_INVALID_ARGUMENT",
    withLease((lease) => lease.releaseAfter(wrong<PromiseLike<unknown>>(5))),
  ],
  [
    "resizing under a pin",
    "ERR_LEASE_PINNED",
    withLease((lease) => {
      using _pin = lease.pin();
      lease.resize(5);
    }),
  ],
  [
    "releasing a pin twice",
    "ERR_LEASE_RELEASED",
    withLease((lease) => {
      const pin = lease.pin();
      pin.release();
      pin.release();
    }),
  ],
  [
    "a scope after its end",
    "ERR_LEASE_RELEASED",
    (arena) => {
      const scope = arena.scope();
      scope.release();
      scope.acquire(10);
    },
  ],
  [
    "asserting that an arena is drained that is not",
    "ERR_LEASES_OUTSTANDING",
    (arena) => {
      using _lease = arena.acquire(10);
      arena.assertDrained();
    },
  ],
];

const ASYNCHRONOUS: [string, ArenaErrorCode, (arena: Arena) => Promise<unknown>][] = [
  ["waiting for a length that is none", "ERR_INVALID_ARGUMENT", (arena) => arena.acquireAsync(-1)],
  ["waiting for one among several that is none", "ERR_INVALID_ARGUMENT", (arena) => arena.acquireAsync([1, -1])],
  ["waiting for more than the cap", "ERR_ARENA_EXHAUSTED", (arena) => arena.acquireAsync([2 ** 30, 2 ** 30])],
  [
    "waiting with a signal that is none",
    "ERR_INVALID_ARGUMENT",
    (arena) => arena.acquireAsync(1, { signal: wrong({}) }),
  ],
  ["waiting with options that are none", "ERR_INVALID_ARGUMENT", (arena) => arena.acquireAsync(1, wrong(5))],
  [
    "waiting until drained with a signal that is none",
    "ERR_INVALID_ARGUMENT",
    (arena) => arena.drained({ signal: wrong(1) }),
  ],
  ["filling with a wrong promise", "ERR_INVALID_ARGUMENT", (arena) => arena.acquireFilled(10, async () => -1)],
];

describe.each(MODES)("revoke: %s", (revoke: RevokeMode) => {
  test.each(SYNCHRONOUS)("%s is %s, and leaves the arena as it was", (_name, code, misuse) => {
    using arena = smallArena({ revoke, onExhausted: "throw" });
    // What the misuse leases and gives back is counted, and is all that is.
    const before = arena.stats();
    expectThrow(() => misuse(arena), code);
    const { liveLeases, liveBytes, overflowed, leakedLeases, waiting } = arena.stats();
    expect({ liveLeases, liveBytes, overflowed, leakedLeases, waiting }).toEqual({
      liveLeases: before.liveLeases,
      liveBytes: before.liveBytes,
      overflowed: 0,
      leakedLeases: 0,
      waiting: 0,
    });
    expectUnharmed(arena, () => {});
    arena.assertDrained();
  });

  test.each(ASYNCHRONOUS)("%s is %s, and leaves the arena as it was", async (_name, code, misuse) => {
    using arena = smallArena({ revoke, onExhausted: "throw" });
    const error = await rejectionOf(misuse(arena));
    expect(error).toBeInstanceOf(ArenaError);
    expect((error as ArenaError).code).toBe(code);
    await expectUnharmedAsync(arena, async () => {});
    arena.assertDrained();
  });

  test("a memory that another revoked under a lease is ERR_LEASE_DETACHED until it is released", () => {
    using arena = smallArena({ revoke });
    const lease = arena.acquire(10);
    growUnder(lease, 0);
    for (const use of [() => lease.bytes, () => lease.copy(), () => lease.resize(5)])
      expectThrow(use, "ERR_LEASE_DETACHED");
    lease.release();
    expectUnharmed(arena, () => {});
  });

  test("everything is refused by an arena that was disposed, and a second dispose is nothing", async () => {
    const arena = smallArena({ revoke });
    const lease = arena.acquire(10);
    const empty = arena.acquire(0);
    const pin = lease.pin();
    arena[Symbol.dispose]();
    arena[Symbol.dispose]();
    for (const use of [
      () => arena.acquire(10),
      () => arena.acquireFilled(10, () => 0),
      () => arena.copyOf(new Uint8Array(1)),
      () => arena.pool(10),
      () => arena.scope(),
      () => arena.use(10, () => 0),
      () => arena.audit(),
      () => arena.trim(),
      () => Object.assign(arena, { trace: "all" }),
      () => lease.bytes,
      () => empty.bytes,
      () => lease.resize(5),
      () => lease.release(),
    ]) {
      expectThrow(use, "ERR_ARENA_DISPOSED");
    }
    expect(await rejectionOf(arena.acquireAsync(10))).toMatchObject({ code: "ERR_ARENA_DISPOSED" });
    pin.release();
    lease[Symbol.dispose]();
    await arena.drained();
    expect(arena.stats()).toMatchObject({ liveLeases: 0, reservedBytes: 0, bookBytes: 0 });
  });
});

test.each(MODES)(
  "dispose kills every view of live leases, of memories that only leases hold too, in %s mode",
  (revoke) => {
    const arena = smallArena({ revoke }, 8);
    const leases = Array.from({ length: 100 }, (_, each) => arena.acquire(each === 0 ? 200_000 : 4096));
    const views = leases.map(({ bytes }) => bytes);
    if (revoke === "before-reuse") expect(arena.stats().segments.retired).toBe(1);
    arena[Symbol.dispose]();
    expect(views.filter(({ length }) => length > 0)).toEqual([]);
    for (const lease of leases) expectThrow(() => lease.bytes, "ERR_ARENA_DISPOSED");
  },
);

test("two copies of the class know each other's errors by their code and name", () => {
  const error = new ArenaError("ERR_LEASE_RELEASED", "said", { cause: 5 });
  expect([error.name, error.code, error.message, error.cause]).toEqual(["ArenaError", "ERR_LEASE_RELEASED", "said", 5]);
  expect(() => new Arena(wrong({ revoke: "sometimes" }))).toThrow(ArenaError);
});
