/**
 * Worker threads for the tests: the jobs are in worker.ts, bundled with the sources once
 * for each test file. Nothing here waits by the clock.
 */

import { once } from "node:events";
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

/** A worker at its job, until it has no more to do, or is told to end. */
export class Thread {
  readonly worker: Worker;
  readonly threadId: number;
  /** Its end: what it exited with. */
  readonly exited: Promise<number>;

  constructor(job: keyof Jobs, data: object) {
    this.worker = new Worker(bundle, { workerData: { job, ...data } });
    this.threadId = this.worker.threadId;
    this.exited = new Promise((resolve, reject) => {
      this.worker.once("error", reject);
      // In a later turn: the arena hears of the exit first or last, as it happens.
      this.worker.once("exit", (code) => setImmediate(resolve, code));
    });
    this.exited.catch(() => {});
  }

  /** The next thing that it says: ask before it can. */
  async hear<T>(): Promise<T> {
    const [message] = await once(this.worker, "message");
    return message as T;
  }

  /** Gives it the time to end that it would need. */
  async stays(): Promise<boolean> {
    const ended = this.exited.then(() => false);
    return Promise.race([ended, new Promise<boolean>((resolve) => setTimeout(resolve, 300, true))]);
  }

  say(message: unknown): void {
    this.worker.postMessage(message);
  }
}
