/** Leases that end together, with a stand-in for the arena. A scope used after its end is test/misuse/outstanding.test.ts's. */

import { describe, expect, test } from "vitest";
import { Scope } from "../../../src/lease/scope.ts";
import {
  collectGarbageUntil,
  deferred,
  expectArenaError,
  expectThrow,
  promptly,
  rejectionOf,
  thrownBy,
} from "../../helpers.ts";
import { FakeOwner } from "../helpers.ts";

/** A scope whose leases lie at 1, 2, 3 … of `owner`. */
function open(owner = new FakeOwner()) {
  let ptr = 0;
  const next = (byteLength: number) => owner.lease(byteLength, ++ptr);
  const scope = new Scope({ acquire: next, acquireAsync: async (byteLengths) => byteLengths.map(next) });
  return { scope, owner };
}

describe("a scope", () => {
  test("releases last acquired first, and leaves out what was released before", async () => {
    const { scope, owner } = open();
    scope.acquire(10);
    const second = scope.acquire(20);
    scope.bytes(30);
    await scope.acquireAsync([40, 50]);
    second.release();
    scope.release();
    expect(owner.ends.map(([ptr]) => ptr)).toEqual([2, 5, 4, 3, 1]);
  });

  test("goes through all of its leases when some cannot be released, and throws all of the errors", () => {
    const sound = new FakeOwner();
    const broken = [new FakeOwner(), new FakeOwner()] as const;
    for (const [each, owner] of broken.entries()) owner.error = new Error(`broken ${each}`);
    const owners = [sound, ...broken, sound];
    const scope = new Scope({
      acquire: (byteLength) => (owners.shift() ?? sound).lease(byteLength, byteLength),
      acquireAsync: () => Promise.resolve([]),
    });
    for (const byteLength of [1, 2, 3, 4]) scope.acquire(byteLength);
    const error = thrownBy(() => scope.release());
    expect(error).toBeInstanceOf(AggregateError);
    expect(error).toMatchObject({ errors: [broken[1].error, broken[0].error] });
    expect(sound.ends.map(([ptr]) => ptr)).toEqual([4, 1]);
    expectThrow(() => scope.release(), "ERR_LEASE_RELEASED", "scope has ended");
  });

  test("throws the one error as it is", () => {
    const owner = new FakeOwner();
    owner.error = new Error("broken");
    const { scope } = open(owner);
    scope.acquire(10);
    expect(thrownBy(() => scope.release())).toBe(owner.error);
  });

  test("that ends while it waits for several leases releases them, and says that it has ended", async () => {
    const owner = new FakeOwner();
    const waiting = deferred<[]>();
    const scope = new Scope({
      acquire: (byteLength) => owner.lease(byteLength),
      acquireAsync: async (byteLengths) => {
        await waiting.promise;
        return byteLengths.map((byteLength) => owner.lease(byteLength));
      },
    });
    const rejection = rejectionOf(scope.acquireAsync([10, 20]));
    scope.release();
    waiting.resolve([]);
    expectArenaError(await promptly(rejection), "ERR_LEASE_RELEASED", "scope has ended");
    expect(owner.ends).toHaveLength(2);
  });

  test("that ends in the middle of an acquire releases its lease, and says that it has ended", () => {
    const owner = new FakeOwner();
    const scope: Scope = new Scope({
      acquire: (byteLength) => {
        // As a hook for stack traces can, that acquiring runs.
        scope.release();
        return owner.lease(byteLength);
      },
      acquireAsync: () => Promise.resolve([]),
    });
    expectThrow(() => scope.acquire(10), "ERR_LEASE_RELEASED", "scope has ended");
    expect(owner.ends).toHaveLength(1);
  });

  test("lets go of leases that were released early, however long it lives", async () => {
    const { scope } = open();
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

  test("is quietly disposed after its end", () => {
    const { scope, owner } = open();
    scope.acquire(10);
    scope[Symbol.dispose]();
    scope[Symbol.dispose]();
    expect(owner.ends).toHaveLength(1);
  });
});
