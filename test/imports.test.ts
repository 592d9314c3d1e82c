/** That biome.json refuses imports against the map in docs/DESIGN.md, those of types too. */

import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";

const root = fileURLToPath(new URL("../", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "cleanslab-imports-"));
afterAll(() => rmSync(folder, { recursive: true }));

const PARTS = [
  "lease",
  "memory",
  "stores",
  "watch",
  "bytes",
  "waiting",
  "lender",
  "arena",
  "index",
  "node",
  "web",
  "shared",
];
const FILES = new Set(["waiting", "lender", "arena", "index"]);

/** By file, the parts that it may import. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  "src/checks.ts": [],
  "src/lease/x.ts": ["lease"],
  "src/memory/x.ts": ["lease", "memory"],
  "src/stores/x.ts": ["lease", "memory", "stores"],
  "src/watch/x.ts": ["lease", "memory", "watch"],
  "src/bytes/x.ts": ["lease", "bytes"],
  "src/waiting.ts": ["lease", "bytes"],
  "src/lender.ts": ["lease", "memory", "stores", "watch", "bytes", "waiting"],
  "src/arena.ts": ["lease", "memory", "stores", "watch", "bytes", "waiting", "lender"],
  "src/shared/x.ts": ["lease", "bytes", "waiting", "shared"],
  "src/node/x.ts": ["lease", "bytes", "lender", "arena", "index", "node"],
  "src/web/x.ts": ["lease", "bytes", "lender", "arena", "index", "web"],
};

let said = "";

beforeAll(() => {
  const config = JSON.parse(readFileSync(join(root, "biome.json"), "utf8"));
  const write = (name: string, text: string): void => {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  };
  write("biome.json", JSON.stringify({ ...config, $schema: undefined, vcs: undefined }));
  for (const file of Object.keys(ALLOWED)) {
    // Line n imports the nth part.
    const lines = PARTS.map((part, each) => {
      const path = FILES.has(part) ? `${part}.js` : `${part}/${part}.js`;
      return `export type { T as T${each} } from "${file.split("/").length === 3 ? ".." : "."}/${path}";`;
    });
    write(file, lines.join("\n"));
  }
  write("src/a.ts", 'export type { B } from "./b.js";\nexport type A = 1;\n');
  write("src/b.ts", 'export type { A } from "./a.js";\nexport type B = 1;\n');
  cpSync(join(root, "package.json"), join(folder, "package.json"));
  const args = ["lint", "--reporter=github", "--max-diagnostics=none", "src"];
  const biome = join(root, "node_modules/@biomejs/biome/bin/biome");
  const { stdout, stderr } = spawnSync(process.execPath, [biome, ...args], { cwd: folder, encoding: "utf8" });
  said = stdout + stderr;
});

test.each(Object.entries(ALLOWED))("%s may import %j alone", (file, allowed) => {
  const found = said.matchAll(/noRestrictedImports,file=([^,]*),line=(\d+)/g);
  const refused = [...found].filter(([, name]) => name?.endsWith(file)).map(([, , line]) => PARTS[Number(line) - 1]);
  refused.sort();
  expect(refused).toEqual(PARTS.filter((part) => !allowed.includes(part)).sort());
});

test("two files may not import each other's types", () => {
  expect(said).toMatch(/noImportCycles,file=[^,]*a\.ts/);
});
