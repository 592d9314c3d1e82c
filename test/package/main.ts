/**
 * npm run test:package: the packed tarball as strangers meet it. Linted, its types
 * compiled by several TypeScripts, bundled by several bundlers and the bundles
 * run. Follows package.json's `exports` and `bin`, so what is added there is checked.
 */

import { cpSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import Table from "cli-table3";
import { bundleChecks } from "./bundles.ts";
import type { Check, Consumer } from "./check.ts";
import { inPairs, inTemporaryFolder, packInto, run } from "./tarball.ts";
import { typeChecks } from "./types.ts";

interface Manifest {
  readonly exports: Record<string, unknown>;
  readonly bin?: Record<string, string>;
}

/** The module's own file has no types. */
const ATTW = ["--profile", "esm-only", "--exclude-entrypoints", "./arena.wasm", "--format", "ascii"];

async function main(): Promise<boolean> {
  return inTemporaryFolder(async (folder) => {
    const tarball = await packInto(folder);
    cpSync(fileURLToPath(new URL("consumer/", import.meta.url)), folder, { recursive: true });
    const quietly = ["--loglevel=error", "--no-audit", "--no-fund", "--no-package-lock"];
    await run("npm", ["install", ...quietly, tarball], folder);
    const manifest: Manifest = JSON.parse(readFileSync(join(folder, "node_modules/cleanslab/package.json"), "utf8"));
    const specifiers = Object.keys(manifest.exports)
      // What can be imported: not the module's own file.
      .filter((path) => path !== "./package.json" && !path.endsWith(".wasm"))
      .map((path) => `cleanslab${path.slice(1)}`);
    const consumer: Consumer = { folder, specifiers };
    return runChecks([
      ...lintChecks(folder, tarball),
      lengthCheck(folder, tarball),
      ...typeChecks(consumer),
      ...bundleChecks(consumer),
      ...binChecks(folder, manifest.bin ?? {}),
    ]);
  });
}

function lintChecks(folder: string, tarball: string): Check[] {
  return [
    { name: "publint --strict", run: async () => lastLine(await run("npx", ["publint", "--strict", tarball], folder)) },
    {
      name: "attw --profile esm-only",
      run: async () => lastLine(await run("npx", ["attw", ...ATTW, tarball], folder), /no problems/i),
    },
  ];
}

/** Bytes that a user downloads, and has on disk. */
const MOST = { packed: 103_000, unpacked: 290_000 };

function lengthCheck(folder: string, tarball: string): Check {
  return {
    name: "length",
    async run() {
      const installed = join(folder, "node_modules/cleanslab");
      const files = readdirSync(installed, { recursive: true, encoding: "utf8" }).map((name) => join(installed, name));
      const unpacked = files.map((path) => statSync(path)).reduce((sum, it) => sum + (it.isFile() ? it.size : 0), 0);
      const found = { packed: statSync(tarball).size, unpacked };
      const words = `${found.packed} bytes packed, ${found.unpacked} unpacked`;
      if (found.packed > MOST.packed || found.unpacked > MOST.unpacked) {
        throw new Error(`${words}; at most ${MOST.packed} and ${MOST.unpacked}`);
      }
      return words;
    },
  };
}

function binChecks(folder: string, bin: Record<string, string>): Check[] {
  return Object.keys(bin).map((name) => ({
    name: `${name} --help`,
    run: async () => lastLine(await run(join(folder, "node_modules/.bin", name), ["--help"], folder)),
  }));
}

function lastLine(text: string, wanted = /\S/): string {
  return (
    text
      .split("\n")
      .reverse()
      .find((line) => wanted.test(line))
      ?.trim() ?? ""
  );
}

async function runChecks(checks: readonly Check[]): Promise<boolean> {
  const table = new Table({ head: ["check", "outcome", ""], style: { head: [], border: [] } });
  const failures: string[] = [];
  const rows = await inPairs(checks, async ({ name, run }) => {
    console.error(`${name} …`);
    try {
      return [name, "passed", (await run()).slice(0, 60)];
    } catch (error) {
      failures.push(`\n${name}\n${error instanceof Error ? error.message : String(error)}`);
      return [name, "FAILED", ""];
    }
  });
  table.push(...rows);
  console.log(table.toString());
  for (const failure of failures) console.error(failure);
  return failures.length === 0;
}

process.exitCode = (await main()) ? 0 : 1;
