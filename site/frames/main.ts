/** The page: ties its controls to the runs, and draws what they took side by side. */

import { lineY, plot, ruleY } from "@observablehq/plot";
import { text } from "../playground/board-view.ts";
import { copyFrames, type Outcome, type Sample, type WayName } from "./run.ts";
import { type FrameFormat, frameSource } from "./source.ts";

/** Leases first: fresh arrays leave garbage, and the next run would pay for its collection. */
const WAYS: readonly WayName[] = ["leases", "fresh arrays"];
const COLOURS = ["var(--live)", "var(--resting)"];
/** Frames from one drawing of the chart to the next: drawing makes garbage too. */
const FRAMES_PER_DRAWING = 60;

const FIGURES: readonly [name: string, figure: (outcome: Outcome) => string][] = [
  ["Frames copied a second, of 60", ({ samples }) => (samples.length / lengthOf(samples)).toFixed(1)],
  ["Time per copy, median", ({ samples }) => milliseconds(percentile(timesOf(samples), 50))],
  ["Time per copy, 99th percentile", ({ samples }) => milliseconds(percentile(timesOf(samples), 99))],
  ["Memory held for frames, on average", ({ samples }) => mebibytes(sum(heldOf(samples)) / samples.length)],
  ["Memory held for frames, at most", ({ samples }) => mebibytes(Math.max(...heldOf(samples)))],
  ["Rise of the JavaScript heap with its arrays", ({ samples }) => heapRise(samples)],
  ["Full garbage collections noticed", ({ collections }) => `${collections}`],
];

const controls = find("#controls", HTMLFormElement);
const log = find("#log", HTMLElement);
const button = find("#run", HTMLButtonElement);
const canvas = find("#preview", HTMLCanvasElement);

function find<T extends Element>(selector: string, type: new () => T): T {
  const element = document.querySelector(selector);
  if (!(element instanceof type)) throw new Error(`the page has no ${selector}`);
  return element;
}

async function run(): Promise<void> {
  const form = new FormData(controls);
  const source = frameSource(form.get("format") as FrameFormat, canvas);
  const seconds = Number(form.get("seconds"));
  const outcomes = new Map<WayName, Outcome>();
  for (const name of WAYS) {
    log.textContent = `Copying into ${name} …`;
    const drawn = (): [WayName, readonly Sample[]][] => [...outcomes].map(([each, { samples }]) => [each, samples]);
    const outcome = await copyFrames(name, source, seconds, (samples) => {
      if (samples.length % FRAMES_PER_DRAWING === 0) drawChart([...drawn(), [name, samples]]);
    });
    outcomes.set(name, outcome);
    drawFigures(outcomes);
    drawChart(drawn());
  }
  log.textContent = "Done. Figures differ from run to run and from browser to browser.";
}

function drawFigures(outcomes: ReadonlyMap<WayName, Outcome>): void {
  const heads = ["", ...WAYS].map((name) => headed("col", name));
  find("#ways", HTMLElement).replaceChildren(row(heads));
  find("#results", HTMLElement).replaceChildren(
    ...FIGURES.map(([name, figure]) => {
      const cells = WAYS.map((way) => {
        const outcome = outcomes.get(way);
        return text("td", outcome === undefined ? "…" : figure(outcome));
      });
      return row([headed("row", name), ...cells]);
    }),
  );
}

function drawChart(lines: readonly [WayName, readonly Sample[]][]): void {
  const points = lines.flatMap(([way, samples]) =>
    samples.map(({ seconds, heldBytes }) => ({ way, seconds, held: heldBytes / 2 ** 20 })),
  );
  find("#memory", HTMLElement).hidden = false;
  const chart = find("#chart", HTMLElement);
  const drawing = plot({
    width: chart.clientWidth,
    height: 300,
    ariaLabel: "Memory held for frames, over time",
    style: { fontSize: "13px" },
    x: { label: "seconds" },
    y: { label: "MiB", grid: true, zero: true },
    color: { domain: WAYS, range: COLOURS, legend: true },
    marks: [ruleY([0]), lineY(points, { x: "seconds", y: "held", stroke: "way", strokeWidth: 2 })],
  });
  chart.replaceChildren(drawing);
}

function row(cells: readonly HTMLElement[]): HTMLElement {
  const element = document.createElement("tr");
  element.append(...cells);
  return element;
}

function headed(scope: "row" | "col", content: string): HTMLElement {
  const head = text("th", content);
  head.setAttribute("scope", scope);
  return head;
}

function timesOf(samples: readonly Sample[]): number[] {
  return samples.map(({ milliseconds }) => milliseconds);
}

function heldOf(samples: readonly Sample[]): number[] {
  return samples.map(({ heldBytes }) => heldBytes);
}

/** What was there before, such as garbage of an earlier run, is not counted. */
function heapRise(samples: readonly Sample[]): string {
  const [first, ...others] = samples.flatMap(({ heapBytes }) => heapBytes ?? []);
  return first === undefined ? "not told" : mebibytes(Math.max(first, ...others) - first);
}

function lengthOf(samples: readonly Sample[]): number {
  return samples.at(-1)?.seconds ?? 0;
}

function sum(figures: readonly number[]): number {
  return figures.reduce((total, figure) => total + figure, 0);
}

/** What this part of the figures, in percent, does not exceed. */
function percentile(figures: readonly number[], percent: number): number {
  const sorted = figures.toSorted((a, b) => a - b);
  return sorted[Math.ceil((percent / 100) * sorted.length) - 1] ?? Number.NaN;
}

function milliseconds(figure: number): string {
  return `${figure.toFixed(2)} ms`;
}

function mebibytes(byteLength: number): string {
  return `${(byteLength / 2 ** 20).toFixed(1)} MiB`;
}

controls.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (button.ariaDisabled === "true") return;
  // Not disabled: that would take the focus away.
  button.ariaDisabled = "true";
  try {
    await run();
  } catch (error) {
    log.textContent = `The run failed: ${error}`;
  } finally {
    button.ariaDisabled = "false";
  }
});

if ("VideoFrame" in globalThis) {
  drawFigures(new Map());
  frameSource("RGBA", canvas)(0).close();
} else log.textContent = "This browser has no WebCodecs: there is nothing to copy.";
