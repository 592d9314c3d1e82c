/**
 * The store of the default mode, stopped at every point where something can come between
 * two steps, as a stack overflow or a `vm` timeout does. Stand-ins stop it: each order has
 * a test that fails when it is another. Real timeouts at random points are promises/2-apart.test.ts's.
 */

import { describe, expect, test } from "vitest";
import type { Segment } from "../../../src/memory/segment.ts";
import { collectGarbageUntil, isZero, SEGMENT_BYTES } from "../../helpers.ts";
import {
  aroundRevoke,
  bookOf,
  expectApart,
  expectStopped,
  ownerOf,
  present,
  stop,
  stopAfter,
  tear,
} from "../helpers.ts";
import { fill, fillSegment, type Opened, openCarving, problemsOf, SLAB_BYTES } from "./helpers.ts";

describe("stopped half way", () => {
  /** A full segment whose leases were dirty and are all released; the next lease recycles it. */
  function aboutToRecycle(): Opened {
    const opened = openCarving({ segments: 1 });
    present(opened.store.acquire(64)).release();
    for (const lease of Array.from({ length: 62 }, () => present(opened.store.acquire(SLAB_BYTES)))) {
      lease.bytes.fill(0xff);
      lease.release();
    }
    return opened;
  }

  /** Everything that can be had is zero, and nothing is had twice. */
  function expectRight(opened: Opened): void {
    // A few of each first: what runs are open now comes to light before the segment is full.
    const leases = [SLAB_BYTES, 1000, 64, SLAB_BYTES].map((byteLength) => present(opened.store.acquire(byteLength)));
    leases.push(...fill(opened, 64).slice(0, 500), ...fill(opened, 1000), ...fill(opened));
    expect(leases.every(({ bytes }) => isZero(bytes))).toBe(true);
    expectApart(leases);
    for (const lease of leases) lease.release();
    const again = fill(opened);
    expect(again.every(({ bytes }) => isZero(bytes))).toBe(true);
    expectApart(again);
  }

  test.each([
    ["when the views are dead", (opened: Opened) => aroundRevoke(segmentOf(opened), { after: stop })],
    ["before the views are dead", (opened: Opened) => aroundRevoke(segmentOf(opened), { before: stop })],
    ["when the book has forgotten", ({ table }: Opened) => stopAfter(bookOf(table), "recycle")],
    ["when the book has no run to give", ({ table }: Opened) => stopAfter(bookOf(table), "openRun")],
    ["when the book has given a run", ({ table }: Opened) => stopAfter(bookOf(table), "openRun", 2)],
    [
      "when the stray write is told",
      (opened: Opened) => {
        new Uint8Array(present(segmentOf(opened).memory).buffer).fill(0xdd, 0, 8);
        opened.host.strayWrite = once(stop);
      },
    ],
  ] as const)("%s, a recycling leaves blocks unused, and gives none to two leases or with old bytes", (_, arm) => {
    const opened = aboutToRecycle();
    arm(opened);
    expectStopped(() => opened.store.acquire(SLAB_BYTES));
    expectRight(opened);
  });

  test("when the used mark of a segment is about to be raised, no run is open in it yet", () => {
    const opened = openCarving({ segments: 1 });
    const lease = present(opened.store.acquire(SLAB_BYTES));
    const segment = ownerOf<Segment>(opened.table, lease);
    let carvedBytes = segment.carvedBytes;
    let isStopped = false;
    Object.defineProperty(segment, "carvedBytes", {
      get: () => carvedBytes,
      set: (value: number) => {
        if (!isStopped) {
          isStopped = true;
          stop();
        }
        carvedBytes = value;
      },
    });
    expectStopped(() => opened.store.acquire(1000));
    const others = Array.from({ length: 2 }, () => present(opened.store.acquire(1000)));
    for (const each of others) {
      each.bytes.fill(0xff);
      each.release();
    }
    lease.release();
    opened.store.yieldMemory();
    expectRight(opened);
  });

  test("at the view, an acquire has used up a block and counts no lease", () => {
    const { store, table } = openCarving();
    const lease = present(store.acquire(100));
    const segment = ownerOf<Segment>(table, lease);
    const { buffer } = segment;
    Reflect.set(segment, "buffer", new ArrayBuffer(0));
    Reflect.set(segment, "view", stop);
    expectStopped(() => store.acquire(100));
    expect([segment.account.live, segment.account.liveBytes]).toEqual([1, 100]);
    Reflect.set(segment, "buffer", buffer);
    expect(present(store.acquire(100)).byteOffset).toBe(lease.byteOffset + 224);
  });

  test("before its count, a release leaves the count too high, which heals when the segment is collected", async () => {
    const opened = openCarving({ segments: 2, wipes: true });
    (() => {
      const leases = fillSegment(opened);
      const segment = ownerOf<Segment>(opened.table, present(leases[0]));
      const { view } = segment;
      Reflect.set(segment, "view", stop);
      const lost = present(leases.pop());
      expectStopped(() => lost.release());
      expect(lost.released).toBe(true);
      Reflect.set(segment, "view", view);
      for (const lease of leases) lease.release();
      expect(segment.account.live).toBe(1);
      present(opened.store.acquire(SLAB_BYTES));
      expect(segment.account.state).toBe("retired");
    })();
    await collectGarbageUntil(() => opened.heard.collected.length > 0);
    expect(opened.table.budget.reservedBytes).toBe(SEGMENT_BYTES);
  });
});

describe("a book that was torn", () => {
  test("is abandoned: its segment retires, a new book starts, and no lease loses its block", () => {
    const opened = openCarving({ segments: 4 });
    const before = [present(opened.store.acquire(100)), present(opened.store.acquire(5000))];
    const torn = bookOf(opened.table);
    tear(torn);
    const after = [5000, 20_000, 100, 64].map((byteLength) => present(opened.store.acquire(byteLength)));
    expect(bookOf(opened.table)).not.toBe(torn);
    expectApart([...before, ...after]);
    const states = [...opened.table.accounts].map(({ state }) => state);
    expect(states.sort()).toEqual(["active", "retired"]);
    expect(problemsOf(opened)).toEqual([]);
    for (const lease of [...before, ...after]) lease.release();
    expect(opened.table.budget.idleBytes).toBe(SEGMENT_BYTES);
  });

  test("does not stop its drained segments: they enter the new book when they are next used", () => {
    const opened = openCarving({ segments: 2 });
    const drained = fillSegment(opened);
    const { memory } = present(drained[0]);
    const held = fillSegment(opened);
    for (const lease of drained) {
      lease.bytes.fill(0xff);
      lease.release();
    }
    tear(bookOf(opened.table));
    const next = fillSegment(opened);
    expect(next.every((lease) => lease.memory === memory && isZero(lease.bytes))).toBe(true);
    expectApart([...held, ...next]);
    expect(problemsOf(opened)).toEqual([]);
  });
});

/** The only segment there is. */
function segmentOf({ table }: Opened): Segment {
  const [account] = [...table.accounts];
  return present(account?.owner) as Segment;
}

function once(fn: () => void): () => void {
  let isDone = false;
  return () => {
    if (isDone) return;
    isDone = true;
    fn();
  };
}
