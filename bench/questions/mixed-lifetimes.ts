/**
 * Owns a load of two lifetimes: most loans are short, one in N is kept a thousand
 * times longer. Lifetimes are counted in loans made meanwhile, so the load is the
 * same however fast the rival, and drawn from half to one and a half times their
 * mean, so nothing ends in the order in which it began.
 */

import { Arena } from "cleanslab";
import { medians } from "../harness.ts";
import type { Form, Measurement, Outcome, Question, Table } from "../question.ts";
import { ARRAY_POOL, FRESH } from "../rivals.ts";
import { seededRandom, summarize } from "../statistics.ts";
import { figureOf, formatNs, formatRatio, rivalsIn, valuesOfAt, where } from "../tables.ts";

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

/** A buffer on loan, as long as was asked. A lease is one as it stands. */
export interface Loan {
  readonly bytes: Uint8Array;
  release(): void;
}

interface Lender {
  borrow(byteLength: number, isLong: boolean): Loan;
  /** Behind this lender, to be asked for their stats. */
  readonly arenas: readonly Arena[];
}

const LENDERS: Readonly<Record<string, () => Lender>> = {
  [FRESH]: () => ({ borrow: (byteLength) => new FreshLoan(byteLength), arenas: [] }),
  [ARRAY_POOL]() {
    const free = new Map<number, Uint8Array[]>(LENGTHS.map((byteLength) => [byteLength, []]));
    return { borrow: (byteLength) => new PooledLoan(free.get(byteLength) ?? [], byteLength), arenas: [] };
  },
  "before-reuse, one arena"() {
    const arena = new Arena({ maxBytes, trace: "off" });
    return { borrow: (byteLength) => arena.acquire(byteLength), arenas: [arena] };
  },
  "before-reuse, two arenas"() {
    const [short, long] = [new Arena({ maxBytes, trace: "off" }), new Arena({ maxBytes, trace: "off" })];
    return { borrow: (byteLength, isLong) => (isLong ? long : short).acquire(byteLength), arenas: [short, long] };
  },
};

class FreshLoan implements Loan {
  readonly bytes: Uint8Array;

  constructor(byteLength: number) {
    this.bytes = new Uint8Array(byteLength);
  }

  /** The collector does it. */
  release(): void {}
}

class PooledLoan implements Loan {
  readonly bytes: Uint8Array;
  readonly #free: Uint8Array[];

  constructor(free: Uint8Array[], byteLength: number) {
    this.#free = free;
    this.bytes = free.pop() ?? new Uint8Array(byteLength);
  }

  release(): void {
    this.bytes.fill(0);
    this.#free.push(this.bytes);
  }
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

export interface MixedResult {
  /** Median nanoseconds for a loan from beginning to end, over chunks of loans. */
  ns: number;
  /** Looked at after each chunk of loans. */
  peakLiveBytes: number;
  /** Of each arena, added up. */
  peakReservedBytes: number;
  /** Of the segments that wait for their last lease, at the end. */
  retiredBytes: number;
  retiredLiveBytes: number;
}

export const mixedLifetimes: Question<MixedInput, MixedResult> = {
  name: "mixed-lifetimes",
  question: "One lease in N is held a thousand times longer than the rest: what does that cost in memory and time?",
  rounds: { quick: 1, full: 2 },
  cases(form: Form) {
    // As many loans as the longest of them lives, and half as much again.
    const long = SHORT * TIMES_LONGER * 1.5;
    const counts = { timesLonger: TIMES_LONGER, warmup: long, loans: form === "quick" ? long / 2 : long };
    return (form === "quick" ? [100] : [10, 100, 1000]).flatMap((oneIn) =>
      Object.keys(LENDERS).map((variant) => ({ ...counts, variant, oneIn })),
    );
  },
  run: runMixed,
  measurements: (outcomes: readonly Outcome<MixedInput, MixedResult>[]) =>
    outcomes.flatMap(({ input: { variant, oneIn }, runs }) =>
      medians(variant, { oneIn, timesLonger: TIMES_LONGER }, runs, {
        time: ["ns", ({ ns }) => ns],
        "peak live": ["bytes", ({ peakLiveBytes }) => peakLiveBytes],
        "peak reserved": ["bytes", ({ peakReservedBytes }) => peakReservedBytes],
        retired: ["bytes", ({ retiredBytes }) => retiredBytes],
        "live in retired": ["bytes", ({ retiredLiveBytes }) => retiredLiveBytes],
      }),
    ),
  tables,
};

/** Which loan is long, how long each is in bytes, and which ones end after which: all drawn before the clock runs. */
export class Schedule {
  readonly byteLengths: Int32Array;
  readonly isLong: Uint8Array;
  /** By loan, those that end when it has just been made. */
  readonly #ends: number[][];

