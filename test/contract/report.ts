/** Results of the contract from several engines, as a table and as failures in full. */

import Table from "cli-table3";
import type { CaseResult } from "./contract.ts";

export interface EngineResult {
  /** Runtime or browser, and how it was started. */
  readonly engine: string;
  readonly version: string;
  readonly cases: readonly CaseResult[];
  /** What kept it from running at all. */
  readonly error?: string | undefined;
}

/** Prints everything; true if every case of every engine passed or was skipped, and each engine ran. */
export function report(title: string, results: readonly EngineResult[]): boolean {
  const table = new Table({
    head: [title, "version", "passed", "failed", "skipped"],
    colAligns: ["left", "left", "right", "right", "right"],
    style: { head: [], border: [] },
  });
  for (const result of results) {
    const counts = [count(result, "passed"), count(result, "failed"), count(result, "skipped")];
    table.push([result.engine, result.version, ...(result.error === undefined ? counts : ["-", "did not run", "-"])]);
  }
  console.log(table.toString());
  for (const result of results) {
    printSkips(result);
    printFailures(result);
  }
  // What was skipped says why. Where nothing ran at all, something is wrong.
  return results.every((each) => each.error === undefined && count(each, "failed") === 0 && each.cases.length > 0);
}

function count({ cases }: EngineResult, outcome: CaseResult["outcome"]): number {
  return cases.filter((each) => each.outcome === outcome).length;
}

function printSkips({ engine, cases }: EngineResult): void {
  const reasons = new Map<string, number>();
  for (const { outcome, reason = "" } of cases) {
    if (outcome === "skipped") reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
  }
  for (const [reason, times] of reasons) console.log(`${engine}: ${times} skipped: ${reason}`);
}

function printFailures({ engine, cases, error }: EngineResult): void {
  if (error !== undefined) console.error(`\n${engine} did not run: ${error}`);
  for (const { name, outcome, reason } of cases) {
    if (outcome === "failed") console.error(`\n${engine}: ${name}\n${reason}`);
  }
}
