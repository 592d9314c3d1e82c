/**
 * Threads that work on one arena and are ended at random moments, by `terminate()` or by
 * themselves. All bytes of a live lease are its holder's mark, and are looked at before the
 * lease ends. This file is the workers' program as well. Without top-level await: Node 20
 * aborts the whole process if it terminates a worker in one.
 */

import { once } from "node:events";
import { resolve } from "node:path";
import { setImmediate } from "node:timers/promises";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import {
  type ArenaError,
  SharedArena,
  type SharedArenaHandle,
  type SharedLease,
  type SharedPort,
  type SharedPortHandle,
} from "cleanslab/shared";
import { buildSync } from "esbuild";

const MAX_BYTES = 24 << 20;
const LANES = 3;
/** After how many steps a worker ends itself, and after how long it is terminated, at most. */
const STEPS = 3000;
const MOST_MS = 12;

/** A lease whose bytes are all `mark`. */
type Message = readonly [token: number, mark: number];

interface Job {
  readonly handle: SharedArenaHandle;
  /** Not of a worker that another worker started. */
  readonly port2: SharedPortHandle | undefined;
  readonly seed: number;
  /** After so many steps it exits; -1: it does not. */
  readonly exitsAfter: number;
  /** Whether it starts a worker of its own, which ends with it. */
  readonly hasChild: boolean;
}

export interface Kills {
  deaths: number;
  exits: number;
  adopted: number;
  /** Tokens that their receiver had adopted before it ended, or that were void after their sender's death. */
  usedTokens: number;
  /** Messages of a channel that came back from a dead receiver. */
  cameBack: number;
  steps: number;
  problems: string[];
}

function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return (state >>> 0) / 2 ** 32;
  };
}

/** What `act` answers, or `undefined` for an error of that code. */
function unless<T>(code: ArenaError["code"], act: () => T): T | undefined {
  try {
    return act();
  } catch (error) {
    if ((error as ArenaError).code === code) return undefined;
    throw error;
  }
}

function check({ bytes }: SharedLease, mark: number, what: string): void {
  const { length } = bytes;
  for (let at = 0; at < length; at += 61) if (bytes[at] !== mark) throw new Error(`${what}: ${bytes[at]} for ${mark}`);
  if (bytes[length - 1] !== mark) throw new Error(`${what}: ${bytes[length - 1]} for ${mark} at its end`);
}

/** What each thread does. */
class Hand {
  readonly #held: [lease: SharedLease, mark: number][] = [];
  readonly #arena: SharedArena;
  readonly #random: () => number;
  readonly #mark: number;
  readonly #post: (message: Message) => void;

  constructor(arena: SharedArena, seed: number, post: (message: Message) => void) {
    this.#arena = arena;
    this.#random = randomFrom(seed);
    this.#mark = 1 + (seed % 250);
    this.#post = post;
  }

