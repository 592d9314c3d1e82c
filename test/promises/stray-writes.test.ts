/**
 * What promise 1 does not cover, and the trap reports: writes that ignore `byteOffset`. The
 * five commonest ways to do that all hit the start of the segment.
 */

import type { Arena, ArenaOptions, Lease, RevokeMode, StrayWriteEvent } from "cleanslab";
import { describe, expect, test } from "vitest";
import { exhaust, isZero, LONGEST_SHORT_BYTES, SEGMENT_MODES, settle, smallArena } from "../helpers.ts";

/** Each meant to write to the lease, at its start; and the offset of the first byte that it writes other than zero. */
const STRAYS: [string, number, (bytes: Uint8Array<ArrayBuffer>) => unknown][] = [
  ["new DataView(bytes.buffer)", 0, (bytes) => new DataView(bytes.buffer).setUint32(0, 0xdeadbeef)],
  ["new Uint8Array(bytes.buffer)", 0, (bytes) => new Uint8Array(bytes.buffer).fill(7, 0, 8)],
  ["new Float64Array(bytes.buffer, 0, n)", 6, (bytes) => new Float64Array(bytes.buffer, 0, 1).fill(1.5)],
  ["Buffer.from(bytes.buffer)", 0, (bytes) => Buffer.from(bytes.buffer).write("hello")],
  ["new Int32Array(bytes.buffer).set", 0, (bytes) => new Int32Array(bytes.buffer).set([1, 2, 3])],
];

/** When a stray write is found, in which modes, and with which options. */
const FINDERS: [string, readonly RevokeMode[], ArenaOptions, (arena: Arena) => unknown][] = [
  ["the release that follows, with tracing", SEGMENT_MODES, { trace: "all" }, () => {}],
  ["audit", SEGMENT_MODES, {}, (arena) => arena.audit()],
  ["trim", SEGMENT_MODES, {}, (arena) => arena.trim()],
  [
    "recycling",
    ["before-reuse"],
    {},
    (arena) => new Array(4).fill(LONGEST_SHORT_BYTES).map((each) => arena.acquire(each).release()),
  ],
];

function listen(arena: Arena): StrayWriteEvent[] {
  const events: StrayWriteEvent[] = [];
  arena.addEventListener("stray-write", (event) => events.push(event));
  return events;
}

describe.each(STRAYS)("a write by %s", (_name, byteOffset, write) => {
  test.each(FINDERS.flatMap(([finder, modes, ...rest]) => modes.map((revoke) => [finder, revoke, ...rest] as const)))(
    "is reported by %s, once, in %s mode",
    async (_finder, revoke, options, find) => {
      using arena = smallArena({ revoke, onExhausted: "throw", ...options }, 1);
      const events = listen(arena);
      function acquiresForTheStray(): Lease {
        return arena.acquire(64);
      }
      const lease = acquiresForTheStray();
      write(lease.bytes);
      lease.release();
      find(arena);
      expect(events).toEqual([]);
      await settle();
      expect(events).toMatchObject([{ type: "stray-write", count: 1, byteOffset }]);
      if (options.trace === "all") {
        expect(events[0]?.sites).toMatchObject([{ leases: 1, byteLength: 64 }]);
        expect(events[0]?.sites[0]?.stack).toMatch(/acquiresForTheStray .*stray-writes\.test/);
      }
      // The trap is zero again: nothing is told twice.
      arena.acquire(64).release();
      arena.audit();
      await settle();
      expect([events.length, arena.stats().strayWrites]).toEqual([1, 1]);
    },
  );
});

test("several in one job are one event with a count, and the place of the last", async () => {
  using arena = smallArena({ trace: "all" });
  const events = listen(arena);
  for (const at of [5, 9, 2]) {
    const lease = arena.acquire(64);
    new Uint8Array(lease.bytes.buffer)[at] = 1;
    lease.release();
  }
  await settle();
  expect(events).toMatchObject([{ count: 3, byteOffset: 2 }]);
});

test("a stray write names all who held leases of the segment, those that ended last included, and nobody else", async () => {
  using arena = smallArena({ trace: "all" }, 8);
  const events = listen(arena);
  using _other = arena.acquire(200_000);
  using held = arena.acquire(100);
  const ended = arena.acquire(200);
  new DataView(held.bytes.buffer).setUint8(3, 1);
  ended.release();
  await settle();
  expect(events[0]?.sites.reduce((sum, { byteLength }) => sum + byteLength, 0)).toBe(300);
});

test("after a stray write every lease is zero once the segment was recycled: all of it is zeroed", () => {
  using arena = smallArena({ onExhausted: "throw" }, 1);
  const lease = arena.acquire(64);
  // Reaches far behind everything that was ever handed out.
  new Uint8Array(lease.bytes.buffer).fill(0xdd);
  lease.release();
  // The fourth finds no room and no lease out: the segment starts over, its end never used.
  for (let each = 0; each < 4; each++) arena.acquire(LONGEST_SHORT_BYTES).release();
  expect(arena.stats()).toMatchObject({ revocations: 1, strayWrites: 1 });
  const leases = exhaust(arena, 4096);
  expect(leases.length).toBeGreaterThan(40);
  for (const { bytes } of leases) expect(isZero(bytes)).toBe(true);
});

test("a view of byteOffset and byteLength, as it should be, is no stray write", async () => {
  using arena = smallArena({ trace: "all" });
  const events = listen(arena);
  const lease = arena.acquire(64);
  const { buffer, byteOffset, byteLength } = lease.bytes;
  new DataView(buffer, byteOffset, byteLength).setUint32(0, 1);
  new Float64Array(buffer, byteOffset, byteLength >> 3).fill(1);
  Buffer.from(buffer, byteOffset, byteLength).write("hello");
  lease.view(Int32Array).set([1, 2]);
  lease.release();
  arena.audit();
  await settle();
  expect([events, arena.stats().strayWrites]).toEqual([[], 0]);
});
