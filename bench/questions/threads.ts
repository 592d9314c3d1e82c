/**
 * What threads that share memory pay: for a lease in one of them, beside pools of private
 * and of shared arrays, and for a message from one to the other. Owns the lengths and the
 * targets. How messages go is messages.ts.
 */

import { figureOf, formatLength, formatNs, orDash, rivalsIn, valuesOfAt, where } from "../figures.ts";
import { COMPILED_AT_ONCE, MEAN, medians, type Plan, type Timed, time, timings } from "../harness.ts";
import { lend } from "../loops.ts";
import { CHANNEL, ENTRY, FILLED, openWay, SUM, WAY_NAMES } from "../messages.ts";
import type { Form, Measurement, Outcome, Question, Table } from "../question.ts";
import { ARRAY_POOL, openRival, SHARED, SHARED_RIVALS } from "../rivals.ts";
import { summarize } from "../statistics.ts";

const KiB = 1024;
const LEASES = [64, KiB, 4 * KiB, 16 * KiB, 64 * KiB];
const MESSAGES = [64, KiB, 16 * KiB, 64 * KiB, 1024 * KiB];
/** Messages that may be on their way. */
const WINDOWS: Readonly<Record<Form, readonly number[]>> = { quick: [16], full: [16, 64] };
const PLANS: Readonly<Record<Form, Plan>> = {
  quick: { warmUpMs: 60, batchMs: 0.5, batches: 300 },
  full: { warmUpMs: 100, batchMs: 1, batches: 250 },
};
/** Timed runs in one process, after one that is not timed. */
const RUNS: Readonly<Record<Form, number>> = { quick: 3, full: 5 };

export interface LeaseInput {
  rival: string;
  byteLength: number;
  alive: number;
  plan: Plan;
}

export interface MessageInput {
  way: string;
  byteLength: number;
  window: number;
  /** In a run: a multiple of the window. */
  messages: number;
  runs: number;
}

/** Nanoseconds for a message. */
export interface MessageResult {
  ns: number;
  /** Processor time of both threads. */
  cpuNs: number;
}

type Input = LeaseInput | MessageInput;
type Result = Timed | MessageResult;

export const threads: Question<Input, Result> = {
  name: "threads",
  question: "What do a lease of shared memory and a message to another thread cost?",
  rounds: { quick: 3, full: 5 },
  nodeFlags: COMPILED_AT_ONCE,
  cases,
  run: (input) => ("way" in input ? sendMessages(input) : lease(input)),
  measurements,
  tables,
};

function cases(form: Form): Input[] {
  const leases = (form === "full" ? [1, 64] : [1]).flatMap((alive) =>
    LEASES.flatMap((byteLength) =>
      [ARRAY_POOL, ...SHARED_RIVALS].map((rival) => ({ rival, byteLength, alive, plan: PLANS[form] })),
    ),
  );
  const messages = MESSAGES.flatMap((byteLength) => {
    const count = byteLength > 64 * KiB ? 1600 : byteLength > 16 * KiB ? 8000 : 32_000;
    return WINDOWS[form].flatMap((window) =>
      WAY_NAMES.map((way) => ({ way, byteLength, window, messages: count, runs: RUNS[form] })),
    );
  });
  return [...leases, ...messages];
}

function lease({ rival, byteLength, alive, plan }: LeaseInput): Timed {
  return time(lend(openRival(rival, { byteLength, alive }), byteLength, alive), plan);
}

async function sendMessages({ way, byteLength, window, messages, runs }: MessageInput): Promise<MessageResult> {
  const { send, worker } = await openWay(ENTRY, SUM, way, byteLength, window);
  let wanted = 0;
  const sendAll = async (): Promise<void> => {
    let sent = 0;
    const sum = await send((bytes) => {
      if (sent === messages) return 0;
      bytes[0] = sent;
      bytes[byteLength - 1] = sent;
      wanted = (wanted + 2 * (sent++ & 255)) | 0;
      return byteLength;
    });
    if (sum !== wanted) throw new Error(`${way}: the receiver read ${sum}, not ${wanted}`);
  };
  await sendAll();
  const timed: MessageResult[] = [];
  for (let run = 0; run < runs; run++) {
    const cpu = process.cpuUsage();
    const start = performance.now();
    await sendAll();
    const ns = ((performance.now() - start) * 1e6) / messages;
    const { user, system } = process.cpuUsage(cpu);
    timed.push({ ns, cpuNs: ((user + system) * 1e3) / messages });
  }
  await worker.terminate();
  const median = (figure: keyof MessageResult): number => summarize(timed.map((each) => each[figure])).value;
  return { ns: median("ns"), cpuNs: median("cpuNs") };
}

