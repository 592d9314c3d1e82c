// Writes the release modules into src/ as base64, so that every bundler and runtime can
// take the library as plain ESM.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";

const built = (name) => new URL(`../build/${name}.wasm`, import.meta.url);

/** @param modules file names in build/, by the names of the constants. */
function embed(target, modules) {
  const constants = Object.entries(modules).map(
    ([constant, name]) => `export const ${constant} =\n  "${readFileSync(built(name)).toString("base64")}";\n`,
  );
  writeFileSync(
    new URL(`../src/${target}`, import.meta.url),
    `// Made from build/ by scripts/embed-module.mjs.\n${constants.join("")}`,
  );
}

embed("module.generated.ts", { MODULE_BASE64: "release" });
mkdirSync(new URL("../src/shared/", import.meta.url), { recursive: true });
embed("shared/modules.generated.ts", { BOOK_BASE64: "shared", WIPE_BASE64: "wipe" });
