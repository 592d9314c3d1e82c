/**
 * Promise 2 after a stack overflow, a `vm` timeout, or a hook that throws, at any point inside
 * the library: live leases are apart, every lease is zero when it is handed out, audits find
 * nothing, and counts heal once the collector has run. `CLEANSLAB_OPS` makes the campaigns longer.
 */

import { createContext, Script } from "node:vm";
import type { Arena, ArenaOptions, Lease, RevokeMode } from "cleanslab";
import { afterEach, describe, expect, test } from "vitest";
import {
  collectGarbageUntil,
  exhaust,
  expectArenaError,
  expectSound,
  expectThrow,
  LiveLeases,
  MODES,
  SEGMENT_BYTES,
  seeded,
  settle,
  smallArena,
} from "../helpers.ts";
import { operations } from "../seeded.ts";
import { deepestPad, nearStackEnd, pad } from "../stack-end.ts";

const LENGTHS = [0, 1, 16, 64, 100, 257, 1000, 1024, 4000, 5000, 16384, 20000, 40000, 66000, 150000];
const VARIANTS: readonly ArenaOptions[] = [
  {},
  { wipeOnRelease: true },
  { guardEvery: 5 },
  { maxBytes: 2 * SEGMENT_BYTES, onExhausted: "throw" },
  { trace: "all" },
];
/** Arguments fewer than the deepest call may have, at most: what the library needs of the stack at its deepest. */
const REACH = 1000;

const { prepareStackTrace } = Error;
afterEach(() => {
  Error.prepareStackTrace = prepareStackTrace;
});

/**
 * Disposed arenas, kept. In V8 of Node 20 and 24 a FinalizationRegistry that is collected
 * while it has callbacks to make ends those of every registry in the process.
 */
const disposed: Arena[] = [];

/** The torn calls are over: invariants hold, and counts heal with the collector. In `"never"` blocks may stay lost. */
async function expectHealed(arena: Arena, revoke: RevokeMode): Promise<void> {
  expect(arena.audit().problems).toEqual([]);
  if (revoke !== "never") {
    await collectGarbageUntil(() => {
      arena.trim();
      const { liveLeases, reservedBytes } = arena.stats();
      return liveLeases === 0 && reservedBytes === 0;
    });
    expect(arena.stats()).toMatchObject({ liveLeases: 0, liveBytes: 0, reservedBytes: 0 });
  }
  arena[Symbol.dispose]();
  disposed.push(arena);
}

/** Many calls, each with so little of the stack left that most overflow somewhere inside. Answers how many did. */
function overflowInOneDive(arena: Arena, live: LiveLeases, next: (below: number) => number): number {
  const held = [...live.marks.keys()];
  const fresh: Lease[] = [];
  let byteLength = 0;
  let victim: Lease | undefined;
  let stopped = 0;
  const steps = {
    acquire: () => void fresh.push(arena.acquire(byteLength)),
    acquireFilled: () => void fresh.push(arena.acquireFilled(byteLength, (bytes) => bytes.fill(0).length)),
    release: () => victim?.release(),
    resize: () => victim?.resize(byteLength),
    trim: () => void arena.trim(),
  };
  const names = ["release", "release", "release", "release", "acquire", "acquire", "acquireFilled", "resize"] as const;
  const tryOne = (elements: []): void => {
    byteLength = LENGTHS[next(LENGTHS.length)] as number;
    let name: keyof typeof steps = names[next(8)] as keyof typeof steps;
    if (held.length >= 40) name = "release";
    else if (next(300) === 0) name = "trim";
    victim = name === "release" || name === "resize" ? held[next(Math.max(1, held.length))] : undefined;
    if (victim !== undefined) live.check([victim]);
    const before = victim?.byteLength;
    try {
      steps[name].apply(undefined, elements);
    } catch (error) {
      if (error instanceof RangeError) stopped++;
      else expectArenaError(error, "ERR_ARENA_EXHAUSTED");
    }
    held.push(...fresh);
    live.add(...fresh.splice(0));
    if (victim?.released) {
      live.marks.delete(victim);
      held.splice(held.indexOf(victim), 1);
    } else if (victim !== undefined) {
      if (victim.byteLength === before) live.check([victim]);
      else live.mark(victim);
    }
  };
  // A function that was never called has no bytecode, and compiling takes more of the stack than is left.
  for (let each = 0; each < 60; each++) tryOne(pad(0));
  using scratch = smallArena();
  const probe = (): void => scratch.acquire(100).release();
  probe();
  nearStackEnd(() => {
    const deepest = deepestPad(probe);
    for (let each = 0; each < 2000; each++) {
      // The fast paths end within some 100 words of the stack's end, the slow ones within 1000.
      tryOne(pad(Math.max(0, deepest + 120 - next(next(2) ? 200 : REACH))));
    }
  });
  return stopped;
}

