/**
 * Memories of one lease each, and heap leases: which memory is taken, and what becomes of those
 * strangers changed. What callers see of them is promises/'s and test/misuse's.
 */

import { describe, expect, test } from "vitest";
import type { Lease } from "../../../src/lease/lease.ts";
import { PAGE_BYTES } from "../../../src/memory/abi.ts";
import { HeapStore } from "../../../src/stores/heap.ts";
import { type OneLeaseMemory, type OneLeaseOptions, OneLeaseStore } from "../../../src/stores/one-lease.ts";
import { expectThrow, isZero, memoryNow, placeOf, releaseAll } from "../../helpers.ts";
import { aroundRevoke, openStore, ownerOf, present } from "../helpers.ts";

const ISOLATING: OneLeaseOptions = {
  origin: "arena",
  revokes: true,
  isolates: true,
  most: Number.POSITIVE_INFINITY,
  mayDrop: true,
};
const LONG: OneLeaseOptions = { ...ISOLATING, isolates: false };

function open(options: OneLeaseOptions, { segments = 16 } = {}) {
  return openStore((table, host) => new OneLeaseStore(table, host, options), { segments });
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

  test("is one of more than twice the need where no other can be had", () => {
    const opened = open({ ...LONG, most: 1 });
    const lease = acquirePages(opened, 16);
    const { memory } = lease;
    lease.release();
    expect(acquirePages(opened, 2).memory).toBe(memory);
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

  test("that isolates is zero from end to end once it was revoked, whatever was written until then behind the lease", () => {
    const opened = open(ISOLATING);
    const lease = acquire(opened, 100);
    const place = placeOf(lease);
    const write = (): void => void memoryNow(place).fill(7);
    aroundRevoke(ownerOf<OneLeaseMemory>(opened.table, lease), { before: write });
    lease.release();
    expect(isZero(memoryNow(place))).toBe(true);
  });

  test("that a stranger made impossible to revoke serves nobody else, and stays charged", () => {
    const opened = open(LONG);
    const lease = acquire(opened, 200_000);
    const { memory, bytes } = lease;
    Reflect.set(ownerOf<OneLeaseMemory>(opened.table, lease), "revoke", () => false);
    lease.release();
    expect(acquire(opened, 200_000).memory).not.toBe(memory);
    expect([pagesOf(opened).length, bytes.length]).toEqual([2, 200_000]);
  });
});

test("a store that may not drop takes nothing idle from others", () => {
  const opened = open(LONG, { segments: 1 });
  acquire(opened, 150_000).release();
  const guards = new OneLeaseStore(opened.table, opened.host, { ...LONG, origin: "guard", mayDrop: false });
  const { reservedBytes } = opened.table.budget;
  expect(guards.acquire(100_000)).toBeNull();
  expect(opened.table.budget.reservedBytes).toBe(reservedBytes);
  expect(present(guards.acquire(100)).origin).toBe("guard");
});

test("a heap lease whose buffer its holder transferred is released all the same", () => {
  const { store, table } = openStore((table, host) => new HeapStore(table, host, true), { wipes: true });
  const lease = store.acquire(100);
  const { buffer } = lease.bytes;
  structuredClone(buffer, { transfer: [buffer] });
  expectThrow(() => lease.bytes, "ERR_LEASE_DETACHED", "100 bytes", "transferred");
  lease.release();
  expect(table.accounts.size).toBe(0);
});
