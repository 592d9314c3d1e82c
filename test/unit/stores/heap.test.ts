/** Heap leases on their own: exact, zero, detached at release where the mode revokes, and charged to nobody. */

import { describe, expect, test, vi } from "vitest";
import { HeapStore } from "../../../src/stores/heap.ts";
import { collectGarbageUntil, expectThrow, isZero } from "../../helpers.ts";
import { FakeHost, openTable } from "../helpers.ts";

function open({ revokes = true, wipes = false } = {}) {
  const opened = openTable();
  const host = new FakeHost(wipes);
  return { ...opened, host, store: new HeapStore(opened.table, host, revokes) };
}

describe("a heap lease", () => {
  test.each([0, 1, 100, 1_000_000])("of %i bytes is exact, zero, and under no cap", (byteLength) => {
    const { store, table } = open();
    const lease = store.acquire(byteLength);
    expect([lease.bytes.length, lease.bytes.buffer.byteLength, lease.origin]).toEqual([byteLength, byteLength, "heap"]);
    expect(lease.memory).toBeUndefined();
    expect(isZero(lease.bytes)).toBe(true);
    expect(table.budget.reservedBytes).toBe(0);
    expect([...table.accounts]).toMatchObject([{ live: 1, liveBytes: byteLength }]);
    lease.release();
    expect(table.accounts.size).toBe(0);
  });

  test("is dead at release where the mode revokes", () => {
    const { store } = open();
    const lease = store.acquire(100);
    const { bytes } = lease;
    lease.release();
    expect(bytes.length).toBe(0);
  });

  test.each([true, false])("is left to its views in never mode, wiped if that is asked for: %s", (wipes) => {
    const { store } = open({ revokes: false, wipes });
    const lease = store.acquire(100);
    const bytes = lease.bytes.fill(7);
    lease.release();
    expect(bytes.length).toBe(100);
    expect(bytes[0]).toBe(wipes ? 0 : 7);
  });

  test("whose buffer its holder transferred is released all the same", () => {
    const { store, host } = open({ wipes: true });
    const lease = store.acquire(100);
    const { buffer } = lease.bytes;
    structuredClone(buffer, { transfer: [buffer] });
    expectThrow(() => lease.bytes, "ERR_LEASE_DETACHED");
    lease.release();
    expect(host.roomsMade).toBe(1);
  });

  test("may be the last that somebody waits for: the host hears of its end", () => {
    const { store, host } = open();
    store.acquire(100).release();
    expect(host.roomsMade).toBe(1);
  });

  test("that is leaked is reported, and one of which a view is left is not", async () => {
    const { store, heard } = open();
    const view = (() => {
      store.acquire(10);
      return store.acquire(20).bytes;
    })();
    await collectGarbageUntil(() => heard.collected.length > 0);
    await collectGarbageUntil(() => heard.collected.length > 1, 10);
    expect(heard.collected).toMatchObject([{ live: 1, liveBytes: 10 }]);
    expect(view.length).toBe(20);
  });

  test("is dead, and cannot be released, once its arena is disposed", () => {
    const { store, table } = open();
    const lease = store.acquire(100);
    const { bytes } = lease;
    for (const { owner } of [...table.accounts]) owner?.close();
    expect(bytes.length).toBe(0);
    expectThrow(() => lease.bytes, "ERR_ARENA_DISPOSED");
    expectThrow(() => lease.release(), "ERR_ARENA_DISPOSED");
  });
});

test("leases are counted by the bits of their length", () => {
  const { store } = open();
  for (const byteLength of [0, 1, 2, 3, 4, 1000, 1023, 1024]) store.acquire(byteLength);
  const rows = vi.fn();
  store.countAcquired(rows);
  expect(rows.mock.calls).toEqual([
    [0, 1, false],
    [1, 1, false],
    [3, 2, false],
    [7, 1, false],
    [1023, 2, false],
    [2047, 1, false],
  ]);
  expect(store.acquired).toBe(8);
});
