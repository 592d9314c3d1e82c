/** The store of `"never"` on its own: stacks of released blocks, filled from the book and spilled into it. */

import { describe, expect, test } from "vitest";
import type { Lease } from "../../../src/lease/lease.ts";
import { EXCHANGE_CAPACITY } from "../../../src/memory/abi.ts";
import type { Segment } from "../../../src/memory/segment.ts";
import { ReusingStore } from "../../../src/stores/reusing.ts";
import { isZero, memoryNow, placeOf, SEGMENT_BYTES } from "../../helpers.ts";
import {
  arenaModule,
  bookOf,
  constantsOf,
  expectApart,
  expectStopped,
  FakeHost,
  openTable,
  ownerOf,
  present,
  stop,
  tear,
} from "../helpers.ts";

function open({ segments = 4, wipes = false } = {}) {
  const opened = openTable(segments);
  const host = new FakeHost(wipes);
  const store = new ReusingStore(opened.table, host, arenaModule, SEGMENT_BYTES);
  host.store = store;
  return { ...opened, host, store };
}

type Opened = ReturnType<typeof open>;

const { NO_BOOK_MEMORY } = constantsOf("status");

function fill({ store }: Opened, byteLength: number): Lease[] {
  const leases: Lease[] = [];
  for (let lease = store.acquire(byteLength); lease !== null; lease = store.acquire(byteLength)) leases.push(lease);
  return leases;
}

function problemsOf({ store }: Opened): string[] {
  const problems: string[] = [];
  store.audit(problems);
  return problems;
}

describe("a released block", () => {
  test("is handed out next, with the very view it had, as zeros", () => {
    const { store, heard } = open();
    const lease = present(store.acquire(100));
    const { bytes } = lease;
    bytes.fill(7);
    lease.release();
    expect(bytes[0]).toBe(7);
    const next = present(store.acquire(100));
    expect(next.bytes).toBe(bytes);
    expect(isZero(bytes)).toBe(true);
    expect(next).not.toBe(lease);
    expect(heard.revoked).toEqual([]);
  });

  test("has another view where another length of its class is asked for", () => {
    const { store } = open();
    const lease = present(store.acquire(112));
    const { byteOffset } = lease;
    lease.bytes.fill(7);
    lease.release();
    const next = present(store.acquire(100));
    expect([next.byteOffset, next.bytes.length]).toEqual([byteOffset, 100]);
    expect(isZero(next.bytes)).toBe(true);
    next.release();
    // The last 12 bytes had not been part of that lease.
    expect(isZero(present(store.acquire(112)).bytes)).toBe(true);
  });

  test("can be had without being zeroed", () => {
    const { store } = open();
    const lease = present(store.acquire(100));
    lease.bytes.fill(7);
    lease.release();
    expect(present(store.acquireUnzeroed(100)).bytes[0]).toBe(7);
  });

  test("is wiped whole at release where the policy says so, behind the bytes that were asked for as well", () => {
    const { store } = open({ wipes: true });
    const lease = present(store.acquire(100));
    const place = placeOf(lease);
    memoryNow(place).fill(7, place.byteOffset, place.byteOffset + 112);
    lease.release();
    expect(isZero(memoryNow(place).subarray(place.byteOffset, place.byteOffset + 112))).toBe(true);
  });

  test.each([100, 0])("is of use though a stranger revoked its memory meanwhile, for %i bytes", (byteLength) => {
    const { store, table } = open();
    const lease = present(store.acquire(byteLength + 12));
    const segment = ownerOf<Segment>(table, lease);
    lease.bytes.fill(7);
    lease.release();
    present(segment.memory).grow(0);
    const next = present(store.acquire(byteLength));
    expect(next.bytes.length).toBe(byteLength);
    expect(isZero(next.bytes)).toBe(true);
  });
});

