/**
 * Owns the question: the parsers of examples/ over leases, over fresh buffers,
 * and the library that most programs use. Throughput with all rivals in one
 * process, in turns; collections in a process for each.
 */

import { figureFrom, formatLength } from "./harness.ts";
import { runIsolated } from "./isolated.ts";
import { FORMATS, type Format, FRESH, makeLoad, openRival, type Pass, rivalsOf } from "./parser-loads.ts";
import type { Measurement, Question, RunOptions, Table } from "./question.ts";
import { figureOf, find, formatSpread, orDash, rivalsIn, timings, where } from "./reading.ts";
import { watch } from "./watch.ts";

const WARM_UP_ROUNDS = 4;
/** Passes in a process that counts collections. */
const COUNTED_PASSES = 150;

export const parsers: Question = {
  name: "parsers",
  question: "What do incremental parsers gain from leases, and how do they compare with the usual libraries?",
  run,
  tables,
};

export interface ParsersInput {
  format: Format;
  rival: string;
  passes: number;
}

export interface ParsersOutcome {
  collections: number;
  collectionMs: number;
  ms: number;
}

async function run({ quick, progress }: RunOptions): Promise<Measurement[]> {
  const measurements: Measurement[] = [];
  const steps = FORMATS.length * (quick ? 1 : 5);
  let done = 0;
  for (const format of FORMATS) {
    const load = await makeLoad(format);
    const at = { format, byteLength: load.byteLength, messages: load.messages };
    const passes = new Map<string, Pass>();
    for (const rival of rivalsOf(format)) passes.set(rival, await openRival(format, rival));
    const samples = await timeInTurns(passes, load, quick ? 12 : 60);
    measurements.push(...timings(samples, at));
    progress(++done / steps);
    if (quick) continue;
    for (const rival of passes.keys()) {
      const outcome = await runIsolated<ParsersOutcome>("parsers", { format, rival, passes: COUNTED_PASSES });
      const { collections, collectionMs, ms } = outcome;
      measurements.push(
        { rival, at, metric: "collections", unit: "count", value: collections },
        { rival, at, metric: "in collections", unit: "×", value: collectionMs / ms },
      );
      progress(++done / steps);
    }
  }
  return measurements;
}

/** Nanoseconds for one pass, of each. Not `measure`: some of the libraries answer in a later turn. */
async function timeInTurns(
  passes: ReadonlyMap<string, Pass>,
  { chunks, payloadBytes }: { chunks: readonly Buffer[]; payloadBytes: number },
  rounds: number,
): Promise<ReturnType<typeof timed>> {
  const rivals = [...passes];
  const samples = new Map(rivals.map(([rival]) => [rival, [] as number[]]));
  for (let round = -WARM_UP_ROUNDS; round < rounds; round++) {
    for (let each = 0; each < rivals.length; each++) {
      const [rival, pass] = rivals[(each + round + WARM_UP_ROUNDS) % rivals.length] as [string, Pass];
      const start = performance.now();
      const result = pass(chunks);
      const found = typeof result === "number" ? result : await result;
      const ns = (performance.now() - start) * 1e6;
      if (found !== payloadBytes) throw new Error(`${rival} found ${found} bytes, not ${payloadBytes}`);
      if (round >= 0) samples.get(rival)?.push(ns);
    }
  }
  return timed(samples);
}

function timed(samples: ReadonlyMap<string, readonly number[]>) {
  return Object.fromEntries([...samples].map(([rival, ns]) => [rival, figureFrom(ns)]));
}

/** One rival in a process of its own. */
export async function runParsers({ format, rival, passes }: ParsersInput): Promise<ParsersOutcome> {
  const { chunks } = await makeLoad(format);
  const pass = await openRival(format, rival);
  await pass(chunks);
  const watched = watch();
  const start = performance.now();
  for (let each = 0; each < passes; each++) await pass(chunks);
  const ms = performance.now() - start;
  const { collections, collectionMs } = await watched.stop();
  return { collections, collectionMs, ms };
}

function tables(measurements: readonly Measurement[]): Table[] {
  return FORMATS.filter((format) => where(measurements, { format }).length > 0).map((format) => {
    const figures = where(measurements, { format });
    const { byteLength = 0, messages = 0 } = figures[0]?.at ?? {};
    const fresh = figureOf(figures, { rival: FRESH });
    return {
      title: `${format}: ${messages} messages, ${formatLength(Number(byteLength))} in chunks of 64 KiB`,
      head: ["", "MiB a second", "± %", "faster than fresh", `collections in ${COUNTED_PASSES} passes`, "time in them"],
      rows: rivalsIn(figures).map((rival) => {
        const time = find(figures, { rival });
        const ns = time?.value ?? Number.NaN;
        return [
          rival,
          (Number(byteLength) / 2 ** 20 / (ns / 1e9)).toFixed(0),
          formatSpread(time?.spread),
          `${(fresh / ns).toFixed(2)}×`,
          orDash(figureOf(figures, { rival, metric: "collections" }), String),
          orDash(figureOf(figures, { rival, metric: "in collections" }), (share) => `${(share * 100).toFixed(1)} %`),
        ];
      }),
    };
  });
}
