// Compiles assembly/ into build/, and writes the modules that are published into src/ as base64,
// so that every bundler and runtime can take the library as plain ESM. Does nothing where that is
// newer than everything it is made of.
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { main as asc } from "assemblyscript/asc";

process.chdir(fileURLToPath(new URL("../", import.meta.url)));

/** Arguments of the compiler. The targets are asconfig.json's. */
const BUILDS = [
  ["assembly/index.ts", "--target", "release"],
  // With asserts, for tests.
  ["assembly/debug.ts", "--target", "debug"],
  ["assembly/shared/index.ts", "--target", "shared"],
  ["assembly/shared/wipe.ts", "--target", "shared", "--outFile", "build/wipe.wasm"],
  // Stops at every step, for tests.
  ["assembly/shared/debug.ts", "--target", "shared", "--use", "IS_HOOKED=1", "--outFile", "build/shared-hooked.wasm"],
];
/** By file of src/: its constants, and the module in each. */
const EMBEDDED = {
  "module.generated.ts": { MODULE_BASE64: "release" },
  "shared/modules.generated.ts": { BOOK_BASE64: "shared", WIPE_BASE64: "wipe" },
};

const made = [
  ...Object.keys(EMBEDDED).map((name) => `src/${name}`),
  ...["release", "debug", "shared", "wipe", "shared-hooked"].map((name) => `build/${name}.wasm`),
];
const sources = [
  ...readdirSync("assembly", { recursive: true }).map((name) => `assembly/${name}`),
  ...["asconfig.json", "package-lock.json", "scripts/build-module.mjs"],
];
const times = (paths) => paths.map((path) => (existsSync(path) ? statSync(path).mtimeMs : 0));

if (Math.min(...times(made)) < Math.max(...times(sources))) {
  for (const args of BUILDS) {
    const { error, stderr } = await asc(args);
    if (error !== null) throw new Error(`asc ${args.join(" ")}\n${stderr}`, { cause: error });
  }
  for (const [target, modules] of Object.entries(EMBEDDED)) {
    const constants = Object.entries(modules).map(
      ([constant, name]) => `export const ${constant} =\n  "${readFileSync(`build/${name}.wasm`, "base64")}";\n`,
    );
    writeFileSync(`src/${target}`, `// Made from assembly/ by scripts/build-module.mjs.\n${constants.join("")}`);
  }
}
