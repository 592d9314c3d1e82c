/** The whole programs as one chart: what leases cost beside the best ordinary version. Measures nothing. */

import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";
import type { ProgramResult } from "./programs/table.ts";

/** What is compared, and what it is called. */
const SHOWN: Readonly<Record<string, string>> = {
  cpuMs: "processor time",
  peakRssMiB: "peak resident memory",
  collectionMs: "time in collections",
};

interface Bar {
  readonly program: string;
  readonly what: string;
  /** Of the best ordinary version's figure. */
  readonly ratio: number;
}

/** The least of a figure over the variants of one kind. */
function best({ variants }: ProgramResult, figure: string, isOrdinary: boolean): number {
  const some = variants.filter((each) => each.isOrdinary === isOrdinary).map(({ figures }) => figures[figure]);
  return Math.min(...some.map((value) => value ?? Number.NaN));
}

export function bars(results: readonly ProgramResult[]): Bar[] {
  return results.flatMap((result) =>
    Object.entries(SHOWN).map(([figure, what]) => ({
      program: result.program,
      what,
      ratio: best(result, figure, false) / best(result, figure, true),
    })),
  );
}

/** An SVG document. A bar that ends left of the line at 1 is less than the best ordinary version took. */
export function programsChart(results: readonly ProgramResult[]): string {
  const { document } = parseHTML("<html></html>");
  const drawn = bars(results);
  const chart = Plot.plot({
    document: document as unknown as Document,
    width: 860,
    marginLeft: 110,
    marginRight: 150,
    height: 60 + 16 * drawn.length,
    style: { background: "white", color: "#222", fontFamily: "sans-serif", fontSize: "12px" },
    x: { label: "leases, of the best ordinary version", grid: true, domain: [0, 1.6], clamp: true },
    y: { label: null, axis: null, domain: Object.values(SHOWN) },
    fy: { label: null, domain: results.map(({ program }) => program) },
    color: { legend: false, domain: Object.values(SHOWN), range: ["#2f6db3", "#e39b3a", "#5aa469"] },
    marks: [
      Plot.barX(drawn, { x: "ratio", y: "what", fy: "program", fill: "what" }),
      Plot.text(drawn, {
        x: "ratio",
        y: "what",
        fy: "program",
        text: ({ what, ratio }: Bar) => `${ratio.toFixed(2)} ${what}`,
        textAnchor: "start",
        dx: 4,
      }),
      Plot.ruleX([1], { stroke: "#222" }),
    ],
  });
  chart.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  return `${chart.outerHTML}\n`;
}
