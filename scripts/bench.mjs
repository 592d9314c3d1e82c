// `npm run bench [-- QUESTION … | programs NAME …]`: the questions of bench/, or whole
// programs, bundled and run by plain Node.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

process.chdir(fileURLToPath(new URL("../", import.meta.url)));
const args = process.argv.slice(2);
if (args[0] === "programs") {
  await build({
    entryPoints: ["main", "child", "threads"].map((name) => `bench/programs/${name}.ts`),
    outdir: "build/programs",
    bundle: true,
    format: "esm",
    platform: "node",
    packages: "external",
    logLevel: "error",
  });
  run("build/programs/main.js", args.slice(1));
} else {
  run("dist/cli/main.js", ["bench", "--full", "--out", "bench/results/results.json", ...args]);
}

function run(file, rest) {
  const { status, signal } = spawnSync(process.execPath, [file, ...rest], { stdio: "inherit" });
  process.exitCode = signal === null ? status : 1;
}
