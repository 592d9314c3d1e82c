/** What `npm start` draws. */

import { expect, test } from "vitest";
import type { ProgramResult } from "../bench/programs/table.ts";
import { chart, headline } from "../examples/demo/chart.ts";

const result: ProgramResult = {
  program: "copy",
  title: "Copies",
  node: "v20",
  variants: [
    { name: "fresh", isOrdinary: true, figures: { cpuMs: 800, peakRssMiB: 100, collectionMs: 0 } },
    { name: "unsafe", isOrdinary: true, figures: { cpuMs: 400, peakRssMiB: 100, collectionMs: 0 } },
    { name: "leases", isOrdinary: false, figures: { cpuMs: 100, peakRssMiB: 50, collectionMs: 0 } },
  ],
};

test("bars are as long as their figures, and a figure of none still has a bar", () => {
  const bars = chart(result)
    .split("\n")
    .map((line) => [line.match(/█/g)?.length ?? 0, line.match(/\d+ (ms|MiB)$/)?.[0]])
    .filter(([length]) => length !== 0);
  expect(bars).toEqual([
    [40, "800 ms"],
    [20, "400 ms"],
    [5, "100 ms"],
    [40, "100 MiB"],
    [40, "100 MiB"],
    [20, "50 MiB"],
    [1, "0 ms"],
    [1, "0 ms"],
    [1, "0 ms"],
  ]);
});

test("the sentence compares leases with the best ordinary version", () => {
  expect(headline([result])).toContain("copy 0.25.");
});
