/** What an arena says to a health check, and in a diagnostic report. */

import { writeFileSync } from "node:fs";
import type { Arena } from "cleanslab";

export interface Health {
  ok: boolean;
  /** What is wrong, in words. */
  reasons: string[];
}

/** Not ready while callers wait too long for memory. The rest is worth a look. @param longestMs a wait, at most. */
export function health(arena: Arena, longestMs = 1000): Health {
  const { waiting, waitingMs, overflowed, leakedLeases, headroomBytes, maxBytes } = arena.stats();
  const ok = waitingMs <= longestMs;
  const reasons: string[] = [];
  if (!ok) reasons.push(`calls waiting for memory: ${waiting}, the first for ${Math.round(waitingMs)} ms`);
  if (headroomBytes === 0) reasons.push(`all of ${maxBytes} bytes are reserved`);
  if (leakedLeases > 0) reasons.push(`leases leaked: ${leakedLeases}`);
  if (overflowed > 0) reasons.push(`leases past the cap, on the heap: ${overflowed}`);
  return { ok, reasons };
}

/** Node's diagnostic report with the arenas in it; who holds them with `trace` on. Takes what the report takes. */
export function writeReport(path: string, arenas: Record<string, Arena>): void {
  const cleanslab = Object.entries(arenas).map(([name, arena]) => [name, { stats: arena.stats(), sites: arena.sites }]);
  const report = process.report.getReport();
  writeFileSync(path, JSON.stringify({ ...report, cleanslab: Object.fromEntries(cleanslab) }, null, 2));
}
