/**
 * The shared module made small for the step test, from its own text: four records a slab and eight
 * entries in the thread table, so that nobody looks at thousands that are never used. And with a
 * fault, if it is to have one.
 */

import { readFileSync } from "node:fs";
import { main as asc } from "assemblyscript/asc";

/** A change of exact text in a file of assembly/shared, so that none can get lost. */
export type Change = readonly [file: string, from: string, to: string];

const SMALL: readonly Change[] = [
  ["layout.ts", "BLOCKS_SHIFT: i32 = 8;", "BLOCKS_SHIFT: i32 = 2;"],
  ["layout.ts", "BLOCKS_A_SLAB: i32 = 256;", "BLOCKS_A_SLAB: i32 = 4;"],
  ["layout.ts", "THREAD_COUNT: i32 = 1024;", "THREAD_COUNT: i32 = 8;"],
  ["layout.ts", "SLAB_WORDS: usize = 16640;", "SLAB_WORDS: usize = 384;"],
];

/** The hooked build, small, with the changes. */
export async function compileSmall(changes: readonly Change[] = []): Promise<WebAssembly.Module> {
  const wanted = [...SMALL, ...changes];
  const made = new Set<Change>();
  let binary: Uint8Array | undefined;
  const flags = ["assembly/shared/debug.ts", "--target", "shared", "--use", "IS_HOOKED=1", "--outFile", "small.wasm"];
  const { error, stderr } = await asc(flags, {
    readFile: (path) => {
      let text = textOf(path);
      for (const change of wanted) {
        const [file, from, to] = change;
        if (!path.endsWith(`assembly/shared/${file}`) || text === null || text.split(from).length !== 2) continue;
        text = text.replace(from, () => to);
        made.add(change);
      }
      return text;
    },
    writeFile: (path, contents) => {
      if (path.endsWith(".wasm")) binary = contents as Uint8Array;
    },
    listFiles: () => null,
  });
  const missing = wanted.find((change) => !made.has(change));
  if (missing !== undefined) throw new Error(`the text to change is not there once: ${missing[1]}`);
  if (error !== null || binary === undefined) throw new Error(stderr.toString(), { cause: error });
  return new WebAssembly.Module(binary as BufferSource);
}

function textOf(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
}
