/** What a fault is: an exact piece of source, which must stand there once, and what stands in its place. */

import { readFile } from "node:fs/promises";
import { join } from "node:path";

export interface Fault {
  readonly file: string;
  /** What is broken, in a few words; names the fault. */
  readonly name: string;
  readonly from: string;
  readonly to: string;
  /** Test files that are likely to catch it, the likeliest first: only the time it takes hangs on them. */
  readonly near: readonly string[];
  /** Why no test can tell it from the original, if that is so. */
  readonly equivalent?: string;
}

export function inFile(
  file: string,
  near: readonly string[],
  faults: readonly (readonly [name: string, from: string, to: string, equivalent?: string])[],
): Fault[] {
  return faults.map(([name, from, to, equivalent]) => ({
    file,
    name,
    from,
    to,
    near,
    ...(equivalent === undefined ? {} : { equivalent }),
  }));
}

/** @throws Error if the piece of source is not there, or not only there: the sources changed, so must the fault. */
export async function brokenSource({ file, name, from, to }: Fault, root: string): Promise<string> {
  const parts = (await readFile(join(root, file), "utf8")).split(from);
  if (parts.length === 2) return parts.join(to);
  throw new Error(`${file}, "${name}": stands there ${parts.length - 1} times, must be once:\n${from}`);
}
