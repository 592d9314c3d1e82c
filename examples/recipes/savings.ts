/**
 * What each recipe saves: nanoseconds and allocated bytes for one message, in the
 * library's usual way and into a lease, as a table in markdown.
 *
 *   npm run build && node scripts/run.mjs savings [recipe…]
 *
 * A process for each recipe and mode, because the engine keeps what it learns of
 * a function with the function; in it both ways take turns, and medians count.
 * Allocated is what `heapUsed` and `arrayBuffers` rise by between two collections.
 * The arena's own segments are in neither: they are taken once, and used again.
 */

import { execFileSync } from "node:child_process";
import { cpus } from "node:os";
import { fileURLToPath } from "node:url";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { Arena } from "cleanslab";
import { COMPARISONS, type Comparison } from "./messages.ts";

const MODES = ["before-reuse", "never"] as const;
type Mode = (typeof MODES)[number];
const BODY_BYTES = [0, 16 * 1024];
const ROUNDS = 41;
const BATCH_MS = 8;
/** Allocated between two looks at the heap: so little that the collector has no reason to come between. */
const COUNTED_BYTES = 512 * 1024;
const FEW_MESSAGES = 16;
const MANY_MESSAGES = 400;

interface Figures {
  byteLength: number;
  usual: { ns: number; allocated: number };
  leased: { ns: number; allocated: number };
}

type Make = () => number | Promise<number>;

async function measureRecipe(recipe: string, revoke: Mode): Promise<Figures[]> {
  const make = COMPARISONS[recipe];
  if (make === undefined)
    throw new Error(`no recipe is called ${recipe}; there are ${Object.keys(COMPARISONS).join(", ")}`);
  const arena = new Arena({ revoke });
  const figures: Figures[] = [];
  for (const bodyBytes of BODY_BYTES) figures.push(await compare(make(bodyBytes), arena));
  arena.assertDrained();
  return figures;
}

async function compare(comparison: Comparison, arena: Arena): Promise<Figures> {
  const usual: Make = () => comparison.usual();
  const leased: Make = () => comparison.leased(arena);
  const byteLength = await usual();
  if ((await leased()) !== byteLength) throw new Error("the two ways made messages of different lengths");
  const [usualNs, leasedNs] = await timeInTurns([usual, leased]);
  const [usualAllocated, leasedAllocated] = await countAllocated([usual, leased]);
  return {
    byteLength,
    usual: { ns: usualNs as number, allocated: usualAllocated as number },
    leased: { ns: leasedNs as number, allocated: leasedAllocated as number },
  };
}

/** Median nanoseconds for one message, of each. */
async function timeInTurns(rivals: readonly Make[]): Promise<number[]> {
  const samples = rivals.map((): number[] => []);
  const messages = await Promise.all(rivals.map(messagesInABatch));
  for (let round = 0; round < ROUNDS; round++) {
    for (const [each, make] of rivals.entries()) {
      const count = messages[each] as number;
      const start = performance.now();
      await makeMany(make, count);
      samples[each]?.push(((performance.now() - start) * 1e6) / count);
    }
  }
  return samples.map(median);
}

/** Warms `make` up, and finds how many messages fill a batch. */
async function messagesInABatch(make: Make): Promise<number> {
  for (let count = 64; ; count *= 2) {
    const start = performance.now();
    await makeMany(make, count);
    if (performance.now() - start > BATCH_MS) return count;
  }
}

/** Median bytes allocated for one message, of each. */
async function countAllocated(rivals: readonly Make[]): Promise<number[]> {
  setFlagsFromString("--expose-gc");
  const collect: () => void = runInNewContext("gc");
  // What the counting itself allocates is counted by messages of nothing.
  const counting = median(await risesOf(nothing, FEW_MESSAGES, collect));
  const perMessage: number[] = [];
  for (const make of rivals) {
    const few = median(await risesOf(make, FEW_MESSAGES, collect)) - counting;
    const most = Math.floor(COUNTED_BYTES / Math.max(1, few / FEW_MESSAGES));
    const count = Math.min(Math.max(most, FEW_MESSAGES), MANY_MESSAGES);
    const risen = median(await risesOf(make, count, collect)) - counting;
    perMessage.push(Math.max(0, risen / count));
  }
  return perMessage;
}

