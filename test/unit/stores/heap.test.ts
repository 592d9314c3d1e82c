/** Heap leases on their own. That they die at release, are counted and found when leaked is test/contract's. */

import { expect, test } from "vitest";
import { HeapStore } from "../../../src/stores/heap.ts";
import { expectThrow } from "../../helpers.ts";
import { countsOf, openStore } from "./helpers.ts";

test.each([true, false])("a heap lease is left to its views in never mode, wiped if that is asked for: %s", (wipes) => {
  const { store, host } = openStore((table, host) => new HeapStore(table, host, false), { wipes });
  const lease = store.acquire(100);
  const bytes = lease.bytes.fill(7);
  lease.release();
  // It may be the last that somebody waits for.
  expect([bytes.length, bytes[0], host.roomsMade]).toEqual([100, wipes ? 0 : 7, 1]);
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

test("heap leases are counted by the bits of their length", () => {
  const opened = openStore((table, host) => new HeapStore(table, host, true));
  for (const byteLength of [0, 1, 2, 3, 4, 1000, 1023, 1024]) opened.store.acquire(byteLength);
  expect(countsOf(opened).flat()).toEqual([0, 1, 1, 1, 3, 2, 7, 1, 1023, 2, 2047, 1]);
  expect(opened.store.acquired).toBe(8);
});
