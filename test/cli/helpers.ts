/** What the tests of the command share: the command itself in a folder of its own, and results to show. */

import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll } from "vitest";
import type { Measurement } from "../../bench/question.ts";
import type { Results } from "../../cli/results.ts";

export interface Ending {
  code: number;
  stdout: string;
  stderr: string;
}

export interface Workshop {
  readonly folder: string;
  /** Runs the bundled command, as the package has it, in the folder. */
  cleanslab(args: readonly string[]): Promise<Ending>;
  /** Writes a file there, and gives its path. */
  file(name: string, text: string): string;
}

/** An empty folder, which goes when the tests of the file are done. */
export function openWorkshop(): Workshop {
  const command = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
  const folder = mkdtempSync(join(tmpdir(), "cleanslab-cli-"));
  afterAll(() => rmSync(folder, { recursive: true }));
  return {
    folder,
    cleanslab: (args) =>
      new Promise((resolve) => {
        execFile(process.execPath, [command, ...args], { cwd: folder }, (error, stdout, stderr) => {
          resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
        });
      }),
    file(name, text) {
      const path = join(folder, name);
      writeFileSync(path, text);
      return path;
    },
  };
}

const lengths = [64, 1024, 16_384];
const rivals = { "new Uint8Array": 2, "array pool, fill(0)": 0.2, "before-reuse, acquire": 1, "never, pool": 0.4 };

export function leases(): Measurement[] {
  return lengths.flatMap((byteLength) =>
    Object.entries(rivals).map(
      ([rival, times]): Measurement => ({
        rival,
        at: { byteLength, alive: 1 },
        metric: "time",
        unit: "ns",
        value: times * Math.sqrt(byteLength),
        spread: 0.1,
        samples: 7,
      }),
    ),
  );
}

export function answer(name: string, measurements: Measurement[]): Results["results"][number] {
  return { name, question: `What of ${name}?`, seconds: 1.5, measurements };
}

export function exampleResults(...results: Results["results"]): Results {
  return {
    machine: {
      version: "0.0.0",
      commit: null,
      node: "v99.0.0",
      v8: "1",
      system: "linux x64",
      processor: "Example 9000",
      cores: 2,
      date: "2026-01-02",
    },
    quick: false,
    results: results.length === 0 ? [answer("one-lease", leases())] : results,
  };
}
