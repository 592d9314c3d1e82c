/** What one needs to know to doubt a figure. Knows no rival and no question. */

import { execFileSync } from "node:child_process";
import { createRequire } from "node:module";
import { cpus } from "node:os";
import { fileURLToPath } from "node:url";

export interface Machine {
  /** Of the library. */
  version: string;
  /** Of the library, where that is known; `-dirty` if it was changed since. */
  commit: string | null;
  node: string;
  v8: string;
  system: string;
  processor: string;
  cores: number;
  date: string;
}

/** Put in by scripts/bundle.mjs: a package has no history, and may lie in somebody else's. */
declare const BUILT_FROM: string | null;

export function machine(): Machine {
  return {
    version: version(),
    commit: typeof BUILT_FROM === "undefined" ? commit() : BUILT_FROM,
    node: process.version,
    v8: process.versions.v8,
    system: `${process.platform} ${process.arch}`,
    processor: cpus()[0]?.model.trim() ?? "unknown",
    cores: cpus().length,
    date: new Date().toISOString().slice(0, 10),
  };
}

export function version(): string {
  const { version } = createRequire(import.meta.url)("cleanslab/package.json") as { version: string };
  return version;
}

function commit(): string | null {
  const cwd = fileURLToPath(new URL(".", import.meta.url));
  try {
    const args = ["describe", "--always", "--dirty", "--exclude=*"];
    return execFileSync("git", args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  } catch {
    return null; // no git, or no checkout
  }
}
