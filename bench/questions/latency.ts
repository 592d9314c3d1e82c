/**
 * A request-like load. Owns the load and its clock.
 *
 * Requests arrive at times drawn before the run, whether earlier ones are done
 * or not, and a latency counts from when the request was *due*. So a pause is
 * charged to every request that it kept waiting, not only to the one under way
 * (no coordinated omission). The rate is the same for all rivals: a share of
 * what fresh allocation sustains on this machine with nobody waiting. The clock
 * stands still while other processes keep the server from running.
 */

import { hash } from "node:crypto";
import { runIsolated } from "../isolated.ts";
import { ARRAY_POOL, arenaLender, arrayPoolLender, FRESH, freshLender, type Lender, type Loan } from "../lenders.ts";
import { type OwnClock, openOwnClock } from "../own-clock.ts";
import type { Form, Measurement, Outcome, Question, Table } from "../question.ts";
import { arrivals, PERCENTILES, percentile, seededRandom, summarize } from "../statistics.ts";
import { formatRatio } from "../tables.ts";
import { type Watched, watch } from "../watch.ts";

const LENDERS: Readonly<Record<string, () => Lender>> = {
  [FRESH]: freshLender,
  [ARRAY_POOL]: arrayPoolLender,
  "before-reuse": () => arenaLender({ revoke: "before-reuse" }),
  never: () => arenaLender({ revoke: "never" }),
};

const SEED = 20_261_123;
/** Of what fresh allocation sustains: room enough for what else the machine does. */
const LOAD_SHARE = 0.25;
const KiB = 1024;
const LENGTHS = [4 * KiB, 8 * KiB, 16 * KiB, 32 * KiB, 64 * KiB];
/** Answers that their peers have not taken yet. */
const UNSENT_ANSWERS = 64;
/** Ordinary objects that the program keeps: what the collector walks when it marks. */
const SESSIONS = 100_000;

export const latency: Question<LatencyInput, LatencyResult> = {
  name: "latency",
  question: "How long does a request take that holds buffers of 4 to 64 KiB: the median, the tail, the worst?",
  rounds: { quick: 3, full: 5 }, // of one run, the tail is whatever else the machine did
  nodeFlags: ["--expose-gc"],
  cases,
  run: runLatency,
  measurements: (outcomes: readonly Outcome<LatencyInput, LatencyResult>[]) =>
    outcomes.flatMap(({ input: { rival, perSecond }, runs }) => toMeasurements(rival, perSecond, runs)),
  tables,
};

export interface LatencyInput {
  rival: string;
  /** Requests a second; 0 asks how many can be done one after the other. */
  perSecond: number;
  warmupSeconds: number;
  seconds: number;
  seed: number;
}

export interface LatencyResult extends Watched {
  requests: number;
  perSecond: number;
  /** Of one processor, all threads, by the server's own clock. */
  processorShare: number;
  /** Milliseconds that the server was ready and had no processor, where the system says; they are in no latency. */
  waitedMs: number | undefined;
  /** Nanoseconds, as PERCENTILES has them. */
  percentiles: number[];
}

async function cases(form: Form): Promise<LatencyInput[]> {
  const rivals = Object.keys(LENDERS).slice(0, form === "quick" ? 3 : undefined);
  const times = form === "quick" ? { warmupSeconds: 0.2, seconds: 0.4 } : { warmupSeconds: 0.7, seconds: 3.5 };
  const asFastAsItCan: LatencyInput = { rival: FRESH, perSecond: 0, seed: SEED, ...times };
  const sustained = await runIsolated<LatencyResult>("latency", asFastAsItCan, ["--expose-gc"]);
  const perSecond = Math.round(sustained.perSecond * LOAD_SHARE);
  return rivals.map((rival) => ({ rival, perSecond, seed: SEED, ...times }));
}

