/** Leases that end together, with a stand-in for the arena. A scope used after its end is test/misuse/lease.test.ts's. */

import { describe, expect, test } from "vitest";
import type { Lease } from "../../../src/lease/lease.ts";
import { Scope, type ScopeSource } from "../../../src/lease/scope.ts";
import { collectGarbageUntil, deferred, expectArenaError, expectThrow, rejectionOf, thrownBy } from "../../helpers.ts";
import { FakeOwner } from "../helpers.ts";

/** A scope whose leases lie at 1, 2, 3 … of `owners`, of each in turn. */
function open(owners: readonly FakeOwner[], parts: Partial<ScopeSource<Lease>> = {}): Scope {
  let ptr = 0;
  const next = (byteLength: number): Lease => {
    const owner = owners[ptr++ % owners.length] as FakeOwner;
    return owner.lease(byteLength, ptr);
  };
  return new Scope({ acquire: next, acquireAsync: async (byteLengths) => byteLengths.map(next), ...parts });
}

describe("a scope", () => {
  test("releases last acquired first, leaves out what was released before, and is quietly disposed after", async () => {
    const owner = new FakeOwner();
    const scope = open([owner]);
    scope.acquire(10);
    const second = scope.acquire(20);
    scope.bytes(30);
    await scope.acquireAsync([40, 50]);
    second.release();
    scope[Symbol.dispose]();
    scope[Symbol.dispose]();
    expect(owner.ends.map(([ptr]) => ptr)).toEqual([2, 5, 4, 3, 1]);
  });

  test("goes through all of its leases when some cannot be released, and throws the error, or all of them", () => {
    const owners = [new FakeOwner(), new FakeOwner()] as const;
    owners[1].error = new Error("broken");
    const one = open(owners);
    for (const byteLength of [1, 2]) one.acquire(byteLength);
    expect(thrownBy(() => one.release())).toBe(owners[1].error);
    const scope = open(owners);
    for (const byteLength of [1, 2, 3, 4, 5]) scope.acquire(byteLength);
    const error = thrownBy(() => scope.release());
    expect(error).toBeInstanceOf(AggregateError);
    expect(error).toMatchObject({ errors: [owners[1].error, owners[1].error] });
    expect(owners[0].ends.map(([ptr]) => ptr)).toEqual([1, 5, 3, 1]);
    expectThrow(() => scope.release(), "ERR_LEASE_RELEASED", "scope has ended");
  });

  test("that ends while it waits, or in the middle of an acquire, releases what comes, and says that it has ended", async () => {
    const owner = new FakeOwner();
    const waiting = deferred<Lease[]>();
    const scope: Scope = open([owner], {
      acquire: (byteLength) => {
        // As a hook for stack traces can, that acquiring runs.
        scope.release();
        return owner.lease(byteLength);
      },
      acquireAsync: () => waiting.promise,
    });
    const rejection = rejectionOf(scope.acquireAsync([10, 20]));
    expectThrow(() => scope.acquire(10), "ERR_LEASE_RELEASED", "scope has ended");
    waiting.resolve([owner.lease(10), owner.lease(20)]);
    expectArenaError(await rejection, "ERR_LEASE_RELEASED", "scope has ended");
    expect(owner.ends).toHaveLength(3);
  });

  // Once a scope kept every lease it had ever given, released or not.
  test("lets go of leases that were released early, however long it lives", async () => {
    const scope = open([new FakeOwner()]);
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
