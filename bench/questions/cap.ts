/**
 * A load that comes in bursts: many large buffers wanted at once, then small ones for
 * a while. Owns the load. No process touches more than one burst of memory at a time.
 */

import { freemem } from "node:os";
import { setImmediate, setTimeout } from "node:timers/promises";
import { ARRAY_POOL, arenaLender, arrayPoolLender, FRESH, freshLender, type Lender, type Loan } from "../lenders.ts";
import type { Form, Measurement, Outcome, Question, Table } from "../question.ts";
import { seededRandom, summarize } from "../statistics.ts";
import { formatLength, formatRatio } from "../tables.ts";

const KiB = 1024;
const MiB = 1024 * KiB;
const GiB = 1024 * MiB;
const NO_CAP = 64 * GiB;

const SEED = 20_261_123;
const LARGE = [256 * KiB, 512 * KiB, MiB];
const SMALL = 4 * KiB;
const SMALL_ALIVE = 64;

export const cap: Question<CapInput, CapResult> = {
  name: "cap",
  question: "Bursts that would take an unlimited pool to gigabytes: what does a cap cost, and what is kept afterwards?",
  rounds: { quick: 1, full: 3 },
  nodeFlags: ["--expose-gc"],
  cases,
  run: runCap,
  measurements: (outcomes: readonly Outcome<CapInput, CapResult>[]) =>
    outcomes.length === 0
      ? [skipped(freemem())]
      : outcomes.flatMap(({ input: { variant, burstBytes, maxBytes }, runs }) =>
          toMeasurements(variant, { burstBytes, maxBytes }, runs),
        ),
  tables,
};

interface Variant {
  create(maxBytes: number): Lender;
  /** Takes its turn at the cap instead of overflowing to the heap. */
  waits?: true;
}

const VARIANTS: Readonly<Record<string, Variant>> = {
  [FRESH]: { create: freshLender },
  [`${ARRAY_POOL}, no cap`]: { create: arrayPoolLender },
  "before-reuse, no cap": { create: () => arenaLender({ maxBytes: NO_CAP }) },
  "before-reuse, capped, overflows": { create: (maxBytes) => arenaLender({ maxBytes }) },
  "before-reuse, capped, waits": { create: (maxBytes) => arenaLender({ maxBytes }), waits: true },
  "never, no cap": { create: () => arenaLender({ maxBytes: NO_CAP, revoke: "never" }) },
  "never, capped, waits": { create: (maxBytes) => arenaLender({ maxBytes, revoke: "never" }), waits: true },
};

export interface CapInput {
  variant: string;
  maxBytes: number;
  /** Bytes wanted at the same time. */
  burstBytes: number;
  bursts: number;
  /** Small loans after each burst. */
  smallLoans: number;
}

export interface CapResult {
  /** Bytes of large buffers lent, filled and read, by the second. */
  bytesPerSecond: number;
  /** Nanoseconds for one small loan between bursts. */
  smallNs: number;
  peakResidentBytes: number;
  /** Above what was resident before the load, after the last small loan and a collection. */
  keptResidentBytes: number;
  peakReservedBytes: number;
  keptReservedBytes: number;
  /** As `keptReservedBytes`, after `trim()`. */
  trimmedReservedBytes: number;
  overflowed: number;
}

const BURST_BYTES: Readonly<Record<Form, number>> = { quick: 128 * MiB, full: GiB };

/** None where memory is too small. */
function cases(form: Form): CapInput[] {
  const burstBytes = BURST_BYTES[form];
  if (freemem() < neededFor(burstBytes)) return [];
  const load = form === "quick" ? { bursts: 1, smallLoans: 5000 } : { bursts: 3, smallLoans: 100_000 };
  const variants = Object.keys(VARIANTS).slice(0, form === "quick" ? 5 : undefined);
  return variants.map((variant) => ({ variant, burstBytes, maxBytes: burstBytes / 8, ...load }));
}

/** Twice the burst: what the collector or an overflow has not given back yet may be there as well. */
function neededFor(burstBytes: number): number {
  return 2 * burstBytes + GiB / 4;
}

export function skipped(freeBytes: number): Measurement {
  const at = { neededBytes: neededFor(BURST_BYTES.full) };
  return { rival: "skipped", at, metric: "free memory", unit: "bytes", value: freeBytes };
}

export function toMeasurements(rival: string, at: Measurement["at"], runs: readonly CapResult[]): Measurement[] {
  const over = (metric: string, unit: Measurement["unit"], of: (run: CapResult) => number): Measurement => ({
    rival,
    at,
    metric,
    unit,
    ...summarize(runs.map(of)),
  });
  return [
    over("throughput", "per second", ({ bytesPerSecond }) => bytesPerSecond),
    over("small loan", "ns", ({ smallNs }) => smallNs),
    over("peak resident", "bytes", ({ peakResidentBytes }) => peakResidentBytes),
    over("kept resident", "bytes", ({ keptResidentBytes }) => keptResidentBytes),
    over("peak reserved", "bytes", ({ peakReservedBytes }) => peakReservedBytes),
    over("kept reserved", "bytes", ({ keptReservedBytes }) => keptReservedBytes),
    over("reserved after trim()", "bytes", ({ trimmedReservedBytes }) => trimmedReservedBytes),
    over("overflowed", "count", ({ overflowed }) => overflowed),
  ];
}

