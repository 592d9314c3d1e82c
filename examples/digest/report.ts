/**
 * Figures out of passes, and the two forms they leave in: a table for a person,
 * an object for JSON. Both are made of the same `Report`. No colours.
 */

import { cpus } from "node:os";
import Table from "cli-table3";
import { CONTENDERS, type Contender, MAX_ARENA_BYTES } from "./buffers.ts";
import type { FileList } from "./files.ts";
import { MAX_BYTES_IN_FLIGHT, MAX_FILES_IN_FLIGHT } from "./pass.ts";
import { type Comparison, PASSES, type Round } from "./rounds.ts";
import type { GcKind, PassResult, RunResult } from "./run.ts";
import { STALE_BYTES, type StaleView } from "./stale.ts";

const GC_KINDS: readonly GcKind[] = ["scavenge", "mark-sweep", "incremental", "weak callbacks", "other"];

/** Columns that the tables and the text below them stay within. */
const WIDTH = 100;

const HEADS: Readonly<Record<Contender, string>> = {
  fresh: "new\nUint8Array",
  allocUnsafe: "Buffer.\nallocUnsafe",
  "before-reuse": "lease\nbefore-reuse",
  "on-release": "lease\non-release",
  never: "lease\nnever",
};

interface GcFigure {
  count: number;
  ms: number;
}

/** Of one pass in each run of a contender: medians over the rounds. */
export interface PassFigures {
  acquireMs: number;
  releaseMs: number;
  /** Both of the above. */
  bufferMs: number;
  wholeMs: number;
  processorMs: number;
  gc: Record<GcKind | "all", GcFigure>;
  /** Getting plus giving back one buffer: percentiles over all files of all rounds. */
  latencyNs: { p50: number; p99: number; p999: number; samples: number };
}

/** Of one contender: medians over the rounds. */
export interface Figures {
  /** Making the arena comes on top of its `wholeMs`. */
  firstPass: PassFigures;
  secondPass: PassFigures;
  openMs: number;
  peakResidentBytes: number;
  residentAtStartBytes: number;
  peakExternalBytes: number;
  externalAtStartBytes: number;
  peakReservedBytes: number;
  /** Leases that became heap buffers, in both passes. */
  overflowed: number;
}

export interface Report {
  folder: string;
  node: string;
  platform: string;
  processor: string;
  files: {
    count: number;
    totalBytes: number;
    medianBytes: number;
    largestBytes: number;
    leftOut: readonly string[];
  };
  rounds: number;
  passes: number;
  maxFilesInFlight: number;
  maxBytesInFlight: number;
  maxArenaBytes: number;
  digests: { identical: boolean } & Comparison;
  clockNs: number;
  contenders: Record<Contender, Figures>;
  staleViewBytes: number;
  staleViews: readonly StaleView[];
  elapsedMs: number;
}

export interface Outcome {
  folder: string;
  files: FileList;
  leftOut: readonly string[];
  rounds: readonly Round[];
  comparison: Comparison;
  staleViews: readonly StaleView[];
}

export function makeReport({ folder, files, leftOut, rounds, comparison, staleViews }: Outcome): Report {
  const byteLengths = files.byteLengths.slice().sort();
  const runs = rounds.flatMap((round) => Object.values(round));
  const figures = (contender: Contender): Figures => figuresOf(rounds.map((round) => round[contender]));
  return {
    folder,
    node: process.version,
    platform: `${process.platform} ${process.arch}`,
    processor: `${cpus().length} × ${cpus()[0]?.model.trim() ?? "unknown"}`,
    files: {
      count: byteLengths.length,
      totalBytes: byteLengths.reduce((sum, byteLength) => sum + byteLength, 0),
      medianBytes: median(byteLengths),
      largestBytes: byteLengths.at(-1) ?? 0,
      leftOut,
    },
    rounds: rounds.length,
    passes: runs.length * PASSES,
    maxFilesInFlight: MAX_FILES_IN_FLIGHT,
    maxBytesInFlight: MAX_BYTES_IN_FLIGHT,
    maxArenaBytes: MAX_ARENA_BYTES,
    digests: { identical: comparison.difference === null, ...comparison },
    clockNs: median(runs.map((run) => run.clockNs)),
    contenders: Object.fromEntries(CONTENDERS.map((each) => [each, figures(each)])) as Record<Contender, Figures>,
    staleViewBytes: STALE_BYTES,
    staleViews,
    elapsedMs: performance.now(),
  };
}

