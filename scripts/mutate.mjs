// `npm run mutate -- FILE …`: Stryker breaks files of src/ in many small ways, and tells which
// of them no test notices. `npm run mutate -- --since REV`: the files changed since then.
// `npm run mutate -- assembly`: the book, by the table of mutate-module.mjs.
// Stryker needs a newer Node than the rest, 22.18 or later, and is installed the first time. What survives is listed at the end; build/mutation/ has it as JSON.
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

process.chdir(fileURLToPath(new URL("../", import.meta.url)));
const { values, positionals } = parseArgs({ allowPositionals: true, options: { since: { type: "string" } } });
if (positionals[0] === "assembly") await import("./mutate-module.mjs");
else await mutate(values.since === undefined ? positionals : changedSince(values.since));

function changedSince(revision) {
  const text = execFileSync("git", ["diff", "--name-only", "--diff-filter=AM", revision, "--", "src"], {
    encoding: "utf8",
  });
  return text.split("\n").filter((path) => path.endsWith(".ts"));
}

async function mutate(files) {
  if (files.length === 0) {
    console.log("no file of src/ to mutate");
    return;
  }
  if (Number(process.versions.node.split(".")[0]) < 22)
    throw new Error(`Stryker needs Node 22 or later; this is ${process.version}`);
  process.env.CLEANSLAB_MUTATED = files.join();
  process.env.CLEANSLAB_OPS ??= "1000";
  const packages = ["core", "vitest-runner"].map((name) => `@stryker-mutator/${name}@10.1.1`);
  execFileSync("npm", ["install", "--no-save", "--silent", ...packages], { stdio: "inherit", shell: true });
  const { Stryker } = await import("@stryker-mutator/core");
  const stryker = new Stryker({
    mutate: files,
    testRunner: "vitest",
    vitest: { pool: "forks", configFile: "vitest.config.ts", related: false },
    coverageAnalysis: "perTest",
    // They hold for a whole process, so each would take all tests.
    ignoreStatic: true,
    ignorePatterns: ["docs", "build/site", "build/types", "/bench/results"],
    // Stryker would read it with an older TypeScript than ours; it changes nothing here.
    tsconfigFile: "none",
    disableTypeChecks: false,
    concurrency: 2,
    timeoutMS: 20_000,
    reporters: ["clear-text", "json"],
    clearTextReporter: { reportTests: false, logTests: false, allowEmojis: false },
    jsonReporter: { fileName: "build/mutation/report.json" },
    tempDirName: "build/mutation/sandbox",
    thresholds: { high: 90, low: 75, break: null },
  });
  await stryker.runMutationTest();
}
