/**
 * The store of the default mode on its own: what strangers can do to a segment, and every point
 * where a stack overflow or a `vm` timeout can come between two steps. Stand-ins stop it: each order
 * has a test that fails when it is another. What callers see of it, zeros first of all, is
 * test/contract's; real timeouts at random points are promises/2-apart.test.ts's.
 */

import { describe, expect, test, vi } from "vitest";
import { transition } from "../../../src/memory/account.ts";
import type { Segment } from "../../../src/memory/segment.ts";
import { BeforeReuseStore } from "../../../src/stores/before-reuse.ts";
import { collectGarbageUntil, isZero, KiB, memoryNow, releaseAll, SEGMENT_BYTES, seeded } from "../../helpers.ts";
import {
  arenaModule,
  aroundRevoke,
  bookOf,
  expectApart,
  expectStopped,
  fill,
  openStore,
  ownerOf,
  present,
  problemsOf,
  stop,
  stopAfter,
  tear,
} from "../helpers.ts";

const SLAB_BYTES = 4096;

function openCarving({ segments = 4, wipes = false, segmentBytes = SEGMENT_BYTES } = {}) {
  return openStore((table, host) => new BeforeReuseStore(table, host, arenaModule, segmentBytes), { segments, wipes });
}

type Opened = ReturnType<typeof openCarving>;

/** As many leases as a segment has slabs, all of the same segment. */
function fillSegment({ store }: Opened) {
  return Array.from({ length: 63 }, () => present(store.acquire(SLAB_BYTES)));
}

/** The only segment there is. */
function segmentOf({ table }: Opened): Segment {
  const [account] = [...table.accounts];
  return present(account?.owner) as Segment;
}

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

  // Once those who wait for several leases were told of no room while a single one was given.
  test("is also in a segment that was let go of before it was full", () => {
    const opened = openCarving({ segments: 1 });
    const held = present(opened.store.acquire(64));
    opened.store.yieldMemory();
    expect(opened.store.bytesFor([64, 1000])).toBe(0);
    expect(opened.table.accounts.size).toBe(1);
    expect([...fill(opened), held].length).toBe(63);
  });

  test("is never less than what carving them takes", () => {
    const opened = openCarving({ segments: 4000 });
    const next = seeded(1);
    for (let round = 0; round < 200; round++) {
      const lengths = Array.from({ length: 1 + next(30) }, () => next(next(2) === 0 ? 65_536 : 3000));
      if (next(3) === 0) opened.store.yieldMemory();
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
        opened.host.strayWrite = vi.fn().mockImplementationOnce(stop);
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

  // Once it was handed out of while it counted as held by its leases alone: revoked under a lease that was out.
  test("when a segment that was let go of is about to be held again, no lease comes out of it before it is", () => {
    const opened = openCarving({ segments: 1 });
    const lease = present(opened.store.acquire(64));
    opened.store.yieldMemory();
    const { account } = ownerOf<Segment>(opened.table, lease);
    let { state } = account;
    Object.defineProperty(account, "state", { configurable: true, get: () => state, set: stop });
    expectStopped(() => opened.store.acquire(64));
    Object.defineProperty(account, "state", {
      get: () => state,
      set: (to: typeof state) => {
        state = to;
      },
    });
    lease.release();
    const live = Array.from({ length: 10 }, () => present(opened.store.acquire(SLAB_BYTES)));
    opened.table.budget.dropColdest();
    expect(live.every(({ bytes }) => bytes.length === SLAB_BYTES)).toBe(true);
    releaseAll(live);
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
