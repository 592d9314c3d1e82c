/**
 * What guards, trace levels and subscribers add to a lease of 1 KiB. Owns the cases.
 *
 * Leases are released in another loop than they are acquired in, as in a program that
 * hands them on. In one and the same loop the engine optimises a lease away that
 * nobody else sees, but not once some are guarded: that would be measured instead.
 */

import { subscribe } from "node:diagnostics_channel";
import { setImmediate } from "node:timers/promises";
import { Arena, type ArenaOptions, type Lease } from "cleanslab";
import { figureOf, find, formatNs, formatSpread, rivalsIn } from "../figures.ts";
import { type Batch, COMPILED_AT_ONCE, FASTEST_TENTH, type Plan, type Timed, time, timings } from "../harness.ts";
import type { Form, Measurement, Outcome, Question, Table } from "../question.ts";

const BYTE_LENGTH = 1024;
const PLAIN = "nothing watched";
const SUBSCRIBED = "channels, each subscribed";
const CHANNELS = ["cleanslab:acquire", "cleanslab:release"] as const;
/** What two runs of the same differ by. */
const CONTROL = "nothing watched, again";
const CASES: Readonly<Record<string, ArenaOptions>> = {
  [PLAIN]: {},
  [CONTROL]: {},
  "guardEvery: 1000": { guardEvery: 1000 },
  "guardEvery: 100": { guardEvery: 100 },
  "guardEvery: 1": { guardEvery: 1 },
  "wipeOnRelease: true": { wipeOnRelease: true },
  "trace: sampled": { trace: "sampled" },
  "trace: all": { trace: "all" },
  [SUBSCRIBED]: {},
};
/** What docs/DESIGN.md wants a rare guard to add at most, in percent. Where two runs of the same differ by more, nothing is known. */
const WANTED: Readonly<Record<string, number>> = { [CONTROL]: 2, "guardEvery: 1000": 2 };
const PLANS: Readonly<Record<Form, Plan>> = {
  quick: { warmUpMs: 200, batchMs: 2, batches: 100 },
  full: { warmUpMs: 500, batchMs: 2, batches: 300 },
};

export interface GuardInput {
  rival: string;
  plan: Plan;
}

export const guard: Question<GuardInput, Timed> = {
  name: "guard",
  question: "What do guards, trace levels and channels add to a lease of 1 KiB?",
  rounds: { quick: 3, full: 15 },
  nodeFlags: COMPILED_AT_ONCE,
  cases: (form) => Object.keys(CASES).map((rival) => ({ rival, plan: PLANS[form] })),
  async run({ rival, plan }) {
    let messages = 0;
    const count = (): void => {
      messages++;
    };
    if (rival === SUBSCRIBED) for (const name of CHANNELS) subscribe(name, count);
    const timed = time(cycle(new Arena({ trace: "off", ...CASES[rival] })), plan);
    await setImmediate(); // messages come in a microtask, with a count
    if (messages > 0 !== (rival === SUBSCRIBED)) throw new Error(`${messages} messages on the channels`);
    return timed;
  },
  measurements: (outcomes: readonly Outcome<GuardInput, Timed>[]) =>
    outcomes.flatMap(({ input: { rival }, runs }) => timings(rival, { byteLength: BYTE_LENGTH }, runs)),
  tables,
};

function cycle(arena: Arena): Batch {
  const leases: Lease[] = [];
  return (operations) => {
    for (let each = 0; each < operations; each += 8) {
      for (let at = 0; at < 8; at++) {
        const lease = arena.acquire(BYTE_LENGTH);
        lease.bytes[0] = at;
        leases[at] = lease;
      }
      for (let at = 0; at < 8; at++) leases[at]?.release();
    }
  };
}

function tables(figures: readonly Measurement[]): Table[] {
  const added = (rival: string, metric = "time"): number =>
    (figureOf(figures, { rival, metric }) / figureOf(figures, { rival: PLAIN, metric }) - 1) * 100;
  const verdict = (rival: string): string => {
    const wanted = WANTED[rival];
    if (wanted === undefined) return "";
    const noise = Math.abs(added(CONTROL));
    const isNoisy = !(noise < wanted);
    if (rival === CONTROL) return isNoisy ? `too noisy: ±${noise.toFixed(0)} %` : "";
    if (isNoisy) return "too noisy here";
    return `${added(rival) < wanted ? "" : "not "}under ${wanted} %`;
  };
  return [
    {
      title: "before-reuse, 1 KiB, 8 alive",
      head: ["", "ns", "± %", "added %", "fastest tenth", ""],
      rows: rivalsIn(figures).map((rival) => {
        const found = find(figures, { rival });
        return [
          rival,
          formatNs(found?.value ?? Number.NaN),
          formatSpread(found?.spread),
          added(rival).toFixed(1),
          added(rival, FASTEST_TENTH).toFixed(1),
          verdict(rival),
        ];
      }),
    },
  ];
}
