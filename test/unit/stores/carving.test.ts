/**
 * The store of the default mode on its own: runs, recycling, trap. What callers see of it,
 * zeros first of all, is test/contract's; how it is stopped half way, carving-stopped.test.ts's.
 */

import { describe, expect, test } from "vitest";
import { transition } from "../../../src/memory/account.ts";
import type { Segment } from "../../../src/memory/segment.ts";
import { collectGarbageUntil, isZero, KiB, memoryNow, releaseAll, SEGMENT_BYTES, seeded } from "../../helpers.ts";
import { aroundRevoke, bookOf, expectApart, ownerOf, present } from "../helpers.ts";
import { countsOf, fill, fillSegment, openCarving, problemsOf, SLAB_BYTES } from "./helpers.ts";

describe("a run", () => {
  test("is carved front to back behind the trap, and a released block rests", () => {
    const { store, table } = openCarving();
    const first = present(store.acquire(100));
    const { byteOffset } = first;
    expect(byteOffset).toBe(ownerOf<Segment>(table, first).firstPtr);
    expect(present(store.acquire(100)).byteOffset).toBe(byteOffset + 112);
    first.release();
    expect(present(store.acquire(100)).byteOffset).toBe(byteOffset + 224);
  });

  test("counts its leases by how far it was carved", () => {
    const opened = openCarving();
    for (let each = 0; each < 70; each++) opened.store.acquire(4096);
    for (let each = 0; each < 5; each++) opened.store.acquire(100);
    expect(countsOf(opened)).toEqual([
      [112, 5],
      [4096, 70],
    ]);
  });

  test("does not zero fresh memory: what a stranger wrote there beforehand stays", () => {
    const { store } = openCarving();
    const first = present(store.acquire(64));
    memoryNow(first).fill(7, first.byteOffset + 64, first.byteOffset + 128);
    expect(present(store.acquire(64)).bytes[0]).toBe(7);
  });
});

describe("recycling", () => {
  test("waits for the last lease of the segment, kills every view, and starts the segment over", () => {
    const opened = openCarving({ segments: 1 });
    const leases = fillSegment(opened);
    const last = present(leases.pop());
    const { memory, byteOffset } = present(leases[0]);
    const views = leases.map(({ bytes }) => bytes.fill(7));
    releaseAll(leases);
    expect(opened.store.acquire(SLAB_BYTES)).toBeNull();
    last.release();
    // Until the room is needed, a stale view keeps its bytes.
    expect(views.every((view) => view[0] === 7)).toBe(true);
    const next = present(opened.store.acquire(SLAB_BYTES));
    expect([next.memory === memory, next.byteOffset, isZero(next.bytes)]).toEqual([true, byteOffset, true]);
    expect(views.every((view) => view.length === 0)).toBe(true);
    expect(opened.heard.revoked).toHaveLength(1);
  });

  test("ends the open runs: a block of one class is not handed out of another class's run again", () => {
    const opened = openCarving({ segments: 1 });
    // The run of 64 bytes stays open in the first slab.
    present(opened.store.acquire(64)).release();
    releaseAll(Array.from({ length: 62 }, () => present(opened.store.acquire(SLAB_BYTES))));
    // No slab is left and no lease is out: the segment starts over, with another class in the first slab.
    const lengths = [...new Array<number>(10).fill(SLAB_BYTES), ...new Array<number>(10).fill(64)];
    expectApart(lengths.map((byteLength) => present(opened.store.acquire(byteLength))));
    expect(problemsOf(opened)).toEqual([]);
  });

  test("comes early for an active segment without leases that was carved far, while it is warm", () => {
    const opened = openCarving({ segments: 8, segmentBytes: 4 * SEGMENT_BYTES });
    const work = (): void => {
      for (let each = 0; each < 20; each++) present(opened.store.acquire(64 * KiB)).release();
    };
    work();
    expect(opened.heard.revoked.length).toBeGreaterThan(0);
    expect(opened.table.accounts.size).toBe(1);
    // With a lease out, the next segment is opened instead.
    const held = present(opened.store.acquire(64));
    work();
    expect([held.bytes.length, opened.table.accounts.size]).toEqual([64, 2]);
  });

  test("of a segment that cannot be revoked takes it out of use, and it stays charged until it is collected", async () => {
    const opened = openCarving({ segments: 2 });
    const view = (() => {
      const leases = fillSegment(opened);
      const segment = ownerOf<Segment>(opened.table, present(leases[0]));
      Reflect.set(segment, "revoke", () => false);
      const { bytes, memory } = present(leases[0]);
      releaseAll(leases);
      const next = fillSegment(opened);
      expect(next.every((lease) => lease.memory !== memory)).toBe(true);
      expect([opened.table.budget.reservedBytes, segment.account.state]).toEqual([2 * SEGMENT_BYTES, "retired"]);
      releaseAll(next);
      return bytes;
    })();
    await collectGarbageUntil(() => opened.table.accounts.size === 1, 5);
    expect([opened.table.accounts.size, view.length]).toEqual([2, SLAB_BYTES]);
    expect(problemsOf(opened)).toEqual([]);
  });
});

