import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const source = (path: string): string => fileURLToPath(new URL(`./src/${path}`, import.meta.url));

/** What scripts/mutate.mjs mutates. Then without tests that take long and say little about a single line. */
const mutated = process.env["CLEANSLAB_MUTATED"];
const LONG = [
  "test/{cli,contract,model,parsers,recipes}/**",
  "test/**/{[2568]-*,bench*,book,cap,completion-table,faults,leaks,records,torn,*-model}.test.ts",
  ...(mutated?.includes("src/node") ? [] : ["test/node/**"]),
  "test/{demo,imports,observe,readme}.test.ts",
];

export default defineConfig({
  resolve: {
    // Tests run on the sources. test/package proves the built package.
    alias: [
      { find: /^cleanslab$/, replacement: source("index.ts") },
      { find: /^cleanslab\/(node|web|shared)$/, replacement: source("$1/index.ts") },
    ],
  },
  test: {
    include: ["test/**/*.test.ts"],
    exclude: ["**/node_modules/**", ...(mutated === undefined ? [] : LONG)],
    // Some tests wait for the garbage collector.
    pool: "forks",
    // By default one processor is left idle, which is half of a small machine.
    maxWorkers: "100%",
    execArgv: ["--expose-gc"],
    testTimeout: 120_000,
  },
});
