/** Tells of verdicts: a line for each as it is found, tables at the end. */

import Table from "cli-table3";
import type { Verdict } from "./judge.js";

const KINDS = ["caught", "limit", "missed", "equivalent", "not judged"] as const;
const HEADS: Readonly<Record<Verdict["kind"], string>> = {
  caught: "caught",
  limit: "by time limit",
  missed: "missed",
  equivalent: "equivalent",
  "not judged": "not judged",
};

export function lineOf(verdict: Verdict): string {
  return `${verdict.fault.file}: ${verdict.fault.name}: ${wordsFor(verdict)} (${verdict.seconds.toFixed(1)} s)`;
}

function wordsFor({ kind, reason }: Verdict): string {
  if (kind === "caught") return reason;
  if (kind === "missed") return "MISSED";
  return `${HEADS[kind].toUpperCase()}: ${reason}`;
}

export function tablesOf(verdicts: readonly Verdict[]): string {
  const each = new Table({
    head: ["file", "fault", "caught by"],
    style: { head: [], border: [] },
    colWidths: [24, 44, 90],
    wordWrap: true,
  });
  for (const verdict of verdicts) each.push([verdict.fault.file, verdict.fault.name, wordsFor(verdict)]);
  const files = [...new Set(verdicts.map(({ fault }) => fault.file))];
  const perFile = new Table({
    head: ["file", ...KINDS.map((kind) => HEADS[kind])],
    style: { head: [], border: [] },
  });
  for (const file of files) perFile.push([file, ...countsOf(verdicts.filter(({ fault }) => fault.file === file))]);
  const counts = countsOf(verdicts);
  const sums = KINDS.map((kind, at) => `${counts[at]} ${HEADS[kind]}`).join(", ");
  return `${each}\n${perFile}\n${verdicts.length} faults: ${sums}`;
}

function countsOf(verdicts: readonly Verdict[]): number[] {
  return KINDS.map((kind) => verdicts.filter((verdict) => verdict.kind === kind).length);
}
