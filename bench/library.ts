/**
 * Copies of the library, one for each rival that needs one. The engine keeps
 * what it learns of a function with the function: three modes in one copy would
 * slow each other down in a way that no program with one arena sees.
 */

import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

export type Library = typeof import("cleanslab");
/** What the floor is made of; see src/abi.ts. */
export type Boundary = typeof import("../src/abi.js");

const outDirectory = fileURLToPath(new URL("../build/bench/", import.meta.url));

async function bundle(entry: string, outFile: string): Promise<string> {
  mkdirSync(outDirectory, { recursive: true });
  const entryPoint = fileURLToPath(new URL(`../dist/${entry}`, import.meta.url));
  await build({ entryPoints: [entryPoint], bundle: true, format: "esm", outfile: outDirectory + outFile });
  return `file://${outDirectory}${outFile}`;
}

// Made when first asked for: a process of isolated.ts may do without.
let library: Promise<string> | undefined;
let boundary: Promise<string> | undefined;

/** A copy of the library of its own for `name`. */
export async function loadLibrary(name: string): Promise<Library> {
  library ??= bundle("index.js", "library.mjs");
  return (await import(`${await library}?${name}`)) as Library;
}

export async function loadBoundary(): Promise<Boundary> {
  boundary ??= bundle("abi.js", "boundary.mjs");
  return (await import(await boundary)) as Boundary;
}
