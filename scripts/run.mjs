// `node scripts/run.mjs NAME [ARG …]`: bundles a program of the tree and runs it by plain Node.
// What is measured runs compiled, never under a loader.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

/** By name: what is bundled, the first of it run, where it goes, and flags of Node's. */
const PROGRAMS = {
  demo: { entries: ["examples/demo/main"] },
  // On the sources, with a library that no bundler has shortened.
  fuzz: { entries: ["test/model/main"], onSources: true, flags: ["--expose-gc"] },
  threads: { entries: ["test/shared/main"], onSources: true },
  soak: {
    entries: ["test/soak/main"],
    onSources: true,
    flags: ["--expose-gc", "--min-semi-space-size=4", "--max-semi-space-size=4"],
  },
};

process.chdir(fileURLToPath(new URL("../", import.meta.url)));
const [name, ...args] = process.argv.slice(2);
const { entries, onSources = false, flags = [] } = PROGRAMS[name];
const common = {
  bundle: true,
  format: "esm",
  platform: "node",
  target: "node20",
  packages: "external",
  logLevel: "warning",
  ...(onSources && { alias: { "cleanslab/shared": "./src/shared/index.ts", cleanslab: "./src/index.ts" } }),
};
await build({ ...common, entryPoints: entries.map((it) => `${it}.ts`), outbase: ".", outdir: "build/run" });
if (name === "demo") {
  // Its programs' processes begin beside it.
  await build({ ...common, entryPoints: ["bench/programs/child.ts"], outfile: "build/run/examples/demo/child.js" });
}
const { status, signal } = spawnSync(process.execPath, [...flags, `build/run/${entries[0]}.js`, ...args], {
  stdio: "inherit",
});
process.exitCode = signal === null ? status : 1;