/** By how many bytes the heap and the array buffers rise while `count` messages are made, in each round. */
async function risesOf(make: Make, count: number, collect: () => void): Promise<number[]> {
  const samples: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    collect();
    const before = process.memoryUsage();
    await makeMany(make, count);
    const after = process.memoryUsage();
    const risen = after.heapUsed - before.heapUsed + after.arrayBuffers - before.arrayBuffers;
    // Less than nothing: the collector came between.
    if (risen >= 0) samples.push(risen);
  }
  return samples;
}

function nothing(): number {
  return 1;
}

/** One after the other; a synchronous message does not wait for a promise. */
async function makeMany(make: Make, count: number): Promise<void> {
  for (let each = 0; each < count; each++) {
    const byteLength = make();
    if (typeof byteLength !== "number") await byteLength;
  }
}

function median(samples: readonly number[]): number {
  return Float64Array.from(samples).sort()[Math.floor(samples.length / 2)] ?? Number.NaN;
}

function printTable(recipes: readonly string[]): void {
  const head = ["", "message", "time, usual", ...MODES, "allocated, usual", ...MODES].map((cell) => ` ${cell} |`);
  console.log(`|${head.join("")}\n|---|${"---:|".repeat(head.length - 1)}`);
  for (const recipe of recipes) {
    const [byMode, never] = MODES.map((mode) => inProcess(recipe, mode));
    for (const [each, inDefault] of byMode?.entries() ?? []) {
      const inNever = never?.[each] ?? inDefault;
      const cells = [
        recipe,
        bytes(inDefault.byteLength),
        `${nanoseconds(inDefault.usual.ns)}`,
        ...[inDefault, inNever].map(({ usual, leased }) => `${(leased.ns / usual.ns).toFixed(2)}×`),
        bytes(inDefault.usual.allocated),
        ...[inDefault, inNever].map(({ leased }) => bytes(leased.allocated)),
      ];
      console.log(`| ${cells.join(" | ")} |`);
    }
  }
  const date = new Date().toISOString().slice(0, 10);
  console.log(`\n${date}, Node ${process.version.slice(1)}, ${cpus()[0]?.model.trim() ?? "unknown processor"}`);
}

function inProcess(recipe: string, mode: Mode): Figures[] {
  const script = fileURLToPath(import.meta.url);
  const printed = execFileSync(process.execPath, [...process.execArgv, script, recipe, "--mode", mode], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
  });
  return JSON.parse(printed) as Figures[];
}

function nanoseconds(ns: number): string {
  return ns < 1000 ? `${ns.toFixed(0)} ns` : `${(ns / 1000).toFixed(1)} µs`;
}

function bytes(count: number): string {
  return count < 1024 ? `${Math.round(count)} B` : `${(count / 1024).toFixed(1)} KiB`;
}

const [recipe, option, mode] = process.argv.slice(2);
const ofMode = MODES.find((each) => each === mode);
if (recipe !== undefined && option === "--mode" && ofMode !== undefined) {
  // The whole of what this process prints.
  console.log(JSON.stringify(await measureRecipe(recipe, ofMode)));
} else {
  const asked = process.argv.slice(2);
  const unknown = asked.find((each) => !Object.hasOwn(COMPARISONS, each));
  if (unknown !== undefined) {
    console.error(`no recipe is called ${unknown}; there are ${Object.keys(COMPARISONS).join(", ")}`);
    process.exitCode = 2;
  } else printTable(asked.length === 0 ? Object.keys(COMPARISONS) : asked);
}
