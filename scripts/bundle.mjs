// Writes dist/, which is what is published: a bundle and its declarations for each entry of
// package.json, the module, and the command. Bundles keep the names of classes and methods, so that
// profiles and heap snapshots can be read, and have short lines, since Node prints the line of an error.
import { execFileSync } from "node:child_process";
import { copyFileSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build, transformSync } from "esbuild";
import { rolldown } from "rolldown";
import { dts } from "rolldown-plugin-dts";

/** Characters in a line of a bundle, about. */
const LINE = 120;

process.chdir(fileURLToPath(new URL("../", import.meta.url)));
rmSync("dist", { recursive: true, force: true });

/** "node/index" and so on: an entry's place in src/, build/types/ and dist/. */
const { exports: entries } = JSON.parse(readFileSync("package.json", "utf8"));
const places = Object.values(entries).flatMap(({ types }) => types?.match(/^\.\/dist\/(.*)\.d\.ts$/)?.[1] ?? []);
const inputs = (folder, ending) => Object.fromEntries(places.map((place) => [place, `${folder}/${place}${ending}`]));

await write(
  { input: inputs("src", ".ts"), tsconfig: false, transform: { target: "es2022" } },
  {
    comments: false,
    minify: {
      compress: true,
      mangle: { toplevel: true, keepNames: { class: true, function: false } },
    },
  },
);
for (const name of filesOfDist(".js")) {
  const { code } = transformSync(readFileSync(name, "utf8"), { minifyWhitespace: true, lineLimit: LINE });
  writeFileSync(name, code);
}
// tsc made them already: the generator named has nothing to do.
const declarations = dts({ dtsInput: true, oxc: true, tsconfig: false });
await write({ input: inputs("build/types", ".d.ts"), plugins: [declarations] }, {});
for (const name of filesOfDist(".d.ts")) {
  const text = readFileSync(name, "utf8")
    .replace(/^\/\/ build\/.*\n/gm, "")
    // A comment in front of another one says what a source file owns.
    .replace(/\/\*\*(?:(?!\*\/|@module)[\s\S])*\*\/\n(?=\/\*\*)/g, "");
  // Bundling loses it, and `using` needs it.
  const reference = text.includes("[Symbol.dispose]")
    ? '/// <reference lib="esnext.disposable" preserve="true" />\n'
    : "";
  writeFileSync(name, reference + text);
}
copyFileSync("build/release.wasm", "dist/arena.wasm");

await build({
  entryPoints: {
    main: "cli/main.ts",
    "isolated-entry": "cli/isolated-entry.ts",
    "visible-thread": "test/visible/threads.ts",
  },
  outdir: "dist/cli",
  bundle: true,
  splitting: true,
  // Flat: what is found beside import.meta.url is beside every file.
  chunkNames: "[name]-[hash]",
  format: "esm",
  platform: "node",
  target: "node20",
  minify: true,
  legalComments: "none",
  // A rival of `observe` is left out where it is not installed.
  packages: "external",
  define: { BUILT_FROM: JSON.stringify(commit()) },
});

async function write(input, output) {
  const bundle = await rolldown({ external: /^node:/, logLevel: "warn", ...input });
  await bundle.write({ dir: "dist", format: "es", ...output });
  await bundle.close();
}

function filesOfDist(ending) {
  return readdirSync("dist", { recursive: true }).flatMap((name) => (name.endsWith(ending) ? [`dist/${name}`] : []));
}

function commit() {
  try {
    const stdio = ["ignore", "pipe", "ignore"];
    return execFileSync("git", ["describe", "--always", "--dirty", "--exclude=*"], { encoding: "utf8", stdio }).trim();
  } catch {
    return null; // no git, or no checkout
  }
}
