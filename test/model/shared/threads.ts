/** The threads of random programs: this one, and workers, which go from one program to the next. */

import { resolve } from "node:path";
import { setImmediate } from "node:timers/promises";
import { threadId, Worker } from "node:worker_threads";
import { buildSync } from "esbuild";
import { type Answer, act, type Deed, HAND } from "./hand.js";

export interface Thread {
  readonly threadId: number;
  do(name: Deed, args: readonly unknown[]): Promise<Answer>;
  end(): Promise<void>;
}

export class Pool {
  readonly here: Thread = { threadId, do: act, end: async () => void (await act("dispose", [])) };
  readonly #bundle = resolve("build/test", `model-hand-${process.pid}.js`);
  #idle: Thread[] = [];
  readonly #busy = new Set<Thread>();

  constructor() {
    buildSync({
      entryPoints: ["test/model/shared/hand.ts"],
      outfile: this.#bundle,
      bundle: true,
      platform: "node",
      format: "esm",
      target: "node20",
      alias: { "cleanslab/shared": "./src/shared/index.ts" },
      logLevel: "warning",
    });
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

  #start(): Thread {
    const worker = new Worker(this.#bundle, { workerData: HAND });
    let answer = (_: Answer): void => {};
    let fail = (_: unknown): void => {};
    worker.on("message", (message: Answer) => answer(message));
    worker.on("error", (error) => fail(error));
    return {
      threadId: worker.threadId,
      do: (name, args) =>
        new Promise((resolve, reject) => {
          answer = resolve;
          fail = reject;
          worker.postMessage([name, args]);
        }),
      end: async () => {
        await worker.terminate();
        // Others that listen for its exit have heard it then.
        await setImmediate();
      },
    };
  }
}
