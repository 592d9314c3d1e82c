/**
 * What is worth pooling on a machine with these figures: tiny, big, used a lot,
 * barely touched. Pure.
 */

import { formatLength, formatNs } from "../../bench/harness.ts";
import { formatTimes } from "../page/chart.ts";
import { type Cycle, type Figures, TOUCHED_BYTES } from "./figures.ts";

/** `"either"`: too near to each other to change a program for. */
export type Verdict = "pool" | "either" | "do not pool";

export interface MachineAdvice {
  what: string;
  verdict: Verdict;
  why: string;
}

/** The longest array that V8 keeps on its own heap. */
export const TINY_BYTES = 64;
const BIG_BYTES = 4096;
/** Below this a lease is not worth the trouble of releasing it. */
const WORTH = 1.25;
/** A share of one core that somebody may care for. */
const SHARE_WORTH = 0.01;

export function adviseForMachine({ cycles, touches }: Figures): MachineAdvice[] {
  const tiny = cycles.filter(({ byteLength }) => byteLength <= TINY_BYTES);
  const middle = cycles.filter(({ byteLength }) => byteLength > TINY_BYTES && byteLength < BIG_BYTES);
  const big = cycles.filter(({ byteLength }) => byteLength >= BIG_BYTES);
  return [
    ...bySize(`tiny: up to ${formatLength(TINY_BYTES)}`, tiny),
    ...bySize(`from there to ${formatLength(BIG_BYTES)}`, middle),
    ...bySize(`big: ${formatLength(BIG_BYTES)} and more`, big),
    ...usedALot(cycles),
    ...touches.map(barelyTouched),
  ];
}

/** The shortest measured length from which on a lease pays at all longer ones; `null` if it pays at none. */
export function crossover(cycles: readonly Cycle[]): number | null {
  const last = cycles.findLastIndex(({ fresh, beforeReuse }) => fresh / beforeReuse < WORTH);
  return cycles[last + 1]?.byteLength ?? null;
}

function verdictOn(ratio: number): Verdict {
  return ratio >= WORTH ? "pool" : ratio > 1 / WORTH ? "either" : "do not pool";
}

/** By the least that is gained in the group. */
function bySize(what: string, cycles: readonly Cycle[]): MachineAdvice[] {
  if (cycles.length === 0) return [];
  const ratios = cycles.map(({ fresh, beforeReuse }) => fresh / beforeReuse);
  const why = cycles.map(
    ({ byteLength, fresh, beforeReuse, neverPool }) =>
      `${formatLength(byteLength)}: fresh ${formatNs(fresh)} ns, leased ${formatNs(beforeReuse)} ` +
      `(${formatTimes(fresh / beforeReuse)} as fast), in "never" mode through a pool ${formatNs(neverPool)} ` +
      `(${formatTimes(fresh / neverPool)})`,
  );
  return [{ what, verdict: verdictOn(Math.min(...ratios)), why: why.join("\n") }];
}

function usedALot(cycles: readonly Cycle[]): MachineAdvice[] {
  const lines = cycles
    .filter(({ byteLength, fresh, beforeReuse }) => byteLength > TINY_BYTES && fresh > beforeReuse)
    .map(({ byteLength, fresh, beforeReuse }) => {
      const perSecond = (SHARE_WORTH * 1e9) / (fresh - beforeReuse);
      return `${formatLength(byteLength)}: a lease saves ${formatNs(fresh - beforeReuse)} ns, ${roundly(perSecond)} of them a second save 1 % of a core`;
    });
  const what = "used a lot";
  if (lines.length === 0) {
    return [{ what, verdict: "do not pool", why: "at no measured length does a lease save anything" }];
  }
  const why = `${lines.join("\n")}\nused less often than that it does not matter; what the collector then has less to do comes on top`;
  return [{ what, verdict: "pool", why }];
}

function barelyTouched({
  byteLength,
  fresh,
  beforeReuse,
  beforeReuseWritten,
  neverWritten,
}: Figures["touches"][number]) {
  const ratio = fresh / beforeReuseWritten;
  const why =
    `fresh ${formatNs(fresh)} ns; leased ${formatNs(beforeReuse)} with release(), ${formatNs(beforeReuseWritten)} with ` +
    `release({ written: ${TOUCHED_BYTES} }) (${formatTimes(ratio)} as fast as fresh), in "never" mode ${formatNs(neverWritten)}`;
  return { what: `barely touched: ${TOUCHED_BYTES} B of ${formatLength(byteLength)}`, verdict: verdictOn(ratio), why };
}

function roundly(value: number): string {
  return Number(value.toPrecision(2)).toLocaleString("en");
}
