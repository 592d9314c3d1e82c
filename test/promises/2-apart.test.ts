/**
 * Promise 2: two live leases never overlap. Also after a stack overflow, a `vm` timeout, or
 * a hook that throws, at any point inside the library.
 */

import { createContext, runInContext } from "node:vm";
import { type Arena, ArenaError, type Lease, type RevokeMode } from "cleanslab";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { exhaust, expectSound, isAll, isZero, MODES, releaseAll, SEGMENT_BYTES, smallArena } from "../helpers.ts";
import { runPrograms } from "../seeded.ts";
import { scribble } from "./helpers.ts";

/** Leases that are held, each with a mark of its own. */
class Held {
  readonly marks = new Map<Lease, number>();
  #next = 0;

  add(lease: Lease): void {
    expect(isZero(lease.bytes)).toBe(true);
    this.mark(lease);
  }

  mark(lease: Lease): void {
    this.#next = (this.#next % 254) + 1;
    lease.bytes.fill(this.#next);
    this.marks.set(lease, this.#next);
  }

  check(): void {
    for (const [lease, mark] of this.marks) {
      expect(lease.bytes.length).toBe(lease.byteLength);
      if (!isAll(lease.bytes, mark)) expect.fail(`${lease.byteLength} bytes at ${lease.byteOffset} lost their mark`);
    }
  }

  at(which: number): Lease | undefined {
    return [...this.marks.keys()][which % Math.max(1, this.marks.size)];
  }
}

const KINDS = ["acquire", "filled", "copy", "resize", "release", "pin", "unpin", "stale", "trim", "check"] as const;

interface Op {
  readonly do: (typeof KINDS)[number];
  readonly which: number;
  readonly byteLength: number;
}

const [acquire, filled, copy, resize, release, pin, unpin, stale, trim, check] = KINDS;
const OPERATION: fc.Arbitrary<Op> = fc.record({
  do: fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom(acquire, filled, copy) },
    { weight: 6, arbitrary: fc.constant(release) },
    { weight: 2, arbitrary: fc.constant(resize) },
    { weight: 3, arbitrary: fc.constantFrom(pin, unpin, stale) },
    { weight: 1, arbitrary: fc.constantFrom(trim, check) },
  ),
  which: fc.nat(),
  byteLength: fc.oneof(fc.nat(300), fc.nat(20_000), fc.nat(70_000), fc.nat(SEGMENT_BYTES)),
});

/** Runs a program against an arena of three segments; each live lease keeps its mark. */
function run(revoke: RevokeMode, ops: readonly Op[]): void {
  using arena = smallArena({ revoke, guardEvery: 9, wipeOnRelease: ops.length % 2 === 0 }, 3);
  const held = new Held();
  const stale: Uint8Array[] = [];
  const pinned: { unpin(): void }[] = [];
  for (const op of ops) {
    if (op.do === "acquire") held.add(arena.acquire(op.byteLength));
    else if (op.do === "filled") {
      const lease = arena.acquireFilled(op.byteLength, (bytes) => bytes.fill(1).length >> 1);
      expect(isAll(lease.bytes, 1)).toBe(true);
      held.mark(lease);
    } else if (op.do === "copy") {
      const lease = arena.copyOf(new Uint8Array(op.byteLength).fill(3));
      expect(isAll(lease.bytes, 3)).toBe(true);
      held.mark(lease);
    } else if (op.do === "trim") arena.trim();
    else if (op.do === "check") held.check();
    else if (op.do === "unpin") pinned.shift()?.unpin();
    else if (op.do === "stale") {
      // Only where stale views may be used, and only those.
      const view = stale[op.which % Math.max(1, stale.length)];
      if (revoke !== "never" && view !== undefined) scribble(view, 0xff);
    } else {
      const lease = held.at(op.which);
      if (lease === undefined) continue;
      const mark = held.marks.get(lease) ?? 0;
      const { bytes } = lease;
      if (op.do === "resize") {
        const kept = Math.min(lease.byteLength, op.byteLength);
        lease.resize(op.byteLength);
        expect(isAll(lease.bytes.subarray(0, kept), mark)).toBe(true);
        expect(isZero(lease.bytes.subarray(kept))).toBe(true);
        held.mark(lease);
        continue;
      }
      held.marks.delete(lease);
      if (op.do === "pin") {
        const pin = lease.pin();
        lease.release();
        pinned.push({
          unpin: () => {
            expect(isAll(bytes, mark)).toBe(true);
            pin.release();
          },
        });
      } else {
        lease.release();
        stale.push(bytes);
      }
    }
  }
  held.check();
  const { reservedBytes, maxBytes, liveLeases } = arena.stats();
  expect(reservedBytes).toBeLessThanOrEqual(maxBytes);
  expect(liveLeases).toBe(held.marks.size + pinned.length);
  for (const { unpin } of pinned) unpin();
  releaseAll(held.marks.keys());
  expect(arena.stats()).toMatchObject({ liveLeases: 0, liveBytes: 0 });
  expectSound(arena);
}

