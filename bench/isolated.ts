/**
 * A task in a process of its own, for what one process can be in only once: peak
 * memory, all collections, before the first revocation. Tasks are named, because
 * a function cannot be sent to another process.
 */

import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";

/** Runs `task` of tasks.ts on `input` in a new process and gives what it returned. */
export function runIsolated<T>(task: string, input: unknown, nodeFlags: readonly string[] = []): Promise<T> {
  // The same file in the sources and, bundled, in the package.
  const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
  const entry = fileURLToPath(new URL(`./isolated-entry.${extension}`, import.meta.url));
  const loader = extension === "ts" ? ["--import", "tsx"] : [];
  const child = fork(entry, [task], { execArgv: [...nodeFlags, ...loader], serialization: "advanced" });
  return new Promise((resolve, reject) => {
    let answer: { value: T } | undefined;
    child.once("message", (message) => {
      answer = message as { value: T };
    });
    child.once("error", reject);
    child.once("exit", (code, signal) => {
      if (answer !== undefined) resolve(answer.value);
      else reject(new Error(`${task} ended with ${signal ?? `code ${code}`} and gave no answer`));
    });
    child.send({ input });
  });
}
