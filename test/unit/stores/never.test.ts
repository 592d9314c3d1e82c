/**
 * The store of `"never"` on its own: stacks of released blocks, filled from the book and spilled
 * into it. What callers see of it is promises/'s and test/model's.
 */

import { describe, expect, test } from "vitest";
import { EXCHANGE_CAPACITY } from "../../../src/memory/abi.ts";
import type { Segment } from "../../../src/memory/segment.ts";
import { NeverStore } from "../../../src/stores/never.ts";
import { releaseAll, SEGMENT_BYTES } from "../../helpers.ts";
import {
  arenaModule,
  bookOf,
  constantsOf,
  expectApart,
  expectStopped,
  fill,
  openStore,
  ownerOf,
  present,
  problemsOf,
  stop,
  tear,
} from "../helpers.ts";

function open(options: { segments?: number; wipes?: boolean } = {}) {
  return openStore((table, host) => new NeverStore(table, host, arenaModule, SEGMENT_BYTES), options);
}

const { NO_BOOK_MEMORY } = constantsOf("status");

test("where the book has no memory for another segment, there is no room, and none is kept from others", () => {
  const opened = open({ segments: 4 });
  const held = present(opened.store.acquire(64));
  const book = bookOf(opened.table);
  Reflect.set(book, "exports", { ...book.exports, addSegment: () => NO_BOOK_MEMORY });
  expect(fill(opened, 65_536)).toHaveLength(3);
  expect(opened.table.budget.reservedBytes).toBe(SEGMENT_BYTES);
  held.release();
});

test("released blocks are not all kept: beyond what a stack holds, the rest goes to the book", () => {
  const opened = open({ segments: 16 });
  releaseAll(Array.from({ length: 3000 }, () => present(opened.store.acquire(64))));
  let kept = 0;
  for (const { entry } of opened.table.accounts) kept += entry?.book.exports.liveBlocks(entry.number) ?? 0;
  expect(kept).toBeGreaterThan(EXCHANGE_CAPACITY);
  expect(kept).toBeLessThanOrEqual(1024);
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
    expect([lost.released, opened.store.acquire(65_536)]).toEqual([true, null]);
    releaseAll(leases);
    expectApart(fill(opened, 65_536));
    expect(problemsOf(opened)).toEqual([]);
  });

  test("at the view, an acquire loses its block, and counts no lease", () => {
    const opened = open({ segments: 1 });
    const first = present(opened.store.acquire(65_536));
    const segment = ownerOf<Segment>(opened.table, first);
    const { buffer } = segment;
    Object.assign(segment, { buffer: new ArrayBuffer(0), view: stop });
    expectStopped(() => opened.store.acquire(65_536));
    Reflect.deleteProperty(segment, "view");
    segment.buffer = buffer;
    expect(segment.account).toMatchObject({ live: 1, liveBytes: 65_536 });
    expectApart([first, ...fill(opened, 65_536)]);
    expect(problemsOf(opened)).toEqual([]);
  });
});

test("a book that was torn is abandoned: what is leased stays whole, what was kept is handed out no more", () => {
  const opened = open({ segments: 4 });
  const leases = Array.from({ length: 40 }, () => present(opened.store.acquire(1000)));
  const { memory } = present(leases[0]);
  releaseAll(leases.splice(20));
  tear(bookOf(opened.table));
  // The stack still has blocks; the next fill finds the book torn.
  const after = Array.from({ length: 100 }, () => present(opened.store.acquire(4096)));
  after.push(present(opened.store.acquire(1000)));
  expect(after.every((lease) => lease.memory !== memory)).toBe(true);
  expectApart([...leases, ...after]);
  releaseAll(leases);
  expect(problemsOf(opened)).toEqual([]);
});

test("an audit names a segment with more leases than the book has handed out blocks", () => {
  const opened = open();
  const lease = present(opened.store.acquire(100));
  ownerOf<Segment>(opened.table, lease).account.live += 1000;
  expect(problemsOf(opened).join()).toMatch(/R1: segment 0 has 1001 leases in \d+ blocks/);
});
