/** Programs in processes of their own, which import the library as it is in src/. */

import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { afterAll } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));
/** Where programs run: `package.json` and the library are here. */
export const folder = mkdtempSync(join(tmpdir(), "cleanslab-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Another copy of the library, with classes and state of its own: `import(join(…, "index.js"))`. */
export async function copyLibrary(name: string): Promise<string> {
  const outdir = join(folder, "node_modules", name);
  const doors = { ".": "./index.js", "./node": "./node/index.js", "./web": "./web/index.js" };
  await build({
    absWorkingDir: root,
    entryPoints: Object.values(doors).map((door) => `src/${door.replace(/js$/, "ts")}`),
    outbase: "src",
    outdir,
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "node",
    target: "node20",
  });
  writeFileSync(join(outdir, "package.json"), JSON.stringify({ name, type: "module", exports: doors }));
  return outdir;
}

let library: Promise<string> | undefined;

/**
 * What `program` prints last, as JSON. It fails if it ends badly or prints errors.
 *
 * @param shell a command that is run before, in the same shell.
 */
export async function inChild<T = unknown>(program: string, flags: readonly string[] = [], shell = "true"): Promise<T> {
  library ??= copyLibrary("cleanslab");
  await library;
  writeFileSync(join(folder, "package.json"), "{}");
  const node = ["--no-warnings", ...flags, "--input-type=module", "--eval", program];
  const args = ["-c", `${shell} && exec "$0" "$@"`, process.execPath, ...node];
  return new Promise((resolve, reject) => {
    execFile("sh", args, { cwd: folder, timeout: 110_000, killSignal: "SIGKILL" }, (error, stdout, stderr) => {
      // What Node says of flags of its own.
      const errors = stderr.replace(/^Warning: .*\n/gm, "");
      if (error !== null || errors !== "") reject(new Error(`${error?.message ?? "it complained"}\n${errors}`));
      else resolve(JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as T);
    });
  });
}
