/**
 * The package as npm would publish it, and folders it is installed in. What is
 * done with them is the callers' business.
 */

import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const root = fileURLToPath(new URL("../../", import.meta.url));

/** A new folder, gone when `work` is done. */
export async function inTemporaryFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "cleanslab-"));
  try {
    return await work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Builds and packs; returns the path of the tarball in `folder`. */
export async function packInto(folder: string): Promise<string> {
  await run("npm", ["pack", "--silent", "--pack-destination", folder], root);
  const name = readdirSync(folder).find((each) => each.endsWith(".tgz"));
  if (name === undefined) throw new Error(`npm pack left no tarball in ${folder}`);
  return join(folder, name);
}

/** Installs packages, tarballs among them, into `folder`, as a program of its own. */
export async function installInto(folder: string, ...packages: string[]): Promise<void> {
  writeFileSync(join(folder, "package.json"), JSON.stringify({ name: "consumer", private: true, type: "module" }));
  await run(
    "npm",
    ["install", "--loglevel=error", "--no-audit", "--no-fund", "--no-package-lock", ...packages],
    folder,
  );
}

/** Runs to the end and returns what was printed; throws with all of it otherwise. */
export async function run(command: string, args: readonly string[], cwd: string): Promise<string> {
  try {
    return (await promisify(execFile)(command, args, { cwd, timeout: 300_000, maxBuffer: 2 ** 26 })).stdout;
  } catch (error) {
    const { stdout = "", stderr = "" } = error as { stdout?: string; stderr?: string };
    throw new Error(`${command} ${args.join(" ")} failed:\n${stdout}\n${stderr}`, { cause: error });
  }
}

/** Does something to all, two at a time, and gives the outcomes in their order. */
export async function inPairs<T, R>(all: readonly T[], work: (each: T, at: number) => Promise<R>): Promise<R[]> {
  const outcomes: R[] = [];
  const waiting = all.entries();
  const worker = async (): Promise<void> => {
    for (const [at, each] of waiting) outcomes[at] = await work(each, at);
  };
  await Promise.all([worker(), worker()]);
  return outcomes;
}
