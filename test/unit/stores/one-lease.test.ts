/** Memories of one lease each on their own: which is taken, what is zeroed, and what becomes of those strangers changed. */

import { describe, expect, test } from "vitest";
import type { Lease } from "../../../src/lease/lease.ts";
import { PAGE_BYTES } from "../../../src/memory/abi.ts";
import type { OneLeaseMemory } from "../../../src/memory/one-lease.ts";
import { type OneLeaseOptions, OneLeaseStore } from "../../../src/stores/one-lease.ts";
import { growUnder, isAll, isZero, memoryNow, placeOf } from "../../helpers.ts";
import { aroundRevoke, FakeHost, openTable, ownerOf, present } from "../helpers.ts";

const ISOLATING: OneLeaseOptions = {
  origin: "arena",
  revokes: true,
  isolates: true,
  most: Number.POSITIVE_INFINITY,
  mayDrop: true,
};
const LONG: OneLeaseOptions = { ...ISOLATING, isolates: false };
const KEEPING: OneLeaseOptions = { ...LONG, revokes: false };

function open(options: OneLeaseOptions, { segments = 16, wipes = false } = {}) {
  const opened = openTable(segments);
  const host = new FakeHost(wipes);
  const store = new OneLeaseStore(opened.table, host, options);
  host.store = store;
  return { ...opened, host, store };
}

type Opened = ReturnType<typeof open>;

/** Pages of every memory there is, those leased and those idle. */
function pagesOf({ table }: Opened): number[] {
  return [...table.accounts].map(({ reservedBytes }) => reservedBytes / PAGE_BYTES);
}

function acquire({ store }: Opened, byteLength: number): Lease {
  return present(store.acquire(byteLength));
}

describe("a memory of one lease", () => {
  test("serves the next lease of its length, dead to the one before, as zeros", () => {
    const opened = open(LONG);
    const lease = acquire(opened, 200_000);
    const { bytes, memory } = lease;
    bytes.fill(7);
    lease.release();
    expect(bytes.length).toBe(0);
    const next = acquire(opened, 200_000);
    expect(next.memory).toBe(memory);
    expect(isZero(next.bytes)).toBe(true);
  });

  test("is the one released last", () => {
    const opened = open(LONG);
    const leases = [1, 2, 3].map(() => acquire(opened, 200_000));
    const memories = leases.map(({ memory }) => memory);
    for (const lease of leases) lease.release();
    expect(acquire(opened, 200_000).memory).toBe(memories[2]);
  });

  test("is the shortest that fits, of up to twice the length while the cap is far", () => {
    const opened = open(LONG, { segments: 64 });
    const leases = [5, 7, 16].map((pages) => acquire(opened, pages * PAGE_BYTES - 5000));
    const [, seven] = leases.map(({ memory }) => memory);
    for (const lease of leases) lease.release();
    expect(acquire(opened, 6 * PAGE_BYTES - 5000).memory).toBe(seven);
    // 16 pages are more than twice 6: a shorter one is lengthened instead.
    acquire(opened, 6 * PAGE_BYTES - 5000);
    expect(pagesOf(opened).sort((a, b) => a - b)).toEqual([6, 7, 16]);
  });

  test("of more than twice the need gives way to a shorter one: it would keep long leases out", () => {
    const opened = open(LONG, { segments: 5 });
    const leases = [16, 3].map((pages) => acquire(opened, pages * PAGE_BYTES - 5000));
    const { memory } = present(leases[0]);
    leases[0]?.release();
    expect(acquire(opened, 2 * PAGE_BYTES - 5000).memory).not.toBe(memory);
    expect(opened.table.budget.reservedBytes).toBe(5 * PAGE_BYTES);
  });

  test("is lengthened when a longer one is needed, and zero to its end", () => {
    const opened = open(LONG);
    const lease = acquire(opened, 200_000);
    const { memory } = lease;
    lease.bytes.fill(7);
    lease.release();
    const longer = acquire(opened, 700_000);
    expect(longer.memory).toBe(memory);
    expect(isZero(longer.bytes)).toBe(true);
    expect(opened.table.accounts.size).toBe(1);
  });

  test("has a stagger where that costs no lease under the cap", () => {
    const opened = open(LONG);
    const starts = [1, 2, 3].map(() => acquire(opened, 200_000).byteOffset);
    for (const start of starts) expect(start % 64).toBe(0);
    expect(new Set(starts).size).toBe(3);
    // Half of the cap, exactly: no further page.
    expect(opened.store.pagesFor(32 * PAGE_BYTES)).toBe(32);
    expect(opened.store.bytesFor([32 * PAGE_BYTES, 100])).toBe(33 * PAGE_BYTES);
  });

  test("is zeroed only as far as it was used, and not at all where the caller writes it whole", () => {
    const opened = open(LONG);
    const lease = acquire(opened, 200_000);
    lease.bytes.fill(7);
    lease.release();
    expect(isAll(present(opened.store.acquireUnzeroed(200_000)).bytes, 7)).toBe(true);
  });

  test("gives zeros for what a longer lease of it wrote, wherever that began", () => {
    const opened = open(LONG);
    const lease = acquire(opened, 150_000);
    lease.resize(190_000);
    lease.bytes.fill(7);
    lease.release();
    for (let each = 0; each < 3; each++) {
      const next = acquire(opened, 196_608 - each);
      expect(isZero(next.bytes)).toBe(true);
      next.bytes.fill(7);
      next.release();
    }
  });
});

