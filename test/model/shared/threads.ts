/**
 * The threads of random programs: this one, and workers; or, in place of the workers, copies
 * of the library in this thread, each of which takes itself for a thread of its own. Copies
 * are many times faster; that they work at all, and that deaths are heard of, workers show.
 */

import { createRequire } from "node:module";
import { resolve } from "node:path";
import { setImmediate } from "node:timers/promises";
import { threadId, Worker } from "node:worker_threads";
import { type BuildOptions, buildSync } from "esbuild";
import { type Answer, act, type Deed, HAND } from "./hand.js";

export interface Thread {
  readonly threadId: number;
  do(name: Deed, args: readonly unknown[]): Promise<Answer>;
  end(): Promise<void>;
}

export const KINDS = ["workers", "copies"] as const;
export type Kind = (typeof KINDS)[number];

const bundled: BuildOptions = {
  entryPoints: ["test/model/shared/hand.ts"],
  bundle: true,
  platform: "node",
  format: "cjs",
  target: "node20",
  alias: { "cleanslab/shared": "./src/shared/index.ts" },
  logLevel: "warning",
};

/** They go from one program to the next. */
export class Pool {
  readonly here: Thread = { threadId, do: act, end: async () => void (await act("dispose", [])) };
  readonly kind: Kind;
  readonly #start: () => Thread;
  #idle: Thread[] = [];
  readonly #busy = new Set<Thread>();

  constructor(kind: Kind) {
    this.kind = kind;
    this.#start = kind === "workers" ? workers() : copies();
  }

  take(): Thread {
    const thread = this.#idle.pop() ?? this.#start();
    this.#busy.add(thread);
    return thread;
  }

  async end(thread: Thread): Promise<void> {
    this.#busy.delete(thread);
    await thread.end();
  }

  /** The program is over. */
  giveBack(): void {
    this.#idle.push(...this.#busy);
    this.#busy.clear();
  }

  async endAll(): Promise<void> {
    this.giveBack();
    for (const thread of [this.here, ...this.#idle.splice(0)]) await thread.end();
  }
}

function workers(): () => Thread {
  const outfile = resolve("build/test", `model-hand-${process.pid}.cjs`);
  buildSync({ ...bundled, outfile });
  return () => {
    const worker = new Worker(outfile, { workerData: HAND });
    let answer = (_: Answer): void => {};
    let fail = (_: unknown): void => {};
    worker.on("message", (message: Answer) => answer(message));
    worker.on("error", (error) => fail(error));
    return {
      threadId: worker.threadId,
      do: (name, args) =>
        new Promise((settle, reject) => {
          answer = settle;
          fail = reject;
          worker.postMessage([name, args]);
        }),
      end: async () => {
        await worker.terminate();
        // Others that listen for its exit have heard it then.
        await setImmediate();
      },
    };
  };
}

function copies(): () => Thread {
  const [code] = buildSync({ ...bundled, write: false }).outputFiles ?? [];
  const evaluate = new Function("module", "require", "globalThis", "Atomics", "setInterval", code?.text ?? "");
  let last = 1000;
  return () => {
    const id = ++last;
    let isDead = false;
    const waitAsync = (words: Int32Array, at: number, value: number) => {
      const waiting = Atomics.waitAsync(words, at, value);
      // The dead hear nothing.
      const hear = <T>(woken: T): T | Promise<never> => (isDead ? new Promise<never>(() => {}) : woken);
      return waiting.async ? { async: true, value: waiting.value.then(hear) } : waiting;
    };
    const { load, store, compareExchange, or, add, notify, wait } = Atomics;
    const own = { process: { value: { getBuiltinModule: () => ({ threadId: id }) } } };
    const module = { exports: {} as { act: typeof act } };
    const atomics = { load, store, compareExchange, or, add, notify, wait, waitAsync };
    evaluate(module, createRequire(import.meta.url), Object.create(globalThis, own), atomics, () => undefined);
    const end = async (): Promise<void> => {
      isDead = true;
    };
    return { threadId: id, do: module.exports.act, end };
  };
}
