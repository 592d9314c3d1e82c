/**
 * npm run test:browser -- --measure: frames from a page to a worker in Chromium, each way in
 * a browser of its own, ways in turn. Prints medians of the rounds. Linux.
 */

import { readFileSync } from "node:fs";
import Table from "cli-table3";
import type { Browser, Page } from "puppeteer-core";
import { type BrowserKind, start } from "./browsers.ts";
import { type Outcome, type Run, SOURCE_NAMES, WAY_NAMES } from "./pipeline.ts";

const ROUNDS = 3;
const PACE = 60;
/** How many, with and without a pace. */
const [PACED, UNPACED] = [240, 1500];

const HEADS = [
  "frames a second",
  "page's thread, ms a frame",
  "p99 ms to consumed",
  "MiB more",
  `at ${PACE} a second: page's thread, ms a frame`,
  "p99 ms to consumed",
  "MiB more",
];

type Figures = readonly number[];

export async function measureFrames(kind: BrowserKind, path: string, url: string): Promise<void> {
  const rows = SOURCE_NAMES.flatMap((source) => WAY_NAMES.map((way) => ({ source, way, rounds: [] as Figures[] })));
  let version = "";
  for (let round = 0; round < ROUNDS; round++) {
    for (const { source, way, rounds } of rows) {
      console.error(`round ${round + 1} of ${ROUNDS}: ${source}, ${way} …`);
      const paced = { source, way, frames: PACED, pace: PACE };
      const [atPace, more] = await inBrowser(kind, path, url, paced);
      const [atFullSpeed, most, name] = await inBrowser(kind, path, url, { source, way, frames: UNPACED });
      version = name;
      rounds.push([UNPACED / atFullSpeed.seconds, ...figures(atFullSpeed), most, ...figures(atPace), more]);
    }
  }
  const table = new Table({ head: ["source", "way", ...HEADS], style: { head: [], border: [] }, wordWrap: true });
  for (const { source, way, rounds } of rows) {
    const medians = HEADS.map((_, each) => median(rounds.map((figures) => figures[each] as number)));
    table.push([source, way, ...medians.map((figure) => figure.toFixed(figure < 10 ? 2 : 0))]);
  }
  console.log(`${version}, frames of 1,228,800 bytes, at most 4 on their way; medians of ${ROUNDS} rounds`);
  console.log(table.toString());
}

type Measured = Outcome & { readonly threadMs: number };

const figures = ({ threadMs, milliseconds, received }: Measured): Figures => [
  threadMs / received,
  milliseconds.sort((one, other) => one - other)[Math.ceil(0.99 * received) - 1] as number,
];

async function inBrowser(
  kind: BrowserKind,
  path: string,
  url: string,
  run: Run,
): Promise<[Measured, mebibytes: number, version: string]> {
  const browser = await start(kind, path);
  try {
    const page = await browser.newPage();
    await page.goto(url);
    // Compiled, and started once.
    await runIn(page, { ...run, frames: 20 });
    const before = await renderers(browser);
    const { TaskDuration: from = 0 } = await page.metrics();
    const outcome = await runIn(page, run);
    const { TaskDuration: to = 0 } = await page.metrics();
    if (outcome.wrong > 0 || outcome.received !== run.frames) throw new Error(`${run.way}: frames were wrong`);
    const grown = [...(await renderers(browser))].map(([pid, { peak }]) => peak - (before.get(pid)?.now ?? peak));
    return [{ ...outcome, threadMs: (to - from) * 1000 }, Math.max(...grown), await browser.version()];
  } finally {
    await browser.close();
  }
}

function runIn(page: Page, run: Run): Promise<Outcome> {
  return page.evaluate(async (wanted) => {
    const inPage: typeof import("./in-page.ts") = await import("/tests/in-page.js" as string);
    return inPage.runFrames(wanted);
  }, run);
}

/** Resident memory of the processes that pages run in, in MiB, by pid. */
async function renderers(browser: Browser): Promise<Map<number, { now: number; peak: number }>> {
  const session = await browser.target().createCDPSession();
  const { processInfo } = await session.send("SystemInfo.getProcessInfo");
  await session.detach();
  const sizes = processInfo
    .filter(({ type }) => type === "renderer")
    .map(({ id }) => {
      const status = readFileSync(`/proc/${id}/status`, "utf8");
      const read = (name: string): number => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1]) / 1024;
      return [id, { now: read("VmRSS"), peak: read("VmHWM") }] as const;
    });
  return new Map(sizes);
}

function median(values: readonly number[]): number {
  return [...values].sort((one, other) => one - other)[values.length >> 1] as number;
}
