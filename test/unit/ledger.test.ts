/** What the arena remembers of memories must not keep them. */

import { readFileSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { Arena } from "cleanslab";
import { expect, test } from "vitest";

const segmentBytes = 256 * 1024;
const maxBytes = 2 * (segmentBytes + 64 * 1024);

/** Address space in use; a WebAssembly memory reserves gigabytes of it, whatever its length. */
function reservedGiB(): number {
  const status = readFileSync("/proc/self/status", "utf8");
  return Number(/VmSize:\s+(\d+)/.exec(status)?.[1]) / 1024 / 1024;
}

/** Twice: the first leaves some to sweeping in the background. */
function collectInThisJob(): void {
  gc?.();
  gc?.();
}

/** All that the tests before have left behind. */
async function collect(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) {
    await setImmediate();
    collectInThisJob();
  }
}

test.skipIf(process.platform !== "linux").each(["before-reuse", "on-release", "never"] as const)(
  "memories dropped in %s mode do not stay until the end of the job that dropped them",
  async (revoke) => {
    await collect();
    const before = reservedGiB();
    using arena = new Arena({ revoke, segmentBytes, maxBytes });
    for (let each = 0; each < 300; each++) {
      // Longer than a segment, and never twice the same: each needs a memory that the cap has no room for.
      arena.acquire(segmentBytes + 1 + (each % 4) * 65536).release();
      arena.acquire(100).release();
      arena.trim();
    }
    expect(arena.stats().reservedBytes).toBe(0);
    collectInThisJob();
    // 600 memories were made; a few may wait for the collector.
    expect(reservedGiB() - before).toBeLessThan(100 * 10);
  },
);
