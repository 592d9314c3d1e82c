/** Judges faults: makes one in its copy, sees what catches it, and whether that passes without the fault. */

import { spawn } from "node:child_process";
import { Copy } from "./copy.js";
import type { Fault } from "./fault.js";
import { type Failure, type Outcome, Tests } from "./tests.js";

const FUZZ_MINUTES = "0.5";

export type Catcher = "suite" | "fuzz";

export interface Verdict {
  readonly fault: Fault;
  /** `limit`: nothing failed, and something hung or took too long. */
  readonly kind: "caught" | "limit" | "missed" | "equivalent" | "not judged";
  /** By what, or why. */
  readonly reason: string;
  readonly seconds: number;
}

/** What passes without a fault, asked once by whoever needs to know it first. */
const sound = new Map<string, Promise<Outcome>>();

export class Judge {
  readonly #copy: Copy;
  readonly #tests: Tests;
  readonly #by: Catcher;

  private constructor(copy: Copy, by: Catcher) {
    this.#copy = copy;
    this.#tests = new Tests(copy);
    this.#by = by;
  }

  static async make(by: Catcher): Promise<Judge> {
    return new Judge(await Copy.make(), by);
  }

  async judge(fault: Fault): Promise<Verdict> {
    const start = performance.now();
    const [kind, reason] = await this.#verdict(fault).catch((error) => ["not judged", String(error)] as const);
    return { fault, kind, reason, seconds: (performance.now() - start) / 1000 };
  }

  end(): void {
    this.#tests.stop();
    this.#copy.remove();
  }

  async #verdict(fault: Fault): Promise<readonly [Verdict["kind"], string]> {
    const { failure, limits } = await this.#outcomeWith(fault);
    const declared = fault.equivalent === undefined ? "" : " (was declared equivalent)";
    if (failure !== undefined) {
      await this.#requireSound(failure);
      return ["caught", `${nameOf(failure)}${declared}`];
    }
    if (limits.length > 0) return ["limit", `${limits.map(nameOf).join("; ")}${declared}`];
    return fault.equivalent === undefined ? ["missed", ""] : ["equivalent", fault.equivalent];
  }

  async #outcomeWith(fault: Fault): Promise<Outcome> {
    try {
      await this.#copy.break(fault);
      return await (this.#by === "fuzz" ? this.#fuzz() : this.#tests.run(fault.near));
    } finally {
      await this.#copy.mend();
    }
  }

  /** @throws Error if what failed fails without a fault as well: then it catches nothing. */
  async #requireSound({ file }: Failure): Promise<void> {
    const known = sound.get(file) ?? (this.#by === "fuzz" ? this.#fuzz() : this.#tests.run([file], []));
    sound.set(file, known);
    const { failure = (await known).limits[0] } = await known;
    if (failure === undefined) return;
    // Perhaps only a busy machine: whoever comes next asks again.
    sound.delete(file);
    throw new Error(`nothing is broken, and this fails: ${nameOf(failure)}`);
  }

  #fuzz(): Promise<Outcome> {
    const args = ["--expose-gc", "--import", "tsx", "fuzz/main.ts", "--seed", "1", "--minutes", FUZZ_MINUTES];
    return new Promise((resolve, reject) => {
      const child = spawn(process.execPath, args, { cwd: this.#copy.root, stdio: ["ignore", "pipe", "pipe"] });
      let output = "";
      child.stdout.on("data", (text) => {
        output += text;
      });
      child.stderr.on("data", (text) => {
        output += text;
      });
      const looping = setTimeout(() => child.kill("SIGKILL"), 8 * Number(FUZZ_MINUTES) * 60_000);
      child.on("error", reject);
      child.on("close", (code, signal) => {
        clearTimeout(looping);
        const [, found = output.slice(-300)] =
          /\n((?:before-reuse|on-release|never): [\s\S]*?)\nAgain:/.exec(output) ?? [];
        const failure = { file: "fuzz", test: found };
        resolve({ failure: code ? failure : undefined, limits: signal === null ? [] : [failure] });
      });
    });
  }
}

function nameOf({ file, test }: Failure): string {
  return test === "" ? file : `${file}: ${test}`;
}
