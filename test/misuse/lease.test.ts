/** A lease of any kind used after its end, twice, under a pin, or past its arena. Wrong arguments are nonsense.test.ts's. */

import { inspect } from "node:util";
import type { Arena, ArenaOptions, Lease } from "cleanslab";
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
  placeOf,
  smallArena,
} from "../helpers.ts";

/** Every use that a lease refuses after its release and after its arena's end, with what the error says of it. */
const USES: [string, (lease: Lease) => unknown][] = [
  ["read bytes", (lease) => lease.bytes],
  ["read bytes", (lease) => lease.view(DataView)],
  ["read bytes", (lease) => lease.copy()],
  ["read memory", (lease) => lease.memory],
  ["cannot resize", (lease) => lease.resize(50)],
  ["cannot release", (lease) => lease.release()],
];
/** And after its release alone. */
const MORE_USES: typeof USES = [
  ["read origin", (lease) => lease.origin],
  ["cannot pin", (lease) => lease.pin()],
  ["cannot pin", (lease) => lease.releaseAfter(Promise.resolve())],
];

describe.each(MODES)("revoke: %s, a lease", (revoke) => {
  describe.each(LEASE_KINDS)("that is a $name", ({ origin, options, make }) => {
    const create = (more: ArenaOptions = {}): Arena => smallArena({ revoke, ...options, ...more });

    /** Whether the bytes that `lease` had, seen through `view`, are zero or gone: asked while it is held, answered later. */
    const wipeOf = (lease: Lease, view: Uint8Array): (() => boolean) => {
      const place = placeOf(lease);
      if (place.memory !== undefined) return () => isZero(bytesNow(place));
      return () => (revoke === "never" ? view.length === place.byteLength && isZero(view) : view.length === 0);
    };

    test("throws on every use after release, and its block stays its next owner's", () => {
      using arena = create();
      const lease = make(arena, 100);
      // In "on-release" every lease dies at release: none is a guard.
      expect(lease.origin).toBe(revoke === "on-release" && origin === "guard" ? "arena" : origin);
      lease.release();
      const next = make(arena, 100);
      next.bytes.fill(7);
      expectUnharmed(arena, () => {
        for (const [says, use] of [...USES, ...MORE_USES, ...USES]) {
          expectThrow(() => use(lease), "ERR_LEASE_RELEASED", says, "100 bytes", "acquire a new one");
        }
        // That it has ended is said before what is wrong with the argument.
        expectThrow(() => lease.resize(-1), "ERR_LEASE_RELEASED");
        lease[Symbol.dispose]();
      });
      expect([lease.released, lease.byteLength]).toEqual([true, 100]);
      expect(inspect(lease)).toBe("Lease { 100 bytes, released }");
      expect(isAll(next.bytes, 7)).toBe(true);
      next.release();
      expectSound(arena);
    });

    test("keeps its bytes and its place until the last pin is released, each of them once, and is wiped then", () => {
      using arena = create({ wipeOnRelease: true });
      const lease = make(arena, 100);
      const view = lease.bytes.fill(7);
      const isWiped = wipeOf(lease, view);
      const { liveLeases } = arena.stats();
      const [early, first, second] = [lease.pin(), lease.pin(), lease.pin()];
      expectUnharmed(arena, () => {
        for (const byteLength of [0, 50, 100, 50_000]) {
          expectThrow(() => lease.resize(byteLength), "ERR_LEASE_PINNED", "cannot resize", "release the pin first");
        }
        early.release();
      });
      expect(lease.released).toBe(false);
      lease.release();
      expectThrow(() => lease.release(), "ERR_LEASE_RELEASED", "cannot release", "100 bytes");
      expectThrow(() => lease.pin(), "ERR_LEASE_RELEASED", "cannot pin");
      lease[Symbol.dispose]();
      first.release();
      expectUnharmed(arena, () => {
        expectThrow(() => first.release(), "ERR_LEASE_RELEASED", "this pin was already released", "one pin per use");
        first[Symbol.dispose]();
      });
      expect(view.length === 100 && isAll(view, 7)).toBe(true);
      expect(arena.stats()).toMatchObject({ liveLeases, pinnedLeases: 1 });
      const { released } = arena.stats();
      second[Symbol.dispose]();
      second[Symbol.dispose]();
      expect(isWiped()).toBe(true);
      expect(arena.stats()).toMatchObject({ liveLeases: liveLeases - 1, released: released + 1, pinnedLeases: 0 });
      expectUsable(arena);
    });

    test("can be resized once its pins are gone, is counted with its length, and is released once", () => {
      using arena = create({ wipeOnRelease: true });
      const lease = make(arena, 100);
      const { liveLeases, liveBytes } = arena.stats();
      lease.pin().release();
      for (const byteLength of [5000, 40_000, 3, 0, 100]) {
        lease.resize(byteLength);
        expect([lease.byteLength, lease.bytes.length]).toEqual([byteLength, byteLength]);
        expect(arena.stats()).toMatchObject({ liveLeases, liveBytes: liveBytes - 100 + byteLength });
        lease.bytes.fill(7);
      }
      const isWiped = wipeOf(lease, lease.bytes);
      lease.release();
      expect(isWiped()).toBe(true);
      expect(arena.stats()).toMatchObject({ liveLeases: liveLeases - 1, liveBytes: liveBytes - 100 });
      expectThrow(() => lease.release(), "ERR_LEASE_RELEASED", "100 bytes");
      expectSound(arena);
    });

    test.each<[ArenaOptions, number]>([
      [{}, 100],
      [{ trace: "all" }, 100],
      [{ trace: "all" }, 0],
    ])(
      "is dead once its arena was disposed, says so, and lets its pins go quietly: %j, %i bytes",
      async (more, byteLength) => {
        const arena = create(more);
        const [lease, ended, pinned] = [1, 2, 3].map(() => make(arena, byteLength)) as [Lease, Lease, Lease];
        const view = lease.bytes;
        const pins = [ended.pin(), pinned.pin()] as const;
        ended.release();
        arena[Symbol.dispose]();
        expect(view.length).toBe(0);
        const after = arena.stats();
        for (const [says, use] of USES) expectThrow(() => use(lease), "ERR_ARENA_DISPOSED", says, "create a new one");
        expectThrow(() => lease.release(), "ERR_LEASE_RELEASED", "cannot release");
        pins[0].release();
        pins[1][Symbol.dispose]();
        expectThrow(() => pins[0].release(), "ERR_LEASE_RELEASED", "pin");
        expect(await pinned.releaseAfter(Promise.resolve("written"))).toBe("written");
        for (const each of [lease, ended, pinned]) each[Symbol.dispose]();
        expect([lease.released, pinned.released]).toEqual([true, true]);
        expect(arena.stats()).toEqual(after);
      },
    );
  });
});
