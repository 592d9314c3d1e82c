/**
 * What the first revocation does to code that never heard of the arena: loops over
 * ordinary typed arrays, before and after. Owns the loops and the causes. An isolate
 * can be asked only once.
 */

import { Arena } from "cleanslab";
import { figureOf, find, formatSpread, rivalsIn, valuesOfAt, where } from "../figures.ts";
import { medians } from "../harness.ts";
import type { Form, Measurement, Outcome, Question, Table } from "../question.ts";
import { percentile } from "../statistics.ts";

const LOOP_BYTES = 64 * 1024;
/** So few that a sample is shorter than what the scheduler gives a process at a time. */
const PASSES_A_SAMPLE = 4;

/** What happens between before and after. */
const CAUSES: Readonly<Record<string, () => unknown>> = {
  "nothing (control)": () => {},
  "before-reuse: first revocation": () => leaseUntil("before-reuse"),
  "never: the same leases": () => leaseUntil("never"),
  "structuredClone with transfer": transferOnce,
  "fetch of a data: URL": fetchOnce,
  "on-release: first release": () => leaseUntil("on-release"),
};

export const sideEffects: Question<SideEffectsInput, SideEffectsResult> = {
  name: "side-effects",
  question: "What does the first revocation do to byte loops over ordinary typed arrays?",
  rounds: { quick: 1, full: 5 },
  cases: (form: Form) =>
    Object.keys(CAUSES)
      .slice(0, form === "quick" ? 4 : undefined)
      .map((cause) => ({ cause, samples: form === "quick" ? 150 : 500 })),
  run: runSideEffects,
  measurements: (outcomes: readonly Outcome<SideEffectsInput, SideEffectsResult>[]) =>
    outcomes.flatMap(({ input: { cause }, runs }) => toMeasurements(cause, runs)),
  tables,
};

type Loop = (bytes: Uint8Array, passes: number) => number;

const LENGTH_IN_CONDITION = "bytes.length in the condition";
const LENGTH_IN_VARIABLE = "length in a variable";

/**
 * Each written as people write it; they differ in nothing else. The passes are
 * inside, so that the caller stays too cold to be compiled with a loop in it.
 */
const LOOPS: Readonly<Record<string, Loop>> = {
  [LENGTH_IN_CONDITION]: (bytes, passes) => {
    let sum = 0;
    for (let pass = 0; pass < passes; pass++) {
      for (let each = 0; each < bytes.length; each++) sum += bytes[each] as number;
    }
    return sum;
  },
  [LENGTH_IN_VARIABLE]: (bytes, passes) => {
    let sum = 0;
    for (let pass = 0; pass < passes; pass++) {
      const { length } = bytes;
      for (let each = 0; each < length; each++) sum += bytes[each] as number;
    }
    return sum;
  },
};

export interface SideEffectsInput {
  cause: string;
  samples: number;
}

/** Nanoseconds a byte, by loop. */
export type SideEffectsResult = Record<string, { before: number; after: number }>;

function toMeasurements(rival: string, runs: readonly SideEffectsResult[]): Measurement[] {
  return Object.keys(LOOPS).flatMap((loop) => {
    const of = (run: SideEffectsResult) => run[loop] ?? { before: Number.NaN, after: Number.NaN };
    return medians(rival, { loop }, runs, {
      "a byte, before": ["ns", (run) => of(run).before],
      "a byte, after": ["ns", (run) => of(run).after],
      // Of each process's own two figures: they were made closest to each other.
      "after / before": ["×", (run) => of(run).after / of(run).before],
    });
  });
}

/** Before, cause, after, in this process. */
export async function runSideEffects({ cause, samples }: SideEffectsInput): Promise<SideEffectsResult> {
  const happen = CAUSES[cause];
  if (happen === undefined) throw new Error(`no cause is called "${cause}"`);
  const bytes = new Uint8Array(LOOP_BYTES).fill(1);
  timeLoops(bytes, samples); // the compiler's
  const before = timeLoops(bytes, samples);
  await happen();
  timeLoops(bytes, samples); // what was thrown away is compiled again
  const after = timeLoops(bytes, samples);
  const pair = (loop: string) => ({ before: before[loop] as number, after: after[loop] as number });
  return Object.fromEntries(Object.keys(LOOPS).map((loop) => [loop, pair(loop)]));
}

/**
 * Nanoseconds a byte of each loop, the loops in turn: of the fastest tenth of the
 * samples the slowest. What the compiled code takes is asked for, and all that
 * other processes can do is add to it.
 */
function timeLoops(bytes: Uint8Array, samples: number): Record<string, number> {
  const byLoop = Object.entries(LOOPS).map(([name, loop]) => ({ name, loop, ns: [] as number[] }));
  for (let each = 0; each < samples; each++) {
    for (const { loop, ns } of byLoop) {
      const started = performance.now();
      const sum = loop(bytes, PASSES_A_SAMPLE);
      ns.push(((performance.now() - started) * 1e6) / (PASSES_A_SAMPLE * bytes.length));
      if (sum !== PASSES_A_SAMPLE * LOOP_BYTES) throw new Error("the loop did not read every byte");
    }
  }
  return Object.fromEntries(byLoop.map(({ name, ns }) => [name, percentile(Float64Array.from(ns).sort(), 10)]));
}

/** Leases until a segment has been revoked, or as many where none ever is. */
function leaseUntil(revoke: "before-reuse" | "on-release" | "never"): void {
  const arena = new Arena({ revoke, trace: "off" });
  for (let each = 0; each < 2000; each++) arena.acquire(1024).release();
  if (arena.stats().revocations > 0 !== (revoke !== "never")) throw new Error("revoked, or not, against the mode");
}

function transferOnce(): void {
  const { buffer } = new Uint8Array(16);
  structuredClone(buffer, { transfer: [buffer] });
  if (buffer.byteLength !== 0) throw new Error("the transfer did not detach its buffer");
}

/** Without a network: only how the body is read matters. */
async function fetchOnce(): Promise<void> {
  const response = await fetch("data:text/plain,hello");
  if ((await response.text()) !== "hello") throw new Error("the data: URL was read wrong");
}

function tables(measurements: readonly Measurement[]): Table[] {
  return valuesOfAt(measurements, "loop").map((loop) => {
    const figures = where(measurements, { loop });
    const format = (rival: string, metric: string): string => figureOf(figures, { rival, metric }).toFixed(2);
    return {
      title: `${loop}: ns a byte`,
      head: ["between before and after", "before", "after", "after / before", "± %"],
      rows: rivalsIn(figures).map((rival) => [
        rival,
        format(rival, "a byte, before"),
        format(rival, "a byte, after"),
        `${format(rival, "after / before")}×`,
        formatSpread(find(figures, { rival, metric: "after / before" })?.spread),
      ]),
    };
  });
}