function figuresOf(runs: readonly RunResult[]): Figures {
  const medianOf = (figure: (run: RunResult) => number): number => median(runs.map(figure));
  return {
    firstPass: passFiguresOf(runs.map((run) => run.passes[0] as PassResult)),
    secondPass: passFiguresOf(runs.map((run) => run.passes[1] as PassResult)),
    openMs: medianOf(({ openMs }) => openMs),
    peakResidentBytes: medianOf(({ resident }) => resident.peak),
    residentAtStartBytes: medianOf(({ resident }) => resident.start),
    peakExternalBytes: medianOf(({ external }) => external.peak),
    externalAtStartBytes: medianOf(({ external }) => external.start),
    peakReservedBytes: medianOf(({ peakReservedBytes }) => peakReservedBytes),
    overflowed: medianOf(({ overflowed }) => overflowed),
  };
}

function passFiguresOf(passes: readonly PassResult[]): PassFigures {
  const medianOf = (figure: (pass: PassResult) => number): number => median(passes.map(figure));
  const gcOf = (kinds: readonly GcKind[]) => ({
    count: medianOf(({ gc }) => sum(kinds.map((kind) => gc[kind].count))),
    ms: medianOf(({ gc }) => sum(kinds.map((kind) => gc[kind].ms))),
  });
  const byKind = Object.fromEntries(GC_KINDS.map((kind) => [kind, gcOf([kind])])) as Record<GcKind, GcFigure>;
  return {
    acquireMs: medianOf(({ acquireMs }) => sum(acquireMs)),
    releaseMs: medianOf(({ releaseMs }) => sum(releaseMs)),
    bufferMs: medianOf(({ acquireMs, releaseMs }) => sum(acquireMs) + sum(releaseMs)),
    wholeMs: medianOf(({ wholeMs }) => wholeMs),
    processorMs: medianOf(({ processorMs }) => processorMs),
    gc: { ...byKind, all: gcOf(GC_KINDS) },
    latencyNs: percentilesOf(passes),
  };
}

function percentilesOf(passes: readonly PassResult[]): PassFigures["latencyNs"] {
  const fileCount = passes[0]?.acquireMs.length ?? 0;
  const latenciesNs = new Float64Array(passes.length * fileCount);
  let samples = 0;
  for (const { acquireMs, releaseMs } of passes) {
    for (const [index, ms] of acquireMs.entries()) {
      const latencyNs = (ms + (releaseMs[index] as number)) * 1e6;
      if (!Number.isNaN(latencyNs)) latenciesNs[samples++] = latencyNs;
    }
  }
  const sorted = latenciesNs.subarray(0, samples).sort();
  const at = (share: number): number => sorted[Math.max(Math.ceil(share * samples) - 1, 0)] ?? Number.NaN;
  return { p50: at(0.5), p99: at(0.99), p999: at(0.999), samples };
}

function median(values: Iterable<number>): number {
  const sorted = Float64Array.from(values).sort();
  const upper = sorted[sorted.length >> 1] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[(sorted.length >> 1) - 1] ?? Number.NaN) + upper) / 2;
}

/** Of what was measured: NaN stands for a time that was not. */
function sum(values: Iterable<number>): number {
  let total = 0;
  for (const value of values) if (!Number.isNaN(value)) total += value;
  return total;
}

export function printReport(report: Report): string {
  return [
    describeInput(report),
    figureTable(report),
    footnotes(report),
    printStaleViews(report.staleViews),
    describeDigests(report),
  ].join("\n\n");
}