describe("a trap that was written to", () => {
  test("is looked at after the revocation: no write comes later", () => {
    const opened = openCarving({ segments: 1 });
    const leases = fillSegment(opened);
    const segment = ownerOf<Segment>(opened.table, present(leases[0]));
    const write = (): void => void new Uint8Array(present(segment.memory).buffer).fill(1, 3, 4);
    aroundRevoke(segment, { before: write });
    releaseAll(leases);
    present(opened.store.acquire(64));
    expect(opened.host.strayAt).toEqual([3]);
  });

  test("is found by an audit, also in a segment that its leases alone hold", () => {
    const opened = openCarving({ segments: 2 });
    const leases = [...fillSegment(opened), present(opened.store.acquire(SLAB_BYTES))];
    memoryNow(present(leases[0]))[9] = 1;
    expect(opened.store.audit([])).toBe(2);
    expect(opened.host.strayAt).toEqual([9]);
    expect(leases).toHaveLength(64);
  });
});

describe("room for several lengths", () => {
  test("is planned without carving", () => {
    const opened = openCarving({ segments: 4 });
    present(opened.store.acquire(4096));
    const state = (): unknown[] => {
      return [countsOf(opened), bookOf(opened.table).exports.freeSlabs(0), opened.table.budget.reservedBytes];
    };
    const before = state();
    const slabs = (count: number): number[] => new Array<number>(count).fill(4096);
    expect([[64, 64, 4096], slabs(63), slabs(126)].map((lengths) => opened.store.bytesFor(lengths))).toEqual([
      0,
      SEGMENT_BYTES,
      2 * SEGMENT_BYTES,
    ]);
    expect(state()).toEqual(before);
  });

  test("is never less than what carving them takes", () => {
    const opened = openCarving({ segments: 4000 });
    const next = seeded(1);
    for (let round = 0; round < 200; round++) {
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
    expect(countsOf(opened)).toEqual([
      [64, 7],
      [1024, 6],
      [4096, 1],
    ]);
    expect(problemsOf(opened)).toEqual([]);
  });

  test("a hook that acquires while a drained segment is made ready gets blocks that nobody else gets", () => {
    const opened = openCarving({ segments: 3 });
    const first = fillSegment(opened);
    const leases = fillSegment(opened);
    releaseAll(first);
    let isInside = false;
    // As a hook of async_hooks, when the revocation is told.
    Reflect.set(opened.heard.revoked, "push", () => {
      if (isInside) return;
      isInside = true;
      leases.push(present(opened.store.acquire(64)), present(opened.store.acquire(1000)));
    });
    leases.push(present(opened.store.acquire(64)), present(opened.store.acquire(1000)), ...fill(opened));
    expect(isInside).toBe(true);
    expectApart(leases);
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
