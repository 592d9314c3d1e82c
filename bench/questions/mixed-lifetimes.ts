/**
 * Owns a load of two lifetimes: most loans are short, one in N is kept a thousand
 * times longer. Lifetimes are counted in loans made meanwhile, so the load is the
 * same however fast the rival, and drawn from half to one and a half times their
 * mean, so nothing ends in the order in which it began.
 *
 * What a hint on `acquire` would give is emulated: two arenas lay their leases out
 * exactly as two sets of segments in one would. Only the cap is counted otherwise:
 * one shared cap has to hold the peak of the sum, two caps the sum of the peaks.
 */

import { Arena } from "cleanslab";
import { medians } from "../harness.ts";
import { ARRAY_POOL, arenaLender, arrayPoolLender, FRESH, freshLender, type Lender, type Loan } from "../lenders.ts";
import type { Form, Measurement, Outcome, Question, Table } from "../question.ts";
import { seededRandom, summarize } from "../statistics.ts";
import { figureOf, formatNs, formatRatio, rivalsIn, valuesOfAt, where } from "../tables.ts";
import { type Watched, watch } from "../watch.ts";

const KiB = 1024;
const MiB = 1024 * KiB;
/** Enough for every variant: the footprint is what is asked for here. */
const maxBytes = 4096 * MiB;

const SEED = 20_261_123;
const LENGTHS = [KiB, 2 * KiB, 4 * KiB, 8 * KiB];
/** Mean lifetime of a short loan, in loans made meanwhile. */
const SHORT = 64;
const TIMES_LONGER = 1000;
/** Loans between two looks at the clock. */
const CHUNK = 4096;

const TWO_ARENAS = "before-reuse, two arenas";
const HINT = "before-reuse, hint (emulated)";

export const mixedLifetimes: Question<MixedInput, MixedResult> = {
  name: "mixed-lifetimes",
  question: "One lease in N is held a thousand times longer than the rest: what does that cost in memory and time?",
  rounds: { quick: 1, full: 2 },
  cases,
  run: runMixed,
  measurements,
  tables,
};

const LENDERS: Readonly<Record<string, () => Lender>> = {
  [FRESH]: freshLender,
  [ARRAY_POOL]: arrayPoolLender,
  "never, one arena": () => arenaLender({ maxBytes, revoke: "never" }),
  "on-release, one arena": () => arenaLender({ maxBytes, revoke: "on-release" }),
  "before-reuse, one arena": () => arenaLender({ maxBytes }),
  "before-reuse, 256 KiB segments": () => arenaLender({ maxBytes, segmentBytes: 256 * KiB }),
  "before-reuse, capped at 64 MiB": () => arenaLender({}),
  [TWO_ARENAS]: twoArenas,
  "before-reuse, long ones fresh": longOnesFresh,
};

function twoArenas(): Lender {
  const short = new Arena({ maxBytes, trace: "off" });
  const long = new Arena({ maxBytes, trace: "off" });
  return { borrow: (byteLength, isLong) => (isLong ? long : short).acquire(byteLength), arenas: [short, long] };
}

function longOnesFresh(): Lender {
  const arena = new Arena({ maxBytes, trace: "off" });
  const fresh = freshLender();
  return {
    borrow: (byteLength, isLong) => (isLong ? fresh.borrow(byteLength) : arena.acquire(byteLength)),
    arenas: [arena],
  };
}

export interface MixedInput {
  variant: string;
  /** One loan in this many is long. */
  oneIn: number;
  timesLonger: number;
  /** Loans before the figures count: long ones have begun to end by then. */
  warmup: number;
  loans: number;
}

