/** What is worth pooling: measured here, and read out of the stats of a program. Owns how it is told. */

import CliTable from "cli-table3";
import { formatLength } from "../bench/harness.ts";
import { machine } from "../bench/machine.ts";
import { type Figures, measureHere } from "./advice/figures.ts";
import { adviseForMachine, crossover, type MachineAdvice } from "./advice/machine-rules.ts";
import { parseStats } from "./advice/stats.ts";
import { type Advice, adviseForStats } from "./advice/stats-rules.ts";
import { EXIT, UsageError } from "./failure.ts";
import { readJson, toJson } from "./files.ts";
import { openProgress } from "./progress.ts";

export interface AdviseOptions {
  segmentBytes?: string;
  json?: true;
}

export async function advise(file: string | undefined, options: AdviseOptions): Promise<number> {
  const segmentBytes = readSegmentBytes(options.segmentBytes);
  // Before anything is measured: bad input is told at once.
  const stats = file === undefined ? undefined : parseStats(readJson(file), file === "-" ? "standard input" : file);
  const figures = await measure();
  const here = { machine: machine(), crossoverBytes: crossover(figures.cycles) };
  if (stats === undefined) {
    const advice = adviseForMachine(figures);
    if (options.json) process.stdout.write(toJson({ ...here, advice, figures }));
    else console.log(`${intro(here)}\n\n${tableOf(advice)}`);
    return EXIT.done;
  }
  const advice = adviseForStats(stats, {
    cycles: figures.cycles,
    ...(segmentBytes === undefined ? {} : { segmentBytes }),
  });
  if (options.json) process.stdout.write(toJson({ ...here, advice, figures }));
  else console.log(`${intro(here)}\n\n${advice.map(inWords).join("\n\n")}`);
  return EXIT.done;
}

function readSegmentBytes(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const bytes = Number(text);
  const isPower = Number.isInteger(Math.log2(bytes));
  if (isPower && bytes >= 2 ** 18 && bytes <= 2 ** 24) return bytes;
  throw new UsageError(
    `--segment-bytes is "${text}"; pass the arena's segmentBytes, a power of two from 262144 to 16777216`,
  );
}

async function measure(): Promise<Figures> {
  const progress = openProgress();
  progress.step("measuring this machine", 0);
  try {
    return await measureHere((share) => progress.update(share));
  } finally {
    progress.clear();
  }
}

function intro({
  machine,
  crossoverBytes,
}: {
  machine: { node: string; processor: string };
  crossoverBytes: number | null;
}): string {
  const pays =
    crossoverBytes === null
      ? "at no measured length does a lease pay"
      : `of the measured lengths a lease pays from ${formatLength(crossoverBytes)} on`;
  return `On this machine (Node ${machine.node}, ${machine.processor}) ${pays}.`;
}

const COLUMNS = 68;

function tableOf(advice: readonly MachineAdvice[]): string {
  const table = new CliTable({
    head: ["what", "", "why"],
    style: { head: [], border: [] },
    colWidths: [22, 13, COLUMNS],
    wordWrap: true,
  });
  table.push(...advice.map(({ what, verdict, why }) => [what, verdict, why]));
  return table.toString();
}

function inWords({ about, advice, why }: Advice): string {
  return `${about}\n${wrap(advice, "  ")}\n${wrap(why, "    ")}`;
}

function wrap(text: string, indent: string): string {
  const lines = [""];
  for (const word of text.split(" ")) {
    const line = lines.at(-1) ?? "";
    if (line !== "" && line.length + word.length >= COLUMNS + 22) lines.push(word);
    else lines[lines.length - 1] = line === "" ? word : `${line} ${word}`;
  }
  return lines.map((line) => indent + line).join("\n");
}
