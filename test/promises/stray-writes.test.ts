/**
 * What promise 1 does not cover, and the trap reports: writes that ignore `byteOffset`. The
 * five commonest ways to do that all hit the start of the segment.
 */

import { Arena, type Lease, type StrayWriteEvent } from "cleanslab";
import { describe, expect, test } from "vitest";
import { SEGMENT_MODES, settle, smallArena } from "../helpers.ts";

/** Each meant to write to the lease, at its start. */
const STRAYS: Record<string, (bytes: Uint8Array<ArrayBuffer>) => void> = {
  "new DataView(bytes.buffer)": (bytes) => new DataView(bytes.buffer).setUint32(0, 0xdeadbeef),
  "new Uint8Array(bytes.buffer)": (bytes) => {
    new Uint8Array(bytes.buffer)[0] = 7;
  },
  "new Float64Array(bytes.buffer, 0, n)": (bytes) =>
    void new Float64Array(bytes.buffer, 0, bytes.length >> 3).fill(1.5),
  "Buffer.from(bytes.buffer)": (bytes) => void Buffer.from(bytes.buffer).write("hello"),
  "new Int32Array(bytes.buffer).set": (bytes) => new Int32Array(bytes.buffer).set([1, 2, 3]),
};

/** The offset of the first byte that each writes other than zero. */
const FIRST: Record<string, number> = { "new Float64Array(bytes.buffer, 0, n)": 6 };

function listen(arena: Arena): StrayWriteEvent[] {
  const events: StrayWriteEvent[] = [];
  arena.addEventListener("stray-write", (event) => events.push(event));
  return events;
}

describe.each(SEGMENT_MODES)("revoke: %s, a write by", (revoke) => {
  test.each(Object.keys(STRAYS))(
    "%s is reported at the release that follows, with the call site, when tracing is on",
    async (name) => {
      using arena = smallArena({ revoke, trace: "all" });
      const events = listen(arena);
      function acquiresForTheStray(): Lease {
        return arena.acquire(64);
      }
      const lease = acquiresForTheStray();
      STRAYS[name]?.(lease.bytes);
      lease.release();
      expect(events).toEqual([]);
      await settle();
      expect(events).toMatchObject([{ type: "stray-write", count: 1, byteOffset: FIRST[name] ?? 0 }]);
      expect(events[0]?.sites[0]?.stack).toMatch(/acquiresForTheStray .*stray-writes\.test/);
      expect(events[0]?.sites[0]).toMatchObject({ leases: 1, byteLength: 64 });
      expect(arena.stats().strayWrites).toBe(1);
      // The trap is zero again: nothing is told twice.
      arena.acquire(64).release();
      await settle();
      expect(events).toHaveLength(1);
    },
  );

  test.each(Object.keys(STRAYS))("%s is reported by audit and by trim, without tracing", async (name) => {
    for (const look of ["audit", "trim"] as const) {
      using arena = smallArena({ revoke });
      const events = listen(arena);
      const lease = arena.acquire(64);
      STRAYS[name]?.(lease.bytes);
      lease.release();
      await settle();
      expect(events).toEqual([]);
      arena[look]();
      await settle();
      expect(events).toMatchObject([{ count: 1, byteOffset: FIRST[name] ?? 0, sites: [] }]);
    }
  });
});

describe("revoke: before-reuse, a write by", () => {
  test.each(Object.keys(STRAYS))("%s is reported when the segment is recycled", async (name) => {
    using arena = smallArena({ onExhausted: "throw" }, 1);
    const events = listen(arena);
    const lease = arena.acquire(4096);
    STRAYS[name]?.(lease.bytes);
    lease.release();
    for (let each = 0; each < 62; each++) arena.acquire(4096).release();
    await settle();
    expect(events).toEqual([]);
    arena.acquire(4096).release();
    await settle();
    expect(events).toMatchObject([{ count: 1, byteOffset: FIRST[name] ?? 0 }]);
  });

  test("several in one job is one event with a count, and the place of the last", async () => {
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

  test("names all who held leases of the segment, those that ended last included, and nobody else", async () => {
    using arena = smallArena({ trace: "all" }, 8);
    const events = listen(arena);
    const other = arena.acquire(200_000);
    const held = [100, 200].map((byteLength) => arena.acquire(byteLength));
    new DataView((held[0] as Lease).bytes.buffer).setUint8(3, 1);
    held[1]?.release();
    await settle();
    const byteLengths = events[0]?.sites.reduce((sum, { byteLength }) => sum + byteLength, 0);
    expect([events.length, byteLengths]).toEqual([1, 300]);
    held[0]?.release();
    other.release();
  });
});

test("a view of byteOffset and byteLength, as it should be, is no stray write", async () => {
  using arena = new Arena({ trace: "all" });
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
