/**
 * The tests of one copy, in the order in which they may catch a fault, and how a
 * run of them ends: by a test that fails, by a time limit, or with all passed. Owns
 * the process that runs them, and ends it with all its children when it is silent.
 */

import { type ChildProcess, fork } from "node:child_process";
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Copy } from "./copy.js";
import type { News, Order } from "./in-copy.js";

/** Seconds without a word from the tests, after which they loop for ever. */
const SILENCE = 60;
/** The same once a test has failed, when only the end is to come. */
const SILENCE_AFTER_FAILURE = 10;
/** So many test files that hang, and the rest is not tried. */
const ENOUGH_HANGS = 2;

const TEST_FILES = readdirSync("test", { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".test.ts"))
  .sort();
/** Short random tests, always the same, and no search for the shortest program that fails. */
const ENV = { CLEANSLAB_OPS: "4000", CLEANSLAB_SEED: "1", CLEANSLAB_SHRINKS: "0" };

/** Everything that could notice, what is quick first. Not what needs more than a copy has. */
const ALL = [
  /^misuse\//,
  /^unit\/(?!bench|events|shrink|writer)/,
  /^(pins|midway|diagnostics|hostile|model-.*)\.test/,
  /^(node|web|contract)\//,
  /^unit\/(events|shrink|writer)/,
  /^faults\.test/,
].flatMap((group) => TEST_FILES.filter((file) => group.test(file)).map((file) => `test/${file}`));

export interface Failure {
  readonly file: string;
  readonly test: string;
}

export interface Outcome {
  /** What failed by an assertion, or by an error. */
  readonly failure: Failure | undefined;
  /** What hung, or took too long: on a busy machine perhaps without any fault. */
  readonly limits: readonly Failure[];
}

export class Tests {
  readonly #copy: Copy;
  #child: ChildProcess | undefined;
  /** The last that it said on stderr. */
  #complaint = "";

  constructor(copy: Copy) {
    this.#copy = copy;
  }

  /** Those that are likely to catch it, and then all others; a test that only hangs ends nothing yet. */
  async run(near: readonly string[], others = ALL): Promise<Outcome> {
    let files = [...new Set([...near, ...others])];
    const limits: Failure[] = [];
    for (let hangs = 0; hangs < ENOUGH_HANGS && files.length > 0; hangs++) {
      const { failure, limits: more, hung } = await this.#runOnce({ files, changed: this.#copy.changes() });
      limits.push(...more);
      if (failure !== undefined || hung === undefined) return { failure, limits };
      files = files.slice(files.indexOf(hung) + 1);
    }
    return { failure: undefined, limits };
  }

  /** Ends the tests and all that they have started. */
  stop(): void {
    const { pid } = this.#child ?? {};
    this.#child = undefined;
    if (pid === undefined) return;
    try {
      process.kill(-pid, "SIGKILL");
    } catch {
      // It has ended by itself.
    }
  }

  #runOnce(order: Order): Promise<Outcome & { hung: string | undefined }> {
    const child = this.#start();
    return new Promise((resolve, reject) => {
      let failure: Failure | undefined;
      const limits: Failure[] = [];
      let at = { file: order.files[0] ?? "", test: "" };
      const end = (hung?: string): void => {
        clearInterval(watch);
        child.removeAllListeners("message");
        child.removeAllListeners("exit");
        if (hung !== undefined) this.stop();
        resolve({ failure, limits, hung });
      };
      let silence = 0;
      // Seconds in which this process ran: not those in which it was stopped, and the tests with it.
      const watch = setInterval(() => {
        if (++silence < (failure === undefined ? SILENCE : SILENCE_AFTER_FAILURE)) return;
        if (failure === undefined) limits.push(at);
        end(at.file);
      }, 1000);
      child.on("message", ({ kind, file = at.file, test = "" }: News) => {
        if (kind === "end") return end();
        if (kind === "failure") failure = { file, test };
        else if (kind === "limit") limits.push({ file, test });
        else at = { file, test };
        silence = 0;
      });
      child.on("exit", (code, signal) => {
        clearInterval(watch);
        this.stop();
        reject(new Error(`the process that runs the tests has ended: ${signal ?? code}\n${this.#complaint}`));
      });
      child.send(order);
    });
  }

  #start(): ChildProcess {
    if (this.#child?.connected) return this.#child;
    const child = fork(fileURLToPath(new URL("./in-copy.ts", import.meta.url)), {
      cwd: this.#copy.root,
      env: { ...process.env, TMPDIR: this.#copy.tmp, ...ENV },
      stdio: ["ignore", "ignore", "pipe", "ipc"],
      // A group of its own, to be ended with all that the tests start.
      detached: true,
    });
    child.stderr?.on("data", (text) => {
      this.#complaint = `${this.#complaint}${text}`.slice(-1000);
    });
    this.#child = child;
    return child;
  }
}
