/** Profiles as files. */

import { rename, rm, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { Arena } from "../arena.js";
import { requireArena, requireOptions } from "../checks.js";
import { ArenaError, invalidArgument } from "../errors.js";
import type { HeapProfile } from "../index.js";

export interface ProfileOptions {
  /** What was acquired since that mark, in place of what is out. */
  since?: Parameters<Arena["profile"]>[0];
}

/**
 * Writes `arena.profile()` to `path`, which Chrome DevTools, VS Code and speedscope open if
 * it ends in `.heapprofile`. A file that is there is replaced once the new one is whole.
 *
 * @returns a promise that rejects with an ArenaError: `ERR_INVALID_ARGUMENT` for a path that
 *   cannot be written, with the system's error as its `cause`, and as `arena.profile` throws.
 */
export async function writeProfile(arena: Arena, path: string | URL, options: ProfileOptions = {}): Promise<void> {
  requireArena(arena);
  requireOptions(options);
  const target = pathOf(path);
  const profile: HeapProfile = arena.profile(options.since);
  const made = `${target}.${process.pid}.${Date.now()}`;
  try {
    await writeFile(made, JSON.stringify(profile), { flag: "wx" });
    await rename(made, target);
  } catch (cause) {
    await rm(made, { force: true }).catch(() => {}); // what failed is said below
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new ArenaError(
      "ERR_INVALID_ARGUMENT",
      `path is ${JSON.stringify(target)}; pass one that can be written: ${why}`,
      {
        cause,
      },
    );
  }
}

function pathOf(path: string | URL): string {
  if (typeof path === "string" && path !== "") return path;
  try {
    return fileURLToPath(path);
  } catch {
    throw invalidArgument("path", path, "the path of a file, as a string or a file: URL");
  }
}
