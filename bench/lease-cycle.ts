/**
 * What does one lease cost from acquire to release, nothing else alive?
 *
 *   npx tsx bench/lease-cycle.ts [--json FILE]
 */

import {
  arrayPool,
  bufferAlloc,
  bufferAllocUnsafe,
  floor,
  freshArray,
  throughAcquire,
  throughPool,
} from "./baselines.ts";
import { type Figure, formatLength, formatNs, machine, measure, printTable, writeJson } from "./harness.ts";

const lengths = [64, 1024, 4096, 16_384, 65_536];
const modes = ["before-reuse", "on-release", "never"] as const;

const figures: Record<number, Record<string, Figure>> = {};
for (const byteLength of lengths) {
  const rivals = {
    "new Uint8Array": freshArray(byteLength),
    "Buffer.alloc": bufferAlloc(byteLength),
    "Buffer.allocUnsafe, dirty": bufferAllocUnsafe(byteLength),
    "array pool, fill(0)": arrayPool(byteLength),
    "floor: 2 calls, view, fill": await floor(byteLength),
    ...Object.fromEntries(
      await Promise.all(modes.map(async (mode) => [`${mode}, acquire`, await throughAcquire(mode, byteLength)])),
    ),
    ...Object.fromEntries(
      await Promise.all(modes.map(async (mode) => [`${mode}, pool`, await throughPool(mode, byteLength)])),
    ),
  };
  const plan = { operations: byteLength > 10_000 ? 500 : 2000, rounds: 60 };
  figures[byteLength] = measure(rivals, plan);
}

const { node, processor, date } = machine();
console.log(`One lease cycle. Node ${node}, ${processor}, ${date}. Medians of batches, rivals interleaved.`);
for (const byteLength of lengths) {
  const row = figures[byteLength] as Record<string, Figure>;
  const fresh = row["new Uint8Array"]?.ns ?? Number.NaN;
  const pooled = row["array pool, fill(0)"]?.ns ?? Number.NaN;
  const least = row["floor: 2 calls, view, fill"]?.ns ?? Number.NaN;
  printTable(
    formatLength(byteLength),
    ["", "ns", "± %", "faster than fresh", "of array pool", "of floor"],
    Object.entries(row).map(([name, { ns, spread }]) => [
      name,
      formatNs(ns),
      (spread * 100).toFixed(0),
      `${(fresh / ns).toFixed(1)}×`,
      `${(ns / pooled).toFixed(2)}×`,
      `${(ns / least).toFixed(2)}×`,
    ]),
  );
}
writeJson({ figures });