const CPU = "processor time";

function measurements(outcomes: readonly Outcome<Input, Result>[]): Measurement[] {
  return outcomes.flatMap(({ input, runs }): Measurement[] => {
    const { byteLength } = input;
    if (!("way" in input)) return timings(input.rival, { byteLength, alive: input.alive }, runs as Timed[]);
    const at = { messageBytes: byteLength, window: input.window };
    return medians(input.way, at, runs as MessageResult[], {
      time: ["ns", ({ ns }) => ns],
      [CPU]: ["ns", ({ cpuNs }) => cpuNs],
    });
  });
}

function tables(figures: readonly Measurement[]): Table[] {
  const alive = valuesOfAt(figures, "alive").map(Number);
  const windows = valuesOfAt(figures, "window").map(Number);
  const messages = (metric: string, what: string): Table[] =>
    windows.map((window) => {
      const title = `${what} a message to another thread, ${window} on their way at most`;
      return overview(where(figures, { window }), "messageBytes", metric, title, formatMicroseconds);
    });
  return [
    ...alive.map((count) =>
      overview(where(figures, { alive: count }), "byteLength", MEAN, `ns for a lease, ${count} alive`, formatNs),
    ),
    ...messages("time", "µs for"),
    ...messages(CPU, "µs of processor time of both threads for"),
    targets(figures),
  ].filter(({ rows }) => rows.length > 0);
}

function formatMicroseconds(ns: number): string {
  return (ns / 1000).toFixed(ns < 1e4 ? 2 : ns < 1e5 ? 1 : 0);
}

function overview(
  figures: readonly Measurement[],
  length: "byteLength" | "messageBytes",
  metric: string,
  title: string,
  format: (ns: number) => string,
): Table {
  const some = figures.filter(({ at }) => length in at);
  const lengths = valuesOfAt(some, length).map(Number);
  return {
    title,
    head: ["", ...lengths.map(formatLength)],
    rows: rivalsIn(some).map((rival) => [
      rival,
      ...lengths.map((each) => orDash(figureOf(some, { rival, [length]: each, metric }), format)),
    ]),
  };
}

/** Times of the array pool, and microseconds. */
const LEASE_TARGETS = { 64: 1.4, 1024: 1.4, 4096: 1.2, 16384: 1.15, 65536: 1.15 };
const MESSAGE_TARGETS: readonly [way: string, wanted: Readonly<Record<number, number>>][] = [
  [CHANNEL, { 64: 1, 1024: 1, 16384: 1, 65536: 2.5 }],
  [FILLED, { 64: 1, 1024: 1, 16384: 1, 65536: 1.5 }],
];

function targets(figures: readonly Measurement[]): Table {
  const row = (what: string, length: string, wanted: number, value: number): string[] => [
    what,
    formatLength(Number(length)),
    `≤ ${wanted}`,
    orDash(value, (each) => each.toFixed(2)),
    value <= wanted ? "met" : "not met",
  ];
  const leases = Object.entries(LEASE_TARGETS).map(([byteLength, wanted]) => {
    const nsOf = (rival: string) =>
      figureOf(figures, { rival, byteLength: Number(byteLength), alive: 1, metric: MEAN });
    return row(`${SHARED}: time of ${ARRAY_POOL}`, byteLength, wanted, nsOf(SHARED) / nsOf(ARRAY_POOL));
  });
  const window = Math.max(...valuesOfAt(figures, "window").map(Number));
  const messages = MESSAGE_TARGETS.flatMap(([rival, wanted]) =>
    Object.entries(wanted).map(([messageBytes, most]) => {
      const ns = figureOf(figures, { rival, messageBytes: Number(messageBytes), window });
      return row(`${rival}: µs for a message`, messageBytes, most, ns / 1000);
    }),
  );
  return {
    title: "Against the targets of docs/DESIGN.md",
    head: ["", "length", "wanted", "measured", ""],
    rows: [...leases, ...messages],
  };
}
