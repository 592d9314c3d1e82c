/**
 * Notices a loop without end, which the thread that fuzzes cannot. A thread of its
 * own waits for signs of life, and ends the process, saying how to see it again, if
 * none comes for far longer than any program takes.
 */

import { Worker } from "node:worker_threads";

const SILENCE_MINUTES = 5;

const WATCH = `
  const { parentPort, workerData } = require("node:worker_threads");
  let timer;
  parentPort.on("message", (again) => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      require("node:fs").writeSync(1, "\\nno end in sight after " + workerData + " minutes\\nAgain: " + again + "\\n");
      process.kill(process.pid, "SIGKILL");
    }, workerData * 60_000);
  });
`;

export class Watchdog {
  readonly #worker: Worker;

  constructor(silenceMinutes = SILENCE_MINUTES) {
    this.#worker = new Worker(WATCH, { eval: true, workerData: silenceMinutes, execArgv: [] });
    this.#worker.unref();
  }

  /** A sign of life: what has no end from here on is seen again by the command `again`. */
  expect(again: string): void {
    this.#worker.postMessage(again);
  }

  async stop(): Promise<void> {
    await this.#worker.terminate();
  }
}
