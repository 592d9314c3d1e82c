/** Every TypeScript block of the README and the docs compiles as it stands and runs to its end. */

import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";

const root = fileURLToPath(new URL("../", import.meta.url));
const folder = `${root}build/snippets/`;
const tsc = `${root}node_modules/typescript/bin/tsc`;

const pages = ["README.md", "bench/README.md", ...pagesUnder("docs")];
const snippets = pages
  // The API pages hold signatures, not programs.
  .filter((page) => page.endsWith(".md") && !page.startsWith("docs/api/"))
  .flatMap((page) =>
    [...readFileSync(root + page, "utf8").matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, code], each) => ({
      name: `${page.replaceAll("/", "-").replace(".md", "")}-${each + 1}`,
      code: code as string,
    })),
  );

beforeAll(() => {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const { name, code } of snippets) writeFileSync(`${folder}${name}.ts`, code);
  const config = {
    extends: "../../tsconfig.check.json",
    // Against the built package, as a user has it.
    compilerOptions: { rootDir: ".", noUnusedLocals: false, paths: {} },
    include: ["*.ts"],
  };
  writeFileSync(`${folder}tsconfig.json`, JSON.stringify(config));
});

test("the README has snippets", () => {
  expect(snippets.length).toBeGreaterThanOrEqual(3);
});

test("all snippets compile", () => {
  run([tsc, "-p", folder]);
});

describe.each(snippets)("$name", ({ name }) => {
  test("runs", () => {
    run(["--import", "tsx", `${folder}${name}.ts`]);
  });
});

function pagesUnder(directory: string): string[] {
  return readdirSync(root + directory, { recursive: true, encoding: "utf8" }).map((name) => `${directory}/${name}`);
}

function run(args: string[]): string {
  try {
    return execFileSync(process.execPath, args, { cwd: root, encoding: "utf8", stdio: "pipe" });
  } catch (error) {
    const { stdout, stderr } = error as { stdout?: string; stderr?: string };
    throw new Error(`${args.join(" ")}\n${stdout}\n${stderr}`);
  }
}
