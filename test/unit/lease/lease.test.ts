/** What a lease asks of its owner, and shows: with a stand-in for the owner. Leases of an arena are promises/'s and misuse/'s. */

import { describe, expect, test } from "vitest";
import { type ViewConstructor, watchLease } from "../../../src/lease/lease.ts";
import type { LeaseWatch } from "../../../src/lease/owner.ts";
import { collectGarbageUntil, expectThrow, isAll, isZero, thrownBy, wrong } from "../../helpers.ts";
import { expectStopped, FakeOwner, stop } from "../helpers.ts";

const VIEWS: [string, ViewConstructor<ArrayBufferView>, number][] = [
  ["DataView", DataView, 1],
  ["Int8Array", Int8Array, 1],
  ["Uint8Array", Uint8Array, 1],
  ["Uint8ClampedArray", Uint8ClampedArray, 1],
  ["Int16Array", Int16Array, 2],
  ["Uint16Array", Uint16Array, 2],
  ["Int32Array", Int32Array, 4],
  ["Uint32Array", Uint32Array, 4],
  ["Float32Array", Float32Array, 4],
  ["Float64Array", Float64Array, 8],
  ["BigInt64Array", BigInt64Array, 8],
  ["BigUint64Array", BigUint64Array, 8],
];

describe("release", () => {
  test("tells the owner once, with where the block lies and how long the lease was", () => {
    const owner = new FakeOwner();
    const lease = owner.lease(100, 64);
    lease.release();
    expectThrow(() => lease.release(), "ERR_LEASE_RELEASED", "cannot release", 100);
    lease[Symbol.dispose]();
    expect(owner.ends).toEqual([[64, 100]]);
  });

  test("has ended the lease before the owner hears of it, so that an owner that fails gets no block twice", () => {
    const owner = new FakeOwner();
    owner.error = new Error("in the middle");
    const plain = owner.lease(10, 16);
    const pinned = owner.lease(20, 32);
    pinned.pin().release();
    for (const lease of [plain, pinned]) {
      expect(thrownBy(() => lease.release())).toBe(owner.error);
      expect(lease.released).toBe(true);
      expectThrow(() => lease.release(), "ERR_LEASE_RELEASED");
      lease[Symbol.dispose]();
    }
    expect(owner.ends).toEqual([
      [16, 10],
      [32, 20],
    ]);
  });

  test("is refused, and disposing is not, once the owner is closed: nobody hears of either", () => {
    const owner = new FakeOwner();
    const leases = [owner.lease(10), owner.lease(10)] as const;
    leases[0].pin();
    owner.closed = true;
    expectThrow(() => leases[0].release(), "ERR_ARENA_DISPOSED");
    for (const lease of leases) lease[Symbol.dispose]();
    expect(leases.map(({ released }) => released)).toEqual([true, true]);
    expect(owner.ends).toEqual([]);
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
      } else if (how === "watched") {
        watchLease(lease, () => ({ history: "", ended() {}, pinned() {}, resized() {} }));
        lease.release();
      } else if (how === "disposed") lease[Symbol.dispose]();
      else lease.release();
      return lease;
    });
    await collectGarbageUntil(() => collected.size === 10);
    expect(collected.size).toBe(10);
    expect(leases.map(({ byteLength }) => byteLength)).toEqual([100, 100, 100, 2000, 100]);
  });
});

describe("a released lease", () => {
  test("keeps its length and offset, and refuses everything else", () => {
    const owner = new FakeOwner();
    const lease = owner.lease(100, 64);
    lease.release();
    expect([lease.byteLength, lease.byteOffset, lease.released]).toEqual([100, 64, true]);
    for (const use of [
      () => lease.bytes,
      () => lease.memory,
      () => lease.origin,
      () => lease.view(DataView),
      () => lease.copy(),
      () => lease.resize(10),
      () => lease.pin(),
      () => lease.releaseAfter(Promise.resolve()),
    ]) {
      expectThrow(use, "ERR_LEASE_RELEASED", "already released");
    }
  });
});

describe("a view", () => {
  test.each(VIEWS)("that is a %s shows the leased bytes and nothing else", (_name, View, elementBytes) => {
    const lease = new FakeOwner().lease(96, 64);
    const view = lease.view(View);
    expect(view).toBeInstanceOf(View);
    expect([view.buffer, view.byteOffset, view.byteLength]).toEqual([lease.bytes.buffer, 64, 96]);
    if (!(view instanceof DataView)) expect(view).toHaveProperty("length", 96 / elementBytes);
  });

  test("is refused of elements that do not divide the bytes, and by what makes no views", () => {
    const lease = new FakeOwner().lease(10);
    expectThrow(() => lease.view(Float64Array), "ERR_INVALID_ARGUMENT", "8-byte elements", "10 bytes");
    for (const none of [undefined, "Uint8Array", () => 5, Map, class {}]) {
      expectThrow(() => lease.view(wrong(none)), "ERR_INVALID_ARGUMENT", "DataView or a typed array");
    }
    lease.release();
  });
});

