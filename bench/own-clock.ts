/**
 * The time that this process had or chose to sleep: without that in which its
 * main thread was ready and had no processor, because others had them all. On a
 * machine with other work to do, that is most of a latency's tail, and nobody's
 * whose allocator is measured. Linux tells it; elsewhere this is an ordinary clock.
 * It does not tell who had the processors: they may have been threads of this very
 * process, the collector's. That favours those who need the collector.
 */

import { closeSync, openSync, readSync } from "node:fs";

/** Milliseconds between two readings from which on there may have been a wait: so a busy program asks the system seldom. */
const SUSPICIOUS_MS = 0.1;
/** Where asking takes as long as that itself. */
const MOST_TRIES = 10;

export interface OwnClock {
  /** Milliseconds from some start. */
  now(): number;
  /** Milliseconds that were left out so far; `undefined` where the system does not say. */
  readonly waitedMs: number | undefined;
  close(): void;
}

/**
 * Asks no system itself, so that a test can say what time it is.
 *
 * @param wall milliseconds as they pass.
 * @param waited milliseconds of waiting so far.
 */
export function createClock(wall: () => number, waited: () => number): Omit<OwnClock, "close"> & { waitedMs: number } {
  const before = waited();
  let waitedMs = 0;
  let last = Number.NEGATIVE_INFINITY; // the first reading asks
  let shown = Number.NEGATIVE_INFINITY;
  const now = (): number => {
    let at = wall();
    // Again if it was kept waiting in between, or the two would not be of the same moment.
    for (let tries = 0; at - last > SUSPICIOUS_MS && tries < MOST_TRIES; tries++) {
      last = at;
      waitedMs = waited() - before;
      at = wall();
    }
    last = at;
    // A wait may be told of later than it ended, and then be more than has passed since.
    shown = Math.max(shown, at - waitedMs);
    return shown;
  };
  return {
    now,
    get waitedMs() {
      return waitedMs;
    },
  };
}

export function openOwnClock(): OwnClock {
  const wall = (): number => performance.now();
  let file: number;
  try {
    file = openSync("/proc/self/schedstat", "r");
  } catch {
    return { now: wall, waitedMs: undefined, close: () => {} };
  }
  const text = Buffer.alloc(64);
  const waited = (): number => {
    const length = readSync(file, text, 0, text.length, 0);
    return Number(text.toString("latin1", 0, length).split(" ")[1]) / 1e6;
  };
  const clock = createClock(wall, waited);
  return {
    now: clock.now,
    get waitedMs() {
      return clock.waitedMs;
    },
    close: () => closeSync(file),
  };
}
