/**
 * A copy of the repository, in which one fault after the other is made, compiled
 * and undone. Only what a fault touches is compiled anew.
 */

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { cp, mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import asc from "assemblyscript/asc";
import { build } from "esbuild";
import { brokenSource, type Fault } from "./fault.js";

const COPIED = [
  "assembly",
  "src",
  "test",
  "fuzz",
  "scripts",
  "build",
  "dist",
  "package.json",
  "asconfig.json",
  "tsconfig.json",
  "vitest.config.ts",
];
const EMBEDDED = "src/module.generated.ts";

export class Copy {
  readonly root = mkdtempSync(join(tmpdir(), "cleanslab-mutant-"));
  /** Where the tests put what they need for a while: gone with the copy, whatever becomes of them. */
  readonly tmp = join(this.root, "tmp");
  /** What stood in the files that the fault has changed. */
  readonly #originals = new Map<string, Buffer>();
  readonly #changed = new Set<string>();

  static async make(): Promise<Copy> {
    const copy = new Copy();
    await mkdir(copy.tmp);
    for (const name of COPIED) await cp(name, join(copy.root, name), { recursive: true });
    await symlink(join(process.cwd(), "node_modules"), join(copy.root, "node_modules"));
    const sources = await readdir(join(copy.root, "src"), { recursive: true });
    await copy.#transpile(sources.filter((name) => /(?<!\.d)\.ts$/.test(name)).map((name) => join("src", name)));
    return copy;
  }

  /** @throws Error if it cannot be made, or does not compile. */
  async break(fault: Fault): Promise<void> {
    const source = await brokenSource(fault, this.root);
    const isModule = fault.file.startsWith("assembly/");
    const transpiled = isModule ? EMBEDDED : fault.file;
    const outputs = [transpiled.replace(/^src(.*)\.ts$/, "dist$1.js")];
    outputs.push(`${outputs[0]}.map`);
    if (isModule) outputs.push(EMBEDDED, "build/release.wasm", "build/debug.wasm");
    for (const file of [fault.file, ...outputs]) {
      this.#originals.set(file, await readFile(join(this.root, file)));
      this.#changed.add(file);
    }
    await writeFile(join(this.root, fault.file), source);
    if (isModule) await this.#compileModule();
    await this.#transpile([transpiled]);
  }

  async mend(): Promise<void> {
    for (const [file, content] of this.#originals) {
      await writeFile(join(this.root, file), content);
      this.#changed.add(file);
    }
    this.#originals.clear();
  }

  /** The files that were broken or mended since this was asked last. */
  changes(): string[] {
    const changes = [...this.#changed];
    this.#changed.clear();
    return changes;
  }

  remove(): void {
    rmSync(this.root, { recursive: true, force: true, maxRetries: 3 });
  }

  /** Types are not what is tested here. */
  async #transpile(sources: readonly string[]): Promise<void> {
    await build({
      entryPoints: sources.map((name) => join(this.root, name)),
      outbase: join(this.root, "src"),
      outdir: join(this.root, "dist"),
      format: "esm",
      target: "es2022",
      logLevel: "silent",
      sourcemap: true,
    });
  }

  async #compileModule(): Promise<void> {
    await compile(this.root, "index", "release");
    await compile(this.root, "debug", "debug");
    execFileSync(process.execPath, ["scripts/embed-module.mjs"], { cwd: this.root });
  }
}

/** One at a time: the compiler, once warm, is quicker in this process than in one of its own. */
let compiling: Promise<unknown> = Promise.resolve();

async function compile(root: string, entry: string, target: string): Promise<void> {
  const args = [`assembly/${entry}.ts`, "--target", target, "--baseDir", root];
  const compiled = compiling.then(() => asc.main(args, { stdout: { write() {} } }));
  compiling = compiled.catch(() => {});
  const { error, stderr } = await compiled;
  if (error !== null) throw new Error(`the module does not compile: ${error.message}\n${stderr}`);
}
