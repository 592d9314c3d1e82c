/** Every TypeScript block of the README and the docs compiles as it stands and runs to its end. */

import { execFile } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { build } from "esbuild";
import { beforeAll, describe, expect, test } from "vitest";

const root = fileURLToPath(new URL("../", import.meta.url));
const folder = `${root}build/snippets/`;

const pages = readdirSync(`${root}docs`, { recursive: true, encoding: "utf8" }).map((name) => `docs/${name}`);
const snippets = ["README.md", "bench/README.md", ...pages]
  // The API pages hold signatures, not programs.
  .filter((page) => page.endsWith(".md") && !page.startsWith("docs/api/"))
  .flatMap((page) =>
    [...readFileSync(root + page, "utf8").matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, code], each) => ({
      name: `${page.replaceAll("/", "-").replace(".md", "")}-${each + 1}`,
      code: code as string,
    })),
  );

beforeAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const { name, code } of snippets) writeFileSync(`${folder}${name}.ts`, code);
  // Against the built package, as a user has it.
  const compilerOptions = { rootDir: ".", noUnusedLocals: false, paths: {} };
  const config = { extends: "../../tsconfig.check.json", compilerOptions, include: ["*.ts"] };
  writeFileSync(`${folder}tsconfig.json`, JSON.stringify(config));
  const entryPoints = snippets.map(({ name }) => `${folder}${name}.ts`);
  await build({ entryPoints, outdir: folder, format: "esm", target: "node20", tsconfigRaw: {} });
});

test("all snippets of the README and the docs compile", async () => {
  expect(snippets.length).toBeGreaterThanOrEqual(3);
  await run(`${root}node_modules/typescript/bin/tsc`, "-p", folder);
});

describe.concurrent.each(snippets)("$name", ({ name }) => {
  test("runs", () => run(`${folder}${name}.js`));
});

async function run(...args: string[]): Promise<void> {
  try {
    await promisify(execFile)(process.execPath, args, { cwd: root });
  } catch (error) {
    const { stdout, stderr } = error as { stdout?: string; stderr?: string };
    throw new Error(`${args.join(" ")}\n${stdout}\n${stderr}`);
  }
}
