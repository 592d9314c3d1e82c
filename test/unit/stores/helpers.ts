/** Stores on their own, with stand-ins for the arena around them. */

import type { Lease } from "../../../src/lease/lease.ts";
import type { AccountTable } from "../../../src/memory/account.ts";
import { CarvingStore } from "../../../src/stores/carving.ts";
import type { Store, StoreHost } from "../../../src/stores/store.ts";
import { SEGMENT_BYTES } from "../../helpers.ts";
import { arenaModule, FakeHost, openTable, present } from "../helpers.ts";

export const SLAB_BYTES = 4096;
const USABLE_SLABS = 63;

/** A store under a cap of `segments` of the shortest segments, with its table and its host. */
export function openStore<S extends Store>(
  make: (table: AccountTable, host: StoreHost) => S,
  { segments = 4, wipes = false } = {},
) {
  const opened = openTable(segments);
  const host = new FakeHost(wipes);
  const store = make(opened.table, host);
  host.store = store;
  return { ...opened, host, store };
}

export function openCarving({ segments = 4, wipes = false, segmentBytes = SEGMENT_BYTES } = {}) {
  const make = (table: AccountTable, host: StoreHost) => new CarvingStore(table, host, arenaModule, segmentBytes);
  return openStore(make, { segments, wipes });
}

export type Opened<S extends Store = CarvingStore> = ReturnType<typeof openStore<S>>;

/** Leases of `byteLength` until the store has no room. */
export function fill({ store }: { store: Store }, byteLength = SLAB_BYTES): Lease[] {
  const leases: Lease[] = [];
  for (let lease = store.acquire(byteLength); lease !== null; lease = store.acquire(byteLength)) leases.push(lease);
  return leases;
}

/** As many leases as a segment has slabs, all of the same segment. */
export function fillSegment({ store }: { store: Store }): Lease[] {
  return Array.from({ length: USABLE_SLABS }, () => present(store.acquire(SLAB_BYTES)));
}

export function problemsOf({ store }: { store: Store }): string[] {
  const problems: string[] = [];
  store.audit(problems);
  return problems;
}

/** By the longest length that each row stands for: leases handed out so far. */
export function countsOf({ store }: { store: Store }): [number, number][] {
  const counts: [number, number][] = [];
  store.countAcquired((maxByteLength, acquired) => counts.push([maxByteLength, acquired]));
  return counts;
}
