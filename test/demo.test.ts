/** What `npm start` draws. */

import { expect, test } from "vitest";
import { chart, headline } from "../examples/demo/chart.ts";

const variant = (name: string, cpuMs: number, peakRssMiB: number) => ({
  name,
  isOrdinary: name !== "leases",
  figures: { cpuMs, peakRssMiB, collectionMs: 0 },
});
const variants = [variant("fresh", 800, 100), variant("unsafe", 400, 100), variant("leases", 100, 50)];
const result = { program: "copy", title: "Copies", node: "v20", variants };

test("bars are as long as their figures, a figure of none still has a bar, and the best ordinary version is compared", () => {
  const bars = [...chart(result).matchAll(/(█+) (\d+ (ms|MiB))$/gm)].map(
    ([, bar, figure]) => `${bar?.length}: ${figure}`,
  );
  const wanted = ["40: 800 ms", "20: 400 ms", "5: 100 ms", "40: 100 MiB", "40: 100 MiB", "20: 50 MiB"];
  expect(bars).toEqual([...wanted, ...Array(3).fill("1: 0 ms")]);
  expect(headline([result])).toContain("copy 0.25.");
});
