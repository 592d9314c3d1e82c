/** Runs the page of frames for a second in each format, and reads its figures. */

import type { Page } from "puppeteer-core";
import type { CaseResult } from "../contract/contract.ts";
import { fitsPhone, runSteps } from "./playground.ts";

const COPIES_IN_USE = 4;

/** By format, MiB of a frame, at least, and of its lease, whose memory is a little longer. */
const FRAME_MIB = { RGBA: [3.5, 3.6], I420: [1.3, 1.4] } as const;

export function runFrames(page: Page): Promise<CaseResult[]> {
  const formats = Object.keys(FRAME_MIB) as (keyof typeof FRAME_MIB)[];
  const name = (format: string): string => `${format} frames are copied both ways, and the page shows what it took`;
  return runSteps(
    page,
    formats.map((format) => [name(format), () => runFormat(page, format)]),
  );
}

async function runFormat(page: Page, format: keyof typeof FRAME_MIB): Promise<void> {
  await page.reload();
  await page.select("[name=format]", format);
  await page.$eval("[name=seconds]", (input) => {
    (input as HTMLInputElement).value = "1";
  });
  await page.click("#run");
  await page.waitForFunction(() => /^(Done|The run failed)/.test(document.querySelector("#log")?.textContent ?? ""));
  const said = await page.$eval("#log", (element) => element.textContent ?? "");
  if (!said.startsWith("Done")) throw new Error(said);

  const [leased, fresh] = [await column(page, 2), await column(page, 3)];
  const figures = `leases: ${leased.join()}; fresh arrays: ${fresh.join()}`;
  for (const [speed, median, slowest, average, most] of [leased, fresh]) {
    const isWhole = is(speed, 0.1, 70) && is(median, 0, 1000) && is(slowest, median, 10_000) && is(average, 0.1, most);
    if (!isWhole) throw new Error(figures);
  }
  // The arena holds the copies in use and no more; fresh arrays are at least those.
  const [least, longest] = FRAME_MIB[format].map((mebibytes) => mebibytes * COPIES_IN_USE) as [number, number];
  if (!is(leased[4], least, longest)) throw new Error(`leases take ${least} to ${longest} MiB; ${figures}`);
  if (!is(fresh[4], least, 1000)) throw new Error(`fresh arrays take ${least} MiB at least; ${figures}`);

  const lines = await page.$$("#chart [aria-label=line] path");
  if (lines.length !== 2) throw new Error(`the chart has ${lines.length} lines`);
  await fitsPhone(page);
}

/** The figures of one way, in the order of the page's rows. */
async function column(page: Page, child: number): Promise<[number, number, number, number, number, ...number[]]> {
  const cells = await page.$$eval(`#results td:nth-child(${child})`, (found) => found.map((cell) => cell.textContent));
  return cells.map((text) => Number.parseFloat(text ?? "")) as Awaited<ReturnType<typeof column>>;
}

function is(figure: number, least: number, most: number): boolean {
  return figure >= least && figure <= most;
}
