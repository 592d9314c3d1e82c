/** One rival's churn in a process of its own: the collections, and the memory at its most. */

import { PerformanceObserver } from "node:perf_hooks";
import { setImmediate } from "node:timers/promises";
import { rivalNamed } from "./allocators.ts";
import { churn, type Order, releaseOrder } from "./loops.ts";

export interface ChurnInput {
  rival: string;
  byteLength: number;
  alive: number;
  order: Order;
  leases: number;
}

export interface ChurnOutcome {
  /** Nanoseconds for one lease, collections included: for each of the batches. */
  nsOfBatches: number[];
  collections: number;
  collectionMs: number;
  /** Above what it was before the first lease. */
  peakResidentBytes: number;
  peakExternalBytes: number;
  peakArrayBufferBytes: number;
  peakReservedBytes: number | null;
  overflowed: number | null;
}

const BATCHES = 20;
/** Looks at the memory in each batch. */
const LOOKS = 10;

export async function runChurn(input: unknown): Promise<ChurnOutcome> {
  const { rival, byteLength, alive, order, leases } = input as ChurnInput;
  const allocator = await rivalNamed(rival).open({ byteLength, alive, isAlone: true });
  const collections = countCollections();
  const before = process.memoryUsage();
  const peak = { ...before };
  const batch = churn(allocator, byteLength, alive, releaseOrder(order, alive));
  const nsOfBatches: number[] = [];
  for (let each = 0; each < BATCHES; each++) {
    let ms = 0;
    for (let look = 0; look < LOOKS; look++) {
      const start = performance.now();
      batch(leases / BATCHES / LOOKS);
      ms += performance.now() - start;
      const now = process.memoryUsage();
      for (const kind of ["rss", "external", "arrayBuffers"] as const) peak[kind] = Math.max(peak[kind], now[kind]);
    }
    nsOfBatches.push((ms * 1e6) / (leases / BATCHES));
  }
  const footprint = allocator.footprint?.();
  return {
    nsOfBatches,
    ...(await collections.done()),
    peakResidentBytes: peak.rss - before.rss,
    peakExternalBytes: peak.external - before.external,
    peakArrayBufferBytes: peak.arrayBuffers - before.arrayBuffers,
    peakReservedBytes: footprint?.peakReservedBytes ?? null,
    overflowed: footprint?.overflowed ?? null,
  };
}

/** Collections from now until `done`. */
function countCollections(): { done(): Promise<{ collections: number; collectionMs: number }> } {
  const durations: number[] = [];
  const observer = new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) durations.push(duration);
  });
  observer.observe({ entryTypes: ["gc"] });
  return {
    done: async () => {
      // What happened in the same job is reported after it.
      for (let turn = 0; turn < 3; turn++) await setImmediate();
      for (const { duration } of observer.takeRecords()) durations.push(duration);
      observer.disconnect();
      return { collections: durations.length, collectionMs: durations.reduce((sum, ms) => sum + ms, 0) };
    },
  };
}
