/**
 * Writes outside a lease or after its end, beyond test/contract and test/model, which look at
 * when they are found: who is named, since when, and what is zeroed.
 */

import type { StrayWriteEvent } from "cleanslab";
import { describe, expect, test } from "vitest";
import { exhaust, isZero, LONGEST_SHORT_BYTES, releaseAll, SEGMENT_MODES, settle, smallArena } from "../helpers.ts";

describe.each(SEGMENT_MODES)("revoke: %s", (revoke) => {
  test("a stray write names all who held leases of the segment at the next release, just ended ones too, and nobody else", async () => {
    using arena = smallArena({ revoke, trace: "all" }, 8);
    const events: StrayWriteEvent[] = [];
    arena.addEventListener("stray-write", (event) => events.push(event));
    using _other = arena.acquire(200_000);
    using lease = arena.acquire(100);
    const ended = arena.acquire(200);
    new DataView(lease.bytes.buffer).setUint8(3, 1);
    ended.release();
    await settle();
    expect(events).toMatchObject([{ count: 1, byteOffset: 3 }]);
    const sites = events[0]?.sites ?? [];
    expect(sites.reduce((sum, { byteLength }) => sum + byteLength, 0)).toBe(300);
    for (const { stack, summary } of sites) {
      expect(stack).toContain("stray-writes.test");
      expect(summary).toMatch(
        /^1 lease of \d00 bytes, oldest .*: lay in this segment; acquired at .*stray-writes\.test/,
      );
    }
  });

  test("a write after release is no find unless tracing was on at the release and still is", () => {
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

test("after a stray write all of the segment is zeroed when it is recycled, also what was never handed out", () => {
  using arena = smallArena({ onExhausted: "throw" }, 1);
  const lease = arena.acquire(64);
  new Uint8Array(lease.bytes.buffer).fill(0xdd);
  lease.release();
  // The fourth finds no room and no lease out: the segment starts over, its end never used.
  for (let each = 0; each < 4; each++) arena.acquire(LONGEST_SHORT_BYTES).release();
  expect(arena.stats()).toMatchObject({ revocations: 1, strayWrites: 1 });
  const leases = exhaust(arena, 4096);
  expect(leases.length).toBeGreaterThan(40);
  for (const { bytes } of leases) expect(isZero(bytes)).toBe(true);
});
