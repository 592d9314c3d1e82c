// `npm run bench [-- QUESTION …]`: the questions of bench/.
// `npm run bench -- programs [NAME …]`: whole programs, each beside the best ordinary version.
// `npm run measure [-- --quick] [NODE …]`: writes docs/measurements.md and its chart, of both,
// on each Node whose path is given, or on this one. Half an hour a Node with --quick, or most of
// two hours, on a machine that does nothing else.
// All of it is bundled first, and run by plain Node.
import { spawnSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { build } from "esbuild";

process.chdir(fileURLToPath(new URL("../", import.meta.url)));
const out = "build/bench";
const ENTRIES = ["main", "isolated-entry", "messages", "measurements", "programs/main", "programs/child"];
await build({
  entryPoints: {
    ...Object.fromEntries(ENTRIES.map((it) => [it, `bench/${it}.ts`])),
    // Beside the chunks, where each looks for its workers' program.
    "program-thread": "bench/programs/threads.ts",
    "visible-thread": "test/visible/threads.ts",
  },
  outdir: out,
  bundle: true,
  splitting: true,
  chunkNames: "[name]-[hash]",
  format: "esm",
  platform: "node",
  packages: "external",
  logLevel: "error",
});
const [task, ...args] = process.argv.slice(2);
if (task === "measure") measure(args);
else if (task === "programs") process.exitCode = run(process.execPath, `${out}/programs/main.js`, ...args).status ?? 1;
else
  process.exitCode = run(process.execPath, `${out}/main.js`, "bench", "--full", ...process.argv.slice(2)).status ?? 1;

function run(node, ...args) {
  return spawnSync(node, args, { stdio: "inherit" });
}

function measure(args) {
  const { values, positionals } = parseArgs({ args, allowPositionals: true, options: { quick: { type: "boolean" } } });
  const nodes = positionals.length > 0 ? positionals : [process.execPath];
  const form = values.quick ? "--quick" : "--full";
  const folder = "build/measurements";
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  writeFileSync(`${folder}/observe.json`, printed(nodes[0], `${out}/main.js`, "observe", "--json"));
  for (const node of nodes) {
    const version = printed(node, "-p", "process.versions.node").trim();
    // The load is made by this Node, the program is run by the other.
    const programs = printed(process.execPath, `${out}/programs/main.js`, "--json", "--node", node);
    writeFileSync(`${folder}/programs-${version}.json`, programs);
    writeFileSync(`${folder}/bench-${version}.json`, printed(node, `${out}/main.js`, "bench", form, "--json"));
  }
  printed(process.execPath, `${out}/measurements.js`, folder, "docs");
}

function printed(node, ...args) {
  console.error(`${args.slice(0, 2).join(" ")} …`);
  const options = { encoding: "utf8", maxBuffer: 2 ** 28, stdio: ["ignore", "pipe", "inherit"] };
  const { stdout, status, error } = spawnSync(node, args, options);
  if (status !== 0) throw error ?? new Error(`${node} ${args.join(" ")} ended with ${status}`);
  return stdout;
}