  constructor(loans: number, { oneIn, timesLonger }: { oneIn: number; timesLonger: number }, seed = SEED) {
    const random = seededRandom(seed);
    this.byteLengths = new Int32Array(loans);
    this.isLong = new Uint8Array(loans);
    this.#ends = Array.from({ length: loans }, () => []);
    for (let each = 0; each < loans; each++) {
      this.byteLengths[each] = LENGTHS[Math.floor(random() * LENGTHS.length)] as number;
      this.isLong[each] = random() < 1 / oneIn ? 1 : 0;
      const mean = SHORT * (this.isLong[each] === 1 ? timesLonger : 1);
      // One without an end outlives the run.
      this.#ends[each + Math.floor(mean * (0.5 + random()))]?.push(each);
    }
  }

  get loans(): number {
    return this.byteLengths.length;
  }

  endAfter(each: number, alive: (Loan | undefined)[]): void {
    for (const ending of this.#ends[each] as number[]) {
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
  const chunkNs: number[] = [];
  let peakLiveBytes = 0;
  for (let from = 0; from < schedule.loans; from += CHUNK) {
    const to = Math.min(from + CHUNK, schedule.loans);
    const started = performance.now();
    lend(lender, schedule, alive, from, to);
    if (from >= warmup) chunkNs.push(((performance.now() - started) * 1e6) / (to - from));
    peakLiveBytes = Math.max(
      peakLiveBytes,
      sumOf(lender, ({ liveBytes }) => liveBytes),
    );
  }
  return {
    ns: summarize(chunkNs).value,
    peakLiveBytes,
    peakReservedBytes: sumOf(lender, ({ peakReservedBytes }) => peakReservedBytes),
    retiredBytes: sumOf(lender, ({ segments }) => segments.retiredBytes),
    retiredLiveBytes: sumOf(lender, ({ segments }) => segments.retiredLiveBytes),
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

function sumOf({ arenas }: Lender, count: (stats: ReturnType<Arena["stats"]>) => number): number {
  return arenas.reduce((sum, arena) => sum + count(arena.stats()), 0);
}

function tables(measurements: readonly Measurement[]): Table[] {
  const lengths = ["peak live", "peak reserved", "retired", "live in retired"];
  return valuesOfAt(measurements, "oneIn").map((oneIn) => {
    const figures = where(measurements, { oneIn });
    const mib = (rival: string, metric: string): string => {
      const value = figureOf(figures, { rival, metric });
      return value === 0 ? "–" : (value / MiB).toFixed(value < 10 * MiB ? 1 : 0);
    };
    const nsOf = (rival: string): number => figureOf(figures, { rival });
    return {
      title: `One in ${oneIn} held ${TIMES_LONGER} times longer; lengths in MiB`,
      head: ["", "ns", "faster than fresh", ...lengths],
      rows: rivalsIn(figures).map((rival) => [
        rival,
        formatNs(nsOf(rival)),
        formatRatio(nsOf(FRESH) / nsOf(rival)),
        ...lengths.map((metric) => mib(rival, metric)),
      ]),
    };
  });
}
