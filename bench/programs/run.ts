/**
 * Runs whole programs: each variant in processes of its own, variants in turn, several
 * rounds, medians. Owns the processes; what they do is each program's business.
 */

import { type ChildProcess, execFileSync, fork } from "node:child_process";
import { mkdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Figures, type Program, quantile, type Variant } from "./program.ts";

export interface Outcome {
  readonly program: Program;
  readonly variant: Variant;
  /** Medians over the rounds. */
  readonly figures: Figures;
  readonly rounds: readonly Figures[];
}

export interface RunOptions {
  readonly rounds: number;
  /** The Node to run programs with; default this one. */
  readonly node?: string | undefined;
  readonly progress?: (line: string) => void;
}

const FOLDER = join(tmpdir(), "cleanslab-programs");

/** The bundled child stands beside the bundled runner. */
const CHILD = fileURLToPath(new URL("./child.js", import.meta.url));

interface Message {
  port?: number;
  figures?: Figures;
}

function start(node: string | undefined, ...args: string[]): ChildProcess {
  mkdirSync(FOLDER, { recursive: true });
  return fork(CHILD, [...args, FOLDER], node === undefined ? {} : { execPath: node });
}

/** The next message of a child that must not end before. */
function hear(child: ChildProcess, what: string): Promise<Message> {
  return new Promise((resolve, reject) => {
    const ended = (code: number | null): void => reject(new Error(`${what} ended with ${code} and said nothing`));
    child.once("exit", ended);
    child.once("message", (message) => {
      child.off("exit", ended);
      resolve(message as Message);
    });
  });
}

function end(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null) resolve();
    else child.once("exit", () => resolve());
  });
}

async function runOnce(program: Program, variant: Variant, node: string | undefined): Promise<Figures> {
  const what = `${program.name}, ${variant.name}`;
  if (!("serve" in program)) {
    const child = start(node, program.name, "work", variant.name);
    const { figures } = await hear(child, what);
    await end(child);
    return figures ?? {};
  }
  const server = start(node, program.name, "serve", variant.name);
  const { port } = await hear(server, what);
  // The load is always made by the same Node: only the server is compared.
  const client = start(undefined, program.name, "load", String(port));
  const load = await hear(client, `${what}, the load`);
  server.send("stop");
  const cost = await hear(server, what);
  await Promise.all([end(client), end(server)]);
  return { ...load.figures, ...cost.figures };
}

export async function runProgram(program: Program, options: RunOptions): Promise<Outcome[]> {
  const { node, rounds, progress } = options;
  const major = Number.parseInt(versionOf(node).slice(1), 10);
  const variants = program.variants.filter(({ since }) => since === undefined || major >= since);
  if ("work" in program && program.prepare !== undefined) await end(start(node, program.name, "prepare", ""));
  const all = new Map<Variant, Figures[]>(variants.map((variant) => [variant, []]));
  for (let round = 0; round < rounds; round++) {
    // Turned each round, so that no variant always runs behind the same one.
    for (let each = 0; each < variants.length; each++) {
      const variant = variants[(each + round) % variants.length] as Variant;
      progress?.(`${program.name}: round ${round + 1} of ${rounds}, ${variant.name}`);
      all.get(variant)?.push(await runOnce(program, variant, node));
    }
  }
  return [...all].map(([variant, figures]) => ({ program, variant, figures: medians(figures), rounds: figures }));
}

function medians(rounds: readonly Figures[]): Figures {
  const median = (name: string): number => {
    const values = rounds.map((round) => round[name] ?? Number.NaN);
    return quantile(values, 0.5);
  };
  return Object.fromEntries(Object.keys(rounds[0] ?? {}).map((name) => [name, median(name)]));
}

export function versionOf(node = process.execPath): string {
  return execFileSync(node, ["-p", "process.version"], { encoding: "utf8" }).trim();
}
