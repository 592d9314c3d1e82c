/**
 * What runs inside the browser: the contract, in a page or in a worker, the cases of
 * WebCodecs, and what is asked of a page beyond them. Imports the library as the tarball has it.
 */

import * as library from "cleanslab";
import { contract } from "../contract/cases.ts";
import { type CaseResult, runContract } from "../contract/contract.ts";
import { webcodecs } from "./webcodecs.ts";

export function runHere(): Promise<CaseResult[]> {
  return runContract(library, contract);
}

export function runWebCodecs(): Promise<CaseResult[]> {
  return runContract(library, webcodecs);
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

if (typeof document === "undefined" && self.name === "contract") {
  runHere().then((results) => self.postMessage(results));
}
