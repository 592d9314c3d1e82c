/** Pins: the block goes back when the lease has ended and the last pin is released, and not before. */

import { describe, expect, test } from "vitest";
import { deferred, expectThrow, isAll, promptly, rejectionOf, settle, wrong } from "../../helpers.ts";
import { FakeOwner } from "../helpers.ts";

describe("a pin", () => {
  test("puts off the block's return until the last of them is released", () => {
    const owner = new FakeOwner();
    const lease = owner.lease(100);
    const pins = [lease.pin(), lease.pin(), lease.pin()] as const;
    pins[1].release();
    lease.release();
    expect(lease.released).toBe(true);
    expectThrow(() => lease.bytes, "ERR_LEASE_RELEASED");
    pins[0].release();
    expect(owner.ends).toEqual([]);
    pins[2].release();
    expect(owner.ends).toEqual([[0, 100]]);
  });

  test("that is released first changes nothing for the lease", () => {
    const owner = new FakeOwner();
    const lease = owner.lease(100);
    lease.pin().release();
    expect([lease.released, owner.ends.length]).toEqual([false, 0]);
    lease.release();
    expect(owner.ends).toHaveLength(1);
  });

  test("is released once: a second release is a typed error, a second dispose is nothing", () => {
    const owner = new FakeOwner();
    const lease = owner.lease(100);
    const pin = lease.pin();
    const other = lease.pin();
    lease.release();
    pin.release();
    expectThrow(() => pin.release(), "ERR_LEASE_RELEASED", "pin was already released");
    pin[Symbol.dispose]();
    expect(owner.ends).toEqual([]);
    other[Symbol.dispose]();
    other[Symbol.dispose]();
    expect(owner.ends).toHaveLength(1);
  });

  test("is none too late once the owner is closed: nobody hears of it", () => {
    const owner = new FakeOwner();
    const lease = owner.lease(100);
    const pin = lease.pin();
    lease.release();
    owner.closed = true;
    pin.release();
    expect(owner.ends).toEqual([]);
  });
});

describe("releaseAfter", () => {
  test("ends the lease at once, returns the block when the promise settles, and passes its value on", async () => {
    const owner = new FakeOwner();
    const lease = owner.lease(100);
    const bytes = lease.bytes.fill(7);
    const write = deferred<number>();
    const done = lease.releaseAfter(write.promise);
    expect(lease.released).toBe(true);
    await settle();
    expect([owner.ends.length, isAll(bytes, 7)]).toEqual([0, true]);
    write.resolve(42);
    expect(await promptly(done)).toBe(42);
    expect(owner.ends).toEqual([[0, 100]]);
  });

  test("returns the block of a promise that rejects, and passes its reason on", async () => {
    const owner = new FakeOwner();
    const reason = new Error("disk full");
    expect(await rejectionOf(owner.lease(100).releaseAfter(Promise.reject(reason)))).toBe(reason);
    expect(owner.ends).toHaveLength(1);
  });

  test("takes any thenable, and refuses what is none while the lease is still its holder's", async () => {
    const owner = new FakeOwner();
    const thenable: PromiseLike<string> = {
      // biome-ignore lint/suspicious/noThenProperty: a thenable that is no promise is what this is about.
      then: (onFulfilled) => Promise.resolve("at once").then(onFulfilled),
    };
    expect(await promptly(owner.lease(100).releaseAfter(thenable))).toBe("at once");
    const lease = owner.lease(50);
    for (const none of [undefined, () => {}, {}, 5]) {
      expectThrow(() => lease.releaseAfter(wrong<PromiseLike<unknown>>(none)), "ERR_INVALID_ARGUMENT", "promise");
    }
    expect([lease.released, owner.ends.length]).toEqual([false, 1]);
  });

  test("of a lease that has ended is refused, and the promise is not waited for", () => {
    const owner = new FakeOwner();
    const lease = owner.lease(100);
    lease.release();
    expectThrow(() => lease.releaseAfter(Promise.resolve()), "ERR_LEASE_RELEASED", "cannot pin");
  });
});
