/**
 * What does one lease cost from acquire to release, nothing else alive?
 *
 *   npx tsx bench/lease-cycle.ts [--json FILE] [--markdown]
 *
 * `--markdown` prints the README's table instead.
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
const heading = `One lease cycle. Node ${node}, ${processor}, ${date}. Medians of batches, rivals interleaved.`;
if (process.argv.includes("--markdown")) {
  printMarkdown();
} else {
  console.log(heading);
  for (const byteLength of lengths) printLength(byteLength, figures[byteLength] as Record<string, Figure>);
}
writeJson({ figures });

function printLength(byteLength: number, row: Record<string, Figure>): void {
  const nsOf = (name: string): number => row[name]?.ns ?? Number.NaN;
  printTable(
    formatLength(byteLength),
    ["", "ns", "± %", "faster than fresh", "of array pool", "of floor"],
    Object.entries(row).map(([name, { ns, spread }]) => [
      name,
      formatNs(ns),
      (spread * 100).toFixed(0),
      `${(nsOf("new Uint8Array") / ns).toFixed(1)}×`,
      `${(ns / nsOf("array pool, fill(0)")).toFixed(2)}×`,
      `${(ns / nsOf("floor: 2 calls, view, fill")).toFixed(2)}×`,
    ]),
  );
}

function printMarkdown(): void {
  console.log(`| ns | ${lengths.map(formatLength).join(" | ")} |\n|---|${lengths.map(() => "--:|").join("")}`);
  for (const name of Object.keys(figures[64] ?? {})) {
    const cells = lengths.map((byteLength) => formatNs(figures[byteLength]?.[name]?.ns ?? Number.NaN));
    console.log(`| ${name} | ${cells.join(" | ")} |`);
  }
}
