/** What a lease shows and does when it is used rightly. Misuse is test/misuse's. */

import type { Arena, Lease, ViewConstructor } from "cleanslab";
import { describe, expect, test, vi } from "vitest";
import {
  bytesNow,
  deferred,
  expectSound,
  expectUsable,
  FakeOwner,
  isAll,
  isZero,
  LEASE_KINDS,
  MODES,
  memoryNow,
  PAGE_BYTES,
  promptly,
  REVOKING_MODES,
  rejectionOf,
  releaseAll,
  SEGMENT_BYTES,
  SEGMENT_MEMORY_BYTES,
  SEGMENT_MODES,
  settle,
  smallArena,
  thrownBy,
} from "../helpers.ts";

/** Lengths at and around every kind of border: block, slab, geometric classes, page, segment. */
const LENGTHS = [
  0,
  1,
  15,
  16,
  63,
  64,
  65,
  80,
  81,
  100,
  1000,
  4095,
  4096,
  4097,
  16384,
  16385,
  20480,
  65535,
  65536,
  65537,
  131072,
  SEGMENT_BYTES - 1,
  SEGMENT_BYTES,
  SEGMENT_BYTES + 1,
  SEGMENT_MEMORY_BYTES,
];

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

describe.each(MODES)("revoke: %s, a lease", (revoke) => {
  test.each(LENGTHS)(
    "of %i bytes has exactly these, all zero, aligned, and the same object each time",
    (byteLength) => {
      using arena = smallArena({ revoke, onExhausted: "throw" });
      for (const lease of [arena.acquire(byteLength), arena.pool(byteLength).acquire()]) {
        const { bytes } = lease;
        expect(bytes).toBeInstanceOf(Uint8Array);
        expect(bytes.length).toBe(byteLength);
        expect(lease.byteLength).toBe(byteLength);
        expect(isZero(bytes)).toBe(true);
        expect(lease.byteOffset % 16).toBe(0);
        expect(bytes.byteOffset).toBe(lease.byteOffset);
        expect(lease.origin).toBe("arena");
        expect(lease.released).toBe(false);
        bytes.fill(7);
        expect(lease.bytes).toBe(bytes);
        expect(isAll(lease.bytes, 7)).toBe(true);
        lease.release();
        expect(lease.released).toBe(true);
        expect(lease.byteLength).toBe(byteLength);
      }
      expectSound(arena);
    },
  );

  test("has memory and byteOffset that point at the very same bytes", () => {
    using arena = smallArena({ revoke });
    const leases = [64, 100, 5000, SEGMENT_BYTES + 1].map((byteLength) => arena.acquire(byteLength));
    for (const [value, lease] of leases.entries()) {
      lease.bytes.fill(value + 1);
      expect(isAll(bytesNow(lease), value + 1)).toBe(true);
      memoryNow(lease)[lease.byteOffset + lease.byteLength - 1] = 0xee;
      expect(lease.bytes.at(-1)).toBe(0xee);
      expect(lease.bytes.buffer).toBe(lease.memory?.buffer);
    }
  });

  test("does not overlap any other, and keeps what was written to it", () => {
    using arena = smallArena({ revoke, onExhausted: "throw" });
    const lengths = [1, 64, 100, 3000, 4096, 5000, 16384, 20000, 1, 64, 100, 3000];
    const leases = lengths.map((byteLength) => arena.acquire(byteLength));
    for (const [value, { bytes }] of leases.entries()) bytes.fill(value + 1);
    for (const [value, { bytes }] of leases.entries()) expect(isAll(bytes, value + 1)).toBe(true);
    releaseAll(leases.filter((_lease, each) => each % 2 === 0));
    for (const [value, lease] of leases.entries()) {
      if (!lease.released) expect(isAll(lease.bytes, value + 1)).toBe(true);
    }
    expectUsable(arena);
  });

  test("is released by using at the end of its block", () => {
    using arena = smallArena({ revoke });
    let escaped: Lease;
    {
      using lease = arena.acquire(100);
      escaped = lease;
      expect(arena.stats().liveLeases).toBe(1);
    }
    expect(escaped.released).toBe(true);
    expect(arena.stats()).toMatchObject({ liveLeases: 0, released: 1 });
  });

  test("is quietly disposed again, and after release", () => {
    using arena = smallArena({ revoke });
    const disposed = arena.acquire(100);
    disposed[Symbol.dispose]();
    disposed[Symbol.dispose]();
    const released = arena.acquire(100);
    released.release();
    released[Symbol.dispose]();
    expect(arena.stats()).toMatchObject({ liveLeases: 0, acquired: 2, released: 2 });
    expectSound(arena);
  });

  describe.each(LEASE_KINDS)("that is a $name", ({ origin, options, make }) => {
    const create = (): Arena => smallArena({ revoke, ...options });

    test("says where it lies, before release and after", () => {
      using arena = create();
      const lease = make(arena, 100);
      expect(lease.origin).toBe(origin);
      expect(lease.memory === undefined).toBe(origin === "heap");
      lease.release();
      expect(lease.origin).toBe(origin);
    });

    test.each(VIEWS)("gives a %s of the same bytes", (_name, View, elementBytes) => {
      using arena = create();
      make(arena, 8);
      const lease = make(arena, 96);
      const view = lease.view(View);
      expect(view).toBeInstanceOf(View);
      expect(view.buffer).toBe(lease.bytes.buffer);
      expect(view.byteOffset).toBe(lease.byteOffset);
      expect(view.byteLength).toBe(96);
      if (!(view instanceof DataView)) expect(view).toHaveProperty("length", 96 / elementBytes);
      lease.bytes[95] = 0x7f;
      expect(new Uint8Array(view.buffer, view.byteOffset, view.byteLength)[95]).toBe(0x7f);
      lease.release();
    });

    test("gives views that see each other's writes", () => {
      using arena = create();
      const lease = make(arena, 16);
      lease.view(DataView).setFloat64(8, 1.5, true);
      expect(lease.view(Float64Array)[1]).toBe(1.5);
      lease.view(Uint32Array)[0] = 0x01020304;
      expect([...lease.bytes.subarray(0, 4)]).toEqual([4, 3, 2, 1]);
      lease.release();
    });

    test("copies to an array of its own, which outlives it and is not written through", () => {
      using arena = create();
      const lease = make(arena, 100);
      lease.bytes.fill(7);
      const copy = lease.copy();
      expect(copy.buffer.byteLength).toBe(100);
      expect(copy.buffer).not.toBe(lease.bytes.buffer);
      copy[0] = 1;
      expect(lease.bytes[0]).toBe(7);
      lease.bytes[1] = 2;
      lease.release();
      expect(copy[0]).toBe(1);
      expect(isAll(copy.subarray(1), 7)).toBe(true);
    });

    test("released after a promise stays as it is until then, and passes its value on", async () => {
      using arena = create();
      const lease = make(arena, 100);
      const view = lease.bytes.fill(7);
      const before = arena.stats();
      const write = deferred<number>();
      const promise = lease.releaseAfter(write.promise);
      expect(lease.released).toBe(true);
      await settle();
      expect(view.length).toBe(100);
      expect(isAll(view, 7)).toBe(true);
      expect(arena.stats()).toEqual(before);
      write.resolve(42);
      expect(await promptly(promise)).toBe(42);
      expect(arena.stats()).toMatchObject({ liveLeases: before.liveLeases - 1, released: before.released + 1 });
      if (origin !== "heap") expect(isZero(bytesNow(lease))).toBe(true);
      expectUsable(arena);
    });

    test("released after a promise that rejects is returned as well, and passes the reason on", async () => {
      using arena = create();
      const lease = make(arena, 100);
      const { liveLeases } = arena.stats();
      const reason = new Error("disk full");
      expect(await rejectionOf(lease.releaseAfter(Promise.reject(reason)))).toBe(reason);
      expect(arena.stats().liveLeases).toBe(liveLeases - 1);
      expectUsable(arena);
    });

    test("released after something that is no promise of this realm is returned soon", async () => {
      using arena = create();
      const lease = make(arena, 100);
      const { liveLeases } = arena.stats();
      const settled: PromiseLike<string> = {
        // biome-ignore lint/suspicious/noThenProperty: a thenable that is no promise is what this is about.
        then: (onFulfilled) => Promise.resolve("at once").then(onFulfilled),
      };
      expect(await promptly(lease.releaseAfter(settled))).toBe("at once");
      expect(arena.stats().liveLeases).toBe(liveLeases - 1);
    });
  });

  test("wipes its whole block on release when only part of it was written, in every way to say so", () => {
    using arena = smallArena({ revoke });
    const releases: ((lease: Lease) => void)[] = [
      (lease) => lease.release(),
      (lease) => lease.release({}),
      (lease) => lease.release({ written: undefined }),
      (lease) => lease.release({ written: lease.byteLength }),
      (lease) => lease[Symbol.dispose](),
    ];
    for (const release of releases) {
      const lease = arena.acquire(100);
      lease.bytes.fill(7, 90);
      release(lease);
      expect(isZero(bytesNow(lease))).toBe(true);
    }
  });

  test("wipes its whole block, too, behind the bytes that were asked for", () => {
    using arena = smallArena({ revoke });
    // 100 bytes are served from a block of 112.
    const lease = arena.acquire(100);
    memoryNow(lease).fill(7, lease.byteOffset, lease.byteOffset + 112);
    lease.release();
    expect(isZero(memoryNow(lease).subarray(lease.byteOffset, lease.byteOffset + 112))).toBe(true);
  });

  test("wipes only the bytes its holder vouches for", () => {
    using arena = smallArena({ revoke });
    const lease = arena.acquire(100);
    lease.bytes.fill(7);
    lease.release({ written: 10 });
    const bytes = bytesNow(lease);
    expect(isZero(bytes.subarray(0, 10))).toBe(true);
    expect(isAll(bytes.subarray(10), 7)).toBe(true);
  });

  test("is wiped whole at its last pin's end, whatever written said", () => {
    using arena = smallArena({ revoke });
    const lease = arena.acquire(100);
    const pin = lease.pin();
    lease.bytes.fill(7);
    lease.release({ written: 10 });
    pin.release();
    expect(isZero(bytesNow(lease))).toBe(true);
  });

  test("is a guard once in guardEvery, from acquire and pools alike", () => {
    using arena = smallArena({ revoke, guardEvery: 3 });
    const pool = arena.pool(100);
    const leases = Array.from({ length: 9 }, (_value, each) => (each % 2 === 0 ? arena.acquire(100) : pool.acquire()));
    const expected = ["arena", "arena", "guard", "arena", "arena", "guard", "arena", "arena", "guard"];
    expect(leases.map(({ origin }) => origin)).toEqual(expected);
    expect(arena.stats().dedicated.leased).toBe(revoke === "on-release" ? 9 : 3);
    releaseAll(leases);
    expectSound(arena);
  });

  test("that is a guard is dead at release", () => {
    using arena = smallArena({ revoke, guardEvery: 1 });
    const lease = arena.acquire(100);
    const { bytes } = lease;
    const sub = bytes.subarray(10, 20);
    expect(lease.origin).toBe("guard");
    lease.release();
    expect(bytes.length).toBe(0);
    expect(sub.length).toBe(0);
    expect(thrownBy(() => bytes.set([1]))).toBeInstanceOf(TypeError);
  });
});

