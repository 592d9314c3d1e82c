/**
 * The quick benchmark: nanoseconds for one buffer, from getting it to giving it
 * back. Rivals take turns in short batches, so that the machine's moods meet all
 * of them. The full benchmarks, with method and rivals, are the project's bench/.
 */

import { Arena, type RevokeMode } from "cleanslab";
import { text } from "./board-view.ts";

const LENGTHS: readonly [number, string][] = [
  [64, "64 B"],
  [1024, "1 KiB"],
  [4096, "4 KiB"],
  [16384, "16 KiB"],
  [65536, "64 KiB"],
];
/** Milliseconds of a batch: far above what a browser's clock can tell. */
const BATCH_MS = 12;
const ROUNDS = 7;

interface Rival {
  readonly name: string;
  readonly ours: boolean;
  /** A function that gets, touches and gives back one buffer `times` times. */
  prepare(byteLength: number): (times: number) => number;
}

function leases(name: string, revoke: RevokeMode): Rival {
  const prepare: Rival["prepare"] = (byteLength) => {
    const arena = new Arena({ revoke });
    return (times) => {
      let sum = 0;
      for (let each = 0; each < times; each++) {
        const lease = arena.acquire(byteLength);
        const { bytes } = lease;
        bytes[0] = each;
        sum += bytes[0];
        lease.release();
      }
      return sum;
    };
  };
  return { name, ours: true, prepare };
}

const RIVALS: readonly Rival[] = [
  {
    name: "new Uint8Array",
    ours: false,
    prepare: (byteLength) => (times) => {
      let sum = 0;
      for (let each = 0; each < times; each++) {
        const bytes = new Uint8Array(byteLength);
        bytes[0] = each;
        sum += bytes[0];
      }
      return sum;
    },
  },
  leases("lease, default", "before-reuse"),
  leases("lease, never", "never"),
];

/** Keeps results in use, so that no loop is optimised away. */
let sink = 0;

function time(run: (times: number) => number, times: number): number {
  const start = performance.now();
  sink ^= run(times);
  return performance.now() - start;
}

/** How many times fill a batch. */
function timesFor(run: (times: number) => number): number {
  let times = 64;
  while (time(run, times) < BATCH_MS && times < 2 ** 24) times *= 2;
  return times;
}

/** Nanoseconds for each rival: the medians. */
async function measure(byteLength: number): Promise<number[]> {
  const runs = RIVALS.map((rival) => rival.prepare(byteLength));
  const times = runs.map(timesFor);
  const samples: number[][] = runs.map(() => []);
  for (let round = 0; round < ROUNDS; round++) {
    for (const [each, run] of runs.entries()) {
      const count = times[each] as number;
      samples[each]?.push((time(run, count) * 1e6) / count);
      // The page stays alive in between.
      await new Promise<void>((resolve) => setTimeout(resolve));
    }
  }
  return samples.map((list) => list.sort((a, b) => a - b)[ROUNDS >> 1] as number);
}

/** Measures every length and draws each as soon as it is known. */
export async function runBenchmark(chart: HTMLElement, say: (text: string) => void): Promise<void> {
  chart.replaceChildren();
  for (const [byteLength, name] of LENGTHS) {
    say(`Measuring ${name} …`);
    chart.append(drawGroup(name, await measure(byteLength)));
  }
  say(`Measured. ${sink === 1 ? "" : "Ratios count; times differ from run to run."}`);
}

function drawGroup(name: string, figures: readonly number[]): HTMLElement {
  const table = document.createElement("table");
  table.append(text("caption", name));
  const longest = Math.max(...figures);
  for (const [each, { name: rival, ours }] of RIVALS.entries()) {
    const nanoseconds = figures[each] as number;
    const row = document.createElement("tr");
    const head = text("th", rival);
    head.setAttribute("scope", "row");
    const bar = document.createElement("div");
    bar.className = ours ? "bar ours" : "bar";
    const length = document.createElement("i");
    length.style.width = `${(nanoseconds / longest) * 70}%`;
    bar.append(length, text("span", `${nanoseconds < 100 ? nanoseconds.toFixed(1) : Math.round(nanoseconds)} ns`));
    const cell = document.createElement("td");
    cell.append(bar);
    row.append(head, cell);
    table.append(row);
  }
  return table;
}
