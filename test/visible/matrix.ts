/**
 * Runs every probe against every subject, each pair with a subject that nobody
 * used before, and puts what was seen beside what a fresh allocation shows. A
 * probe that throws, or waits for good, costs its own cell and no other.
 */

import { CannotTry, collectGarbage, type Observation, type Probe } from "./probe.ts";
import { HANDOUT_PROBES } from "./probes/handout.ts";
import { IO_PROBES } from "./probes/io.ts";
import { REACH_PROBES } from "./probes/reach.ts";
import { RELEASE_PROBES } from "./probes/release.ts";
import { STALE_PROBES } from "./probes/stale.ts";
import { THREAD_PROBES } from "./probes/threads.ts";
import { WRITTEN_PROBES } from "./probes/written.ts";
import { type Allocator, FRESH, SUBJECTS, type Subject } from "./subjects.ts";
import { FRESH_SHARED, SHARED_SUBJECTS, type Threads } from "./threads.ts";

/** What is tried, on whom, and beside what. */
export interface Plan<A> {
  readonly probes: readonly Probe<A>[];
  readonly fresh: Subject<A>;
  readonly subjects: readonly Subject<A>[];
}

export const BUFFERS: Plan<Allocator> = {
  probes: [...HANDOUT_PROBES, ...WRITTEN_PROBES, ...STALE_PROBES, ...RELEASE_PROBES, ...IO_PROBES, ...REACH_PROBES],
  fresh: FRESH,
  subjects: SUBJECTS,
};

/** Between two threads. */
export const THREADS: Plan<Threads> = { probes: THREAD_PROBES, fresh: FRESH_SHARED, subjects: SHARED_SUBJECTS };

/** Beside a fresh allocation. `differs`: another thing is seen, no more and no less harmful. */
export const VERDICTS = ["same", "better", "differs", "worse", "untried", "failed"] as const;
export type Verdict = (typeof VERDICTS)[number];

export interface Cell {
  readonly verdict: Verdict;
  readonly seen: string;
}

export interface Row {
  readonly theme: string;
  readonly probe: string;
  /** What a fresh allocation shows. */
  readonly fresh: string;
  /** By subject. */
  readonly cells: Readonly<Record<string, Cell>>;
}

export interface Matrix {
  /** The fresh allocation that all are compared with. */
  readonly beside: string;
  readonly subjects: readonly string[];
  readonly rows: readonly Row[];
  /** By subject, how often each verdict was given. */
  readonly counts: Readonly<Record<string, Record<Verdict, number>>>;
}

const PATIENCE_MS = 20_000;

/** @param patienceMs milliseconds until a probe that waits is given up. */
export async function runMatrix<A>(
  { probes, fresh, subjects }: Plan<A>,
  onProgress: (probe: string) => void = () => {},
  patienceMs = PATIENCE_MS,
): Promise<Matrix> {
  const rows: Row[] = [];
  for (const probe of probes) {
    onProgress(probe.name);
    const expected = await attempt(probe, fresh, patienceMs);
    const cells: Record<string, Cell> = {};
    for (const subject of subjects) cells[subject.name] = judge(await attempt(probe, subject, patienceMs), expected);
    rows.push({ theme: probe.theme, probe: probe.name, fresh: expected.seen, cells });
  }
  const names = subjects.map(({ name }) => name);
  const counts = Object.fromEntries(names.map((name) => [name, count(rows, name)]));
  return { beside: fresh.name, subjects: names, rows, counts };
}

/** `"untried"` and `"failed"` say why in `seen`. */
type Attempt = (Observation & { state: "seen" }) | { state: "untried" | "failed"; seen: string };

async function attempt<A>(probe: Probe<A>, subject: Subject<A>, patienceMs: number): Promise<Attempt> {
  // So that what one probe dropped does not burden the next.
  collectGarbage();
  try {
    const { allocator, close } = subject.open();
    try {
      return { state: "seen", ...(await within(patienceMs, async () => probe.run(allocator))) };
    } finally {
      await close();
    }
  } catch (error) {
    if (error instanceof CannotTry) return { state: "untried", seen: error.message };
    return { state: "failed", seen: String(error) };
  }
}

async function within<T>(patienceMs: number, run: () => Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const giveUp = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done after ${patienceMs} ms`)), patienceMs);
  });
  try {
    return await Promise.race([run(), giveUp]);
  } finally {
    clearTimeout(timer);
  }
}

function judge(attempt: Attempt, fresh: Attempt): Cell {
  const { seen } = attempt;
  if (attempt.state !== "seen") return { verdict: attempt.state, seen };
  if (fresh.state !== "seen") return { verdict: "untried", seen: `${seen}; nothing to compare with` };
  if (attempt.harm !== fresh.harm) return { verdict: attempt.harm < fresh.harm ? "better" : "worse", seen };
  return { verdict: seen === fresh.seen ? "same" : "differs", seen };
}

function count(rows: readonly Row[], subject: string): Record<Verdict, number> {
  const times = (verdict: Verdict): number => rows.filter(({ cells }) => cells[subject]?.verdict === verdict).length;
  return Object.fromEntries(VERDICTS.map((verdict) => [verdict, times(verdict)])) as Record<Verdict, number>;
}
