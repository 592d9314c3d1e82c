/**
 * npm run test:browser -- --measure: frames from a page to a worker in Chromium, each way in
 * a browser of its own, ways in turn. Prints medians of the rounds. Linux.
 */

import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import Table from "cli-table3";
import type { Browser, Page } from "puppeteer-core";
import { type BrowserKind, start } from "./browsers.ts";
import { type Outcome, type Run, SOURCE_NAMES, WAY_NAMES } from "./pipeline.ts";

const ROUNDS = 3;
const PACE = 60;
/** How many, with and without a pace. */
const [PACED, UNPACED] = [240, 1500];
/** The part of a run's frames whose times do not count: nothing is compiled yet. */
const WARMING = 0.2;

const HEADS = [
  "frames a second",
  "page's thread, CPU ms a frame",
  "p99 ms to consumed",
  "MiB more",
  `at ${PACE} a second: page's thread, CPU ms a frame`,
  "p99 ms to consumed",
  "MiB more",
] as const;

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

function figures({ threadMs, milliseconds, received }: Measured): Figures {
  const warm = milliseconds.slice(WARMING * received).sort((one, other) => one - other);
  return [threadMs / received, warm[Math.ceil(0.99 * warm.length) - 1] as number];
}

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
    await page.evaluate(() => (globalThis as { gc?(): void }).gc?.());
    const pids = await renderers(browser);
    const before = pids.map(residentMiB);
    const busy = pids.map(mainThreadMs);
    const { outcome, peaks } = await watching(pids, runIn(page, run));
    const threadMs = growth(busy, pids.map(mainThreadMs));
    if (outcome.wrong > 0 || outcome.received !== run.frames) throw new Error(`${run.way}: frames were wrong`);
    return [{ ...outcome, threadMs }, growth(before, peaks), await browser.version()];
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

/** The processes that pages run in. */
async function renderers(browser: Browser): Promise<number[]> {
  const session = await browser.target().createCDPSession();
  const { processInfo } = await session.send("SystemInfo.getProcessInfo");
  await session.detach();
  return processInfo.filter(({ type }) => type === "renderer").map(({ id }) => id);
}

function residentMiB(pid: number): number {
  const [, kibibytes] = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
  return Number(kibibytes) / 1024;
}

/** On the processor. A page's main thread is the first of its process. */
function mainThreadMs(pid: number): number {
  return Number.parseInt(readFileSync(`/proc/${pid}/schedstat`, "utf8"), 10) / 1e6;
}

/** Of the process that the page is in: it grows most. */
function growth(before: readonly number[], after: readonly number[]): number {
  return Math.max(...after.map((value, each) => value - (before[each] as number)));
}

/** The most memory of each process until `run` is done. */
async function watching<T>(pids: readonly number[], run: Promise<T>): Promise<{ outcome: T; peaks: number[] }> {
  let peaks = pids.map(residentMiB);
  let isDone = false;
  const watch = (async () => {
    for (; !isDone; await sleep(20))
      peaks = peaks.map((peak, each) => Math.max(peak, residentMiB(pids[each] as number)));
  })();
  try {
    const outcome = await run;
    return { outcome, peaks };
  } finally {
    isDone = true;
    await watch;
  }
}

function median(values: readonly number[]): number {
  return [...values].sort((one, other) => one - other)[values.length >> 1] as number;
}