export interface MixedResult extends Watched {
  /** Median nanoseconds for a loan from beginning to end, over chunks of loans. */
  ns: number;
  /** Looked at after each chunk of loans. */
  peakLiveBytes: number;
  /** Of each arena, added up. */
  sumOfPeaksReserved: number;
  /** Of all arenas together, as a shared cap would see it; looked at after each chunk. */
  peakOfSumReserved: number;
  /** Of the segments that wait for their last lease, at the end. */
  retiredBytes: number;
  retiredLiveBytes: number;
  overflowed: number;
}

function cases(form: Form): MixedInput[] {
  const oneInEach = form === "quick" ? [100] : [10, 100, 1000];
  const variants = Object.keys(LENDERS).filter((_, index) => form === "full" || [0, 1, 4, 7].includes(index));
  // As many loans as the longest of them lives, and half as much again.
  const long = SHORT * TIMES_LONGER * 1.5;
  const counts = { timesLonger: TIMES_LONGER, warmup: long, loans: form === "quick" ? long / 2 : long };
  return oneInEach.flatMap((oneIn) => variants.map((variant) => ({ ...counts, variant, oneIn })));
}

function measurements(outcomes: readonly Outcome<MixedInput, MixedResult>[]): Measurement[] {
  return outcomes.flatMap(({ input: { variant, oneIn }, runs }) => {
    const own = toMeasurements(variant, oneIn, runs, ({ sumOfPeaksReserved }) => sumOfPeaksReserved);
    if (variant !== TWO_ARENAS) return own;
    return [...own, ...toMeasurements(HINT, oneIn, runs, ({ peakOfSumReserved }) => peakOfSumReserved)];
  });
}

function toMeasurements(
  rival: string,
  oneIn: number,
  runs: readonly MixedResult[],
  reserved: (run: MixedResult) => number,
): Measurement[] {
  return medians(rival, { oneIn, timesLonger: TIMES_LONGER }, runs, {
    time: ["ns", ({ ns }) => ns],
    "peak live": ["bytes", ({ peakLiveBytes }) => peakLiveBytes],
    "peak reserved": ["bytes", reserved],
    "peak resident": ["bytes", ({ peakResidentBytes }) => peakResidentBytes],
    retired: ["bytes", ({ retiredBytes }) => retiredBytes],
    "live in retired": ["bytes", ({ retiredLiveBytes }) => retiredLiveBytes],
    overflowed: ["count", ({ overflowed }) => overflowed],
    "time in collections": ["ms", ({ collectionMs }) => collectionMs],
  });
}

/** Which loan is long, how long each is in bytes, and which ones end after which: all drawn before the clock runs. */
export class Schedule {
  readonly byteLengths: Int32Array;
  readonly isLong: Uint8Array;
  /** The loan that ends last after this one was made, or -1 … */
  readonly #ends: Int32Array;
  /** … and for each loan the next one that ends at the same time. */
  readonly #next: Int32Array;

  constructor(loans: number, { oneIn, timesLonger }: { oneIn: number; timesLonger: number }, seed = SEED) {
    const random = seededRandom(seed);
    this.byteLengths = new Int32Array(loans);
    this.isLong = new Uint8Array(loans);
    this.#ends = new Int32Array(loans).fill(-1);
    this.#next = new Int32Array(loans).fill(-1);
    for (let each = 0; each < loans; each++) {
      this.byteLengths[each] = LENGTHS[Math.floor(random() * LENGTHS.length)] as number;
      this.isLong[each] = random() < 1 / oneIn ? 1 : 0;
      const mean = SHORT * (this.isLong[each] === 1 ? timesLonger : 1);
      const end = each + Math.floor(mean * (0.5 + random()));
      if (end >= loans) continue; // outlives the run
      this.#next[each] = this.#ends[end] as number;
      this.#ends[end] = each;
    }
  }

  get loans(): number {
    return this.byteLengths.length;
  }

  /** Ends every loan that ends when loan `each` has just been made. */
  endAfter(each: number, alive: (Loan | undefined)[]): void {
    for (let ending = this.#ends[each] as number; ending >= 0; ending = this.#next[ending] as number) {
      alive[ending]?.release();
      alive[ending] = undefined;
    }
  }
}

