// `npm run measure [-- --quick] [NODE …]`: writes docs/measurements.md and its chart. Asks bench/ and
// runs the whole programs on each Node whose path is given, or on this one. Half an hour a
// Node, or most of two hours in full, on a machine that does nothing else.
import { spawnSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { build } from "esbuild";

process.chdir(fileURLToPath(new URL("../", import.meta.url)));
const folder = "build/measurements";
const { values, positionals } = parseArgs({ allowPositionals: true, options: { quick: { type: "boolean" } } });
const nodes = positionals.length > 0 ? positionals : [process.execPath];
const form = values.quick ? "--quick" : "--full";
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
await build({
  entryPoints: ["measurements", "programs/main", "programs/child", "programs/threads"].map(
    (name) => `bench/${name}.ts`,
  ),
  outbase: "bench",
  outdir: "build",
  bundle: true,
  format: "esm",
  platform: "node",
  packages: "external",
  logLevel: "error",
});

writeFileSync(`${folder}/observe.json`, run(nodes[0], "dist/cli/main.js", "observe", "--json"));
for (const node of nodes) {
  const version = run(node, "-p", "process.versions.node").trim();
  // The load is made by this Node, the program is run by the other.
  writeFileSync(
    `${folder}/programs-${version}.json`,
    run(process.execPath, "build/programs/main.js", "--json", "--node", node),
  );
  writeFileSync(`${folder}/bench-${version}.json`, run(node, "dist/cli/main.js", "bench", form, "--json"));
}
run(process.execPath, "build/measurements.js", folder, "docs");

function run(node, ...args) {
  console.error(`${args.slice(0, 2).join(" ")} …`);
  const { stdout, status, error } = spawnSync(node, args, {
    encoding: "utf8",
    maxBuffer: 2 ** 28,
    stdio: ["ignore", "pipe", "inherit"],
  });
  if (status !== 0) throw error ?? new Error(`${node} ${args.join(" ")} ended with ${status}`);
  return stdout;
}
