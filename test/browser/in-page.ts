/**
 * What runs inside the browser: the contract, in a page or in a worker, that of shared memory
 * between them, the cases of WebCodecs, and what is asked of a page beyond them. Imports the
 * library as the tarball has it.
 */

import * as library from "cleanslab";
import * as sharedLibrary from "cleanslab/shared";
import { contract } from "../contract/cases.ts";
import { checkThrows } from "../contract/check.ts";
import { type CaseResult, type ContractCase, runContract } from "../contract/contract.ts";
import { type SharedLibrary, shared } from "../contract/shared.ts";
import { starter } from "../contract/threads.ts";
import { receiveFrames, runPipelines, WORKER_NAME } from "./pipeline.ts";
import { webcodecs } from "./webcodecs.ts";

export function runHere(): Promise<CaseResult[]> {
  return runContract(library, contract);
}

/** What one process can hold, where memories are few. */
const crowded: readonly ContractCase[] = [
  {
    name: "three arenas with a cap of 256 MiB serve all but the traps of it at once, and a fourth still works",
    run({ Arena, ArenaError }) {
      const MiB = 2 ** 20;
      const arenas = [1, 2, 3].map(() => new Arena({ maxBytes: 256 * MiB, onExhausted: "throw", trace: "off" }));
      const held: object[] = [];
      for (const arena of arenas) {
        let byteLength = 0;
        try {
          for (; ; byteLength += 65536) held.push(arena.acquire(65536));
        } catch (error) {
          if (!(error instanceof ArenaError) || error.code !== "ERR_ARENA_EXHAUSTED") throw error;
        }
        if (byteLength < 250 * MiB) throw new Error(`${byteLength} of 268435456 bytes were leased`);
      }
      using fourth = new Arena();
      fourth.acquire(1000).release();
      for (const arena of arenas) arena[Symbol.dispose]();
    },
  },
];

export function runCrowded(): Promise<CaseResult[]> {
  return runContract(library, crowded);
}

export function runShared(): Promise<CaseResult[]> {
  return runContract(sharedLibrary, shared(starter("Worker", new URL("./shared-worker.js", import.meta.url))));
}

const notIsolated: readonly ContractCase<SharedLibrary>[] = [
  {
    name: "a page that is not cross-origin isolated is told which headers to send",
    run(library) {
      if (crossOriginIsolated) throw new Error("the page is isolated");
      const headers = ["Cross-Origin-Opener-Policy: same-origin", "Cross-Origin-Embedder-Policy: require-corp"];
      checkThrows(library, () => new library.SharedArena(), "ERR_SHARED_MEMORY_UNAVAILABLE", ...headers);
      const handle = {} as Parameters<typeof library.SharedArena.attach>[0];
      checkThrows(library, () => library.SharedArena.attach(handle), "ERR_SHARED_MEMORY_UNAVAILABLE", ...headers);
    },
  },
];

export function runNotIsolated(): Promise<CaseResult[]> {
  return runContract(sharedLibrary, notIsolated);
}

export function runWebCodecs(): Promise<CaseResult[]> {
  return runContract(library, webcodecs);
}

export function runFramesToWorker(): Promise<CaseResult[]> {
  return runPipelines(new URL(import.meta.url));
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

/** A profile of three leases of a million bytes. */
export function profile(): string {
  const arena = new library.Arena({ trace: "all" });
  function forgets(byteLength: number): library.Lease {
    return arena.acquire(byteLength);
  }
  function handles(): library.Lease[] {
    return [300_000, 100_000].map(forgets).concat(arena.acquire(600_000));
  }
  const leases = handles();
  const made = JSON.stringify(arena.profile());
  for (const lease of leases) lease.release();
  return made;
}

if (typeof document === "undefined" && self.name === "contract") {
  runHere().then((results) => self.postMessage(results));
}
if (typeof document === "undefined" && self.name === WORKER_NAME) receiveFrames();