/** The load, in this process. */
export async function runMixed({ variant, oneIn, timesLonger, warmup, loans }: MixedInput): Promise<MixedResult> {
  const createLender = LENDERS[variant];
  if (createLender === undefined) throw new Error(`no lender is called "${variant}"`);
  const lender = createLender();
  const schedule = new Schedule(warmup + loans, { oneIn, timesLonger });
  const alive: (Loan | undefined)[] = new Array(schedule.loans).fill(undefined);
  const watching = watch();
  const chunkNs: number[] = [];
  let peakOfSum = 0;
  let peakLiveBytes = 0;
  for (let from = 0; from < schedule.loans; from += CHUNK) {
    const to = Math.min(from + CHUNK, schedule.loans);
    const started = performance.now();
    lend(lender, schedule, alive, from, to);
    if (from >= warmup) chunkNs.push(((performance.now() - started) * 1e6) / (to - from));
    watching.sample();
    peakOfSum = Math.max(peakOfSum, sumOf(lender, "reservedBytes"));
    peakLiveBytes = Math.max(peakLiveBytes, sumOf(lender, "liveBytes"));
  }
  const { retiredBytes, retiredLiveBytes } = retiredIn(lender);
  return {
    ...(await watching.stop()),
    ns: summarize(chunkNs).value,
    peakLiveBytes,
    sumOfPeaksReserved: sumOf(lender, "peakReservedBytes"),
    peakOfSumReserved: peakOfSum,
    retiredBytes,
    retiredLiveBytes,
    overflowed: sumOf(lender, "overflowed"),
  };
}

function lend(lender: Lender, schedule: Schedule, alive: (Loan | undefined)[], from: number, to: number): void {
  const { byteLengths, isLong } = schedule;
  for (let each = from; each < to; each++) {
    const loan = lender.borrow(byteLengths[each] as number, isLong[each] === 1);
    loan.bytes[0] = each;
    alive[each] = loan;
    schedule.endAfter(each, alive);
  }
}

function sumOf(
  { arenas }: Lender,
  counter: "liveBytes" | "reservedBytes" | "peakReservedBytes" | "overflowed",
): number {
  return arenas.reduce((sum, arena) => sum + arena.stats()[counter], 0);
}

function retiredIn({ arenas }: Lender): { retiredBytes: number; retiredLiveBytes: number } {
  const segments = arenas.map((arena) => arena.stats().segments);
  return {
    retiredBytes: segments.reduce((sum, { retiredBytes }) => sum + retiredBytes, 0),
    retiredLiveBytes: segments.reduce((sum, { retiredLiveBytes }) => sum + retiredLiveBytes, 0),
  };
}

function tables(measurements: readonly Measurement[]): Table[] {
  return valuesOfAt(measurements, "oneIn").map((oneIn) => {
    const figures = where(measurements, { oneIn });
    const of = (rival: string, metric: string): number => figureOf(figures, { rival, metric });
    const mib = (rival: string, metric: string): string => {
      const value = of(rival, metric);
      return value === 0 ? "–" : (value / MiB).toFixed(value < 10 * MiB ? 1 : 0);
    };
    const lengths = ["peak live", "peak reserved", "peak resident", "retired", "live in retired"];
    return {
      title: `One in ${oneIn} held ${TIMES_LONGER} times longer; lengths in MiB`,
      head: ["", "ns", "faster than fresh", ...lengths, "overflowed", "ms in collections"],
      rows: rivalsIn(figures).map((rival) => [
        rival,
        formatNs(of(rival, "time")),
        formatRatio(of(FRESH, "time") / of(rival, "time")),
        ...lengths.map((metric) => mib(rival, metric)),
        of(rival, "overflowed").toFixed(0),
        of(rival, "time in collections").toFixed(0),
      ]),
    };
  });
}