describe("a memory that isolates", () => {
  test("has its lease at offset 0, and only whole pages for it", () => {
    const opened = open(ISOLATING);
    const lease = acquire(opened, 100);
    expect([lease.byteOffset, lease.memory?.buffer.byteLength]).toEqual([0, PAGE_BYTES]);
    expect([0, 1, PAGE_BYTES, PAGE_BYTES + 1].map((each) => opened.store.pagesFor(each))).toEqual([1, 1, 1, 2]);
  });

  test("is zero from end to end at release, whatever was written behind the lease", () => {
    const opened = open(ISOLATING);
    const lease = acquire(opened, 100);
    const place = placeOf(lease);
    new Uint8Array(lease.bytes.buffer).fill(7);
    lease.release();
    expect(isZero(memoryNow(place))).toBe(true);
  });

  test("is zeroed after it was revoked: a write until then does not stay", () => {
    const opened = open(ISOLATING);
    const lease = acquire(opened, 100);
    const place = placeOf(lease);
    const write = (): void => void memoryNow(place).fill(7);
    aroundRevoke(ownerOf<OneLeaseMemory>(opened.table, lease), { before: write });
    lease.release();
    expect(isZero(memoryNow(place))).toBe(true);
  });

  test("cannot be grown", () => {
    const opened = open(ISOLATING);
    expect(() => growUnder(acquire(opened, 100), 1)).toThrow(RangeError);
  });
});

describe("a memory that is kept with its views", () => {
  test("works on for a stale view, and is zeroed when it is handed out", () => {
    const opened = open(KEEPING);
    const lease = acquire(opened, 200_000);
    const { bytes } = lease;
    bytes.fill(7);
    lease.release();
    expect(bytes[0]).toBe(7);
    const next = acquire(opened, 200_000);
    expect(isZero(next.bytes)).toBe(true);
    expect(opened.heard.revoked).toEqual([]);
  });

  test("is wiped at release where the policy says so, and again at hand-out for what a stale view wrote", () => {
    const opened = open(KEEPING, { wipes: true });
    const lease = acquire(opened, 200_000);
    const { bytes } = lease;
    bytes.fill(7);
    lease.release();
    expect(isZero(bytes)).toBe(true);
    bytes.fill(8);
    expect(isZero(acquire(opened, 200_000).bytes)).toBe(true);
  });
});

describe("a memory that a stranger", () => {
  test("grew is dropped at release, and what it was charged for is free", () => {
    const opened = open(LONG);
    const lease = acquire(opened, 200_000);
    const { bytes, memory } = lease;
    growUnder(lease, 1);
    lease.release();
    expect([opened.table.accounts.size, opened.table.budget.reservedBytes, bytes.length]).toEqual([0, 0, 0]);
    expect(acquire(opened, 200_000).memory).not.toBe(memory);
  });

  test("grew cannot exceed the cap", () => {
    const opened = open(LONG, { segments: 2 });
    const lease = acquire(opened, 200_000);
    const pages = (lease.memory?.buffer.byteLength ?? 0) / PAGE_BYTES;
    growUnder(lease, 8 - pages);
    expect(() => growUnder(lease, 1)).toThrow(RangeError);
  });

  test("made impossible to revoke serves nobody else, and stays charged", () => {
    const opened = open(LONG);
    const lease = acquire(opened, 200_000);
    const { memory } = lease;
    Reflect.set(ownerOf<OneLeaseMemory>(opened.table, lease), "revoke", () => false);
    const { bytes } = lease;
    lease.release();
    const { reservedBytes } = opened.table.budget;
    expect(reservedBytes).toBeGreaterThan(200_000);
    expect(acquire(opened, 200_000).memory).not.toBe(memory);
    expect(opened.table.budget.reservedBytes).toBe(2 * reservedBytes);
    expect(bytes.length).toBe(200_000);
  });
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
    expect(reservedBytes).toBeGreaterThan(2 * PAGE_BYTES);
    expect(guards.acquire(100_000)).toBeNull();
    expect(opened.table.budget.reservedBytes).toBe(reservedBytes);
    expect(present(guards.acquire(100)).origin).toBe("guard");
  });
});

test("writes to an idle memory that was wiped are found, zeroed and told", () => {
  const opened = open(LONG);
  opened.host.policy.lookForDirty(true);
  const lease = acquire(opened, 200_000);
  const place = placeOf(lease);
  lease.release();
  memoryNow(place)[150_000] = 7;
  expect(isZero(acquire(opened, 200_000).bytes)).toBe(true);
  expect(opened.host.dirtyAt).toEqual([150_000]);
});
