/** What the tests of the promises share: programs in processes of their own, and stale views of every kind. */

import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { Lease } from "cleanslab";
import { build } from "esbuild";
import { afterAll } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "cleanslab-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The library as one file, made of the sources, for processes that know nothing of the test runner. */
export async function bundleLibrary(name = "library.mjs"): Promise<string> {
  const outfile = join(folder, name);
  await build({ entryPoints: [join(root, "src/index.ts")], bundle: true, format: "esm", target: "node20", outfile });
  return pathToFileURL(outfile).href;
}

const library = bundleLibrary();

/**
 * What `program` prints as JSON, run by a fresh Node. `LIBRARY` in it stands for the library.
 *
 * @param shell a command that is run before, in the same shell.
 */
export async function answerOf(program: string, flags: readonly string[] = [], shell = "true"): Promise<unknown> {
  const source = program.replaceAll("LIBRARY", JSON.stringify(await library));
  const args = [
    "-c",
    `${shell} && exec "$0" "$@"`,
    process.execPath,
    ...flags,
    "--input-type=module",
    "--eval",
    source,
  ];
  const { stdout, stderr, status } = spawnSync("sh", args, { cwd: root, encoding: "utf8" });
  if (status !== 0) throw new Error(`the program ended with ${status}: ${stderr}`);
  return JSON.parse(stdout);
}

/** Views of a lease of at least 16 bytes, made in every way there is. */
export function viewsOf(lease: Lease): ArrayBufferView[] {
  const { bytes } = lease;
  return [
    bytes,
    bytes.subarray(0, 8),
    bytes.subarray(8),
    lease.view(DataView),
    lease.view(Int8Array),
    new Uint8ClampedArray(bytes.buffer, bytes.byteOffset, bytes.length),
    new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2),
    Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length),
  ];
}

/** Fills the bytes under `view`, as long as it has any. */
export function scribble(view: ArrayBufferView, value = 0xee): void {
  let byteLength: number;
  try {
    byteLength = view.byteLength;
  } catch {
    return; // a dead DataView
  }
  if (byteLength > 0) new Uint8Array(view.buffer, view.byteOffset, byteLength).fill(value);
}

/** Whether `view` has no bytes any more. */
export function isDead(view: ArrayBufferView): boolean {
  try {
    return view.byteLength === 0;
  } catch {
    return true;
  }
}
