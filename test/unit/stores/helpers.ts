/** A carving store on its own, with stand-ins for the arena around it. */

import type { Lease } from "../../../src/lease/lease.ts";
import { CarvingStore } from "../../../src/stores/carving.ts";
import { SEGMENT_BYTES } from "../../helpers.ts";
import { arenaModule, FakeHost, openTable, present } from "../helpers.ts";

export const SLAB_BYTES = 4096;
const USABLE_SLABS = 63;

export function openCarving({ segments = 4, wipes = false, segmentBytes = SEGMENT_BYTES } = {}) {
  const opened = openTable(segments);
  const host = new FakeHost(wipes);
  const store = new CarvingStore(opened.table, host, arenaModule, segmentBytes);
  host.store = store;
  return { ...opened, host, store };
}

export type Opened = ReturnType<typeof openCarving>;

/** Leases of `byteLength` until the store has no room. */
export function fill({ store }: Opened, byteLength = SLAB_BYTES): Lease[] {
  const leases: Lease[] = [];
  for (let lease = store.acquire(byteLength); lease !== null; lease = store.acquire(byteLength)) leases.push(lease);
  return leases;
}

/** As many leases as a segment has slabs, all of the same segment. */
export function fillSegment({ store }: Opened): Lease[] {
  return Array.from({ length: USABLE_SLABS }, () => present(store.acquire(SLAB_BYTES)));
}

export function problemsOf({ store }: Opened): string[] {
  const problems: string[] = [];
  store.audit(problems);
  return problems;
}
