/**
 * Owns the traces and how they are replayed: real lengths in their real order,
 * the last few dozen buffers alive, each filled as a read would fill it. The
 * traces are data/*.json, made by data/record.ts.
 */

import { type Allocator, LEASES, OUTSIDERS } from "./allocators.ts";
import files from "./data/files.json" with { type: "json" };
import socketReads from "./data/socket-reads.json" with { type: "json" };
import { type Batch, formatLength, formatNs, formatRatio, measure } from "./harness.ts";
import { replay } from "./loops.ts";
import type { Measurement, Question, RunOptions, Table } from "./question.ts";
import { figureOf, find, formatSpread, orDash, rivalsIn, timings, valuesOfAt, where } from "./reading.ts";

interface Trace {
  name: string;
  /** Where it is from. */
  what: string;
  lengths: Uint32Array;
}

const TRACES: readonly Trace[] = [
  { name: "files", what: files.what, lengths: Uint32Array.from(files.lengths) },
  { name: "socket reads", what: socketReads.what, lengths: Uint32Array.from(socketReads.lengths) },
];

const ALIVE = 32;
const FILLED = "filled";
const TOUCHED = "first byte touched";

/** `pool(byteLength)` is for one length, so it has no part in this. */
const RIVALS = [...OUTSIDERS, ...LEASES];

export const realSizes: Question = {
  name: "real-sizes",
  question: "What do leases of real lengths cost, as files and sockets ask for them?",
  run,
  tables,
};

async function run({ quick, progress }: RunOptions): Promise<Measurement[]> {
  const traces = quick ? TRACES.slice(0, 1) : TRACES;
  const uses = quick ? [FILLED] : [FILLED, TOUCHED];
  const cases = traces.flatMap((trace) => uses.map((use) => ({ trace, use })));
  const measurements: Measurement[] = [];
  for (const [done, { trace, use }] of cases.entries()) {
    measurements.push(...(await replayTrace(trace, use, quick, (share) => progress((done + share) / cases.length))));
  }
  return measurements;
}

async function replayTrace(
  { name, lengths }: Trace,
  use: string,
  quick: boolean,
  progress: (share: number) => void,
): Promise<Measurement[]> {
  const longest = Math.max(...lengths);
  const source = use === FILLED ? new Uint8Array(longest).fill(1) : new Uint8Array(0);
  const opened: [rival: string, Allocator][] = [];
  const batches: Record<string, Batch> = {};
  for (const rival of RIVALS) {
    const allocator = await rival.open({ byteLength: longest, alive: ALIVE, mixed: true });
    opened.push([rival.name, allocator]);
    batches[rival.name] = replay(allocator, lengths, ALIVE, source);
  }
  // A batch is the whole trace: its parts differ too much to be compared.
  const figures = measure(batches, { operations: lengths.length, rounds: quick ? 3 : 15, progress });
  const at = { trace: name, use, alive: ALIVE };
  const measurements = [...timings(figures, at), ...throughputs(timings(figures, at), lengths)];
  for (const [rival, allocator] of opened) {
    measurements.push(...footprintOf(rival, at, allocator));
    allocator.close?.();
  }
  measurements.push({ rival: LIVE, at, metric: "most alive", unit: "bytes", value: mostAlive(lengths, ALIVE) });
  return measurements;
}

/** Not a rival: what the program itself holds. */
const LIVE = "live bytes";

function throughputs(times: readonly Measurement[], lengths: Uint32Array): Measurement[] {
  const bytesALease = lengths.reduce((sum, each) => sum + each, 0) / lengths.length;
  return times.map((time) => ({
    ...time,
    metric: "bytes leased",
    unit: "per second",
    value: (bytesALease / time.value) * 1e9,
  }));
}

function footprintOf(rival: string, at: Measurement["at"], allocator: Allocator): Measurement[] {
  const footprint = allocator.footprint?.();
  if (footprint === undefined) return [];
  const { peakReservedBytes, overflowed } = footprint;
  return [
    { rival, at, metric: "peak reserved", unit: "bytes", value: peakReservedBytes },
    { rival, at, metric: "overflowed", unit: "count", value: overflowed },
  ];
}

/** The most bytes in any `alive` lengths in a row of the trace, which is gone through in a circle. */
export function mostAlive(lengths: Uint32Array, alive: number): number {
  let live = 0;
  let most = 0;
  for (let each = 0; each < lengths.length + alive; each++) {
    live += lengths[each % lengths.length] ?? 0;
    if (each >= alive) live -= lengths[(each - alive) % lengths.length] ?? 0;
    most = Math.max(most, live);
  }
  return most;
}

function tables(measurements: readonly Measurement[]): Table[] {
  return valuesOfAt(measurements, "trace").flatMap((trace) => {
    const ofTrace = where(measurements, { trace });
    return valuesOfAt(ofTrace, "use").map((use) => tableOf(where(ofTrace, { use }), trace, use));
  });
}

function tableOf(figures: readonly Measurement[], trace: number | string, use: number | string): Table {
  const what = TRACES.find(({ name }) => name === trace)?.what ?? trace;
  const live = figureOf(figures, { rival: LIVE, metric: "most alive" });
  const fresh = figureOf(figures, { rival: "new Uint8Array" });
  return {
    title: `${trace}, ${use}, ${ALIVE} alive, at most ${formatLength(live)} of them (${what})`,
    head: ["", "ns for a lease", "± %", "faster than fresh", "a second", "reserved", "reserved / live", "overflowed"],
    rows: rivalsIn(figures)
      .filter((rival) => rival !== LIVE)
      .map((rival) => {
        const time = find(figures, { rival });
        const reserved = figureOf(figures, { rival, metric: "peak reserved" });
        return [
          rival,
          formatNs(time?.value ?? Number.NaN),
          formatSpread(time?.spread),
          formatRatio(fresh / (time?.value ?? Number.NaN)),
          formatLength(figureOf(figures, { rival, metric: "bytes leased" })),
          orDash(reserved, formatLength),
          orDash(reserved / live, formatRatio),
          orDash(figureOf(figures, { rival, metric: "overflowed" }), String),
        ];
      }),
  };
}
