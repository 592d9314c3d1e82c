// Writes the release module into src/ as base64, so that every bundler and
// runtime can take the library as plain ESM.
import { readFileSync, writeFileSync } from "node:fs";

const module = readFileSync(new URL("../build/release.wasm", import.meta.url));
writeFileSync(
  new URL("../src/module.generated.ts", import.meta.url),
  `// Made from build/release.wasm by scripts/embed-module.mjs.\nexport const MODULE_BASE64 =\n  "${module.toString("base64")}";\n`,
);
