/**
 * The store of the default mode on its own: runs, watermark, recycling, trap. What callers
 * see of it is promises/'s; how it is stopped half way, carving-stopped.test.ts's.
 */

import { describe, expect, test } from "vitest";
import { transition } from "../../../src/memory/account.ts";
import type { Segment } from "../../../src/memory/segment.ts";
import { collectGarbageUntil, isZero, memoryNow, SEGMENT_BYTES } from "../../helpers.ts";
import { aroundRevoke, bookOf, expectApart, ownerOf, present } from "../helpers.ts";
import { fill, fillSegment, openCarving, problemsOf, SLAB_BYTES } from "./helpers.ts";

describe("a run", () => {
  test("is carved front to back, and a released block rests", () => {
    const { store } = openCarving();
    const first = present(store.acquire(100));
    const second = present(store.acquire(100));
    const { byteOffset } = first;
    expect(second.byteOffset).toBe(byteOffset + 112);
    first.release();
    expect(present(store.acquire(100)).byteOffset).toBe(byteOffset + 224);
  });

  test("of each class lies in slabs of its own", () => {
    const opened = openCarving({ segments: 20 });
    const lengths = [64, 100, 1000, 5000, 20_000, 65_536];
    expectApart(Array.from({ length: 120 }, (_, each) => present(opened.store.acquire(lengths[each % 6] as number))));
    expect(problemsOf(opened)).toEqual([]);
  });

  test("counts its leases by how far it was carved", () => {
    const { store } = openCarving();
    for (let each = 0; each < 70; each++) store.acquire(4096);
    for (let each = 0; each < 5; each++) store.acquire(100);
    const counts: number[][] = [];
    store.countAcquired((blockBytes, acquired) => counts.push([blockBytes, acquired]));
    expect(counts).toEqual([
      [112, 5],
      [4096, 70],
    ]);
  });

  test("begins behind the trap, at the segment's stagger", () => {
    const { store, table } = openCarving();
    const lease = present(store.acquire(64));
    expect(lease.byteOffset).toBe(ownerOf<Segment>(table, lease).firstPtr);
  });
});

describe("the watermark", () => {
  test("zeroes what was used before, and nothing twice", () => {
    const opened = openCarving({ segments: 1 });
    for (let round = 0; round < 4; round++) {
      const leases = fill(opened, 3000);
      expect(leases.length).toBeGreaterThan(60);
      for (const lease of leases) {
        expect(isZero(lease.bytes)).toBe(true);
        lease.bytes.fill(0xff);
      }
      for (const lease of leases) lease.release();
    }
  });

  test("keeps zeroed and unzeroed leases of one run apart", () => {
    const opened = openCarving({ segments: 1 });
    for (const lease of fill(opened, 1000)) {
      lease.bytes.fill(0xff);
      lease.release();
    }
    let unzeroed = 0;
    for (let each = 0; each < 200; each++) {
      const isZeroed = each % 3 !== 0;
      const lease = present(isZeroed ? opened.store.acquire(1000) : opened.store.acquireUnzeroed(1000));
      if (isZeroed) expect(isZero(lease.bytes)).toBe(true);
      else if (!isZero(lease.bytes)) unzeroed++;
      lease.bytes.fill(0xee);
    }
    expect(unzeroed).toBeGreaterThan(0);
  });

  test("does not zero fresh memory: what a stranger wrote there beforehand stays", () => {
    const { store } = openCarving();
    const first = present(store.acquire(64));
    memoryNow(first).fill(7, first.byteOffset + 64, first.byteOffset + 128);
    expect(present(store.acquire(64)).bytes[0]).toBe(7);
  });
});