export function toMeasurements(rival: string, perSecond: number, runs: readonly LatencyResult[]): Measurement[] {
  const over = (
    metric: string,
    unit: Measurement["unit"],
    of: (run: LatencyResult) => number,
    at = {},
  ): Measurement => ({
    rival,
    at: { perSecond, ...at },
    metric,
    unit,
    ...summarize(runs.map(of)),
  });
  return [
    ...PERCENTILES.map((each, index) =>
      over("latency", "ns", ({ percentiles }) => percentiles[index] ?? Number.NaN, { percentile: each }),
    ),
    over("requests", "count", ({ requests }) => requests),
    over("processor share", "×", ({ processorShare }) => processorShare),
    ...(runs.every(({ waitedMs }) => waitedMs !== undefined)
      ? [over("waited for a processor", "ms", ({ waitedMs }) => waitedMs ?? Number.NaN)]
      : []),
    over("collections", "count", ({ collections }) => collections),
    over("time in collections", "ms", ({ collectionMs }) => collectionMs),
    over("longest collection", "ms", ({ longestCollectionMs }) => longestCollectionMs),
    over("peak resident", "bytes", ({ peakResidentBytes }) => peakResidentBytes),
  ];
}

/** The load, in this process. */
export async function runLatency(input: LatencyInput): Promise<LatencyResult> {
  const { rival, perSecond, warmupSeconds, seconds, seed } = input;
  const createLender = LENDERS[rival];
  if (createLender === undefined) throw new Error(`no lender is called "${rival}"`);
  const clock = openOwnClock();
  const server = new Server(createLender(), clock, seed);
  const serve = (forSeconds: number): Promise<Float64Array> =>
    perSecond === 0 ? server.serveInTurn(forSeconds) : server.serveArrivals(arrivals(perSecond, forSeconds, seed));
  await serve(warmupSeconds);
  global.gc?.(); // the sessions are old from here on, as in a program that has run for long
  const watching = watch();
  const started = clock.now();
  const usedBefore = process.cpuUsage();
  const waitedBefore = clock.waitedMs;
  const latencies = await serve(seconds);
  const used = process.cpuUsage(usedBefore);
  const elapsed = clock.now() - started;
  const waited = clock.waitedMs;
  watching.sample();
  latencies.sort();
  clock.close();
  return {
    ...(await watching.stop()),
    requests: latencies.length,
    perSecond: (latencies.length * 1000) / elapsed,
    processorShare: (used.user + used.system) / 1000 / elapsed,
    waitedMs: waited === undefined || waitedBefore === undefined ? undefined : waited - waitedBefore,
    percentiles: PERCENTILES.map((each) => percentile(latencies, each) * 1e6),
  };
}

/** What a request does: receive a body, parse its head, digest a part, answer; all on loan. */
class Server {
  readonly #lender: Lender;
  readonly #clock: OwnClock;
  readonly #random: () => number;
  readonly #received = exampleBody();
  readonly #unsent: Loan[] = [];
  readonly sessions = Array.from({ length: SESSIONS }, (_, id) => ({ id, name: `session ${id}`, seen: [id] }));

  constructor(lender: Lender, clock: OwnClock, seed: number) {
    this.#lender = lender;
    this.#clock = clock;
    this.#random = seededRandom(seed);
  }

