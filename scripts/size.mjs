// Prints what a user downloads beside what we want it to be, and fails if it grows
// past the ceilings.
import { readFileSync, statSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const wanted = { "release module": 4 * 1024, "library, minified and gzipped": 9 * 1024 };
// The library is not there yet. It must not get further away.
const ceilings = { "release module": 4 * 1024, "library, minified and gzipped": 25 * 1024 };

const { outputFiles } = await build({
  entryPoints: ["dist/index.js"],
  bundle: true,
  minify: true,
  format: "esm",
  write: false,
});
const minified = outputFiles[0].contents;
const base64 = readFileSync("src/module.generated.ts", "utf8").match(/"([A-Za-z0-9+/=]+)"/)[1];
const withoutModule = Buffer.from(minified).toString().replace(base64, "");
const lengths = {
  "release module": statSync("build/release.wasm").size,
  "library, minified": minified.length,
  "library, minified and gzipped": gzipSync(minified, { level: 9 }).length,
  "  of which bindings without the module": gzipSync(withoutModule, { level: 9 }).length,
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
