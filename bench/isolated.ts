/**
 * One case in a process of its own. A function cannot be sent to another process,
 * so a case goes there as its question's name and plain data.
 */

import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Question } from "./question.ts";

/** Runs one case of the question called `name` in a new process, and gives what it returned. */
export function runIsolated<T>(name: string, input: unknown, nodeFlags: readonly string[] = []): Promise<T> {
  // `npm run bench` runs bundled JavaScript. Under a loader run the tests alone, which look at no time.
  const isSource = import.meta.url.endsWith(".ts");
  const entry = fileURLToPath(new URL(`./isolated-entry.${isSource ? "ts" : "js"}`, import.meta.url));
  const loader = isSource ? ["--import", "tsx"] : [];
  const child = fork(entry, [name], { execArgv: [...nodeFlags, ...loader], serialization: "advanced" });
  return new Promise((resolve, reject) => {
    let answer: { value: T } | undefined;
    child.once("message", (message) => {
      answer = message as { value: T };
    });
    child.once("error", reject);
    child.once("exit", (code, signal) => {
      if (answer !== undefined) resolve(answer.value);
      else reject(new Error(`${name} ended with ${signal ?? `code ${code}`} and gave no answer: ${toWords(input)}`));
    });
    child.send({ input });
  });
}

/** In the new process: runs the case that the parent sends. */
export function answerParent(questions: readonly Question[]): void {
  const question = questions.find(({ name }) => name === process.argv[2]);
  if (question === undefined) throw new Error(`no question is called "${process.argv[2]}"`);
  process.once("message", async (message) => {
    const { input } = message as { input: unknown };
    process.send?.({ value: await question.run(input) }, () => process.disconnect());
  });
}

function toWords(input: unknown): string {
  return JSON.stringify(input)?.slice(0, 300) ?? String(input);
}
