/**
 * Owns the question and its cases: what guards, trace levels and subscribers add to a lease.
 *
 * A guard in a thousand leases adds a few percent at most, so those cases are compared
 * batch by batch, each with several copies of arena and library: two copies of one and
 * the same may differ by more than that, for instance by where their memory lies. How
 * much is left of it shows in the case that watches nothing, again.
 *
 * Leases are released in another loop than they are acquired in, as in a program that
 * hands them on. In one and the same loop the engine optimises a lease away that
 * nobody else sees, but not once some are guarded: that would be measured instead.
 */

import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { Arena, ArenaOptions, Lease } from "cleanslab";
import { type Batch, type Compared, compare, formatNs, uncertaintyOf } from "./harness.ts";
import { loadLibrary } from "./library.ts";
import { ownCopy } from "./own-copy.ts";
import type { Measurement, Question, RunOptions, Table } from "./question.ts";
import { figureOf, find, rivalsIn, where } from "./reading.ts";

const BYTE_LENGTH = 1024;
const PLAIN = "nothing watched";
const COPIES = 3;
/** Leases of each copy before anything is measured. */
const WARM_UP = 4_000_000;

/** Compared finely. */
const RARE: Record<string, ArenaOptions> = {
  [PLAIN]: {},
  "nothing watched, again": {},
  "guardEvery: 1000": { guardEvery: 1000 },
  "guardEvery: 100": { guardEvery: 100 },
};
/** Dear enough to be seen without. */
const DEAR: Record<string, ArenaOptions> = {
  [PLAIN]: {},
  "guardEvery: 1": { guardEvery: 1 },
  "trace: sampled": { trace: "sampled" },
  "trace: all": { trace: "all" },
};
const SUBSCRIBED = "channels with a subscriber each";
const CHANNELS = ["cleanslab:acquire", "cleanslab:release"] as const;

export const guard: Question = {
  name: "guard",
  question: "What do guards, trace levels and channels add to a lease of 1 KiB?",
  run,
  tables,
};

async function run({ quick, progress }: RunOptions): Promise<Measurement[]> {
  const rare: Record<string, Batch> = {};
  for (const [name, options] of Object.entries(RARE)) rare[name] = await copies(name, options);
  const dear: Record<string, Batch> = {};
  for (const [name, options] of Object.entries(DEAR)) dear[name] = await cycle(`dear ${name}`, options);
  const plain = await cycle(SUBSCRIBED, {});
  dear[SUBSCRIBED] = (operations) => {
    let messages = 0;
    const count = (): void => {
      messages++;
    };
    for (const name of CHANNELS) subscribe(name, count);
    plain(operations);
    for (const name of CHANNELS) unsubscribe(name, count);
    if (messages !== 2 * operations) throw new Error(`${messages} messages for ${operations} leases`);
  };
  const RARE_SHARE = 0.3;
  return [
    ...measurements(
      "rare",
      compare(rare, {
        operations: COPIES * 1000, // a guard to each copy, and short beside the turns of a busy system
        rounds: quick ? 800 : 4000,
        progress: (share) => progress(share * RARE_SHARE),
      }),
    ),
    ...measurements(
      "dear",
      compare(dear, {
        operations: 512,
        rounds: quick ? 20 : 100,
        progress: (share) => progress(RARE_SHARE + share * (1 - RARE_SHARE)),
      }),
    ),
  ];
}

function measurements(group: string, compared: Record<string, Compared>): Measurement[] {
  return Object.entries(compared).flatMap(([rival, { figure, ratio }]): Measurement[] => {
    const at = { byteLength: BYTE_LENGTH, group };
    const { ns: value, spread, samples } = figure;
    return [
      { rival, at, metric: "time", unit: "ns", value, spread, samples },
      { rival, at, metric: `times "${PLAIN}"`, unit: "×", ...ratio },
    ];
  });
}

/** Several arenas of the same options, each with a library of its own, and a batch that is spread over them. */
async function copies(name: string, options: ArenaOptions): Promise<Batch> {
  const cycles: Batch[] = [];
  for (let copy = 0; copy < COPIES; copy++) cycles.push(await cycle(`${name} ${copy}`, options));
  // The engine compiles the way to a guard only once it was taken often, and by then a plain lease a thousand times as often.
  for (const each of cycles) each(WARM_UP);
  return (operations) => {
    for (const each of cycles) each(operations / COPIES);
  };
}

async function cycle(name: string, options: ArenaOptions): Promise<Batch> {
  const { Arena } = await loadLibrary(`guard ${name}`);
  const loop = ownCopy((arena: Arena, byteLength: number, leases: Lease[], operations: number) => {
    for (let each = 0; each < operations; each += 8) {
      for (let at = 0; at < 8; at++) {
        const lease = arena.acquire(byteLength);
        lease.bytes[0] = at;
        leases[at] = lease;
      }
      for (let at = 0; at < 8; at++) leases[at]?.release();
    }
  });
  const arena = new Arena({ trace: "off", ...options });
  const seen: Lease[] = [];
  return (operations) => loop(arena, BYTE_LENGTH, seen, operations);
}

function tables(all: readonly Measurement[]): Table[] {
  return ["rare", "dear"].map((group) => {
    const measured = where(all, { group });
    return {
      title: group === "rare" ? "before-reuse, 1 KiB, compared finely" : "before-reuse, 1 KiB",
      head: ["", "ns", "added %", "± %"],
      rows: rivalsIn(measured).map((rival) => {
        const {
          value = Number.NaN,
          spread = Number.NaN,
          samples = 0,
        } = find(measured, { rival, metric: `times "${PLAIN}"` }) ?? {};
        return [
          rival,
          formatNs(figureOf(measured, { rival })),
          ((value - 1) * 100).toFixed(1),
          (uncertaintyOf({ value, spread, samples }) * 100).toFixed(1),
        ];
      }),
    };
  });
}
