/** A program's figures as bars, and all of them in a sentence. */

import type { ProgramResult } from "../../bench/programs/table.ts";

const BAR_CELLS = 40;

/** What a bar is drawn of, and how its figure is written. */
const SHOWN: readonly { figure: string; label: string; unit: string }[] = [
  { figure: "cpuMs", label: "processor", unit: "ms" },
  { figure: "peakRssMiB", label: "memory", unit: "MiB" },
  { figure: "collectionMs", label: "collecting", unit: "ms" },
];

/** A block of bars for each figure; the longest bar is the most of that figure. */
export function chart({ title, variants }: ProgramResult): string {
  const width = Math.max(...variants.map(({ name }) => name.length));
  const lines = SHOWN.flatMap(({ figure, label, unit }) => {
    const values = variants.map(({ figures }) => figures[figure] ?? 0);
    const most = Math.max(...values, Number.MIN_VALUE);
    return variants.map(({ name }, each) => {
      const value = values[each] as number;
      const bar = "█".repeat(Math.max(1, Math.round((value / most) * BAR_CELLS)));
      return `  ${each === 0 ? label.padEnd(11) : " ".repeat(11)}${name.padEnd(width)}  ${bar} ${value.toFixed(0)} ${unit}`;
    });
  });
  return `${title}\n\n${lines.join("\n")}\n`;
}

/** How leases did beside the best ordinary version of each program. */
export function headline(results: readonly ProgramResult[]): string {
  const ratios = results.map(({ program, variants }) => {
    const of = (isOrdinary: boolean): number =>
      Math.min(
        ...variants
          .filter((each) => each.isOrdinary === isOrdinary)
          .map(({ figures }) => figures["cpuMs"] ?? Number.NaN),
      );
    return `${program} ${(of(false) / of(true)).toFixed(2)}`;
  });
  return `Processor time with leases, of the best ordinary version: ${ratios.join(", ")}.`;
}
