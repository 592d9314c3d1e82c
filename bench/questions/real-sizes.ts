/**
 * Real lengths in their real order, the last few dozen buffers alive, each filled as
 * a read would fill it. Owns the traces and how they are replayed. The traces are
 * data/*.json, made by data/record.ts.
 */

import files from "../data/files.json" with { type: "json" };
import socketReads from "../data/socket-reads.json" with { type: "json" };
import { COMPILED_AT_ONCE, medians, type Plan, type Timed, time, timings } from "../harness.ts";
import { replay } from "../loops.ts";
import type { Form, Measurement, Outcome, Question, Table } from "../question.ts";
import { available, LEASES, namesOf, OUTSIDERS, rivalNamed } from "../rivals.ts";
import {
  figureOf,
  find,
  formatLength,
  formatNs,
  formatRatio,
  formatSpread,
  orDash,
  rivalsIn,
  valuesOfAt,
  where,
} from "../tables.ts";

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
/** Not a rival: what the program itself holds. */
const LIVE = "live bytes";

export interface RealSizesInput {
  rival: string;
  trace: string;
  use: string;
  plan: Plan;
}

export interface RealSizesResult extends Timed {
  peakReservedBytes: number | null;
  overflowed: number | null;
}

export const realSizes: Question<RealSizesInput, RealSizesResult> = {
  name: "real-sizes",
  question: "What do leases of real lengths cost, as files and sockets ask for them?",
  rounds: { quick: 1, full: 5 },
  nodeFlags: COMPILED_AT_ONCE,
  cases,
  run,
  measurements,
  tables,
};

function cases(form: Form): RealSizesInput[] {
  const traces = form === "quick" ? TRACES.slice(0, 1) : TRACES;
  const uses = form === "quick" ? [FILLED] : [FILLED, TOUCHED];
  // A batch is the whole trace: its parts differ too much to be compared.
  const plan = { warmUpMs: 100, batchMs: 0, batches: form === "quick" ? 6 : 15 };
  return traces.flatMap(({ name, lengths }) =>
    uses.flatMap((use) =>
      // `pool(byteLength)` is for one length, so it has no part in this.
      available(namesOf([...OUTSIDERS, ...LEASES])).map((rival) => ({
        rival,
        trace: name,
        use,
        plan: { ...plan, operations: lengths.length },
      })),
    ),
  );
}

async function run({ rival, trace, use, plan }: RealSizesInput): Promise<RealSizesResult> {
  const lengths = traceNamed(trace).lengths;
  const longest = Math.max(...lengths);
  const source = use === FILLED ? new Uint8Array(longest).fill(1) : new Uint8Array(0);
  const allocator = await rivalNamed(rival).open({ byteLength: longest, alive: ALIVE, mixed: true });
  const timed = time(replay(allocator, lengths, ALIVE, source), plan);
  const footprint = allocator.footprint?.();
  return {
    ...timed,
    peakReservedBytes: footprint?.peakReservedBytes ?? null,
    overflowed: footprint?.overflowed ?? null,
  };
}

function traceNamed(name: string | number | undefined): Trace {
  const trace = TRACES.find((each) => each.name === name);
  if (trace === undefined) throw new Error(`no trace is called "${name}"`);
  return trace;
}

function measurements(outcomes: readonly Outcome<RealSizesInput, RealSizesResult>[]): Measurement[] {
  const all = outcomes.flatMap(({ input: { rival, trace, use }, runs }): Measurement[] => {
    const at = { trace, use, alive: ALIVE };
    const times = timings(rival, at, runs);
    const { lengths } = traceNamed(trace);
    const bytesALease = lengths.reduce((sum, each) => sum + each, 0) / lengths.length;
    return [
      ...times,
      ...medians(rival, at, runs, {
        "bytes leased": ["per second", () => (bytesALease / (times[0]?.value ?? Number.NaN)) * 1e9],
        "peak reserved": ["bytes", ({ peakReservedBytes }) => peakReservedBytes],
        overflowed: ["count", ({ overflowed }) => overflowed],
      }),
    ];
  });
  for (const trace of valuesOfAt(all, "trace")) {
    for (const use of valuesOfAt(where(all, { trace }), "use")) {
      const at = { trace, use, alive: ALIVE };
      const value = mostAlive(traceNamed(trace).lengths, ALIVE);
      all.push({ rival: LIVE, at, metric: "most alive", unit: "bytes", value });
    }
  }
  return all;
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
  const { what } = traceNamed(trace);
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