describe.each(SEGMENT_MODES)("revoke: %s, a stale view", (revoke) => {
  test("reads zeros as soon as release returned", () => {
    using arena = smallArena({ revoke });
    const keepsSegment = arena.acquire(64);
    const lease = arena.acquire(5000);
    const view = lease.bytes.fill(7);
    const numbers = lease.view(Uint32Array);
    lease.release();
    expect(view.length).toBe(5000);
    expect(isZero(view)).toBe(true);
    expect(numbers.every((number) => number === 0)).toBe(true);
    keepsSegment.release();
  });
});

describe("a stale view in on-release mode", () => {
  test("is dead as soon as release returned, whatever it was made with", () => {
    using arena = smallArena({ revoke: "on-release" });
    const lease = arena.acquire(5000);
    const other = arena.acquire(5000);
    other.bytes.fill(7);
    const views = [
      lease.bytes,
      lease.bytes.subarray(8, 16),
      lease.view(Float64Array),
      new Uint8Array(lease.bytes.buffer),
    ];
    const dataView = lease.view(DataView);
    lease.release();
    for (const view of views) expect(view.length).toBe(0);
    expect(thrownBy(() => dataView.getUint8(0))).toBeInstanceOf(TypeError);
    expect(isAll(other.bytes, 7)).toBe(true);
  });
});

