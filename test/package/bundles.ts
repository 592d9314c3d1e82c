/** The package through the bundlers, as a consumer's bundle that runs, and as one that uses nothing of it. */

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Check, Consumer } from "./check.ts";
import { run } from "./tarball.ts";

/** What consumer/use.js prints. */
const WANTED = JSON.stringify({ acquired: 1, released: 1, staleLength: 0 });

/** Bytes that a bundle may have which imports the package and uses nothing of it. */
const NOTHING = 100;

const WEBPACK = `
import webpack from "webpack";
const [entry, path] = process.argv.slice(2);
const options = {
  entry, mode: "production", target: ["web", "es2022"],
  output: { path, filename: "webpack.js" },
};
webpack(options, (error, stats) => {
  if (error || stats.hasErrors() || stats.hasWarnings()) {
    console.error(error ?? stats.toString());
    process.exitCode = 1;
  }
});
`;

/** Bundles `entry` into `out` in `folder`. */
const BUNDLERS: Record<string, (folder: string, entry: string, out: string) => Promise<unknown>> = {
  esbuild: (folder, entry, out) =>
    run(
      "npx",
      ["esbuild", entry, "--bundle", "--minify", "--format=esm", "--platform=node", `--outfile=${out}`],
      folder,
    ),
  rollup: (folder, entry, out) => {
    const args = ["rollup", entry, "--plugin", "node-resolve", "--format", "es", "--file", out, "--silent"];
    return run("npx", args, folder);
  },
  vite: (folder, entry, out) => {
    const config = `export default { logLevel: "warn", build: { target: "es2022", emptyOutDir: false, outDir: ".",
      lib: { entry: ${JSON.stringify(entry)}, formats: ["es"], fileName: () => ${JSON.stringify(out)} } } };`;
    writeFileSync(join(folder, "vite.config.js"), config);
    return run("npx", ["vite", "build"], folder);
  },
  webpack: (folder, entry, out) => {
    writeFileSync(join(folder, "webpack.mjs"), WEBPACK.replace("webpack.js", out));
    return run(process.execPath, ["webpack.mjs", `./${entry}`, folder], folder);
  },
};

export function bundleChecks({ folder, specifiers }: Consumer): Check[] {
  return [
    ...Object.entries(BUNDLERS).map(([bundler, bundle]) => ({
      name: `a bundle by ${bundler} runs`,
      run: () => runBundle(folder, bundler, bundle),
    })),
    ...specifiers.flatMap((specifier) =>
      ["esbuild", "rollup"].map((bundler) => ({
        name: `${specifier}, imported and not used, is nothing to ${bundler}`,
        run: () => unused(folder, specifier, bundler),
      })),
    ),
    ...specifiers.map((specifier) => ({
      name: `importing ${specifier} changes no global, and works with frozen intrinsics`,
      run: () => withoutSideEffects(folder, specifier),
    })),
  ];
}

async function runBundle(folder: string, bundler: string, bundle: (typeof BUNDLERS)[string]): Promise<string> {
  const out = `${bundler}-use.mjs`;
  await bundle(folder, "use.js", out);
  const printed = (await run(process.execPath, [out], folder)).trim();
  if (printed !== WANTED) throw new Error(`the bundle printed ${printed}, not ${WANTED}`);
  return `${readFileSync(join(folder, out)).length} bytes`;
}

async function unused(folder: string, specifier: string, bundler: string): Promise<string> {
  const name = `${bundler}-${specifier.replaceAll("/", "-")}`;
  const program = `import ${JSON.stringify(specifier)};\nimport * as unused from ${JSON.stringify(specifier)};\n`;
  writeFileSync(join(folder, `${name}.js`), program);
  await BUNDLERS[bundler]?.(folder, `${name}.js`, `${name}.mjs`);
  const { length } = readFileSync(join(folder, `${name}.mjs`));
  if (length > NOTHING) throw new Error(`${length} bytes are left of a package that says sideEffects: false`);
  return `${length} bytes`;
}

async function withoutSideEffects(folder: string, specifier: string): Promise<string> {
  const program = `
    // Node defines some globals when they are first read, by whomever.
    for (const key of Reflect.ownKeys(globalThis)) void globalThis[key];
    const shape = () => JSON.stringify(Reflect.ownKeys(globalThis).map((key) => {
      const { value } = Reflect.getOwnPropertyDescriptor(globalThis, key);
      const own = (it) => (Object(it) === it ? Reflect.ownKeys(it).map(String) : []);
      return [String(key), own(value), own(value?.prototype)];
    }));
    const before = shape();
    const exported = Object.keys(await import(${JSON.stringify(specifier)}));
    if (shape() !== before) throw new Error("a global changed");
    console.log(exported.join());
  `;
  const args = ["--frozen-intrinsics", "--no-warnings", "--input-type=module", "--eval", program];
  return (await run(process.execPath, args, folder)).trim();
}
