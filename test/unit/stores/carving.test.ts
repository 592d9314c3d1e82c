/**
 * The store of the default mode on its own. What callers see of it is promises/'s: zeros, dead
 * views, recycling. How it is stopped half way is carving-stopped.test.ts's.
 */

import { describe, expect, test } from "vitest";
import { transition } from "../../../src/memory/account.ts";
import type { Segment } from "../../../src/memory/segment.ts";
import { collectGarbageUntil, KiB, memoryNow, releaseAll, SEGMENT_BYTES, seeded } from "../../helpers.ts";
import { aroundRevoke, bookOf, expectApart, ownerOf, present } from "../helpers.ts";
import { fillSegment, openCarving, problemsOf, SLAB_BYTES } from "./helpers.ts";

test("fresh memory is not zeroed: what a stranger wrote there beforehand stays", () => {
  const { store } = openCarving();
  const first = present(store.acquire(64));
  memoryNow(first).fill(7, first.byteOffset + 64, first.byteOffset + 128);
  expect(present(store.acquire(64)).bytes[0]).toBe(7);
});

test("an active segment without leases starts over once half a mebibyte of it was carved, while it is warm", () => {
  const opened = openCarving({ segments: 4, segmentBytes: 4 * SEGMENT_BYTES });
  for (let each = 0; each < 12; each++) present(opened.store.acquire(64 * KiB)).release();
  expect([opened.heard.revoked.length, opened.table.accounts.size]).toEqual([1, 1]);
});

test("a segment that cannot be revoked is taken out of use, and stays charged until it is collected", async () => {
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
  test("is planned without carving, in no more segments than they need", () => {
    const opened = openCarving({ segments: 4 });
    present(opened.store.acquire(4096));
    const slabs = (count: number): number[] => new Array<number>(count).fill(4096);
    for (const [lengths, segments] of [
      [[64, 64, 4096], 0],
      [slabs(63), 1],
      [slabs(126), 2],
    ] as const) {
      expect(opened.store.bytesFor(lengths)).toBe(segments * SEGMENT_BYTES);
    }
    expect(opened.table.budget.reservedBytes).toBe(SEGMENT_BYTES);
    expect(bookOf(opened.table).exports.freeSlabs(0)).toBe(62);
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

test("room that is needed ends the open runs, which go on where they were as long as a lease holds the segment", () => {
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
  expect(problemsOf(opened)).toEqual([]);
});

test("an audit names a run that is open outside the active segment", () => {
  const opened = openCarving({ segments: 2 });
  const lease = present(opened.store.acquire(64));
  transition(ownerOf<Segment>(opened.table, lease).account, "retired");
  Reflect.set(opened.store, "active", null);
  expect(problemsOf(opened).join()).toContain("C3: a run of 64-byte blocks");
});