function describeInput({ folder, files, rounds, passes, node, platform, processor }: Report): string {
  const lines = [
    `${grouped(files.count)} files under ${folder}`,
    `${bytes(files.totalBytes)} in all, median length ${bytes(files.medianBytes)}, largest ${bytes(files.largestBytes)}`,
    `${rounds} ${rounds === 1 ? "round" : "rounds"} of ${CONTENDERS.length} processes with ${PASSES} passes each:` +
      ` ${passes} passes, up to ${MAX_FILES_IN_FLIGHT} files and ${MiB(MAX_BYTES_IN_FLIGHT)} in flight`,
    `Node ${node}, ${platform}, ${processor}`,
  ];
  return [...lines, ...files.leftOut.map((what) => `Left out: ${what}`)].join("\n");
}

function figureTable({ contenders }: Report): string {
  const table = new Table({
    head: ["", ...CONTENDERS.map((each) => HEADS[each])],
    colAligns: ["left", ...CONTENDERS.map(() => "right" as const)],
    style: { head: [], border: [], compact: true, "padding-right": 0 },
  });
  const row = (label: string, show: (figures: Figures) => string): void => {
    table.push([label, ...CONTENDERS.map((each) => show(contenders[each]))]);
  };
  const compared = (label: string, of: (figures: Figures) => number, show: (value: number) => string): void => {
    const fresh = of(contenders.fresh);
    row(label, (each) => (each === contenders.fresh ? show(fresh) : `${show(of(each))}${ratio(of(each), fresh)}`));
  };
  const section = (title: string): void => {
    table.push([{ content: title, colSpan: CONTENDERS.length + 1, hAlign: "left" }]);
  };
  section("Second pass of each process");
  compared("  getting buffers", ({ secondPass }) => secondPass.acquireMs, ms);
  row("  giving them back", ({ secondPass }) => ms(secondPass.releaseMs));
  compared("  both", ({ secondPass }) => secondPass.bufferMs, ms);
  compared("  the whole pass", ({ secondPass }) => secondPass.wholeMs, ms);
  compared("  processor time", ({ secondPass }) => secondPass.processorMs, ms);
  for (const kind of GC_KINDS) {
    const isSeen = CONTENDERS.some((each) => contenders[each].secondPass.gc[kind].count > 0);
    if (isSeen) row(`  gc: ${kind}`, ({ secondPass }) => collections(secondPass.gc[kind]));
  }
  compared("  gc: all", ({ secondPass }) => secondPass.gc.all.ms, gcMs);
  compared("  one buffer, p50", ({ secondPass }) => secondPass.latencyNs.p50, ns);
  compared("  one buffer, p99", ({ secondPass }) => secondPass.latencyNs.p99, ns);
  compared("  one buffer, p99.9", ({ secondPass }) => secondPass.latencyNs.p999, ns);
  section("First pass, in which nothing is compiled yet and an arena has no memory yet");
  compared("  both", ({ firstPass }) => firstPass.bufferMs, ms);
  compared("  the whole pass", ({ firstPass, openMs }) => firstPass.wholeMs + openMs, ms);
  compared("  gc: all", ({ firstPass }) => firstPass.gc.all.ms, gcMs);
  section("Both passes");
  compared("  peak resident", ({ peakResidentBytes }) => peakResidentBytes, MiB);
  compared("  peak external", ({ peakExternalBytes }) => peakExternalBytes, MiB);
  row("  peak linear bytes", ({ peakReservedBytes }) => (peakReservedBytes === 0 ? "–" : MiB(peakReservedBytes)));
  row("  overflowed leases", ({ overflowed, peakReservedBytes }) =>
    peakReservedBytes === 0 ? "–" : grouped(overflowed),
  );
  return table.toString();
}

