/**
 * Worker threads for the tests: the jobs are in worker.ts, bundled with the sources once
 * for each test file. Nothing here waits by the clock.
 */

import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { buildSync } from "esbuild";
import type { Jobs } from "./worker.ts";

const source = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const bundle = join(source("../../build/test"), `shared-worker-${process.pid}.js`);

buildSync({
  entryPoints: [source("worker.ts")],
  outfile: bundle,
  bundle: true,
  platform: "node",
  format: "esm",
  target: "node20",
  alias: { "cleanslab/shared": source("../../src/shared/index.ts") },
  logLevel: "warning",
});

/** A worker at its job. It says something by `postMessage`, and lives until it is told to end, or the job ends it. */
export class Thread {
  readonly worker: Worker;
  readonly threadId: number;
  /** Its end: what it exited with. */
  readonly exited: Promise<number>;
  readonly #said: unknown[] = [];
  #listener: ((message: unknown) => void) | undefined;

  constructor(job: keyof Jobs, data: object) {
    this.worker = new Worker(bundle, { workerData: { job, ...data } });
    this.threadId = this.worker.threadId;
    this.exited = new Promise((resolve, reject) => {
      this.worker.once("error", reject);
      // In a later turn: the arena hears of the exit first or last, as it happens.
      this.worker.once("exit", (code) => setImmediate(resolve, code));
    });
    this.exited.catch(() => {});
    this.worker.on("message", (message) => {
      this.#said.push(message);
      this.#listener?.(message);
    });
  }

  /** The next thing that it says and that nobody has heard. */
  async hear<T>(): Promise<T> {
    if (this.#said.length === 0) {
      await Promise.race([
        new Promise((resolve) => {
          this.#listener = resolve;
        }),
        this.exited.then(() => {
          if (this.#said.length === 0) throw new Error("the worker ended and had nothing to say");
        }),
      ]);
    }
    return this.#said.shift() as T;
  }

  /** Gives it the time to end that it would need. */
  async stays(): Promise<boolean> {
    const ended = this.exited.then(() => false);
    return Promise.race([ended, new Promise<boolean>((resolve) => setTimeout(resolve, 300, true))]);
  }

  say(message: unknown): void {
    this.worker.postMessage(message);
  }

  async end(): Promise<void> {
    await this.worker.terminate();
    await this.exited.catch(() => {});
  }
}
