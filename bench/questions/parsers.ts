/**
 * The parsers of examples/ over leases, over fresh buffers, and the library that most
 * programs use. What is parsed is parser-loads.ts.
 */

import { type Timed, timedFrom, timings } from "../harness.ts";
import type { Measurement, Outcome, Question, Table } from "../question.ts";
import { figureOf, find, formatLength, formatSpread, rivalsIn, where } from "../tables.ts";
import { FORMATS, type Format, FRESH, makeLoad, openRival, rivalsOf } from "./parser-loads.ts";

export interface ParsersInput {
  format: Format;
  rival: string;
  warmUpPasses: number;
  passes: number;
}

export interface ParsersResult extends Timed {
  byteLength: number;
  messages: number;
}

export const parsers: Question<ParsersInput, ParsersResult> = {
  name: "parsers",
  question: "What do incremental parsers gain from leases, and how do they compare with the usual libraries?",
  rounds: { quick: 1, full: 5 },
  cases: (form) =>
    FORMATS.flatMap((format) =>
      rivalsOf(format).map((rival) => ({
        format,
        rival,
        warmUpPasses: form === "quick" ? 8 : 15,
        passes: form === "quick" ? 20 : 150,
      })),
    ),
  run,
  measurements,
  tables,
};

/** Not `time`: some of the libraries answer in a later turn. */
async function run({ format, rival, warmUpPasses, passes }: ParsersInput): Promise<ParsersResult> {
  const { chunks, payloadBytes, byteLength, messages } = makeLoad(format);
  const pass = await openRival(format, rival);
  for (let each = 0; each < warmUpPasses; each++) await pass(chunks);
  const ns: number[] = [];
  for (let each = 0; each < passes; each++) {
    const start = performance.now();
    const result = pass(chunks);
    const found = typeof result === "number" ? result : await result;
    ns.push((performance.now() - start) * 1e6);
    if (found !== payloadBytes) throw new Error(`${rival} found ${found} bytes, not ${payloadBytes}`);
  }
  return { ...timedFrom(ns), byteLength, messages };
}

function measurements(outcomes: readonly Outcome<ParsersInput, ParsersResult>[]): Measurement[] {
  return outcomes.flatMap(({ input: { format, rival }, runs }) => {
    const { byteLength = 0, messages = 0 } = runs[0] ?? {};
    return timings(rival, { format, byteLength, messages }, runs);
  });
}

function tables(measured: readonly Measurement[]): Table[] {
  return FORMATS.filter((format) => where(measured, { format }).length > 0).map((format) => {
    const figures = where(measured, { format });
    const { byteLength = 0, messages = 0 } = figures[0]?.at ?? {};
    const fresh = figureOf(figures, { rival: FRESH });
    return {
      title: `${format}: ${messages} messages, ${formatLength(Number(byteLength))} in chunks of 64 KiB`,
      head: ["", "MiB a second", "± %", "faster than fresh"],
      rows: rivalsIn(figures).map((rival) => {
        const time = find(figures, { rival });
        const ns = time?.value ?? Number.NaN;
        return [
          rival,
          (Number(byteLength) / 2 ** 20 / (ns / 1e9)).toFixed(0),
          formatSpread(time?.spread),
          `${(fresh / ns).toFixed(2)}×`,
        ];
      }),
    };
  });
}