/** The load, in this process. */
export async function runCap(input: CapInput): Promise<CapResult> {
  const variant = VARIANTS[input.variant];
  if (variant === undefined) throw new Error(`no variant is called "${input.variant}"`);
  const lender = variant.create(input.maxBytes);
  const [arena] = lender.arenas;
  const borrow = (byteLength: number): Loan | Promise<Loan> =>
    variant.waits === true && arena !== undefined ? arena.acquireAsync(byteLength) : lender.borrow(byteLength);
  const before = process.memoryUsage.rss();
  const random = seededRandom(SEED);
  const burstMs: number[] = [];
  const smallMs: number[] = [];
  let lentBytes = 0;
  let peakResident = before;
  for (let each = 0; each < input.bursts; each++) {
    const lengths = burstOf(input.burstBytes, random);
    lentBytes += lengths.reduce((sum, length) => sum + length, 0);
    const started = performance.now();
    await Promise.all(lengths.map((length) => useLarge(borrow, length)));
    burstMs.push(performance.now() - started);
    // What this process ever had resident at once, as the system counted it.
    peakResident = Math.max(peakResident, process.resourceUsage().maxRSS * KiB);
    smallMs.push(await useSmall(borrow, input.smallLoans));
  }
  const totalMs = burstMs.reduce((sum, ms) => sum + ms, 0);
  await settle();
  const reserved = (): number => lender.arenas.reduce((sum, each) => sum + each.stats().reservedBytes, 0);
  const keptReservedBytes = reserved();
  const keptResidentBytes = process.memoryUsage.rss() - before;
  for (const each of lender.arenas) each.trim();
  return {
    bytesPerSecond: (lentBytes * 1000) / totalMs,
    smallNs: (summarize(smallMs).value * 1e6) / input.smallLoans,
    peakResidentBytes: peakResident - before,
    keptResidentBytes,
    peakReservedBytes: arena?.stats().peakReservedBytes ?? 0,
    keptReservedBytes,
    trimmedReservedBytes: reserved(),
    overflowed: arena?.stats().overflowed ?? 0,
  };
}

function burstOf(burstBytes: number, random: () => number): number[] {
  const lengths: number[] = [];
  for (let bytes = 0; bytes < burstBytes; bytes += lengths.at(-1) ?? 0) {
    lengths.push(LARGE[Math.floor(random() * LARGE.length)] as number);
  }
  return lengths;
}

/** All of it is written, held for two turns of the event loop, and read in part. */
async function useLarge(borrow: (byteLength: number) => Loan | Promise<Loan>, byteLength: number): Promise<void> {
  const loan = await borrow(byteLength);
  loan.bytes.fill(1);
  await setImmediate();
  await setImmediate();
  if (loan.bytes[byteLength >> 1] !== 1) throw new Error("a buffer changed while it was held");
  loan.release();
}

/** First in, first out. @returns milliseconds */
async function useSmall(borrow: (byteLength: number) => Loan | Promise<Loan>, loans: number): Promise<number> {
  const alive: (Loan | undefined)[] = new Array(SMALL_ALIVE).fill(undefined);
  const started = performance.now();
  for (let each = 0; each < loans; each++) {
    alive[each % SMALL_ALIVE]?.release();
    const loan = await borrow(SMALL);
    loan.bytes[0] = each;
    alive[each % SMALL_ALIVE] = loan;
  }
  for (const loan of alive) loan?.release();
  return performance.now() - started;
}

/** Gives the collector its chance, and the thread on which it frees what it found. */
async function settle(): Promise<void> {
  for (let each = 0; each < 4; each++) {
    global.gc?.();
    await setTimeout(50);
  }
}

function tables(measurements: readonly Measurement[]): Table[] {
  const skip = measurements.find(({ rival }) => rival === "skipped");
  if (skip !== undefined) {
    const needed = formatLength(Number(skip.at["neededBytes"]));
    const title = `Skipped: in full this needs ${needed} of free memory, and there were ${formatLength(skip.value)}`;
    return [{ title, head: ["", "free"], rows: [] }];
  }
  const rivals = [...new Set(measurements.map(({ rival }) => rival))];
  const { at, samples } = measurements[0] ?? { at: {} as Measurement["at"], samples: 0 };
  const figureOf = (rival: string, metric: string): number =>
    measurements.find((each) => each.rival === rival && each.metric === metric)?.value ?? Number.NaN;
  const mib = (rival: string, metric: string): string => (figureOf(rival, metric) / MiB).toFixed(0);
  return [
    {
      title: `Bursts of ${formatLength(Number(at["burstBytes"]))}, where there is a cap it is ${formatLength(Number(at["maxBytes"]))}; lengths in MiB, medians of ${samples} runs`,
      head: [
        "",
        "GiB/s in bursts",
        "of fresh",
        "ns a small one",
        "peak resident",
        "kept resident",
        "peak reserved",
        "kept reserved",
        "after trim()",
        "overflowed",
      ],
      rows: rivals.map((rival) => [
        rival,
        (figureOf(rival, "throughput") / GiB).toFixed(2),
        formatRatio(figureOf(rival, "throughput") / figureOf(FRESH, "throughput")),
        figureOf(rival, "small loan").toFixed(0),
        mib(rival, "peak resident"),
        mib(rival, "kept resident"),
        mib(rival, "peak reserved"),
        mib(rival, "kept reserved"),
        mib(rival, "reserved after trim()"),
        figureOf(rival, "overflowed").toFixed(0),
      ]),
    },
  ];
}