describe("many blocks", () => {
  test.each([1, 64, 100, 1000, 5000, 20_000, 65_536])("of %i bytes are apart, at random and in order", (byteLength) => {
    const opened = open({ segments: 2 });
    const leases = fill(opened, byteLength);
    expectApart(leases);
    leases.filter((_, each) => each % 3 === 0).forEach((lease) => void lease.release());
    const again = fill(opened, byteLength);
    expect(again).toHaveLength(Math.ceil(leases.length / 3));
    const live = [...leases.filter(({ released }) => !released), ...again];
    for (const lease of again) expect(isZero(lease.bytes)).toBe(true);
    expectApart(live);
    expect(problemsOf(opened)).toEqual([]);
  });

  test("that were released go back to the book, so that another length finds room", () => {
    const opened = open({ segments: 2 });
    for (const byteLength of [64, 65_536, 1000, 64]) {
      const leases = fill(opened, byteLength);
      expect(leases.length).toBeGreaterThan(2);
      for (const lease of leases) lease.release();
      opened.store.yieldMemory();
    }
    expect(problemsOf(opened)).toEqual([]);
  });

  test("are not all kept: beyond what a stack holds, the rest goes to the book", () => {
    const opened = open({ segments: 16 });
    const leases = Array.from({ length: 3000 }, () => present(opened.store.acquire(64)));
    for (const lease of leases) lease.release();
    let kept = 0;
    for (const { entry } of opened.table.accounts) {
      kept += entry === undefined ? 0 : entry.book.exports.liveBlocks(entry.number);
    }
    expect(kept).toBeGreaterThan(EXCHANGE_CAPACITY);
    expect(kept).toBeLessThanOrEqual(1024);
    opened.store.yieldMemory();
    expect(opened.table.budget.reservedBytes).toBe(0);
  });

  test("find no room, and keep none from others, where the book has no memory for another segment", () => {
    const opened = open({ segments: 4 });
    const held = present(opened.store.acquire(64));
    const book = bookOf(opened.table);
    Reflect.set(book, "exports", { ...book.exports, addSegment: () => NO_BOOK_MEMORY });
    expect(fill(opened, 65_536)).toHaveLength(3);
    expect(opened.table.budget.reservedBytes).toBe(SEGMENT_BYTES);
    held.release();
  });

  test("leave their memory to the system once it is free and asked for", () => {
    const opened = open({ segments: 4 });
    const leases = fill(opened, 4096);
    const held = leases.splice(0, 1);
    for (const lease of leases) lease.release();
    expect(opened.store.yieldMemory()).toBe(true);
    expect(opened.table.budget.reservedBytes).toBe(SEGMENT_BYTES);
    held[0]?.release();
    opened.store.trim();
    expect(opened.table.budget.reservedBytes).toBe(0);
    expect(opened.store.yieldMemory()).toBe(false);
  });
});

describe("stopped half way", () => {
  test("at the wipe, a release loses its block until the arena is disposed, and gives it to nobody twice", () => {
    const opened = open({ segments: 1, wipes: true });
    const leases = fill(opened, 65_536);
    const segment = ownerOf<Segment>(opened.table, present(leases[0]));
    Reflect.set(segment, "view", stop);
    const lost = present(leases.pop());
    expectStopped(() => lost.release());
    Reflect.deleteProperty(segment, "view");
    expect(lost.released).toBe(true);
    expect(opened.store.acquire(65_536)).toBeNull();
    for (const lease of leases.splice(0)) lease.release();
    expectApart(fill(opened, 65_536));
    expect(problemsOf(opened)).toEqual([]);
  });

  test("at the view, an acquire loses its block, and counts no lease", () => {
    const opened = open({ segments: 1 });
    const first = present(opened.store.acquire(65_536));
    const segment = ownerOf<Segment>(opened.table, first);
    const { buffer } = segment;
    Reflect.set(segment, "buffer", new ArrayBuffer(0));
    Reflect.set(segment, "view", stop);
    expectStopped(() => opened.store.acquire(65_536));
    Reflect.deleteProperty(segment, "view");
    Reflect.set(segment, "buffer", buffer);
    expect(segment.account).toMatchObject({ live: 1, liveBytes: 65_536 });
    expectApart([first, ...fill(opened, 65_536)]);
    expect(problemsOf(opened)).toEqual([]);
  });
});

describe("a book that was torn", () => {
  test("is abandoned: what is leased stays whole, what was kept is handed out no more", () => {
    const opened = open({ segments: 4 });
    const leases = Array.from({ length: 40 }, () => present(opened.store.acquire(1000)));
    const { memory } = present(leases[0]);
    for (const lease of leases.splice(20)) lease.release();
    tear(bookOf(opened.table));
    // The stack still has blocks; the next fill finds the book torn.
    const after = Array.from({ length: 100 }, () => present(opened.store.acquire(4096)));
    expect(after.every((lease) => lease.memory !== memory)).toBe(true);
    expectApart([...leases, ...after]);
    expect(present(opened.store.acquire(1000)).memory).not.toBe(memory);
    for (const lease of leases) lease.release();
    expect(problemsOf(opened)).toEqual([]);
  });
});

describe("a segment's trap", () => {
  test("is looked at by trim and audit", () => {
    const opened = open();
    const lease = present(opened.store.acquire(100));
    memoryNow(lease)[5] = 1;
    problemsOf(opened);
    expect(opened.host.strayAt).toEqual([5]);
    memoryNow(lease)[6] = 1;
    opened.store.trim();
    expect(opened.host.strayAt).toEqual([5, 6]);
  });
});

describe("an audit", () => {
  test("names a segment with more leases than the book has handed out blocks", () => {
    const opened = open();
    const lease = present(opened.store.acquire(100));
    ownerOf<Segment>(opened.table, lease).account.live += 1000;
    expect(problemsOf(opened).join()).toMatch(/R1: segment 0 has 1001 leases in \d+ blocks/);
  });
});