  /** @returns milliseconds for each request, from when it was due. */
  async serveArrivals(due: Float64Array): Promise<Float64Array> {
    const latencies = new Float64Array(due.length);
    let unanswered = due.length;
    const started = this.#clock.now();
    for (let next = 0; unanswered > 0; await turn()) {
      const now = this.#clock.now() - started;
      for (; next < due.length && (due[next] as number) <= now; next++) {
        const which = next;
        this.#request().then(() => {
          latencies[which] = this.#clock.now() - started - (due[which] as number);
          unanswered--;
        });
      }
    }
    return latencies;
  }

  async serveInTurn(seconds: number): Promise<Float64Array> {
    const latencies: number[] = [];
    const end = this.#clock.now() + seconds * 1000;
    for (let from = this.#clock.now(); from < end; ) {
      await this.#request();
      const to = this.#clock.now();
      latencies.push(to - from);
      from = to;
    }
    return Float64Array.from(latencies);
  }

  async #request(): Promise<void> {
    const length = this.#anyLength();
    const body = this.#lender.borrow(length);
    body.bytes.set(this.#received.subarray(0, length));
    await turn();
    const headEnd = body.bytes.indexOf(10);
    const head = JSON.parse(Buffer.from(body.bytes.buffer, body.bytes.byteOffset, headEnd).toString("latin1"));
    const session = this.sessions[head.session % SESSIONS];
    await turn();
    const digest = hash("sha256", body.bytes.subarray(0, 4 * KiB), "buffer");
    const answer = this.#lender.borrow(this.#anyLength());
    answer.bytes.set(digest);
    answer.bytes.fill((session?.id ?? 0) & 0xff, digest.length);
    await turn();
    body.release();
    this.#unsent.push(answer);
    if (this.#unsent.length > UNSENT_ANSWERS) this.#unsent.shift()?.release();
  }

  #anyLength(): number {
    return LENGTHS[Math.floor(this.#random() * LENGTHS.length)] as number;
  }
}

/** The rest of the program has its turn. */
function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

/** A line of JSON, then a body of bytes. */
function exampleBody(): Uint8Array {
  const fields = Array.from({ length: 20 }, (_, each) => [`x-header-${each}`, `value of the header ${each}`]);
  const bytes = new Uint8Array(Math.max(...LENGTHS)).fill(120);
  bytes.set(new TextEncoder().encode(`${JSON.stringify({ session: 4711, ...Object.fromEntries(fields) })}\n`));
  return bytes;
}

function tables(measurements: readonly Measurement[]): Table[] {
  const rivals = [...new Set(measurements.map(({ rival }) => rival))];
  const find = (rival: string, metric: string, percent?: number): Measurement | undefined =>
    measurements.find((each) => each.rival === rival && each.metric === metric && each.at["percentile"] === percent);
  const shown = [50, 90, 99, 99.9, 100];
  const perSecond = measurements[0]?.at["perSecond"];
  const runs = measurements[0]?.samples;
  const requests = find(rivals[0] ?? "", "requests")?.value ?? 0;
  const inMs = (rival: string, metric: string): string => (find(rival, metric)?.value ?? Number.NaN).toFixed(1);
  return [
    {
      title: `Microseconds from when a request was due; ${perSecond} a second, ${requests.toFixed(0)} in a run, medians of ${runs} runs`,
      head: ["", ...shown.map((each) => (each === 100 ? "worst" : `p${each}`)), "± % p99", "p99 of fresh"],
      rows: rivals.map((rival) => {
        const p99 = find(rival, "latency", 99);
        return [
          rival,
          ...shown.map((each) => ((find(rival, "latency", each)?.value ?? Number.NaN) / 1000).toFixed(0)),
          ((p99?.spread ?? Number.NaN) * 100).toFixed(0),
          formatRatio((p99?.value ?? Number.NaN) / (find(FRESH, "latency", 99)?.value ?? Number.NaN)),
        ];
      }),
    },
    {
      title:
        "In a run. The server never sleeps; what it waited for a processor that others had is in no latency, where the system tells it",
      head: ["", "processor, %", "waited, ms", "collections", "ms in all", "longest, ms", "peak resident, MiB"],
      rows: rivals.map((rival) => [
        rival,
        ((find(rival, "processor share")?.value ?? Number.NaN) * 100).toFixed(0),
        find(rival, "waited for a processor")?.value.toFixed(1) ?? "–",
        (find(rival, "collections")?.value ?? Number.NaN).toFixed(0),
        inMs(rival, "time in collections"),
        inMs(rival, "longest collection"),
        ((find(rival, "peak resident")?.value ?? Number.NaN) / 2 ** 20).toFixed(0),
      ]),
    },
  ];
}