describe("bytes", () => {
  test("are the same object each time, and a copy is another", () => {
    const lease = new FakeOwner().lease(10, 16);
    expect(lease.bytes).toBe(lease.bytes);
    lease.bytes.fill(7);
    const copy = lease.copy();
    lease.bytes.fill(8);
    expect([copy.buffer.byteLength, isAll(copy, 7)]).toEqual([10, true]);
  });

  test.each([0, 10])(
    "whose memory another revoked are a typed error, for %i of them only if that shows",
    (byteLength) => {
      const owner = new FakeOwner();
      const lease = owner.lease(byteLength);
      structuredClone(owner.buffer, { transfer: [owner.buffer] });
      if (byteLength === 0) expect(lease.bytes.length).toBe(0);
      else {
        for (const use of [() => lease.bytes, () => lease.view(DataView), () => lease.copy(), () => lease.resize(5)]) {
          expectThrow(use, "ERR_LEASE_DETACHED", "other code revoked");
        }
      }
      lease.release();
      expect(owner.ends).toEqual([[0, byteLength]]);
    },
  );
});

describe("resize", () => {
  test("within the block keeps the bytes, zeroes what is new, and gives another view", () => {
    const owner = new FakeOwner();
    new Uint8Array(owner.buffer).fill(7);
    const lease = owner.lease(800);
    const { bytes } = lease;
    lease.resize(1024);
    expect(lease.bytes).not.toBe(bytes);
    expect([isAll(lease.bytes.subarray(0, 800), 7), isZero(lease.bytes.subarray(800))]).toEqual([true, true]);
    lease.resize(700);
    expect([lease.byteLength, lease.bytes.length]).toEqual([700, 700]);
    lease.bytes.fill(8);
    lease.resize(1000);
    expect([isAll(lease.bytes.subarray(0, 700), 8), isZero(lease.bytes.subarray(700))]).toEqual([true, true]);
    expect(owner.resizes).toEqual([
      [0, 800, 1024],
      [0, 1024, 700],
      [0, 700, 1000],
    ]);
    lease.resize(1000);
    expect(owner.resizes).toHaveLength(3);
  });

  test("past the block moves: the bytes come along, what is new is zero, the old block goes back", () => {
    const owner = new FakeOwner();
    owner.target = new FakeOwner();
    new Uint8Array(owner.target.buffer).fill(9);
    const lease = owner.lease(1000, 64);
    lease.bytes.fill(7);
    const old = lease.bytes;
    lease.resize(3000);
    expect([lease.byteOffset, lease.bytes.length]).toEqual([2048, 3000]);
    expect([isAll(lease.bytes.subarray(0, 1000), 7), isZero(lease.bytes.subarray(1000))]).toEqual([true, true]);
    expect(owner.ends).toEqual([[64, 1000]]);
    lease.bytes.fill(5);
    expect(isAll(old, 7)).toBe(true);
    lease.release();
    expect(owner.target.ends).toEqual([[2048, 3000]]);
  });

  test("to much less moves to a shorter block, and stays where there is none", () => {
    const owner = new FakeOwner();
    const stays = owner.lease(1024);
    stays.bytes.fill(7);
    stays.resize(0);
    expect([stays.byteLength, owner.ends.length]).toEqual([0, 0]);
    owner.target = new FakeOwner();
    const moves = owner.lease(1024);
    moves.resize(0);
    expect([moves.byteOffset, moves.byteLength, owner.ends]).toEqual([2048, 0, [[0, 1024]]]);
  });

  test("that finds no room leaves the lease as it was", () => {
    const owner = new FakeOwner();
    const lease = owner.lease(1000);
    const bytes = lease.bytes.fill(7);
    expect(String(thrownBy(() => lease.resize(2000)))).toContain("no room");
    expect(lease.bytes).toBe(bytes);
    expect([lease.byteLength, isAll(bytes, 7), owner.ends]).toEqual([1000, true, []]);
  });

  test("is refused under a pin, and for a length that is none", () => {
    const owner = new FakeOwner();
    const lease = owner.lease(100);
    for (const byteLength of [-1, 1.5, Number.NaN, 2 ** 32, "10", undefined]) {
      expectThrow(() => lease.resize(wrong(byteLength)), "ERR_INVALID_ARGUMENT", "byteLength");
    }
    const pin = lease.pin();
    expectThrow(() => lease.resize(50), "ERR_LEASE_PINNED", "cannot resize");
    pin.release();
    lease.resize(50);
    expect(lease.byteLength).toBe(50);
  });

  test("that is used in the middle of its move starts over with what it then is", () => {
    const owner = new FakeOwner();
    const target = new FakeOwner();
    const lease = owner.lease(1000);
    lease.bytes.fill(7);
    let calls = 0;
    const { zero } = owner.source;
    Object.defineProperty(owner, "source", {
      get: () => ({
        zero,
        acquireUnzeroed: (byteLength: number) => {
          // As a hook for stack traces can, that acquiring runs.
          if (calls++ === 0) lease.resize(500);
          return target.lease(byteLength, 2048 * calls);
        },
      }),
    });
    lease.resize(3000);
    expect(lease.bytes.length).toBe(3000);
    expect([isAll(lease.bytes.subarray(0, 500), 7), isZero(lease.bytes.subarray(500))]).toEqual([true, true]);
    expect(owner.ends).toEqual([[0, 500]]);
    expect(target.ends).toHaveLength(1);
  });

  test("that is stopped before its owner knows of its new length has the old one", () => {
    for (const byteLength of [500, 1000]) {
      const owner = new FakeOwner();
      const lease = owner.lease(800);
      const { bytes } = lease;
      owner.resized = stop;
      // Longer than its owner knows, bytes of it would not be zeroed for the next lease.
      expectStopped(() => lease.resize(byteLength));
      expect([lease.byteLength, lease.bytes]).toEqual([800, bytes]);
    }
  });

  test("that is released in the middle of its move says so, and leaves no block behind", () => {
    const owner = new FakeOwner();
    const target = new FakeOwner();
    const lease = owner.lease(1000);
    Object.defineProperty(owner, "source", {
      get: () => ({
        acquireUnzeroed: (byteLength: number) => {
          lease.release();
          return target.lease(byteLength);
        },
      }),
    });
    expectThrow(() => lease.resize(3000), "ERR_LEASE_RELEASED");
    expect([owner.ends.length, target.ends.length]).toEqual([1, 1]);
  });
});