describe.each(REVOKING_MODES)("revoke: %s, views made from released leases", (revoke) => {
  test("are dead before their bytes are handed out again", () => {
    using arena = smallArena({ revoke, onExhausted: "throw" }, 2);
    const stale: Uint8Array[] = [];
    for (let round = 0; round < 200; round++) {
      const lease = arena.acquire(round % 2 === 0 ? 4096 : PAGE_BYTES);
      const { bytes } = lease;
      expect(isZero(bytes)).toBe(true);
      for (const view of stale) view[0] = 0xee;
      expect(isZero(bytes)).toBe(true);
      bytes.fill(7);
      stale.push(bytes);
      lease.release();
    }
    expect(stale.filter((view) => view.length === 0).length).toBeGreaterThan(0);
    expectSound(arena);
  });
});

describe("a stale view in before-reuse mode", () => {
  test("is dead before reuse although its segment was once renewed early, for a lease alone in it", () => {
    using arena = smallArena({ revoke: "before-reuse", onExhausted: "throw" }, 2);
    const everySlab = (): Lease[] => Array.from({ length: 64 }, () => arena.acquire(4096));
    const alone = arena.acquire(SEGMENT_BYTES / 2);
    alone.release();
    const first = everySlab();
    expect(first[0]?.memory).toBe(alone.memory);
    const stale = first.map(({ bytes }) => bytes.fill(7));
    const second = everySlab();
    expect(arena.stats().segments).toMatchObject({ retired: 1, active: 1 });
    releaseAll(first);
    const third = everySlab();
    expect(third[0]?.memory).toBe(alone.memory);
    for (const view of stale) {
      expect(view.length).toBe(0);
      view[0] = 9;
    }
    for (const { bytes } of third) expect(isZero(bytes)).toBe(true);
    releaseAll([...second, ...third]);
    expectSound(arena);
  });

  test("does not keep the memory of a dropped segment alive: trim has revoked it", () => {
    using arena = smallArena({ revoke: "before-reuse" });
    const lease = arena.acquire(100);
    const view = lease.bytes;
    lease.release();
    expect(view.length).toBe(100);
    expect(arena.trim()).toBe(SEGMENT_MEMORY_BYTES);
    expect(view.length).toBe(0);
  });
});