describe("recycling", () => {
  test("kills every view, and starts the segment over", () => {
    const opened = openCarving({ segments: 1 });
    const leases = fillSegment(opened);
    const { memory, byteOffset } = present(leases[0]);
    const views = leases.map(({ bytes }) => bytes.fill(7));
    for (const lease of leases) lease.release();
    // Until the room is needed, a stale view keeps its bytes.
    expect(views.every((view) => view[0] === 7)).toBe(true);
    const next = present(opened.store.acquire(SLAB_BYTES));
    expect([next.memory === memory, next.byteOffset]).toEqual([true, byteOffset]);
    expect(views.every((view) => view.length === 0)).toBe(true);
    expect(opened.heard.revoked).toHaveLength(1);
  });

  test("waits for the last lease of the segment", () => {
    const opened = openCarving({ segments: 1 });
    const leases = fillSegment(opened);
    for (const lease of leases.slice(1)) lease.release();
    expect(opened.store.acquire(SLAB_BYTES)).toBeNull();
    leases[0]?.release();
    expect(opened.store.acquire(SLAB_BYTES)).not.toBeNull();
  });

  test("ends the open runs: a block of one class is not handed out of another class's run again", () => {
    const opened = openCarving({ segments: 1 });
    // The run of 64 bytes stays open in the first slab.
    present(opened.store.acquire(64)).release();
    for (const lease of Array.from({ length: 62 }, () => present(opened.store.acquire(SLAB_BYTES)))) lease.release();
    // No slab is left and no lease is out: the segment starts over, with another class in the first slab.
    const leases = Array.from({ length: 10 }, () => present(opened.store.acquire(SLAB_BYTES)));
    for (let each = 0; each < 10; each++) leases.push(present(opened.store.acquire(64)));
    expectApart(leases);
    expect(problemsOf(opened)).toEqual([]);
  });

  test("comes early for an active segment without leases that was carved far, while it is warm", () => {
    const opened = openCarving({ segments: 8, segmentBytes: 4 * SEGMENT_BYTES });
    for (let each = 0; each < 20; each++) present(opened.store.acquire(64 * 1024)).release();
    expect(opened.heard.revoked.length).toBeGreaterThan(0);
    expect(opened.table.accounts.size).toBe(1);
    // With a lease out, the next segment is opened instead.
    const held = present(opened.store.acquire(64));
    for (let each = 0; each < 20; each++) present(opened.store.acquire(64 * 1024)).release();
    expect([held.bytes.length, opened.table.accounts.size]).toEqual([64, 2]);
  });

  test("of a segment that cannot be revoked takes it out of use, and it stays charged until it is collected", async () => {
    const opened = openCarving({ segments: 2 });
    const view = (() => {
      const leases = fillSegment(opened);
      const segment = ownerOf<Segment>(opened.table, present(leases[0]));
      Reflect.set(segment, "revoke", () => false);
      const { bytes, memory } = present(leases[0]);
      for (const lease of leases) lease.release();
      const next = fillSegment(opened);
      expect(next.every((lease) => lease.memory !== memory)).toBe(true);
      expect(opened.table.budget.reservedBytes).toBe(2 * SEGMENT_BYTES);
      expect(segment.account.state).toBe("retired");
      for (const lease of next) lease.release();
      return bytes;
    })();
    await collectGarbageUntil(() => opened.table.accounts.size === 1, 5);
    expect([opened.table.accounts.size, view.length]).toEqual([2, SLAB_BYTES]);
    expect(problemsOf(opened)).toEqual([]);
  });
});

describe("a trap that was written to", () => {
  test("makes all of the segment count as used: what the stray write hit elsewhere is zeroed", () => {
    const opened = openCarving({ segments: 1 });
    const lease = present(opened.store.acquire(64));
    // From offset 0 to the end: the far end was never handed out.
    memoryNow(lease).fill(0xdd);
    expect(problemsOf(opened)).toEqual([]);
    expect(opened.host.strayAt).toEqual([0]);
    for (const each of fill(opened)) expect(isZero(each.bytes)).toBe(true);
    lease.release();
  });

  test("is looked at after the revocation: no write comes later", () => {
    const opened = openCarving({ segments: 1 });
    const leases = fillSegment(opened);
    const segment = ownerOf<Segment>(opened.table, present(leases[0]));
    const write = (): void => {
      new Uint8Array(present(segment.memory).buffer)[3] = 1;
    };
    aroundRevoke(segment, { before: write });
    for (const lease of leases) lease.release();
    present(opened.store.acquire(64));
    expect(opened.host.strayAt).toEqual([3]);
  });

  test("is found by an audit, also in a segment that its leases alone hold", () => {
    const opened = openCarving({ segments: 2 });
    const leases = [...fillSegment(opened), present(opened.store.acquire(SLAB_BYTES))];
    const { buffer } = present(present(leases[0]).memory);
    new Uint8Array(buffer)[9] = 1;
    const problems: string[] = [];
    expect(opened.store.audit(problems)).toBe(2);
    expect(opened.host.strayAt).toEqual([9]);
    expect(leases).toHaveLength(64);
  });
});

