/** Lending bytes to a function: the lease ends, whatever the function does. */

import { describe, expect, test } from "vitest";
import { lend } from "../../../src/lease/use.ts";
import { deferred, promptly, rejectionOf, settle, thrownBy } from "../../helpers.ts";
import { FakeOwner } from "../helpers.ts";

describe("lending", () => {
  test("gives what the function returns, and the lease has ended", () => {
    const owner = new FakeOwner();
    expect(lend(owner.lease(10), (bytes) => bytes.length)).toBe(10);
    expect(owner.ends).toHaveLength(1);
  });

  test("throws what the function throws, and the lease has ended", () => {
    const owner = new FakeOwner();
    const mine = new Error("mine");
    const throws = (): never => {
      throw mine;
    };
    expect(thrownBy(() => lend(owner.lease(10), throws))).toBe(mine);
    expect(owner.ends).toHaveLength(1);
  });

  test("waits for a promise, fulfilled or rejected, and passes it on", async () => {
    const owner = new FakeOwner();
    const work = deferred<number>();
    const done = lend(owner.lease(10), () => work.promise);
    await settle();
    expect(owner.ends).toEqual([]);
    work.resolve(7);
    expect(await promptly(done)).toBe(7);
    const mine = new Error("mine");
    expect(await rejectionOf(lend(owner.lease(10), () => Promise.reject(mine)))).toBe(mine);
    expect(owner.ends).toHaveLength(2);
  });

  test("tells of the release that failed, and of both errors in one where the function failed too", async () => {
    const owner = new FakeOwner();
    owner.error = new Error("the release");
    const mine = new Error("mine");
    const throws = (): never => {
      throw mine;
    };
    expect(thrownBy(() => lend(owner.lease(10), () => 5))).toBe(owner.error);
    const both = { errors: [mine, owner.error] };
    expect(thrownBy(() => lend(owner.lease(10), throws))).toMatchObject(both);
    expect(await rejectionOf(lend(owner.lease(10), async () => 5))).toBe(owner.error);
    expect(await rejectionOf(lend(owner.lease(10), () => Promise.reject(mine)))).toMatchObject(both);
    expect(owner.ends).toHaveLength(4);
  });
});
