/**
 * How everything is measured: each case in a process of its own, the cases in turn,
 * several rounds, medians over the rounds. In a process shared with others a fresh
 * 1 KiB array takes half as long, and one rival's garbage is another's collection.
 *
 * Owns the method. Knows no rival and no question.
 */

import { readFileSync } from "node:fs";
import { runIsolated } from "./isolated.ts";
import type { Form, Measurement, Question } from "./question.ts";
import { percentile, summarize } from "./statistics.ts";

/**
 * Runs all cases of a question and gives its figures.
 *
 * @param progress told what share of the processes has ended, 0 to 1.
 */
export async function ask(question: Question, form: Form, progress: (share: number) => void): Promise<Measurement[]> {
  const cases = await question.cases(form);
  const rounds = question.rounds[form];
  const outcomes = cases.map((input) => ({ input, runs: [] as unknown[] }));
  for (let round = 0; round < rounds; round++) {
    for (const [each, { input, runs }] of outcomes.entries()) {
      runs.push(await runIsolated(question.name, input, question.nodeFlags));
      progress((round * cases.length + each + 1) / (rounds * cases.length));
    }
  }
  return question.measurements(outcomes);
}

/** Does an operation this many times. */
export type Batch = (operations: number) => unknown;

/** How long one process measures. */
export interface Plan {
  /** Untimed, for the compiler. */
  warmUpMs: number;
  /** One clock reading cannot tell a cycle of 30 ns: it tells a batch of about this long. */
  batchMs: number;
  batches: number;
  /** Operations in a batch, where parts of a batch cannot be compared. */
  operations?: number;
}

/** Nanoseconds for one operation. */
export interface Timed {
  /** The median batch: most batches are without a collection. */
  ns: number;
  /** What the fastest tenth of the batches stays below: other processes can only add to it. */
  fastNs: number;
  /** All batches together, collections included. */
  meanNs: number;
}

/**
 * Node flags for a question that uses `time`: the engine compiles at once, in the
 * warm-up. Its compiler's thread may find no processor on a busy machine, and what
 * is measured then is the interpreter.
 */
export const COMPILED_AT_ONCE: readonly string[] = ["--no-concurrent-recompilation"];

/** Times a rival, in the process that is the rival's own, without the time in which others had the processor. */
export function time(batch: Batch, plan: Plan): Timed {
  const timeBatch = (operations: number): number => {
    const waited = waitedMs();
    const start = performance.now();
    batch(operations);
    const ms = performance.now() - start - (waitedMs() - waited);
    // A wait may be told of later than it ended, and then be more than has passed since: this batch says nothing.
    return ms > 0 ? (ms * 1e6) / operations : timeBatch(operations);
  };
  const operations = warmUp(timeBatch, plan);
  return timedFrom(Array.from({ length: plan.batches }, () => timeBatch(operations)));
}

/**
 * How long this process's main thread has been ready and had no processor, because others had
 * them all: threads of this very process among them, the collector's. Linux tells it; elsewhere 0.
 */
function waitedMs(): number {
  try {
    return Number(readFileSync("/proc/self/schedstat", "latin1").split(" ")[1]) / 1e6;
  } catch {
    return 0;
  }
}

export function timedFrom(nsOfBatches: Iterable<number>): Timed {
  const ns = Float64Array.from(nsOfBatches).sort();
  const sum = ns.reduce((total, each) => total + each, 0);
  return { ns: summarize(ns).value, fastNs: percentile(ns, 10), meanNs: sum / ns.length };
}

/** How many batches say how long one is. */
const RECENT = 5;

/** Many calls as well as long ones: the engine compiles a loop and its callers apart. Gives how many operations a batch takes. */
function warmUp(timeBatch: (operations: number) => number, plan: Plan): number {
  const { warmUpMs, batchMs, operations: fixed } = plan;
  const end = performance.now() + warmUpMs;
  let operations = fixed ?? 16;
  for (const recent: number[] = []; ; ) {
    recent.unshift(timeBatch(operations));
    // The median: one batch may have had a collection in it, or the compiler.
    const ns = summarize(recent.slice(0, RECENT)).value;
    // Never far more at once: what was too short for the clock may be anything.
    operations = fixed ?? Math.max(1, Math.min(operations * 8, Math.ceil((batchMs * 1e6) / Math.max(ns, 1))));
    if (recent.length >= RECENT && performance.now() >= end) return operations;
  }
}

export const FASTEST_TENTH = "time, fastest tenth";
export const MEAN = "time, collections included";

/** The figures of one rival from what its rounds gave. */
export function timings(rival: string, at: Measurement["at"], runs: readonly Timed[]): Measurement[] {
  return medians(rival, at, runs, {
    time: ["ns", ({ ns }) => ns],
    [FASTEST_TENTH]: ["ns", ({ fastNs }) => fastNs],
    [MEAN]: ["ns", ({ meanNs }) => meanNs],
  });
}

/** What a run's figures are called, in what unit, and which they are; `null` where a run has none. */
type Metrics<Run> = Readonly<Record<string, readonly [Measurement["unit"], (run: Run) => number | null]>>;

/** A measurement for each metric that some run has: the median over the runs. */
export function medians<Run>(
  rival: string,
  at: Measurement["at"],
  runs: readonly Run[],
  metrics: Metrics<Run>,
): Measurement[] {
  return Object.entries(metrics).flatMap(([metric, [unit, of]]) => {
    const values = runs.flatMap((each) => of(each) ?? []);
    return values.length === 0 ? [] : [{ rival, at, metric, unit, ...summarize(values) }];
  });
}