describe("a lease, of its owner,", () => {
  const WHOLE_BLOCK = -1;

  test("asks to release the whole block, or what was vouched for, exactly once", () => {
    const owner = new FakeOwner();
    owner.lease(100, 64).release();
    owner.lease(100, 128).release({ written: 0 });
    owner.lease(100, 192).release({ written: 99 });
    owner.lease(100, 256).release({ written: 100 });
    owner.lease(0, 320).release({ written: 0 });
    expect(owner.releases).toEqual([
      { ptr: 64, byteLength: 100, written: WHOLE_BLOCK },
      { ptr: 128, byteLength: 100, written: 0 },
      { ptr: 192, byteLength: 100, written: 99 },
      { ptr: 256, byteLength: 100, written: WHOLE_BLOCK },
      { ptr: 320, byteLength: 0, written: WHOLE_BLOCK },
    ]);
  });

  test("asks nothing while a pin is held, and once when the last one goes", () => {
    const owner = new FakeOwner();
    const lease = owner.lease(100);
    const pins = [lease.pin(), lease.pin(), lease.pin()];
    pins[1]?.release();
    lease.release();
    pins[0]?.release();
    expect(owner.releases).toEqual([]);
    pins[2]?.release();
    expect(owner.releases).toEqual([{ ptr: 0, byteLength: 100, written: WHOLE_BLOCK }]);
  });

  test("is still held when its owner could not take the block back, and can be released later", () => {
    const owner = new FakeOwner();
    const lease = owner.lease(100);
    owner.error = new Error("not now");
    expect(thrownBy(() => lease.release())).toBe(owner.error);
    expect(thrownBy(() => lease[Symbol.dispose]())).toBe(owner.error);
    expect(lease.released).toBe(false);
    expect(lease.bytes.length).toBe(100);
    owner.error = undefined;
    lease.release();
    expect(lease.released).toBe(true);
    expect(owner.releases).toHaveLength(1);
  });

  test("asks nothing once that is closed", () => {
    const owner = new FakeOwner();
    const release = vi.spyOn(owner, "release");
    const disposed = owner.lease(100);
    const pinned = owner.lease(100);
    const pin = pinned.pin();
    pinned.release();
    owner.closed = true;
    disposed[Symbol.dispose]();
    pin.release();
    expect(disposed.released).toBe(true);
    expect(release).not.toHaveBeenCalled();
  });
});
