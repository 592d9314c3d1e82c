/**
 * Copies of the library, one for each rival that needs one. The engine keeps
 * what it learns of a function with the function: three modes in one copy would
 * slow each other down in a way that no program with one arena sees.
 *
 * scripts/bundle-cli.mjs makes the three files that are copied, beside the command.
 */

export type Library = typeof import("cleanslab");
/** What the floor is made of; see src/abi.ts. */
export type Boundary = typeof import("../src/abi.js");
export type ParserModules = typeof import("./parser-modules.ts");

const folder = import.meta.url.endsWith(".ts") ? "../dist/cli/" : "./";

/** A copy of the library of its own for `name`. */
export async function loadLibrary(name: string): Promise<Library> {
  const url = new URL(`${folder}library.mjs?${encodeURIComponent(name)}`, import.meta.url);
  return (await import(url.href)) as Library;
}

export async function loadBoundary(): Promise<Boundary> {
  return (await import(new URL(`${folder}boundary.mjs`, import.meta.url).href)) as Boundary;
}

/** A copy of the parsers of examples/ of its own for `name`. */
export async function loadParsers(name: string): Promise<ParserModules> {
  const url = new URL(`${folder}parsers.mjs?${encodeURIComponent(name)}`, import.meta.url);
  return (await import(url.href)) as ParserModules;
}
