// Writes the release module into src/ as base64, so that every bundler and runtime can
// take the library as plain ESM; and beside the built library, for places that compile
// modules at build time.
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";

const built = new URL("../build/release.wasm", import.meta.url);
const dist = new URL("../dist/", import.meta.url);
const base64 = readFileSync(built).toString("base64");
writeFileSync(
  new URL("../src/module.generated.ts", import.meta.url),
  `// Made from build/release.wasm by scripts/embed-module.mjs.\nexport const MODULE_BASE64 =\n  "${base64}";\n`,
);
mkdirSync(dist, { recursive: true });
copyFileSync(built, new URL("arena.wasm", dist));
