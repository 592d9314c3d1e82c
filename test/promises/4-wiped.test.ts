/**
 * Promise 4: with `wipeOnRelease`, and always in `"on-release"`, the bytes are zero the
 * moment `release()` returns, unless pinned.
 */

import type { ArenaOptions, DirtyEvent, Lease } from "cleanslab";
import { describe, expect, test } from "vitest";
import {
  bytesNow,
  growUnder,
  isAll,
  isZero,
  type Place,
  placeOf,
  releaseAll,
  SEGMENT_MODES,
  settle,
  smallArena,
} from "../helpers.ts";

/** The arenas in which bytes are zero when release returns. */
const WIPING: [string, ArenaOptions][] = [
  ["before-reuse with wipeOnRelease", { revoke: "before-reuse", wipeOnRelease: true }],
  ["never with wipeOnRelease", { revoke: "never", wipeOnRelease: true }],
  ["on-release", { revoke: "on-release" }],
  ["before-reuse with trace: all", { revoke: "before-reuse", trace: "all" }],
  ["never with trace: all", { revoke: "never", trace: "all" }],
];
const LENGTHS = [1, 16, 100, 4096, 5000, 65_536, 100_000, 250_000];

/** What happens to a lease full of sevens; what of its bytes was left is zero afterwards. */
const ENDS: Record<string, (lease: Lease, place: Place) => unknown> = {
  "release()": (lease) => lease.release(),
  "dispose, whatever wrote behind it in its block": (lease, place) => {
    // 100 bytes are served from a block of 112.
    if (place.byteLength === 100) bytesNow({ ...place, byteLength: 112 }).fill(7);
    lease[Symbol.dispose]();
    if (place.byteLength === 100) expect(isZero(bytesNow({ ...place, byteLength: 112 }))).toBe(true);
  },
  "a promise": (lease) => lease.releaseAfter(Promise.resolve()),
  "its last pin, and not before": (lease, place) => {
    const pins = [lease.pin(), lease.pin()];
    lease.release();
    pins.pop()?.release();
    expect(isAll(bytesNow(place), 7)).toBe(true);
    pins.pop()?.release();
  },
  "a stranger's grow and a release": (lease) => {
    growUnder(lease, 0);
    lease.release();
  },
};

describe.each(WIPING)("%s", (_name, options) => {
  test.each(Object.entries(ENDS))("the bytes are zero after %s", async (_end, end) => {
    for (const byteLength of LENGTHS) {
      using arena = smallArena(options);
      const keepsSegment = arena.acquire(64);
      const lease = arena.acquire(byteLength);
      const place = placeOf(lease);
      lease.bytes.fill(7);
      await end(lease, place);
      expect(isZero(bytesNow(place)), `${byteLength} bytes`).toBe(true);
      keepsSegment.release();
    }
  });

  test("what a lease moved away from is zero at once", () => {
    for (const [from, to] of [
      [100, 50_000],
      [50_000, 100],
      [200_000, 100],
    ] as const) {
      using arena = smallArena(options);
      const keepsSegment = arena.acquire(64);
      const lease = arena.acquire(from);
      const place = placeOf(lease);
      lease.bytes.fill(7);
      lease.resize(to);
      // A memory of its own may have been long enough.
      if (lease.memory === place.memory && lease.byteOffset === place.byteOffset) lease.release();
      expect(isZero(bytesNow(place)), `${from} to ${to}`).toBe(true);
      keepsSegment.release();
    }
  });
});

test.each(SEGMENT_MODES)("without wipeOnRelease the old bytes stay, in %s mode", (revoke) => {
  using arena = smallArena({ revoke });
  const lease = arena.acquire(1000);
  const stale = lease.bytes.fill(7);
  lease.release();
  expect(isAll(stale, 7)).toBe(true);
});

describe("a write after release", () => {
  test.each(["before-reuse", "never", "on-release"] as const)(
    "is found with trace: all, with its offset and with who had the bytes, in %s mode",
    async (revoke) => {
      using arena = smallArena({ revoke, trace: "all" });
      const events: DirtyEvent[] = [];
      arena.addEventListener("dirty", (event) => events.push(event));
      function acquires(): Lease {
        return arena.acquire(1000);
      }
      const lease = acquires();
      const place = placeOf(lease);
      lease.release();
      // As a read still under way would, where the view itself is dead.
      bytesNow(place)[10] = 7;
      for (let each = 0; each < 500; each++) arena.use(1000, (bytes) => expect(isZero(bytes)).toBe(true));
      expect(events).toEqual([]);
      await settle();
      expect(arena.stats().dirtyBlocks).toBe(1);
      expect(events).toMatchObject([{ type: "dirty", count: 1, byteOffset: place.byteOffset + 10 }]);
      expect(events[0]?.acquired).toContain("acquires");
      expect(events[0]?.released).toContain("4-wiped");
    },
  );

  test.each<ArenaOptions>([{ wipeOnRelease: true }, { trace: "sampled" }, {}])(
    "is not looked for with %j, and is nobody's bytes all the same",
    (options) => {
      using arena = smallArena({ ...options, onExhausted: "throw" }, 1);
      const everySlab = (): Lease[] => Array.from({ length: 63 }, () => arena.acquire(4096));
      const leases = everySlab();
      const stale = leases.map(({ bytes }) => bytes);
      const last = leases.pop();
      releaseAll(leases);
      for (const view of stale) view.fill(7);
      last?.release();
      const next = everySlab();
      for (const view of stale) view[0] = 9;
      expect(next.every(({ bytes }) => isZero(bytes))).toBe(true);
      expect(arena.stats().dirtyBlocks).toBe(0);
    },
  );

  test.each(SEGMENT_MODES)("is no find unless tracing was on at its release and still is, in %s mode", (revoke) => {
    using arena = smallArena({ revoke, onExhausted: "throw" }, 1);
    const round = (): Uint8Array => {
      const leases = Array.from({ length: 63 }, () => arena.acquire(4096));
      const views = leases.map(({ bytes }) => bytes.fill(7));
      releaseAll(leases);
      return views[20] as Uint8Array;
    };
    round();
    arena.trace = "all";
    round();
    const view = round();
    expect(arena.stats().dirtyBlocks).toBe(0);
    view[5] = 1;
    round();
    expect(arena.stats().dirtyBlocks).toBe(1);
    arena.trace = "off";
    round()[5] = 1;
    round();
    expect(arena.stats().dirtyBlocks).toBe(1);
  });
});
