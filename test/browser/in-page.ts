/**
 * What runs inside the browser: the contract, in a page or in a worker, and what
 * is asked of a page beyond it. Imports the library as the tarball has it.
 */

import * as library from "cleanslab";
import { contract } from "../contract/cases.ts";
import { type CaseResult, runContract } from "../contract/contract.ts";

export function runHere(): Promise<CaseResult[]> {
  return runContract(library, contract);
}

export function runInWorker(): Promise<CaseResult[]> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(import.meta.url, { type: "module", name: "contract" });
    worker.onmessage = ({ data }: MessageEvent<CaseResult[]>) => resolve(data);
    worker.onerror = (event) => reject(new Error(`the worker failed: ${event.message}`));
  });
}

/** The code and cause of what `new Arena()` throws. */
export function refusal(): string {
  try {
    new library.Arena();
  } catch (error) {
    if (!(error instanceof library.ArenaError)) throw error;
    return `${error.code} because of a ${(error.cause as Error).name}`;
  }
  return "none";
}

/** What leases cost once the engine has no more memories, in the page's own clock. */
export function leasesPastTheLimit(): { memories: number; microsecondsEach: number; origins: string } {
  using arena = new library.Arena({ revoke: "on-release", maxBytes: 2 ** 30 });
  const held: import("cleanslab").Lease[] = [];
  while (held.length < 5000 && held.at(-1)?.origin !== "heap") held.push(arena.acquire(1024));
  const memories = held.length - 1;
  const before = performance.now();
  const TIMES = 50;
  const more = Array.from({ length: TIMES }, () => arena.acquire(1024));
  const microsecondsEach = ((performance.now() - before) * 1000) / TIMES;
  const origins = [...new Set(more.map(({ origin }) => origin))].join();
  for (const lease of [...held, ...more]) lease.release();
  return { memories, microsecondsEach, origins };
}

if (typeof document === "undefined" && self.name === "contract") {
  runHere().then((results) => self.postMessage(results));
}
