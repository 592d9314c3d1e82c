/**
 * Copies into blocks that begin a few bytes above their source, modulo 4096. There
 * the fast copy of glibc's memmove goes many times slower on newer processors. A
 * pool whose buffers all begin alike hits it every time. Owns the shifts, the
 * lengths, and the question what starts leases get.
 */

import { Arena } from "cleanslab";
import { figureOf, formatLength, formatNs, orDash, rivalsIn, valuesOfAt } from "../figures.ts";
import { type Batch, COMPILED_AT_ONCE, medians, type Plan, type Timed, time, timings } from "../harness.ts";
import type { Form, Measurement, Outcome, Question, Table } from "../question.ts";

const KiB = 1024;
const LENGTHS: Readonly<Record<Form, readonly number[]>> = {
  quick: [4 * KiB, 64 * KiB],
  full: [4 * KiB, 8 * KiB, 16 * KiB, 32 * KiB, 64 * KiB],
};
const PLANS: Readonly<Record<Form, Plan>> = {
  quick: { warmUpMs: 60, batchMs: 1, batches: 60 },
  full: { warmUpMs: 150, batchMs: 1, batches: 200 },
};

/** Where the destination begins above the source, modulo 4096, in bytes. */
const SHIFTS: Readonly<Record<string, number>> = {
  "same start": 0,
  "4 above": 4,
  "32 above": 32,
  "63 above": 63,
  "64 above": 64,
  "staggered: 1216 above": 1216,
  "staggered: 2432 above": 2432,
};
const LEASE_TO_LEASE = "from lease to lease";
const PAGE_TO_LEASE = "from a page's start to a lease";
const PERIOD_BYTES = 4096;
/** Copied to in turn, so that several memories have their part. */
const PLACES = 64;
const MEMORY_PAGES = 4;

export interface AliasingInput {
  rival: string;
  byteLength: number;
  plan: Plan;
}

export interface AliasingResult extends Timed {
  /** Share of the destinations that begin 1 to 63 bytes above their source, modulo 4096. */
  share: number;
}

export const aliasing: Question<AliasingInput, AliasingResult> = {
  name: "aliasing",
  question: "What do copies cost into blocks that begin just above their source, modulo 4096, and what do leases get?",
  rounds: { quick: 1, full: 3 },
  nodeFlags: COMPILED_AT_ONCE,
  cases: (form) =>
    LENGTHS[form].flatMap((byteLength) =>
      [...Object.keys(SHIFTS), LEASE_TO_LEASE, PAGE_TO_LEASE].map((rival) => ({
        rival,
        byteLength,
        plan: PLANS[form],
      })),
    ),
  run({ rival, byteLength, plan }) {
    const { sources, destinations } = open(rival, byteLength);
    return { ...time(copies(sources, destinations), plan), share: shareInTheWay(sources, destinations) };
  },
  measurements,
  tables,
};

/** WebAssembly memories begin at a page's start, so offsets tell all. */
interface Copies {
  sources: readonly Uint8Array[];
  destinations: readonly Uint8Array[];
}

function open(rival: string, byteLength: number): Copies {
  const shift = SHIFTS[rival];
  if (shift !== undefined) return { sources: [inMemory(0, byteLength)], destinations: [inMemory(shift, byteLength)] };
  const arena = new Arena({ trace: "off" });
  const leased = Array.from({ length: PLACES }, () => arena.acquire(byteLength).bytes);
  if (rival === PAGE_TO_LEASE) return { sources: [inMemory(0, byteLength)], destinations: leased };
  // From the first half to the second, as a program does that has received and now answers.
  return { sources: leased.slice(0, PLACES / 2), destinations: leased.slice(PLACES / 2) };
}

function inMemory(byteOffset: number, byteLength: number): Uint8Array {
  return new Uint8Array(new WebAssembly.Memory({ initial: MEMORY_PAGES }).buffer, byteOffset, byteLength);
}

function copies(sources: readonly Uint8Array[], destinations: readonly Uint8Array[]): Batch {
  let place = 0;
  return (operations) => {
    for (let each = 0; each < operations; each++) {
      place = (place + 1) % PLACES;
      (destinations[place % destinations.length] as Uint8Array).set(sources[place % sources.length] as Uint8Array);
    }
  };
}

function shareInTheWay(sources: readonly Uint8Array[], destinations: readonly Uint8Array[]): number {
  const above = destinations.map((to, each) => {
    const from = sources[each % sources.length] as Uint8Array;
    return (to.byteOffset - from.byteOffset + PERIOD_BYTES) % PERIOD_BYTES;
  });
  return above.filter((each) => each >= 1 && each <= 63).length / above.length;
}

function measurements(outcomes: readonly Outcome<AliasingInput, AliasingResult>[]): Measurement[] {
  return outcomes.flatMap(({ input: { rival, byteLength }, runs }): Measurement[] => {
    const at = { byteLength };
    return [...timings(rival, at, runs), ...medians(rival, at, runs, { "1 to 63 above": ["×", ({ share }) => share] })];
  });
}

function tables(figures: readonly Measurement[]): Table[] {
  const lengths = valuesOfAt(figures, "byteLength").map(Number);
  const nsOf = (rival: string, byteLength: number) => figureOf(figures, { rival, byteLength });
  return [
    {
      title: "ns for a copy (GB a second), by where the destination begins above the source modulo 4096",
      head: ["", ...lengths.map(formatLength), "destinations 1 to 63 above"],
      rows: rivalsIn(figures).map((rival) => [
        rival,
        ...lengths.map((byteLength) => {
          const ns = nsOf(rival, byteLength);
          return orDash(ns, () => `${formatNs(ns)} (${(byteLength / ns).toFixed(1)})`);
        }),
        figures
          .filter((each) => each.rival === rival && each.metric === "1 to 63 above")
          .map(({ value }) => `${(value * 100).toFixed(0)} %`)
          .join(", "),
      ]),
    },
  ];
}
