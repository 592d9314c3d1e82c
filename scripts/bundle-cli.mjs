// Bundles the command into dist/cli/, so that the published package has no runtime
// dependencies: main.js, and the entries of the processes and threads that the benchmarks start.
// Rivals that are packages stay outside: where they are not installed, the
// benchmarks leave them out. LICENSES.txt is for what is bundled all the same.
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

process.chdir(fileURLToPath(new URL("../", import.meta.url)));
const outdir = "dist/cli";
rmSync(outdir, { recursive: true, force: true });

const { metafile } = await build({
  entryPoints: { main: "cli/main.ts", "isolated-entry": "bench/isolated-entry.ts", messages: "bench/messages.ts" },
  outdir,
  bundle: true,
  splitting: true,
  // Flat: what is found beside import.meta.url is beside every file.
  chunkNames: "[name]-[hash]",
  format: "esm",
  platform: "node",
  target: "node20",
  minify: true,
  legalComments: "none",
  metafile: true,
  external: ["cleanslab", "bl", "redis-parser", "tar-stream", "typedarray-pool", "ws"],
  define: { BUILT_FROM: JSON.stringify(commit()) },
  banner: {
    // For the CommonJS packages in the bundle.
    js: 'import { createRequire as requireFrom } from "node:module"; const require = requireFrom(import.meta.url);',
  },
});
writeFileSync(`${outdir}/LICENSES.txt`, licences(Object.keys(metafile.inputs)));

function commit() {
  try {
    const stdio = ["ignore", "pipe", "ignore"];
    return execFileSync("git", ["describe", "--always", "--dirty", "--exclude=*"], { encoding: "utf8", stdio }).trim();
  } catch {
    return null; // no git, or no checkout
  }
}

/** Of every package that a bundled file is from. */
function licences(files) {
  const folders = new Set(files.flatMap((file) => file.match(/^.*node_modules\/(?:@[^/]+\/)?[^/]+/)?.[0] ?? []));
  const texts = [...folders].sort().map((folder) => {
    const { name, version, license } = JSON.parse(readFileSync(`${folder}/package.json`, "utf8"));
    const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
    if (file === undefined && license === undefined) throw new Error(`${name} does not say its licence`);
    const text = file === undefined ? "" : `\n\n${readFileSync(`${folder}/${file}`, "utf8").trim()}`;
    return `${name} ${version} (${license})${text}\n`;
  });
  return ["The command cleanslab contains parts of these packages.\n", ...texts].join(`\n${"-".repeat(72)}\n\n`);
}
