/**
 * One run: a contender's passes over the files, in a process of its own, so that
 * the collections and the memory of one are not another's. Started by rounds.ts,
 * whom it tells that it is ready; then takes one `RunOrder`, sends `RunProgress`
 * now and then, and ends with one `RunResult`. Importing it for anything but its
 * types would start it.
 */

import { readFileSync } from "node:fs";
import { constants as gcConstants, PerformanceObserver } from "node:perf_hooks";
import { setImmediate as nextTurn } from "node:timers/promises";
import { type Contender, openSource } from "./buffers.ts";
import { Pass, type PassTask } from "./pass.ts";

const PROGRESS_MS = 200;

export interface RunOrder extends PassTask {
  readonly contender: Contender;
  /** One after the other, through the same arena. */
  readonly passCount: number;
}

/** Sent first: an order that came before anyone listened would be lost. */
export interface RunReady {
  readonly kind: "ready";
}

export interface RunProgress {
  readonly kind: "progress";
  /** In all passes so far. */
  readonly filesDone: number;
}

export type GcKind = "scavenge" | "mark-sweep" | "incremental" | "weak callbacks" | "other";
export type GcTallies = Record<GcKind, { count: number; ms: number }>;

export interface PassResult {
  /** Files begun: all of them, unless the deadline came first. */
  readonly filesBegun: number;
  /** `DIGEST_BYTES` for each file; zeros where there is a fault. */
  readonly digests: Uint8Array;
  /** By index into the files: those that changed or could not be read, and how that showed. */
  readonly faults: ReadonlyMap<number, string>;
  readonly acquireMs: Float64Array;
  readonly releaseMs: Float64Array;
  readonly wholeMs: number;
  readonly processorMs: number;
  readonly gc: GcTallies;
}

export interface RunResult {
  readonly kind: "result";
  /** Making the arena, before the first pass. */
  readonly openMs: number;
  readonly passes: readonly PassResult[];
  /** Bytes: before the first file, and at the most. */
  readonly resident: { readonly start: number; readonly peak: number };
  readonly external: { readonly start: number; readonly peak: number };
  /** Linear memory at the most, and leases that became heap buffers; 0 without an arena. */
  readonly peakReservedBytes: number;
  readonly overflowed: number;
  /** What reading the clock costs, and so what each time in `acquireMs` and `releaseMs` has too much. */
  readonly clockNs: number;
}

/** Tallies the collections from its making until `stop`, by kind. */
class GcWatch {
  readonly tallies: GcTallies = {
    scavenge: { count: 0, ms: 0 },
    "mark-sweep": { count: 0, ms: 0 },
    incremental: { count: 0, ms: 0 },
    "weak callbacks": { count: 0, ms: 0 },
    other: { count: 0, ms: 0 },
  };
  readonly #observer = new PerformanceObserver((list) => this.#tally(list.getEntries()));
  readonly #startMs = performance.now();
  #endMs = Number.POSITIVE_INFINITY;

  constructor() {
    this.#observer.observe({ entryTypes: ["gc"] });
  }

  async stop(): Promise<GcTallies> {
    this.#endMs = performance.now();
    // Entries are queued with setImmediate, and handed over in a later turn.
    for (let turn = 0; turn < 4; turn++) await nextTurn();
    this.#tally(this.#observer.takeRecords());
    this.#observer.disconnect();
    return this.tallies;
  }

  #tally(entries: readonly { startTime: number; duration: number; detail?: unknown }[]): void {
    for (const { startTime, duration, detail } of entries) {
      if (startTime < this.#startMs || startTime > this.#endMs) continue;
      const tally = this.tallies[gcKindOf((detail as { kind?: number } | undefined)?.kind)];
      tally.count++;
      tally.ms += duration;
    }
  }
}

function gcKindOf(kind: number | undefined): GcKind {
  if (kind === gcConstants.NODE_PERFORMANCE_GC_MINOR) return "scavenge";
  if (kind === gcConstants.NODE_PERFORMANCE_GC_MAJOR) return "mark-sweep";
  if (kind === gcConstants.NODE_PERFORMANCE_GC_INCREMENTAL) return "incremental";
  if (kind === gcConstants.NODE_PERFORMANCE_GC_WEAKCB) return "weak callbacks";
  return "other";
}

async function run(order: RunOrder, onProgress: (filesDone: number) => void): Promise<RunResult> {
  const clockNs = measureClockNs();
  // What starting up and receiving the file list left behind is not the first pass's garbage.
  globalThis.gc?.();
  const { rss: residentAtStart, external: externalAtStart } = process.memoryUsage();
  const openingMs = performance.now();
  const { source, arena } = openSource(order.contender);
  const openMs = performance.now() - openingMs;
  const passes: PassResult[] = [];
  let peakExternalBytes = externalAtStart;
  while (passes.length < order.passCount) {
    const filesBefore = passes.length * order.files.paths.length;
    const pass = new Pass(order, source, (filesDone) => onProgress(filesBefore + filesDone));
    passes.push(await measure(pass));
    peakExternalBytes = Math.max(peakExternalBytes, pass.peakExternalBytes);
    arena?.assertDrained();
  }
  const stats = arena?.stats();
  return {
    kind: "result",
    openMs,
    passes,
    resident: { start: residentAtStart, peak: peakResidentBytes() },
    external: { start: externalAtStart, peak: peakExternalBytes },
    peakReservedBytes: stats?.peakReservedBytes ?? 0,
    overflowed: stats?.overflowed ?? 0,
    clockNs,
  };
}

async function measure(pass: Pass): Promise<PassResult> {
  const gcWatch = new GcWatch();
  const processorAtStart = process.cpuUsage();
  const startMs = performance.now();
  await pass.run();
  const wholeMs = performance.now() - startMs;
  const { user, system } = process.cpuUsage(processorAtStart);
  const gc = await gcWatch.stop();
  const { filesBegun, digests, faults, acquireMs, releaseMs } = pass;
  return { filesBegun, digests, faults, acquireMs, releaseMs, wholeMs, processorMs: (user + system) / 1000, gc };
}

/** Median of many: what two readings of the clock with nothing between them are apart. */
function measureClockNs(): number {
  const samplesMs = Float64Array.from({ length: 20_001 }, () => {
    const before = performance.now();
    return performance.now() - before;
  }).sort();
  return (samplesMs[10_000] as number) * 1e6;
}

function peakResidentBytes(): number {
  // On Linux maxRSS starts from the parent's resident memory at the time of the fork; VmHWM is this process's own.
  if (process.platform === "linux") {
    const peak = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8"));
    if (peak?.[1] !== undefined) return Number(peak[1]) * 1024;
  }
  return process.resourceUsage().maxRSS * 1024;
}

function send(message: RunReady | RunProgress | RunResult): Promise<void> {
  return new Promise((resolve, reject) => {
    if (process.send === undefined) throw new Error("run.ts is started by main.ts: npm start");
    process.send(message, undefined, undefined, (error) => (error === null ? resolve() : reject(error)));
  });
}

const dieWithParent = (): never => process.exit(1);
process.once("disconnect", dieWithParent);
process.once("message", async (order: RunOrder) => {
  let lastMs = performance.now();
  const result = await run(order, (filesDone) => {
    if (performance.now() - lastMs < PROGRESS_MS) return;
    lastMs = performance.now();
    void send({ kind: "progress", filesDone });
  });
  await send(result);
  process.off("disconnect", dieWithParent);
  process.disconnect();
});
await send({ kind: "ready" });
