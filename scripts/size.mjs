// Prints what a user downloads beside what we want it to be, and fails if it grows
// past the ceilings. The core is the library without what writes and reads messages
// (bytes/), what makes profiles and time lines, and the module, as docs/DESIGN.md counts it.
import { statSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const wanted = { "release module": 4 * 1024, "shared module": 3.5 * 1024, "core, minified and gzipped": 9 * 1024 };
// The core is not there yet. It must not get further away.
const ceilings = {
  "release module": 4 * 1024,
  "shared module": 3.5 * 1024,
  "core, minified and gzipped": 19.75 * 1024,
  "library, minified and gzipped": 28 * 1024,
};

async function bundle(external, entry = "src/index.ts") {
  const { outputFiles } = await build({
    entryPoints: [entry],
    bundle: true,
    minify: true,
    format: "esm",
    write: false,
    external,
  });
  return outputFiles[0].contents;
}

const outside = [
  "./bytes/*",
  "./watch/profile.js",
  "./profile.js",
  "./watch/timeline.js",
  "./module.generated.js",
  "../module.generated.js",
];
const gzipped = (bytes) => gzipSync(bytes, { level: 9 }).length;
const library = await bundle([]);
const lengths = {
  "release module": statSync("build/release.wasm").size,
  "core, minified and gzipped": gzipped(await bundle(outside)),
  "library, minified": library.length,
  "library, minified and gzipped": gzipped(library),
  "shared module": statSync("build/shared.wasm").size,
  "cleanslab/shared alone, minified and gzipped": gzipped(await bundle([], "src/shared/index.ts")),
};
for (const [what, length] of Object.entries(lengths)) {
  const aim = wanted[what] === undefined ? "" : ` (wanted: under ${wanted[what]})`;
  console.log(`${String(length).padStart(7)} bytes  ${what}${aim}`);
}
for (const [what, ceiling] of Object.entries(ceilings)) {
  if (lengths[what] <= ceiling) continue;
  console.error(`${what} is ${lengths[what]} bytes, over its ceiling of ${ceiling}`);
  process.exitCode = 1;
}
