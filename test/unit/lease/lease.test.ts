/**
 * What a lease asks of its owner, and shows: with a stand-in for the owner. What it refuses is
 * test/misuse/lease.test.ts's.
 */

import { describe, expect, test } from "vitest";
import { watchLease } from "../../../src/lease/lease.ts";
import type { LeaseWatch } from "../../../src/lease/owner.ts";
import { collectGarbageUntil, expectThrow, isAll, isZero, thrownBy } from "../../helpers.ts";
import { expectStopped, FakeOwner, stop } from "../helpers.ts";

/** A watch that hears nothing but what `parts` say. */
function watchOf(parts: Partial<LeaseWatch> = {}): LeaseWatch {
  return { history: "", ended() {}, pinned() {}, resized() {}, ...parts };
}

describe("release", () => {
  test("has ended the lease before the owner hears of it, so that an owner that fails gets no block twice", () => {
    const owner = new FakeOwner();
    owner.error = new Error("in the middle");
    const leases = [owner.lease(10, 16), owner.lease(20, 32), owner.lease(30, 48)] as const;
    leases[1].pin().release();
    let heard = 0;
    watchLease(leases[2], () => watchOf({ ended: () => void heard++ }));
    for (const lease of leases) {
      expect(thrownBy(() => lease.release())).toBe(owner.error);
      expectThrow(() => lease.release(), "ERR_LEASE_RELEASED");
      lease[Symbol.dispose]();
    }
    expect([owner.ends.map(([ptr]) => ptr), heard]).toEqual([[16, 32, 48], 1]);
  });

  test("leaves a lease object that holds neither owner, memory nor bytes", async () => {
    const collected = new Set<string>();
    const registry = new FinalizationRegistry<string>((name) => void collected.add(name));
    const leases = (["released", "disposed", "pinned", "moved", "watched"] as const).map((how) => {
      const owner = new FakeOwner();
      registry.register(owner, how);
      registry.register(owner.buffer, `${how}: buffer`);
      const lease = owner.lease(100);
      if (how === "moved") {
        owner.target = new FakeOwner();
        lease.resize(2000);
      } else if (how === "pinned") {
        const pin = lease.pin();
        lease.release();
        pin.release();
      } else {
        if (how === "watched") watchLease(lease, () => watchOf());
        if (how === "disposed") lease[Symbol.dispose]();
        else lease.release();
      }
      return lease;
    });
    await collectGarbageUntil(() => collected.size === 10);
    expect(collected.size).toBe(10);
    expect(leases.map(({ byteLength }) => byteLength)).toEqual([100, 100, 100, 2000, 100]);
  });
});

describe("resize", () => {
  test("to much less moves to a shorter block, and stays where there is none; past the block, that is an error", () => {
    const owner = new FakeOwner();
    const stays = owner.lease(1024);
    const bytes = stays.bytes.fill(7);
    expect(String(thrownBy(() => stays.resize(2000)))).toContain("no room");
    expect([stays.bytes === bytes, isAll(bytes, 7)]).toEqual([true, true]);
    stays.resize(0);
    expect([stays.byteLength, owner.ends.length]).toEqual([0, 0]);
    owner.target = new FakeOwner();
    const moves = owner.lease(1024);
    moves.resize(0);
    expect([moves.byteOffset, moves.byteLength, owner.ends]).toEqual([2048, 0, [[0, 1024]]]);
  });

  test("that is used in the middle of its move starts over, or says that the lease has ended", () => {
    for (const [use, ends] of [
      ["resize", [[0, 500]]],
      ["release", [[0, 1000]]],
    ] as const) {
      const owner = new FakeOwner();
      const target = new FakeOwner();
      const lease = owner.lease(1000);
      lease.bytes.fill(7);
      let calls = 0;
      const { source } = owner;
      Object.defineProperty(owner, "source", {
        get: () => ({
          ...source,
          acquireUnzeroed: (byteLength: number) => {
            // As a hook of async_hooks can, which acquiring runs.
            if (calls++ === 0) lease[use](500);
            return target.lease(byteLength, 2048 * calls);
          },
        }),
      });
      if (use === "release") expectThrow(() => lease.resize(3000), "ERR_LEASE_RELEASED");
      else {
        lease.resize(3000);
        expect([isAll(lease.bytes.subarray(0, 500), 7), isZero(lease.bytes.subarray(500))]).toEqual([true, true]);
      }
      expect([owner.ends, target.ends.length]).toEqual([ends, 1]);
    }
  });

  test("that is stopped before its owner knows of its new length has the old one", () => {
    for (const byteLength of [500, 1000]) {
      const owner = new FakeOwner();
      const lease = owner.lease(800);
      const { bytes } = lease;
      owner.reaches = stop;
      // Longer than its owner knows, bytes of it would not be zeroed for the next lease.
      expectStopped(() => lease.resize(byteLength));
      expect([lease.byteLength, lease.bytes]).toEqual([800, bytes]);
    }
  });
});

describe("a watch", () => {
  test("hears once that its lease has ended, before its block is back, and tells its history", () => {
    const owner = new FakeOwner();
    const heard: (number | string)[] = [];
    const lease = owner.lease(10);
    for (const history of ["\nfirst", "\nsecond"]) {
      const ended = (): unknown => heard.push(owner.ends.length);
      watchLease(lease, () => watchOf({ history, ended, pinned: () => void heard.push("pinned") }));
    }
    const pin = lease.pin();
    lease.release();
    expect([heard, owner.account.pinned]).toEqual([["pinned", "pinned"], 1]);
    expectThrow(() => lease.bytes, "ERR_LEASE_RELEASED", "\nfirst\nsecond");
    pin.release();
    expect([...heard, owner.ends.length, owner.account.pinned]).toEqual(["pinned", "pinned", 0, 0, 1, 0]);
  });

  test("that is stopped half way does not keep the block", () => {
    const owner = new FakeOwner();
    const lease = owner.lease(10);
    watchLease(lease, () => watchOf({ ended: stop }));
    expectStopped(() => lease.release());
    expect([lease.released, owner.ends.length]).toEqual([true, 1]);
  });
});

test("what Node prints names length, place and state", () => {
  const lease = new FakeOwner().lease(100, 64);
  const print = Reflect.get(lease, Symbol.for("nodejs.util.inspect.custom")) as () => string;
  expect(print.call(lease)).toBe("Lease { 100 bytes, arena, at 64 }");
  lease.release();
  expect(print.call(lease)).toBe("Lease { 100 bytes, released }");
});
