/**
 * Which run happens when: a warm-up that fills the file cache and shows how much
 * fits into the time, then rounds of one run for each contender. Owns the clock
 * of the whole program, and the question whether all passes read the same. Its
 * processes run the file beside it, compiled if it is.
 */

import { fork } from "node:child_process";
import { createHash } from "node:crypto";
import { dirname, extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { CONTENDERS, type Contender } from "./buffers.ts";
import { type FileList, InputError, selectFiles } from "./files.ts";
import { DIGEST_BYTES } from "./pass.ts";
import type { RunOrder, RunProgress, RunReady, RunResult } from "./run.ts";

const MAX_ROUNDS = 5;
/** From the start of the process, from which performance.now() counts, with room left for the slowest round. */
const BUDGET_MS = 95_000;
/** What the warm-up can't begin by then is left out: a round, ten times as long, still fits into the budget. */
const WARM_UP_MS = 7_000;

/**
 * Passes in each run. The first finds nothing compiled and no memory at hand,
 * like a program that starts; the second is what a program that stays sees.
 */
export const PASSES = 2;

const OWN_FILE = fileURLToPath(import.meta.url);
const RUN_FILE = join(dirname(OWN_FILE), `run${extname(OWN_FILE)}`);

export type Round = Readonly<Record<Contender, RunResult>>;

export interface Progress {
  /** How many files there are to do, in all passes together; again when that changes. */
  plan(fileCount: number): void;
  update(doneFiles: number, doing: string): void;
}

export interface WarmUp {
  /** The files that could be read in time. */
  readonly files: FileList;
  readonly leftOut: readonly string[];
  readonly passMs: number;
}

/** Digests that differ between two passes over a file that did not change. */
export interface Difference {
  readonly path: string;
  readonly contenders: readonly [Contender, Contender];
}

export interface Comparison {
  /** sha-256 of "sha-256  path" lines, in path order, over the files that stayed as they were. */
  readonly digest: string;
  readonly filesCompared: number;
  readonly difference: Difference | null;
  /** Files that changed or became unreadable between or during the passes. */
  readonly unsettled: readonly { path: string; how: string }[];
}

/** @throws InputError if none of the files can be read. */
export async function warmUp(folder: string, found: FileList): Promise<WarmUp> {
  const startMs = performance.now();
  const order: RunOrder = { contender: "fresh", passCount: 1, folder, files: found, deadlineMs: WARM_UP_MS };
  const [pass] = (await start(order, () => {})).passes;
  if (pass === undefined) throw new Error("the warm-up made no pass");
  const { filesBegun, faults } = pass;
  const unreadable = [...faults].filter(([, how]) => how !== "changed");
  if (unreadable.length === filesBegun) {
    const how = [...new Set(unreadable.map(([, code]) => code))].join(", ");
    throw new InputError(`none of ${filesBegun} files under ${folder} can be read (${how}); check their permissions`);
  }
  const leftOut: string[] = [];
  if (unreadable.length > 0) {
    const [index, how] = unreadable[0] as [number, string];
    leftOut.push(`${unreadable.length} files that can't be opened or read (the first: ${found.paths[index]}, ${how})`);
  }
  const beyond = found.paths.length - filesBegun;
  if (beyond > 0) leftOut.push(`${beyond} files beyond what ${WARM_UP_MS / 1000} s of warm-up could read`);
  const isUnreadable = new Set(unreadable.map(([index]) => index));
  const files = selectFiles(found, (index) => index < filesBegun && !isUnreadable.has(index));
  return { files, leftOut, passMs: performance.now() - startMs };
}

/** As many rounds as fit, one at least: guessed by the warm-up at first, then by the longest round so far. */
export async function runRounds(folder: string, { files, passMs }: WarmUp, progress: Progress): Promise<Round[]> {
  const filesPerRound = files.paths.length * PASSES * CONTENDERS.length;
  const rounds: Round[] = [];
  let longestMs = 0;
  let roundCount = Math.max(1, roundsThatFit(passMs * PASSES * CONTENDERS.length));
  while (rounds.length < roundCount) {
    progress.plan(roundCount * filesPerRound);
    const startMs = performance.now();
    const before = rounds.length * filesPerRound;
    rounds.push(await runRound(folder, files, rounds.length, (done, doing) => progress.update(before + done, doing)));
    longestMs = Math.max(longestMs, performance.now() - startMs);
    roundCount = Math.min(MAX_ROUNDS, rounds.length + roundsThatFit(longestMs));
  }
  return rounds;
}

function roundsThatFit(roundMs: number): number {
  const leftMs = Math.max(0, BUDGET_MS - performance.now());
  return Math.min(MAX_ROUNDS, Math.floor(leftMs / roundMs));
}

/** One run for each contender; each round begins with another one, so that no place in the order is anyone's. */
async function runRound(
  folder: string,
  files: FileList,
  round: number,
  onProgress: (doneFiles: number, doing: string) => void,
): Promise<Round> {
  const runs: Partial<Record<Contender, RunResult>> = {};
  for (let place = 0; place < CONTENDERS.length; place++) {
    const contender = CONTENDERS[(round + place) % CONTENDERS.length] as Contender;
    const doing = `round ${round + 1}, ${contender}`;
    const before = place * files.paths.length * PASSES;
    onProgress(before, doing);
    const order: RunOrder = { contender, passCount: PASSES, folder, files, deadlineMs: Number.POSITIVE_INFINITY };
    runs[contender] = await start(order, (filesDone) => onProgress(before + filesDone, doing));
  }
  return runs as Round;
}

function start(order: RunOrder, onProgress: (filesDone: number) => void): Promise<RunResult> {
  return new Promise((resolve, reject) => {
    const child = fork(RUN_FILE, {
      execArgv: [...process.execArgv, "--expose-gc"],
      serialization: "advanced",
    });
    let result: RunResult | undefined;
    child.on("message", (message: RunReady | RunProgress | RunResult) => {
      if (message.kind === "ready") child.send(order);
      else if (message.kind === "progress") onProgress(message.filesDone);
      else result = message;
    });
    child.once("error", reject);
    // Not "exit": that can come before the last message.
    child.once("close", (code, signal) => {
      if (result !== undefined && code === 0) resolve(result);
      else reject(new Error(`the "${order.contender}" run ended early (${signal ?? `exit code ${code}`})`));
    });
  });
}

/** Whether every pass of every round read the same bytes in every file that did not change. */
export function compare(files: FileList, rounds: readonly Round[]): Comparison {
  const passes = rounds.flatMap((round) =>
    CONTENDERS.flatMap((contender) => round[contender].passes.map((pass) => ({ contender, ...pass }))),
  );
  const [first, ...others] = passes;
  if (first === undefined) throw new Error("there is no pass to compare");
  const faults = new Map(passes.flatMap((pass) => [...pass.faults]).sort(([a], [b]) => a - b));
  const whole = createHash("sha256");
  let difference: Difference | null = null;
  for (const [index, path] of files.paths.entries()) {
    if (faults.has(index)) continue;
    const digest = digestAt(first, index);
    whole.update(`${digest.toString("hex")}  ${path}\n`);
    const other = others.find((pass) => !digest.equals(digestAt(pass, index)));
    if (other !== undefined) difference ??= { path, contenders: [first.contender, other.contender] };
  }
  return {
    digest: whole.digest("hex"),
    filesCompared: files.paths.length - faults.size,
    difference,
    unsettled: Array.from(faults, ([index, how]) => ({ path: files.paths[index] as string, how })),
  };
}

function digestAt({ digests }: { digests: Uint8Array }, index: number): Buffer {
  return Buffer.from(digests.buffer, digests.byteOffset + index * DIGEST_BYTES, DIGEST_BYTES);
}
