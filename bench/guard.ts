/** Owns the question and its cases: what guards, trace levels and subscribers add to a lease. */

import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { ArenaOptions } from "cleanslab";
import { type Batch, formatNs, measure } from "./harness.ts";
import { loadLibrary } from "./library.ts";
import type { Measurement, Question, RunOptions, Table } from "./question.ts";

const BYTE_LENGTH = 1024;
const PLAIN = "nothing watched";

const CASES: Record<string, ArenaOptions> = {
  [PLAIN]: {},
  "guardEvery: 1000": { guardEvery: 1000 },
  "guardEvery: 100": { guardEvery: 100 },
  "trace: sampled": { trace: "sampled" },
};
const ALL = "trace: all";
const SUBSCRIBED = "channels with a subscriber each";
const CHANNELS = ["cleanslab:acquire", "cleanslab:release"] as const;

export const guard: Question = {
  name: "guard",
  question: "What do guards, trace levels and channels add to a lease of 1 KiB?",
  run,
  tables,
};

async function run({ quick, progress }: RunOptions): Promise<Measurement[]> {
  const rivals: Record<string, Batch> = {};
  for (const [name, options] of Object.entries(CASES)) rivals[name] = await cycle(name, options);
  const plain = await cycle(SUBSCRIBED, {});
  rivals[SUBSCRIBED] = (operations) => {
    let messages = 0;
    const count = (): void => {
      messages++;
    };
    for (const name of CHANNELS) subscribe(name, count);
    plain(operations);
    for (const name of CHANNELS) unsubscribe(name, count);
    if (messages !== 2 * operations) throw new Error(`${messages} messages for ${operations} leases`);
  };
  const rounds = quick ? 15 : 60;
  const figures = {
    ...measure(rivals, { operations: 2000, rounds, progress }),
    // Hundreds of times a plain lease: as many of them would take most of the time.
    ...measure({ [ALL]: await cycle(ALL, { trace: "all" }) }, { operations: 40, rounds }),
  };
  return Object.entries(figures).map(([rival, { ns, spread, samples }]) => ({
    rival,
    at: { byteLength: BYTE_LENGTH },
    metric: "time",
    unit: "ns",
    value: ns,
    spread,
    samples,
  }));
}

async function cycle(name: string, options: ArenaOptions): Promise<Batch> {
  const { Arena } = await loadLibrary(`guard ${name}`);
  const arena = new Arena({ trace: "off", ...options });
  return (operations) => {
    for (let each = 0; each < operations; each++) {
      const lease = arena.acquire(BYTE_LENGTH);
      lease.bytes[0] = each;
      lease.release();
    }
  };
}

function tables(measurements: readonly Measurement[]): Table[] {
  const plain = measurements.find(({ rival }) => rival === PLAIN)?.value ?? Number.NaN;
  return [
    {
      title: "before-reuse, 1 KiB",
      head: ["", "ns", "± %", "added %"],
      rows: measurements.map(({ rival, value, spread = Number.NaN }) => [
        rival,
        formatNs(value),
        (spread * 100).toFixed(0),
        ((value / plain - 1) * 100).toFixed(1),
      ]),
    },
  ];
}
