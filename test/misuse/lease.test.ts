/** A lease used after its end, twice, with a wrong view or length, or past its arena. */

import { inspect } from "node:util";
import type { Arena, ArenaOptions } from "cleanslab";
import { describe, expect, test } from "vitest";
import {
  bytesNow,
  expectSound,
  expectThrow,
  expectUnharmed,
  expectUsable,
  isAll,
  isZero,
  LEASE_KINDS,
  MODES,
  type Place,
  placeOf,
  smallArena,
  wrong,
} from "../helpers.ts";

/** Whether the bytes of a lease that has ended are zero, wherever they were. */
function isWiped(place: Place, view: Uint8Array, revokes: boolean): boolean {
  if (place.memory !== undefined) return isZero(bytesNow(place));
  return revokes ? view.length === 0 : view.length === place.byteLength && isZero(view);
}

describe.each(MODES)("revoke: %s, a lease", (revoke) => {
  const revokes = revoke !== "never";

  describe.each(LEASE_KINDS)("that is a $name", ({ origin, options, make }) => {
    const create = (more: ArenaOptions = {}): Arena => smallArena({ revoke, ...options, ...more });

    test("throws on a second release, and the block stays its next owner's", () => {
      using arena = create();
      const lease = make(arena, 100);
      // In "on-release" every lease dies at release: none is a guard.
      expect(lease.origin).toBe(revoke === "on-release" && origin === "guard" ? "arena" : origin);
      lease.release();
      const next = make(arena, 100);
      next.bytes.fill(7);
      expectUnharmed(arena, () => {
        for (let call = 0; call < 2; call++) {
          expectThrow(() => lease.release(), "ERR_LEASE_RELEASED", "cannot release", "100 bytes", "acquire a new one");
        }
      });
      expect(isAll(next.bytes, 7)).toBe(true);
      next.release();
      expectSound(arena);
    });

    test("throws on every use after release, but for a quiet dispose", () => {
      using arena = create();
      const lease = make(arena, 100);
      lease.release();
      expect(lease.released).toBe(true);
      expectUnharmed(arena, () => {
        expectThrow(() => lease.bytes, "ERR_LEASE_RELEASED", "read bytes", "100 bytes", "acquire a new one");
        expectThrow(() => lease.view(DataView), "ERR_LEASE_RELEASED", "100 bytes", "acquire a new one");
        expectThrow(() => lease.copy(), "ERR_LEASE_RELEASED", "100 bytes", "acquire a new one");
        expectThrow(() => lease.pin(), "ERR_LEASE_RELEASED", "pin", "100 bytes", "acquire a new one");
        expectThrow(() => lease.releaseAfter(Promise.resolve()), "ERR_LEASE_RELEASED", "100 bytes");
        expectThrow(() => lease.memory, "ERR_LEASE_RELEASED", "read memory", "100 bytes", "acquire a new one");
        expectThrow(() => lease.origin, "ERR_LEASE_RELEASED", "read origin", "100 bytes", "acquire a new one");
        expectThrow(() => lease.resize(50), "ERR_LEASE_RELEASED", "resize", "100 bytes", "acquire a new one");
        expectThrow(() => lease.resize(100), "ERR_LEASE_RELEASED", "resize", "100 bytes");
        // That it has ended is said before what is wrong with the argument.
        expectThrow(() => lease.resize(-1), "ERR_LEASE_RELEASED", "100 bytes");
        lease[Symbol.dispose]();
        lease[Symbol.dispose]();
      });
      expect(lease.released).toBe(true);
      expect(lease.byteLength).toBe(100);
      expect(inspect(lease)).toBe("Lease { 100 bytes, released }");
    });

    test("released while pinned keeps its bytes until the last pin goes, and is then wiped and returned", () => {
      using arena = create({ wipeOnRelease: true });
      const lease = make(arena, 100);
      const place = placeOf(lease);
      const before = arena.stats();
      const view = lease.bytes.fill(7);
      const first = lease.pin();
      const second = lease.pin();
      lease.release();

      expect(lease.released).toBe(true);
      expectThrow(() => lease.release(), "ERR_LEASE_RELEASED", "cannot release", "100 bytes");
      expectThrow(() => lease.bytes, "ERR_LEASE_RELEASED");
      expectThrow(() => lease.pin(), "ERR_LEASE_RELEASED", "cannot pin");
      lease[Symbol.dispose]();
      const pinned = { ...before, pinnedLeases: 1 };
      expect(arena.stats()).toEqual(pinned);
      expect(view.length).toBe(100);
      expect(isAll(view, 7)).toBe(true);

      first.release();
      expect(arena.stats()).toEqual(pinned);
      expectUsable(arena);
      expect(isAll(view, 7)).toBe(true);

      const { liveLeases, released } = arena.stats();
      second.release();
      expect(isWiped(place, view, revokes)).toBe(true);
      expect(arena.stats()).toMatchObject({ liveLeases: liveLeases - 1, released: released + 1 });
      expectUnharmed(arena, () => expectThrow(() => lease.release(), "ERR_LEASE_RELEASED"));
    });

    test("is not returned by a pin that is released twice", () => {
      using arena = create({ wipeOnRelease: true });
      const lease = make(arena, 100);
      const place = placeOf(lease);
      const view = lease.bytes.fill(7);
      const pin = lease.pin();
      const other = lease.pin();
      lease.release();
      pin.release();
      expectUnharmed(arena, () => {
        expectThrow(() => pin.release(), "ERR_LEASE_RELEASED", "this pin was already released", "one pin per use");
        pin[Symbol.dispose]();
      });
      expect(isAll(view, 7)).toBe(true);
      other[Symbol.dispose]();
      expect(isWiped(place, view, revokes)).toBe(true);
      expectUnharmed(arena, () => expectThrow(() => other.release(), "ERR_LEASE_RELEASED", "pin"));
    });

    test("is still held when all its pins were released first", () => {
      using arena = create();
      const lease = make(arena, 100);
      lease.pin().release();
      lease.bytes.fill(7);
      expect(isAll(lease.bytes, 7)).toBe(true);
      const { liveLeases } = arena.stats();
      lease.release();
      expect(arena.stats().liveLeases).toBe(liveLeases - 1);
      expectSound(arena);
    });

    test.each<[unknown, string]>([
      [-1, "-1"],
      [1.5, "1.5"],
      [Number.NaN, "NaN"],
      [Number.POSITIVE_INFINITY, "Infinity"],
      [2 ** 32, "4294967296"],
      ["10", '"10"'],
      [null, "null"],
      [undefined, "undefined"],
      [10n, "10n"],
      [[10], "[object Array]"],
    ])("is as it was after resize(%s), which is no length", (byteLength, shown) => {
      using arena = create();
      const lease = make(arena, 100);
      const { bytes } = lease;
      bytes.fill(7);
      expectUnharmed(arena, () => {
        expectThrow(
          () => lease.resize(wrong(byteLength)),
          "ERR_INVALID_ARGUMENT",
          `byteLength is ${shown}`,
          "from 0 to 4294967295",
        );
      });
      expect(lease.released).toBe(false);
      expect(lease.bytes).toBe(bytes);
      expect(isAll(bytes, 7)).toBe(true);
      lease.release();
      expectSound(arena);
    });

    test("cannot be resized while it is pinned, and can afterwards", () => {
      using arena = create();
      const lease = make(arena, 100);
      const bytes = lease.bytes.fill(7);
      const first = lease.pin();
      const second = lease.pin();
      for (const pin of [first, second]) {
        expectUnharmed(arena, () => {
          for (const byteLength of [0, 50, 100, 101, 50_000]) {
            expectThrow(() => lease.resize(byteLength), "ERR_LEASE_PINNED", "cannot resize", "release the pin first");
          }
        });
        pin.release();
      }
      expect(lease.bytes).toBe(bytes);
      lease.resize(50);
      expect(lease.bytes.length === 50 && isAll(lease.bytes, 7)).toBe(true);
      lease.release();
      expectSound(arena);
    });

    test("that was resized is released once, with the bytes that it had last counted", () => {
      using arena = create({ wipeOnRelease: true });
      const lease = make(arena, 100);
      const { liveLeases, liveBytes } = arena.stats();
      for (const byteLength of [5000, 40_000, 3, 0, 100]) {
        lease.resize(byteLength);
        expect(lease.byteLength).toBe(byteLength);
        expect(arena.stats()).toMatchObject({ liveLeases, liveBytes: liveBytes - 100 + byteLength });
        lease.bytes.fill(7);
      }
      const place = placeOf(lease);
      const view = lease.bytes;
      lease.release();
      expect(isWiped(place, view, revokes)).toBe(true);
      expect(arena.stats()).toMatchObject({ liveLeases: liveLeases - 1, liveBytes: liveBytes - 100 });
      expectThrow(() => lease.release(), "ERR_LEASE_RELEASED", "100 bytes");
      expectSound(arena);
    });

    test("refuses a view whose elements do not divide it", () => {
      using arena = create();
      const lease = make(arena, 10);
      expectUnharmed(arena, () => {
        expectThrow(() => lease.view(Float64Array), "ERR_INVALID_ARGUMENT", "Float64Array", "8-byte", "10 bytes");
        expectThrow(() => lease.view(Uint32Array), "ERR_INVALID_ARGUMENT", "Uint32Array", "4-byte", "10 bytes");
      });
      expect(lease.view(Uint16Array).length).toBe(5);
      lease.release();
    });

    test.each<[string, unknown, string]>([
      ["undefined", undefined, "undefined"],
      ["null", null, "null"],
      ["a number", 8, "8"],
      ["a name", "Uint8Array", '"Uint8Array"'],
      ["an instance", new Uint8Array(1), "[object Uint8Array]"],
      ["a constructor of something else", Date, "a function"],
      ["Array", Array, "a function"],
    ])("refuses %s as the constructor of a view", (_name, View, shown) => {
      using arena = create();
      const lease = make(arena, 16);
      expectUnharmed(arena, () => {
        expectThrow(() => lease.view(wrong(View)), "ERR_INVALID_ARGUMENT", `View is ${shown}`, "DataView");
      });
      expect(lease.view(DataView).byteLength).toBe(16);
      lease.release();
    });

    test("is dead once its arena was disposed, and says so", () => {
      const arena = create();
      const lease = make(arena, 100);
      const view = lease.bytes;
      arena[Symbol.dispose]();

      expect(view.length).toBe(0);
      const after = arena.stats();
      expectThrow(() => lease.bytes, "ERR_ARENA_DISPOSED", "read bytes", "create a new one");
      expectThrow(() => lease.view(DataView), "ERR_ARENA_DISPOSED", "create a new one");
      expectThrow(() => lease.copy(), "ERR_ARENA_DISPOSED", "create a new one");
      expectThrow(() => lease.resize(50), "ERR_ARENA_DISPOSED", "resize", "create a new one");
      expectThrow(() => lease.release(), "ERR_ARENA_DISPOSED", "cannot release", "create a new one");
      lease[Symbol.dispose]();
      expect(lease.released).toBe(true);
      expectThrow(() => lease.release(), "ERR_LEASE_RELEASED", "cannot release");
      expect(arena.stats()).toEqual(after);
    });

    test("says that its arena was disposed with tracing on, too", () => {
      const arena = create({ trace: "all" });
      const lease = make(arena, 100);
      arena[Symbol.dispose]();
      expectThrow(() => lease.release(), "ERR_ARENA_DISPOSED", "cannot release", "create a new one");
    });

    test("says that its arena was disposed with tracing on when it has no bytes, too", () => {
      const arena = create({ trace: "all" });
      const lease = make(arena, 0);
      arena[Symbol.dispose]();
      expectThrow(() => lease.release(), "ERR_ARENA_DISPOSED", "cannot release", "create a new one");
    });

    test("lets its pins go quietly once its arena was disposed", async () => {
      const arena = create();
      const lease = make(arena, 100);
      const other = make(arena, 100);
      const pin = lease.pin();
      const disposedPin = other.pin();
      const write = Promise.resolve("written");
      lease.release();
      arena[Symbol.dispose]();
      const after = arena.stats();
      pin.release();
      disposedPin[Symbol.dispose]();
      expectThrow(() => pin.release(), "ERR_LEASE_RELEASED", "pin");
      expect(await other.releaseAfter(write)).toBe("written");
      expect(arena.stats()).toEqual(after);
    });
  });
});

describe("a lease", () => {
  test.each<[string, unknown]>([
    ["an arrow function", () => new Uint8Array(1)],
    ["Map", Map],
    ["Symbol", Symbol],
  ])("refuses %s as the constructor of a view, which cannot be called so", (_name, View) => {
    using arena = smallArena();
    const lease = arena.acquire(16);
    expectThrow(() => lease.view(wrong(View)), "ERR_INVALID_ARGUMENT", "View is a function", "DataView");
  });
});
