/** What `bench` shows of its results: a page and charts, and what it does not take for results. */

import { describe, expect, test } from "vitest";
import type { Measurement } from "../../bench/question.ts";
import { UsageError } from "../../cli/failure.ts";
import { renderCharts, renderPage } from "../../cli/page/page.ts";
import { parseResults } from "../../cli/results.ts";
import { answer, cycles, exampleResults } from "./helpers.ts";

describe("the page", () => {
  test("opens from disk: no script, nothing from the network", () => {
    const page = renderPage(exampleResults());
    expect(page).not.toMatch(/<script|<link|@import|url\(|src=/i);
    expect(page.match(/https?:[^"\s]+/g) ?? []).toEqual([]);
  });

  test("has charts with words for those who cannot see them, tables, spread, samples and the machine", () => {
    const page = renderPage(exampleResults());
    for (const word of ["v99.0.0", "Example 9000", "2026-01-02", "± %", "samples", "prefers-color-scheme:dark"]) {
      expect(page).toContain(word);
    }
    expect(page).toContain("1 KiB: array pool, fill(0) 10× (6.4 ns), before-reuse, acquire 2.0× (32.0 ns)");
    const labels = [...page.matchAll(/aria-labelledby="(\S+) (\S+)"/g)].flatMap(([, title, words]) => [title, words]);
    expect(labels).toHaveLength(8);
    for (const id of labels) expect(page).toContain(`id="${id}"`);
  });

  test("figures of a question that nobody here asks have a table and no chart", () => {
    const page = renderPage(exampleResults(answer("of-tomorrow", cycles())));
    expect(page).not.toContain("<svg");
    expect(page).toContain("All figures");
  });

  test("a question that could not be answered says why, escaped", () => {
    const failed = { ...answer("lease-cycle", []), error: "Error: <b> & all" };
    const page = renderPage(exampleResults(failed));
    expect(page).toContain("Error: &lt;b&gt; &amp; all");
    expect(page).not.toContain("<svg");
  });

  test("percentiles make the latency chart, with the worst at its end", () => {
    const latency = [50, 99, 99.9, 100].flatMap((percentile) =>
      ["new Uint8Array", "before-reuse"].map(
        (rival): Measurement => ({ rival, at: { percentile }, metric: "latency", unit: "ns", value: percentile * 1e4 }),
      ),
    );
    const chart = renderCharts(exampleResults(answer("latency", latency))).get("latency") ?? "";
    expect(chart).toContain("before-reuse: 500 µs at 50 %, 990 µs at 99 %, 999 µs at 99.9 %, 1 ms at worst.");
    expect(chart).toContain(">worst</text>");
  });

  test("a chart that stands alone brings its colours, its background and its machine", () => {
    const chart = renderCharts(exampleResults()).get("lease-cycle-curve") ?? "";
    expect(chart).toMatch(/^<svg xmlns="http:\/\/www.w3.org\/2000\/svg"/);
    expect(chart).toContain("prefers-color-scheme:dark");
    expect(chart).toContain("Example 9000");
    const used = new Set([...chart.matchAll(/var\((--[\w-]+)\)/g)].map(([, name]) => name));
    for (const name of used) expect(chart).toContain(`${name}:#`);
  });
});

test.for([
  [{}, '"machine" does not say'],
  [[], "no object"],
  [{ ...exampleResults(), quick: 1 }, '"quick" is neither'],
  [{ ...exampleResults(), results: [{ name: "x" }] }, '"results[0]" has no'],
  [{ ...exampleResults(), results: [answer("x", [{ rival: "y" } as Measurement])] }, 'measurement 0 of "x"'],
] as const)("a file of results that is not one is refused by what is wrong with it: %#", ([value, word]) => {
  expect(() => parseResults(value, "r.json")).toThrow(UsageError);
  expect(() => parseResults(value, "r.json")).toThrow(word);
});