  step(port: SharedPort | undefined): void {
    const what = this.#random();
    if (what < 0.42) this.#acquire(Math.ceil(this.#random() * (what < 0.4 ? 9000 : 200_000)));
    else if (what < 0.84 || this.#held.length > 60) this.#release();
    else if (what < 0.94) this.#give(what < 0.88 ? undefined : port);
    else if (what < 0.998) this.receive(port);
    else this.#arena.trim();
  }

  hold(lease: SharedLease, mark: number): void {
    check(lease, mark, "a lease came with other bytes than were sent");
    this.#held.push([lease, mark]);
  }

  /** Holds what comes through a channel next. False if there is nothing. */
  receive(port: SharedPort | undefined): boolean {
    const lease = unless("ERR_PEER_ENDED", () => port?.tryReceive());
    if (lease !== undefined) this.hold(lease, lease.tag);
    return lease !== undefined;
  }

  /** Holds what a token stands for. False if it stands for nothing any more. */
  adopt([token, mark]: Message): boolean {
    const lease = unless("ERR_TOKEN_USED", () => this.#arena.adopt(token));
    if (lease !== undefined) this.hold(lease, mark);
    return lease !== undefined;
  }

  releaseAll(): void {
    while (this.#held.length > 0) this.#release();
  }

  #acquire(byteLength: number): void {
    const lease = unless("ERR_ARENA_EXHAUSTED", () => this.#arena.acquire(byteLength));
    if (lease === undefined) {
      this.releaseAll();
      return;
    }
    check(lease, 0, "a new lease is not zeroed");
    lease.bytes.fill(this.#mark);
    this.#held.push([lease, this.#mark]);
  }

  #release(): void {
    const [[lease, mark] = []] = this.#held.splice(Math.floor(this.#random() * this.#held.length), 1);
    if (lease === undefined || mark === undefined) return;
    check(lease, mark, "somebody wrote into a live lease");
    lease.release();
  }

  /** Through the channel, or as a token. */
  #give(port: SharedPort | undefined): void {
    const last = this.#held.pop();
    if (last === undefined) return;
    const [lease, mark] = last;
    if (port === undefined) this.#post([lease.handOver(), mark]);
    else if (unless("ERR_PEER_ENDED", () => port.trySend(lease, mark)) !== true) this.#held.push(last);
  }
}

async function work({ handle, port2, seed, exitsAfter, hasChild }: Job): Promise<void> {
  const arena = SharedArena.attach(handle);
  const hand = new Hand(arena, seed, (message) => parentPort?.postMessage(message));
  const port = port2 === undefined ? undefined : arena.open(port2);
  if (hasChild) {
    const job: Job = { handle, port2: undefined, seed: seed + 1, exitsAfter: -1, hasChild: false };
    new Worker(process.argv[1] as string, { workerData: job }).on("message", (message) => hand.adopt(message));
  }
  parentPort?.on("message", (message: Message) => hand.adopt(message));
  for (let steps = 0; steps !== exitsAfter; steps++) {
    hand.step(port);
    if (steps % 100 === 0) await setImmediate();
  }
  process.exit(0);
}

/** A worker, this thread's end of their channel, and what was posted to it. */
interface Lane {
  readonly worker: Worker;
  readonly port: SharedPort;
  readonly sent: Message[];
}

/** Ends so many workers, a few at a time, works with them, and then looks whether everything is back. */
export async function kill(deaths: number, seed: number): Promise<Kills> {
  const bundle = resolve(`build/kill-${process.pid}.mjs`);
  buildSync({
    entryPoints: ["test/shared/kill.ts"],
    outfile: bundle,
    bundle: true,
    platform: "node",
    format: "esm",
    external: ["esbuild"],
    alias: { "cleanslab/shared": resolve("src/shared/index.ts") },
  });
  const kills: Kills = { deaths: 0, exits: 0, adopted: 0, usedTokens: 0, cameBack: 0, steps: 0, problems: [] };
  const arena = new SharedArena({ maxBytes: MAX_BYTES });
  const random = randomFrom(seed);
  const lanes: Lane[] = [];
  const anyLane = (): Lane | undefined => lanes[Math.floor(random() * lanes.length)];
  const hand = new Hand(arena, 249, (message) => {
    const lane = anyLane();
    lane?.sent.push(message);
    lane?.worker.postMessage(message);
    if (lane === undefined) adopt(message);
  });
  const adopt = (message: Message): void => {
    kills[hand.adopt(message) ? "adopted" : "usedTokens"]++;
  };
  const guarded = (act: () => void): void => {
    try {
      act();
    } catch (error) {
      kills.problems.push(String((error as Error).stack));
    }
  };

  const one = async (nth: number): Promise<void> => {
    const exitsAfter = nth % 4 === 0 ? Math.ceil(random() * STEPS) : -1;
    const { port1: port, port2 } = arena.channel({ capacity: 8 });
    const job: Job = { handle: arena.handle, port2, seed: seed + nth, exitsAfter, hasChild: nth % 6 === 1 };
    const lane: Lane = { worker: new Worker(bundle, { workerData: job }), port, sent: [] };
    lanes.push(lane);
    const { worker, sent } = lane;
    worker.on("message", (message: Message) => guarded(() => adopt(message)));
    worker.on("error", (error) => kills.problems.push(String(error.stack)));
    const end = (): unknown => exitsAfter < 0 && setTimeout(() => worker.terminate(), random() * MOST_MS);
    // Some before they have begun.
    if (random() < 0.1) end();
    else worker.once("online", end);
    await once(worker, "exit").then(() => setImmediate());
    lanes.splice(lanes.indexOf(lane), 1);
    kills.deaths++;
    if (exitsAfter > 0) kills.exits++;
    guarded(() => {
      for (const lease of port.peerEnded()) {
        kills.cameBack++;
        hand.hold(lease, lease.tag);
      }
      for (const message of sent) adopt(message);
      while (hand.receive(port));
    });
    port.close();
  };

  let begun = 0;
  const ending = Array.from({ length: LANES }, async () => {
    while (begun < deaths && kills.problems.length === 0) await one(begun++);
  });
  let isOver = false;
  Promise.all(ending).finally(() => {
    isOver = true;
  });
  for (; !isOver; await setImmediate()) {
    const port = anyLane()?.port;
    guarded(() => {
      for (let each = 0; each < 50; each++, kills.steps++) hand.step(port);
    });
  }
  await Promise.all(ending);
  guarded(() => hand.releaseAll());
  arena.trim();
  kills.problems.push(...arena.audit().problems);
  // Takes what the dead had handed over.
  guarded(() => arena.acquire(MAX_BYTES).release());
  arena.trim();
  kills.problems.push(...arena.audit().problems);
  const { blocks, threads } = arena.stats();
  const isClean = threads === 1 && Object.values(blocks).every((count) => count === 0);
  if (!isClean) kills.problems.push(`left: ${JSON.stringify({ blocks, threads })}`);
  return kills;
}

if (!isMainThread && workerData !== null && "exitsAfter" in workerData) work(workerData);
