/** Owns the question and its cases; how rivals are measured is harness.ts, what they do baselines.ts. */

import {
  arrayPool,
  bufferAlloc,
  bufferAllocUnsafe,
  floor,
  freshArray,
  throughAcquire,
  throughPool,
} from "./baselines.ts";
import { type Batch, formatLength, formatNs, formatRatio, measure } from "./harness.ts";
import type { Measurement, Question, RunOptions, Table } from "./question.ts";

const LENGTHS = [64, 1024, 4096, 16_384, 65_536];
const QUICK_LENGTHS = [64, 1024, 16_384];
const MODES = ["before-reuse", "on-release", "never"] as const;

const FRESH = "new Uint8Array";
const ARRAY_POOL = "array pool, fill(0)";
const FLOOR = "floor: 2 calls, view, fill";

export const leaseCycle: Question = {
  name: "lease-cycle",
  question: "What does one lease cost from acquire to release, nothing else alive?",
  run,
  tables,
};

async function run({ quick, progress }: RunOptions): Promise<Measurement[]> {
  const lengths = quick ? QUICK_LENGTHS : LENGTHS;
  const measurements: Measurement[] = [];
  for (const [done, byteLength] of lengths.entries()) {
    const plan = { operations: byteLength > 10_000 ? 500 : 2000, rounds: quick ? 10 : 60 };
    const figures = measure(await rivalsAt(byteLength), {
      ...plan,
      progress: (share) => progress((done + share) / lengths.length),
    });
    for (const [rival, { ns, spread, samples }] of Object.entries(figures)) {
      measurements.push({ rival, at: { byteLength }, metric: "time", unit: "ns", value: ns, spread, samples });
    }
  }
  return measurements;
}

async function rivalsAt(byteLength: number): Promise<Record<string, Batch>> {
  const rivals: Record<string, Batch> = {
    [FRESH]: freshArray(byteLength),
    "Buffer.alloc": bufferAlloc(byteLength),
    "Buffer.allocUnsafe, dirty": bufferAllocUnsafe(byteLength),
    [ARRAY_POOL]: arrayPool(byteLength),
    [FLOOR]: await floor(byteLength),
  };
  for (const mode of MODES) rivals[`${mode}, acquire`] = await throughAcquire(mode, byteLength);
  for (const mode of MODES) rivals[`${mode}, pool`] = await throughPool(mode, byteLength);
  return rivals;
}

function tables(measurements: readonly Measurement[]): Table[] {
  const lengths = [...new Set(measurements.map(({ at }) => Number(at["byteLength"])))];
  return lengths.map((byteLength) => {
    const figures = measurements.filter(({ at }) => at["byteLength"] === byteLength);
    const nsOf = (name: string): number => figures.find(({ rival }) => rival === name)?.value ?? Number.NaN;
    return {
      title: formatLength(byteLength),
      head: ["", "ns", "± %", "faster than fresh", "of array pool", "of floor"],
      rows: figures.map(({ rival, value, spread = Number.NaN }) => [
        rival,
        formatNs(value),
        (spread * 100).toFixed(0),
        formatRatio(nsOf(FRESH) / value),
        formatRatio(value / nsOf(ARRAY_POOL)),
        formatRatio(value / nsOf(FLOOR)),
      ]),
    };
  });
}