/** How to read the table, and what it can't show. */
function footnotes({ contenders, clockNs, rounds, maxArenaBytes }: Report): string {
  const { fresh, never } = contenders;
  const countsLinearMemory = never.peakExternalBytes - never.externalAtStartBytes > never.peakReservedBytes / 2;
  return [
    `Medians of ${rounds} ${rounds === 1 ? "round" : "rounds"}, each row for itself; 1.00× is as much as with new Uint8Array. One buffer: getting it ` +
      `and giving it back, over ${grouped(fresh.secondPass.latencyNs.samples)} of them. Reading the clock costs ` +
      `${clockNs.toFixed(0)} ns, which is in each getting and each giving.`,
    "Nobody gives the first two back: the collector (gc) finds them some time later, and its time falls into " +
      "whatever else goes on. A long fresh buffer is zeroed by the kernel when it is first touched, which only the " +
      "whole pass and processor time show. The leases are filled by acquireFilled, which zeroes nothing that is " +
      "written anyway; on-release zeroes as it releases.",
    `Resident includes ${MiB(fresh.residentAtStartBytes)} of Node and loaders. External is the most that was seen ` +
      `after any getting; this Node ${countsLinearMemory ? "counts" : "does not count"} linear memory in it. ` +
      `Linear memory is capped at ${MiB(maxArenaBytes)}.`,
  ]
    .map(wrap)
    .join("\n");
}

function wrap(text: string): string {
  return text.replace(new RegExp(`(.{1,${WIDTH}})(?: |$)`, "g"), "$1\n").trimEnd();
}

/** What a view saw that was kept past its release. */
export function printStaleViews(staleViews: readonly StaleView[]): string {
  const table = new Table({
    head: [
      "",
      "right after release",
      "once its memory has a next owner",
      "the next owner got",
      "a write through it then",
    ],
    colWidths: [14, 22, 26, 15, 17],
    wordWrap: true,
    style: { head: [], border: [] },
  });
  for (const { source, afterRelease, reusedAfter, nextOwnerGot, afterReuse, staleWrite } of staleViews) {
    const when =
      reusedAfter === null
        ? "nobody else gets it while the view is kept"
        : `after ${grouped(reusedAfter)} more ${reusedAfter === 1 ? "buffer" : "buffers"}`;
    table.push([source, afterRelease, `${afterReuse} (${when})`, nextOwnerGot ?? "–", staleWrite]);
  }
  return table.toString();
}

function describeDigests({ digests, passes }: Report): string {
  const { difference, digest, filesCompared, unsettled } = digests;
  const lines: string[] = [];
  if (unsettled.length > 0) {
    const [first] = unsettled;
    lines.push(
      `Changed or vanished meanwhile, and not compared: ${grouped(unsettled.length)}` +
        ` (the first: ${first?.path}, ${first?.how})`,
    );
  }
  if (difference === null) {
    lines.push(
      `Identical: all ${passes} passes read the same in ${grouped(filesCompared)} files, sha-256 of all:\n${digest}`,
    );
  } else {
    lines.push(`DIFFERENT: "${difference.contenders.join('" and "')}" read different bytes in ${difference.path}`);
  }
  return lines.join("\n");
}

function collections({ count, ms: totalMs }: GcFigure): string {
  return count === 0 ? "none" : `${grouped(count)} in ${ms(totalMs)}`;
}

function gcMs(value: number): string {
  return value === 0 ? "none" : ms(value);
}

function ratio(value: number, fresh: number): string {
  if (fresh === 0 || value === 0) return "";
  const times = value / fresh;
  return ` ${digits(times)}×`;
}

function ms(value: number): string {
  if (value > 0 && value < 0.1) return `${digits(value * 1000)} µs`;
  return `${digits(value)} ms`;
}

function ns(value: number): string {
  return value < 1e6 ? `${digits(value / 1000)} µs` : ms(value / 1e6);
}

/** Three of them, or as many as it takes. */
function digits(value: number): string {
  return value < 10 ? value.toFixed(2) : value < 100 ? value.toFixed(1) : grouped(Math.round(value));
}

function MiB(byteLength: number): string {
  const mebibytes = byteLength / 1024 ** 2;
  return `${mebibytes.toFixed(mebibytes < 10 ? 1 : 0)} MiB`;
}

function bytes(byteLength: number): string {
  if (byteLength < 10_240) return `${grouped(Math.round(byteLength))} B`;
  if (byteLength < 1024 ** 2) return `${(byteLength / 1024).toFixed(1)} KiB`;
  return `${(byteLength / 1024 ** 2).toFixed(1)} MiB`;
}

function grouped(value: number): string {
  return value.toLocaleString("en-US");
}