describe.each(MODES)("revoke: %s, live leases", (revoke: RevokeMode) => {
  test("keep their bytes through every program", { timeout: 600_000 }, async () => {
    await runPrograms(`apart, ${revoke}`, OPERATION, (ops) => run(revoke, ops));
  });

  test("are apart for every length, all that fit under the cap at once", () => {
    for (const byteLength of [1, 64, 100, 1000, 4096, 5000, 20_000, 65_536, 65_537, 100_000, SEGMENT_BYTES]) {
      using arena = smallArena({ revoke, onExhausted: "throw" }, 3);
      const held = new Held();
      const leases = exhaust(arena, byteLength);
      for (const lease of leases) held.mark(lease);
      held.check();
      // Every third is given back, and what comes in its place is apart from the rest, too.
      for (const lease of leases.filter((_, each) => each % 3 === 0)) {
        held.marks.delete(lease);
        lease.release();
      }
      for (const lease of exhaust(arena, byteLength)) held.add(lease);
      held.check();
    }
  });

  test("are apart after stack overflows anywhere in the library", () => {
    using arena = smallArena({ revoke }, 3);
    const held = new Held();
    let overflows = 0;
    let left = 0;
    let each = 0;
    const act = (): void => {
      const lease = arena.acquire([64, 4096, 1000, 70_000][each++ % 4] as number);
      held.marks.set(lease, 0);
      const [first] = held.marks.keys();
      if (held.marks.size <= 20 || first === undefined) return;
      held.marks.delete(first);
      first.release();
    };
    /** Down to the end of the stack, and `act` in each of the last frames on the way back. */
    const dive = (): void => {
      try {
        dive();
      } catch {
        // The end of the stack.
      }
      if (left-- <= 0) return;
      try {
        act();
      } catch {
        overflows++;
      }
    };
    for (let round = 0; round < 40; round++) {
      left = 60;
      dive();
    }
    expect(overflows).toBeGreaterThan(50);
    for (const lease of held.marks.keys()) held.mark(lease);
    for (let more = 0; more < 200; more++) held.mark(arena.acquire(1000));
    held.check();
  });

  test("are apart after timeouts of a vm script anywhere in the library", () => {
    using arena = smallArena({ revoke }, 3);
    const shared: Lease[] = [];
    const context = createContext({ arena, shared });
    let timeouts = 0;
    for (let each = 0; each < 60; each++) {
      try {
        runInContext(
          `for (let each = ${each}; ; each++) {
             shared.push(arena.acquire([64, 4096, 1000, 70000, 200][each % 5]));
             if (shared.length > 12) shared.shift().release();
           }`,
          context,
          { timeout: 3 },
        );
      } catch (error) {
        if ((error as { code?: string }).code !== "ERR_SCRIPT_EXECUTION_TIMEOUT") throw error;
        timeouts++;
      }
      const held = new Held();
      for (const lease of shared) if (!lease.released) held.mark(lease);
      for (let more = 0; more < 30; more++) held.mark(arena.acquire(500));
      held.check();
      for (const lease of held.marks.keys()) if (!shared.includes(lease)) lease.release();
    }
    expect(timeouts).toBe(60);
    expect(arena.stats().reservedBytes).toBeLessThanOrEqual(arena.stats().maxBytes);
  });

  test.each(["throws", "releases", "acquires"])("are apart though a hook for stack traces %s", (what) => {
    using arena = smallArena({ revoke, trace: "all" }, 3);
    const held = new Held();
    let depth = 0;
    const extra: Lease[] = [];
    const act = (): void => {
      if (what === "throws") throw new Error("hook");
      if (depth++ === 0) {
        if (what === "acquires") extra.push(arena.acquire(1000));
        else extra.shift()?.release();
      }
      depth--;
    };
    const { prepareStackTrace } = Error as { prepareStackTrace?: unknown };
    Reflect.set(Error, "prepareStackTrace", act);
    try {
      for (let each = 0; each < 300; each++) {
        const lease = arena.acquire([64, 1000, 5000][each % 3] as number);
        if (what === "releases") extra.push(arena.acquire(1000));
        held.add(lease);
        if (each % 2 === 0) {
          const first = held.at(0) as Lease;
          held.marks.delete(first);
          first.release();
        }
      }
    } finally {
      Reflect.set(Error, "prepareStackTrace", prepareStackTrace);
    }
    for (const lease of extra) if (!lease.released) held.mark(lease);
    held.check();
    releaseAll(held.marks.keys());
    arena.assertDrained();
    expectSound(arena);
  });

  test("stay live though something else is disposed, and end with their own arena", () => {
    const arenas: Arena[] = [smallArena({ revoke }), smallArena({ revoke })];
    const [mine, other] = arenas.map((arena) => arena.acquire(100)) as [Lease, Lease];
    mine.bytes.fill(7);
    arenas[1]?.[Symbol.dispose]();
    expect(isAll(mine.bytes, 7)).toBe(true);
    expect(() => other.bytes).toThrow(ArenaError);
    arenas[0]?.[Symbol.dispose]();
    expect(() => mine.bytes).toThrow(ArenaError);
  });
});
