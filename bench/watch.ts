/** What the rest of a process shows of a load: collections, and resident memory. */

import { PerformanceObserver } from "node:perf_hooks";
import { setImmediate } from "node:timers/promises";

export interface Watched {
  collections: number;
  /** Milliseconds in all collections, and in the longest: the program stood still. */
  collectionMs: number;
  longestCollectionMs: number;
  /** The most that was resident at a `sample()`, in bytes above what was at the start. */
  peakResidentBytes: number;
}

/** Begins to watch this process. Call `sample` where resident memory may peak, outside of what is timed. */
export function watch(): { sample(): void; stop(): Promise<Watched> } {
  const durations: number[] = [];
  const observer = new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) durations.push(duration);
  });
  observer.observe({ entryTypes: ["gc"] });
  const before = process.memoryUsage.rss();
  let peak = before;
  const sample = (): void => {
    peak = Math.max(peak, process.memoryUsage.rss());
  };
  const stop = async (): Promise<Watched> => {
    sample();
    await setImmediate(); // entries of the last turn are delivered in the next
    for (const { duration } of observer.takeRecords()) durations.push(duration);
    observer.disconnect();
    return {
      collections: durations.length,
      collectionMs: durations.reduce((sum, each) => sum + each, 0),
      longestCollectionMs: Math.max(0, ...durations),
      peakResidentBytes: peak - before,
    };
  };
  return { sample, stop };
}
