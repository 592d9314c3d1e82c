/**
 * Leases that end together, or with a function, where something fails in between. A scope used
 * after its end is test/misuse/outstanding.test.ts's.
 */

import { describe, expect, test } from "vitest";
import type { Lease } from "../../../src/lease/lease.ts";
import { Scope } from "../../../src/lease/scope.ts";
import { lend } from "../../../src/lease/use.ts";
import {
  collectGarbageUntil,
  expectArenaError,
  expectThrow,
  rejectionOf,
  smallArena,
  thrownBy,
  wrong,
} from "../../helpers.ts";
import { FakeOwner } from "../helpers.ts";

/** A scope whose leases lie at 1, 2, 3 … of `owners`, of each in turn. */
function open(...owners: FakeOwner[]): Scope {
  let ptr = 0;
  const next = (byteLength: number): Lease => {
    const owner = owners[ptr++ % owners.length] as FakeOwner;
    return owner.lease(byteLength, ptr);
  };
  return new Scope({ acquire: next, acquireAsync: async (byteLengths) => byteLengths.map(next) });
}

describe("a scope", () => {
  test("releases all of its leases, the last first, when some cannot be released, and throws the error, or all of them", () => {
    const [good, bad] = [new FakeOwner(), new FakeOwner()];
    bad.error = new Error("broken");
    const one = open(good, bad);
    for (const byteLength of [1, 2]) one.acquire(byteLength);
    expect(thrownBy(() => one.release())).toBe(bad.error);
    const scope = open(good, bad);
    for (const byteLength of [1, 2, 3, 4, 5]) scope.acquire(byteLength);
    const error = thrownBy(() => scope.release());
    expect(error).toBeInstanceOf(AggregateError);
    expect(error).toMatchObject({ errors: [bad.error, bad.error] });
    expect(good.ends.map(([ptr]) => ptr)).toEqual([1, 5, 3, 1]);
    expectThrow(() => scope.release(), "ERR_LEASE_RELEASED", "scope has ended");
  });

  test("that ends in the middle of an acquire releases what comes, and says that it has ended", () => {
    const owner = new FakeOwner();
    const scope: Scope = new Scope({
      acquire: (byteLength) => {
        // As a hook of async_hooks can, which acquiring runs.
        scope.release();
        return owner.lease(byteLength);
      },
      acquireAsync: () => expect.unreachable(),
    });
    expectThrow(() => scope.acquire(10), "ERR_LEASE_RELEASED", "scope has ended");
    expect(owner.ends).toHaveLength(1);
  });

  // Once a scope kept every lease it had ever given, released or not.
  test("lets go of leases that were released early, however long it lives", async () => {
    const scope = open(new FakeOwner());
    let collected = 0;
    const registry = new FinalizationRegistry(() => collected++);
    for (let each = 0; each < 1000; each++) {
      const lease = scope.acquire(10);
      lease.release();
      registry.register(lease, undefined);
    }
    await collectGarbageUntil(() => collected >= 936);
    expect(collected).toBeGreaterThanOrEqual(936);
    scope.release();
  });
});

test("lending tells of the release that failed, and of both errors in one where the function failed too", async () => {
  const owner = new FakeOwner();
  owner.error = new Error("the release");
  const mine = new Error("mine");
  const fail = (): never => {
    throw mine;
  };
  const both = { errors: [mine, owner.error] };
  expect(thrownBy(() => lend(owner.lease(10), () => 5))).toBe(owner.error);
  expect(thrownBy(() => lend(owner.lease(10), fail))).toMatchObject(both);
  expect(await rejectionOf(lend(owner.lease(10), async () => 5))).toBe(owner.error);
  expect(await rejectionOf(lend(owner.lease(10), async () => fail()))).toMatchObject(both);
  expect(owner.ends).toHaveLength(4);
});

test.each([-1, 101, 1.5, Number.NaN, "3", undefined, null, 2 ** 40])(
  "a lease whose filler answers %s is a typed error, and no lease",
  async (answer) => {
    using arena = smallArena();
    const says = "what write answered";
    expectThrow(() => arena.acquireFilled(100, () => wrong(answer)), "ERR_INVALID_ARGUMENT", says);
    const later = arena.acquireFilled(100, async () => wrong<number>(answer));
    expectArenaError(await rejectionOf(later), "ERR_INVALID_ARGUMENT", says);
    arena.assertDrained();
  },
);