describe("room for several lengths", () => {
  test("is planned without carving", () => {
    const opened = openCarving({ segments: 4 });
    present(opened.store.acquire(4096));
    const counts = (): number[] => {
      const acquired: number[] = [];
      opened.store.countAcquired((_, count) => acquired.push(count));
      return [...acquired, bookOf(opened.table).exports.freeSlabs(0), opened.table.budget.reservedBytes];
    };
    const before = counts();
    expect(opened.store.bytesFor([64, 64, 4096])).toBe(0);
    expect(opened.store.bytesFor(Array.from({ length: 63 }, () => 4096))).toBe(SEGMENT_BYTES);
    expect(opened.store.bytesFor(Array.from({ length: 126 }, () => 4096))).toBe(2 * SEGMENT_BYTES);
    expect(counts()).toEqual(before);
  });

  test.each([1, 2, 3, 4, 5])("is never less than what carving them takes, for seed %i", (seed) => {
    const opened = openCarving({ segments: 1000 });
    let state = seed;
    const next = (below: number): number => {
      state = (state * 48271) % 2147483647;
      return state % below;
    };
    for (let round = 0; round < 40; round++) {
      const lengths = Array.from({ length: 1 + next(30) }, () => next(next(2) === 0 ? 65_536 : 3000));
      const planned = opened.store.bytesFor(lengths);
      const before = opened.table.budget.reservedBytes;
      for (const byteLength of lengths) present(opened.store.acquire(byteLength));
      expect(opened.table.budget.reservedBytes - before).toBeLessThanOrEqual(planned);
    }
  });
});

describe("room that is needed", () => {
  test("makes the active segment collectable when its leases were leaked", async () => {
    const opened = openCarving({ segments: 1 });
    (() => void opened.store.acquire(64))();
    expect(opened.store.yieldMemory()).toBe(false);
    await collectGarbageUntil(() => opened.heard.collected.length > 0);
    expect(opened.heard.collected[0]).toMatchObject({ live: 1, liveBytes: 64 });
    expect(opened.store.acquire(64)).not.toBeNull();
  });

  test("ends the open runs, and takes them up where they were as long as a lease holds the segment", () => {
    const opened = openCarving({ segments: 2 });
    const leases = [64, 1000, 64, 4096].map((byteLength) => present(opened.store.acquire(byteLength)));
    const { memory, byteOffset } = present(leases[2]);
    for (let each = 0; each < 5; each++) {
      opened.store.yieldMemory();
      expect([...opened.table.accounts].map(({ state }) => state)).toEqual(["retired"]);
      expect(problemsOf(opened)).toEqual([]);
      leases.push(present(opened.store.acquire(64)), present(opened.store.acquire(1000)));
    }
    expect(leases.every((lease) => lease.memory === memory)).toBe(true);
    expect(present(leases[4]).byteOffset).toBe(byteOffset + 64);
    expectApart(leases);
    const counts: number[][] = [];
    opened.store.countAcquired((blockBytes, acquired) => counts.push([blockBytes, acquired]));
    expect(counts).toEqual([
      [64, 7],
      [1024, 6],
      [4096, 1],
    ]);
    expect(problemsOf(opened)).toEqual([]);
  });

  test("an audit names a run that is open outside the active segment", () => {
    const opened = openCarving({ segments: 2 });
    const lease = present(opened.store.acquire(64));
    transition(ownerOf<Segment>(opened.table, lease).account, "retired");
    Reflect.set(opened.store, "active", null);
    expect(problemsOf(opened).join()).toContain("C3: a run of 64-byte blocks");
  });
});