describe.each(MODES)("revoke: %s, a stack overflow", (revoke: RevokeMode) => {
  // Once a block was given back before its lease was marked: a retry gave it back twice, and two leases shared it.
  test("leaves live leases apart and counts that heal, wherever it comes", { timeout: 900_000 }, async () => {
    const next = seeded(17);
    for (let stopped = 0, arenas = 0; stopped < operations / 5; arenas++) {
      const arena = smallArena({ revoke, ...VARIANTS[arenas % VARIANTS.length] }, 24);
      const live = new LiveLeases();
      for (let dive = 0; dive < 12; dive++) {
        stopped += overflowInOneDive(arena, live, next);
        live.check();
      }
      live.releaseAll();
      await expectHealed(arena, revoke);
    }
  });

  // Once a flag was set before the microtask was asked for: one overflow there, and nobody was ever served again.
  test("in a release never keeps those who wait from being served", async () => {
    for (let round = 0; round < 6; round++) {
      using arena = smallArena({ revoke, onExhausted: "throw" }, revoke === "on-release" ? 100 : 8);
      const victims = exhaust(arena, revoke === "before-reuse" ? 60_000 : 4096);
      let isServed = false;
      const waiting = arena.acquireAsync(4096).then((lease) => {
        isServed = true;
        lease.release();
      });
      let at = 0;
      nearStackEnd(() => {
        const deepest = deepestPad(() => {});
        for (let back = 0; back < REACH && at < victims.length - 4; back++) {
          const victim = victims[at] as Lease;
          try {
            victim.release.apply(victim, pad(deepest - back));
          } catch {
            // Overflowed: before the lease ended, or after.
          }
          if (victim.released) at++;
        }
      });
      await settle();
      // Any release from now on serves whoever waits, and so does the collector.
      for (const victim of victims.splice(0)) victim[Symbol.dispose]();
      await collectGarbageUntil(() => isServed, 30);
      expect(isServed, `round ${round}`).toBe(true);
      await waiting;
    }
  });
});

/** The first, middle and last byte are looked at: looking at all of them would leave the library too little of the time. */
const LOOP = new Script(`
  for (;;) {
    at = (at + 1) % lengths.length;
    const slot = at * 7 % ring.length;
    if (ring[slot] !== undefined && !ring[slot].released) ring[slot].release();
    const lease = ring[slot] = arena.acquire(lengths[at]);
    const { bytes } = lease, last = bytes.length - 1;
    if (last >= 0 && (bytes[0] | bytes[last >> 1] | bytes[last]) !== 0) notZero++;
    if (last >= 0) bytes[0] = bytes[last >> 1] = bytes[last] = 255;
  }
`);

describe.each(MODES)("revoke: %s, a timeout of a vm script", (revoke: RevokeMode) => {
  // Once a prototype gave one block to two leases in every second timeout.
  test("leaves live leases apart and counts that heal, wherever it comes", { timeout: 900_000 }, async () => {
    const next = seeded(5);
    const lengths = Array.from({ length: 1009 }, () => LENGTHS[next(LENGTHS.length)] as number);
    const perArena = 30;
    for (let arenas = 0; arenas < Math.max(VARIANTS.length, operations / 160 / perArena); arenas++) {
      const arena = smallArena({ revoke, ...VARIANTS[arenas % VARIANTS.length], onExhausted: "allocate" }, 24);
      const sandbox = { arena, ring: new Array<Lease | undefined>(40).fill(undefined), lengths, notZero: 0, at: 0 };
      const context = createContext(sandbox);
      for (let each = 0; each < perArena; each++) {
        expect(() => LOOP.runInContext(context, { timeout: 1 })).toThrow(/timed out/);
        expect(sandbox.notZero).toBe(0);
        const live = new LiveLeases();
        for (const lease of sandbox.ring) if (lease?.released === false) live.mark(lease);
        for (let more = 0; more < 8; more++) live.add(arena.acquire(LENGTHS[next(LENGTHS.length)] as number));
        live.check();
        // The host may end what the script held, twice too.
        if (each % 5 === 4) live.releaseAll();
        else live.release(...[...live.marks.keys()].slice(-8));
        for (const lease of sandbox.ring) if (lease?.released) lease[Symbol.dispose]();
        await settle();
      }
      for (const lease of sandbox.ring.splice(0)) lease?.[Symbol.dispose]();
      await expectHealed(arena, revoke);
    }
  });
});

describe.each(MODES)("revoke: %s, a hook for stack traces", (revoke: RevokeMode) => {
  // Once one that threw made release throw half way, and the retry gave the block back again; and one that used
  // the arena inside a release got the very block that was being released.
  test.each(["throws", "releases", "acquires", "releases the same lease"])(
    "that %s leaves every lease apart and in order",
    (what) => {
      using arena = smallArena({ revoke, trace: "all" }, 3);
      const live = new LiveLeases();
      const extra: Lease[] = [];
      let same: Lease | undefined;
      let depth = 0;
      Error.prepareStackTrace = () => {
        if (what === "throws") throw new Error("no source map");
        if (depth++ === 0) {
          if (what === "acquires") extra.push(arena.acquire(1000));
          else if (what === "releases") extra.shift()?.release();
          else if (same !== undefined) expectThrow(() => same?.release(), "ERR_LEASE_RELEASED");
        }
        depth--;
        return "x";
      };
      for (let each = 0; each < 300; each++) {
        live.add(arena.acquire([64, 1000, 5000][each % 3] as number));
        if (what === "releases") extra.push(arena.acquire(1000));
        if (each % 2 === 1) continue;
        [same] = live.marks.keys();
        live.release(same as Lease);
        // The message has the stacks, which are read now.
        expectThrow(() => same?.release(), "ERR_LEASE_RELEASED");
      }
      Error.prepareStackTrace = prepareStackTrace;
      for (const lease of extra) if (!lease.released) live.mark(lease);
      live.releaseAll();
      arena.assertDrained();
      expectSound(arena);
    },
  );

  test("that disposes the arena leaves no usable lease", async () => {
    const arena = smallArena({ revoke, trace: "all" });
    Error.prepareStackTrace = () => {
      arena[Symbol.dispose]();
      return "x";
    };
    let leases: Lease[] = [];
    try {
      leases = [arena.acquire(10), ...(await arena.acquireAsync([1, 100_000]))];
      void arena.sites;
    } catch (error) {
      expectArenaError(error, "ERR_ARENA_DISPOSED");
    }
    for (const lease of leases) expectThrow(() => lease.bytes, "ERR_ARENA_DISPOSED");
    expect(arena.stats()).toMatchObject({ reservedBytes: 0, liveLeases: 0 });
  });
});
