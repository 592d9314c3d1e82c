/**
 * npm run test:runtimes: the contracts against the packed tarball on every runtime
 * that is supported. Each runtime comes as an npm package, into a folder of its
 * own. Ends non-zero if a case fails or a runtime does not run.
 */

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import type { CaseResult } from "../contract/contract.ts";
import { type EngineResult, report } from "../contract/report.ts";
import { inPairs, installInto, inTemporaryFolder, packInto, run } from "../package/tarball.ts";
import { RUNTIMES, type Runtime } from "./runtimes.ts";

async function main(): Promise<boolean> {
  return inTemporaryFolder(async (folder) => {
    const tarball = await packInto(folder);
    const results = await inPairs(RUNTIMES, (runtime, at) => {
      const home = join(folder, `runtime-${at}`);
      mkdirSync(home);
      return runOn(runtime, home, tarball);
    });
    return report("runtime", results);
  });
}

async function runOn(runtime: Runtime, home: string, tarball: string): Promise<EngineResult> {
  const limit = runtime.addressSpaceKiB === undefined ? "" : ` in ${runtime.addressSpaceKiB / 2 ** 20} GiB`;
  const engine = `${runtime.package}${limit}`;
  process.stderr.write(`${engine} …\n`);
  let version = "?";
  try {
    await installInto(home, tarball, runtime.package);
    await build({
      entryPoints: ["test/runtimes/runner.ts", "test/contract/shared-worker.ts"],
      outdir: home,
      entryNames: "[name]",
      outExtension: { ".js": ".mjs" },
      bundle: true,
      format: "esm",
      target: "es2022",
      // Nothing of Node may be leaned on.
      platform: "neutral",
      external: ["cleanslab", "cleanslab/shared"],
    });
    const bin = join(home, "node_modules", ".bin", runtime.bin);
    version = (await run(bin, ["--version"], home)).match(/\d+\.\d+\.\d+/)?.[0] ?? "?";
    const output = await runIn(runtime, home, bin);
    const cases = JSON.parse(output.trim().split("\n").at(-1) ?? "") as CaseResult[];
    return { engine, version, cases };
  } catch (error) {
    return { engine, version, cases: [], error: error instanceof Error ? error.message : String(error) };
  }
}

async function runIn({ args, addressSpaceKiB }: Runtime, home: string, bin: string): Promise<string> {
  if (addressSpaceKiB === undefined) return run(bin, [...args, "runner.mjs"], home);
  // What threads share is asked of the same Node without the limit.
  const limited = `ulimit -v ${addressSpaceKiB} && exec "$0" "$@" --alone`;
  return run("sh", ["-c", limited, bin, ...args, "runner.mjs"], home);
}

process.exitCode = (await main()) ? 0 : 1;
