/** What the command reads and writes. `-` is standard input or output. */

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { Failure, reasonOf, UsageError } from "./failure.ts";

/** @throws UsageError if there is nothing to read at `path`. */
export function readText(path: string): string {
  try {
    return readFileSync(path === "-" ? 0 : path, "utf8");
  } catch (error) {
    throw new UsageError(`cannot read ${nameOf(path)}: ${reasonOf(error)}`);
  }
}

/** Parsed, but not looked at. @throws UsageError if it is not JSON. */
export function readJson(path: string): unknown {
  const text = readText(path);
  try {
    return JSON.parse(text);
  } catch (error) {
    const problem = text.trim() === "" ? "it is empty" : reasonOf(error);
    throw new UsageError(`${nameOf(path)} is not JSON: ${problem}`);
  }
}

/** Makes the folders on the way. @throws Failure if it cannot be written. */
export function writeText(path: string, text: string): void {
  if (path === "-") {
    process.stdout.write(text);
    return;
  }
  try {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  } catch (error) {
    throw new Failure(`cannot write ${path}: ${reasonOf(error)}`);
  }
}

export function toJson(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

function nameOf(path: string): string {
  return path === "-" ? "standard input" : path;
}