describe("a watch", () => {
  test("hears once that its lease has ended, before its block is back, and tells its history", () => {
    const owner = new FakeOwner();
    const heard: (number | string)[] = [];
    const watch = (history: string): LeaseWatch => ({
      history,
      ended: () => void heard.push(owner.ends.length),
      pinned: () => void heard.push("pinned"),
      resized() {},
    });
    const lease = owner.lease(10);
    watchLease(lease, () => watch("\nfirst"));
    watchLease(lease, () => watch("\nsecond"));
    const pin = lease.pin();
    lease.release();
    expect([heard, owner.heldLeases]).toEqual([["pinned", "pinned"], 1]);
    expectThrow(() => lease.bytes, "ERR_LEASE_RELEASED", "\nfirst\nsecond");
    pin.release();
    expect([...heard, owner.ends.length, owner.heldLeases]).toEqual(["pinned", "pinned", 0, 0, 1, 0]);
  });

  test("that is stopped half way does not keep the block", () => {
    const owner = new FakeOwner();
    const lease = owner.lease(10);
    watchLease(lease, () => ({ history: "", ended: stop, pinned() {}, resized() {} }));
    expectStopped(() => lease.release());
    expect([lease.released, owner.ends.length]).toEqual([true, 1]);
  });

  test("hears of the end although the owner failed", () => {
    const owner = new FakeOwner();
    owner.error = new Error("in the middle");
    let heard = 0;
    const lease = owner.lease(10);
    watchLease(lease, () => ({ history: "", ended: () => void heard++, pinned() {}, resized() {} }));
    expect(thrownBy(() => lease.release())).toBe(owner.error);
    expect(heard).toBe(1);
  });

  test("follows its lease when that moves or has another length, and the one on the new block ends there", () => {
    const owner = new FakeOwner();
    owner.target = new FakeOwner();
    const { target } = owner;
    const heard: unknown[] = [];
    const watch = (name: string): LeaseWatch => ({
      history: "",
      ended: (of) => void heard.push([name, "ended", of === target]),
      pinned() {},
      resized: (of, ptr, byteLength) => void heard.push([name, of === target, ptr, byteLength]),
    });
    const { lease: make } = target;
    target.lease = (byteLength, ptr) => {
      const moved = make.call(target, byteLength, ptr);
      watchLease(moved, () => watch("block's"));
      return moved;
    };
    const lease = owner.lease(10, 64);
    watchLease(lease, () => watch("lease's"));
    lease.resize(20);
    expect(heard.splice(0)).toEqual([["lease's", false, 64, 20]]);
    lease.resize(2000);
    expect(heard.splice(0)).toEqual(
      expect.arrayContaining([
        ["block's", "ended", expect.any(Boolean)],
        ["lease's", true, 2048, 2000],
      ]),
    );
    lease.release();
    expect(heard).toEqual([["lease's", "ended", true]]);
  });
});

test("what Node prints names length, place and state", () => {
  const lease = new FakeOwner().lease(100, 64);
  const print = (): string =>
    (lease as unknown as Record<symbol, () => string>)[Symbol.for("nodejs.util.inspect.custom")]?.() ?? "";
  expect(print()).toBe("Lease { 100 bytes, arena, at 64 }");
  lease.release();
  expect(print()).toBe("Lease { 100 bytes, released }");
});
