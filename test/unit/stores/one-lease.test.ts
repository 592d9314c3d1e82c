/** Memories of one lease each on their own: which is taken, what is zeroed, and what becomes of those strangers changed. */

import { describe, expect, test } from "vitest";
import type { Lease } from "../../../src/lease/lease.ts";
import { PAGE_BYTES } from "../../../src/memory/abi.ts";
import { type OneLeaseMemory, type OneLeaseOptions, OneLeaseStore } from "../../../src/stores/one-lease.ts";
import { growUnder, isAll, isZero, memoryNow, placeOf, releaseAll } from "../../helpers.ts";
import { aroundRevoke, ownerOf, present } from "../helpers.ts";
import { openStore } from "./helpers.ts";

const ISOLATING: OneLeaseOptions = {
  origin: "arena",
  revokes: true,
  isolates: true,
  most: Number.POSITIVE_INFINITY,
  mayDrop: true,
};
const LONG: OneLeaseOptions = { ...ISOLATING, isolates: false };

function open(options: OneLeaseOptions, { segments = 16, wipes = false } = {}) {
  return openStore((table, host) => new OneLeaseStore(table, host, options), { segments, wipes });
}

type Opened = ReturnType<typeof open>;

/** Pages of every memory there is, those leased and those idle. */
function pagesOf({ table }: Opened): number[] {
  return [...table.accounts].map(({ reservedBytes }) => reservedBytes / PAGE_BYTES).sort((a, b) => a - b);
}

function acquire({ store }: Opened, byteLength: number): Lease {
  return present(store.acquire(byteLength));
}

/** A lease that goes into a memory of so many pages, its stagger included. */
function acquirePages(opened: Opened, pages: number): Lease {
  return acquire(opened, pages * PAGE_BYTES - 5000);
}

describe("a memory of one lease", () => {
  test("serves the next lease of its length, dead to the one before, as zeros or as it is", () => {
    const opened = open(LONG);
    const first = acquire(opened, 200_000);
    const { memory } = first;
    const bytes = first.bytes.fill(7);
    first.release();
    expect(bytes.length).toBe(0);
    const unzeroed = present(opened.store.acquireUnzeroed(200_000));
    expect([unzeroed.memory === memory, isAll(unzeroed.bytes, 7)]).toEqual([true, true]);
    unzeroed.release();
    const zeroed = acquire(opened, 200_000);
    expect([zeroed.memory === memory, isZero(zeroed.bytes)]).toEqual([true, true]);
  });

  test("is the one released last, and the shortest that fits, of up to twice the length", () => {
    const opened = open(LONG, { segments: 64 });
    const leases = [5, 7, 7, 16].map((pages) => acquirePages(opened, pages));
    const [, , last] = leases.map(({ memory }) => memory);
    releaseAll(leases);
    expect(acquirePages(opened, 6).memory).toBe(last);
    acquirePages(opened, 6);
    // 16 pages are more than twice 6: a shorter one is lengthened instead.
    acquirePages(opened, 6);
    expect(pagesOf(opened)).toEqual([6, 7, 7, 16]);
  });

  test("of more than twice the need gives way to a shorter one, as it would keep long leases out, or serves at the cap", () => {
    const opened = open(LONG, { segments: 5 });
    const [long, short] = [16, 3].map((pages) => acquirePages(opened, pages)) as [Lease, Lease];
    const { memory } = long;
    long.release();
    expect(acquirePages(opened, 2).memory).not.toBe(memory);
    expect(pagesOf(opened)).toEqual([2, 3]);
    const full = open({ ...LONG, most: 1 });
    const only = acquirePages(full, 16);
    const kept = only.memory;
    only.release();
    expect(acquirePages(full, 2).memory).toBe(kept);
    short.release();
  });

  test("is lengthened when a longer one is needed, and zero to its end", () => {
    const opened = open(LONG);
    const lease = acquire(opened, 200_000);
    const { memory } = lease;
    lease.bytes.fill(7);
    lease.release();
    const longer = acquire(opened, 700_000);
    expect([longer.memory === memory, isZero(longer.bytes), opened.table.accounts.size]).toEqual([true, true, 1]);
  });

  test("has a stagger where that costs no lease under the cap", () => {
    const opened = open(LONG);
    const starts = [1, 2, 3].map(() => acquire(opened, 200_000).byteOffset);
    expect(starts.every((start) => start % 64 === 0)).toBe(true);
    expect(new Set(starts).size).toBe(3);
    // Half of the cap, exactly: no further page.
    expect(opened.store.pagesFor(32 * PAGE_BYTES)).toBe(32);
    expect(opened.store.bytesFor([32 * PAGE_BYTES, 100])).toBe(33 * PAGE_BYTES);
  });

  test("where writes are looked for tells of one to an idle memory that was wiped, and zeroes it", () => {
    const opened = open(LONG);
    opened.host.policy.lookForDirty(true);
    const lease = acquire(opened, 200_000);
    const place = placeOf(lease);
    lease.release();
    memoryNow(place)[150_000] = 7;
    expect(isZero(acquire(opened, 200_000).bytes)).toBe(true);
    expect(opened.host.dirtyAt).toEqual([150_000]);
  });
});

describe("a memory that isolates", () => {
  test("has its lease at offset 0, only whole pages for it, and cannot be grown", () => {
    const opened = open(ISOLATING);
    const lease = acquire(opened, 100);
    expect([lease.byteOffset, lease.memory?.buffer.byteLength]).toEqual([0, PAGE_BYTES]);
    expect([0, 1, PAGE_BYTES, PAGE_BYTES + 1].map((each) => opened.store.pagesFor(each))).toEqual([1, 1, 1, 2]);
    expect(() => growUnder(lease, 1)).toThrow(RangeError);
  });

  test("is zero from end to end once it was revoked, whatever was written until then behind the lease", () => {
    const opened = open(ISOLATING);
    const lease = acquire(opened, 100);
    const place = placeOf(lease);
    const write = (): void => void memoryNow(place).fill(7);
    aroundRevoke(ownerOf<OneLeaseMemory>(opened.table, lease), { before: write });
    lease.release();
    expect(isZero(memoryNow(place))).toBe(true);
  });
});

test("a memory that a stranger made impossible to revoke serves nobody else, and stays charged", () => {
  const opened = open(LONG);
  const lease = acquire(opened, 200_000);
  const { memory, bytes } = lease;
  Reflect.set(ownerOf<OneLeaseMemory>(opened.table, lease), "revoke", () => false);
  lease.release();
  expect(acquire(opened, 200_000).memory).not.toBe(memory);
  expect([pagesOf(opened).length, bytes.length]).toEqual([2, 200_000]);
});

describe("a store with a limit", () => {
  test("makes no more memories than that, idle ones included", () => {
    const opened = open({ ...LONG, most: 2 });
    const leases = [1, 2].map(() => acquire(opened, 200_000));
    expect(opened.store.acquire(200_000)).toBeNull();
    leases[0]?.release();
    expect(opened.store.acquire(200_000)).not.toBeNull();
  });

  test("that may not drop takes nothing idle from others", () => {
    const opened = open(LONG, { segments: 1 });
    acquire(opened, 150_000).release();
    const guards = new OneLeaseStore(opened.table, opened.host, { ...LONG, origin: "guard", mayDrop: false });
    const { reservedBytes } = opened.table.budget;
    expect(guards.acquire(100_000)).toBeNull();
    expect(opened.table.budget.reservedBytes).toBe(reservedBytes);
    expect(present(guards.acquire(100)).origin).toBe("guard");
  });
});
