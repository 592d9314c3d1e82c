/**
 * Clicks through the playground as a visitor does: acquires, releases, sees a
 * segment revoked, keeps a stale view in each mode, measures. By keyboard too,
 * and on a page as narrow as a phone.
 */

import type { Page } from "puppeteer-core";
import type { CaseResult } from "../contract/contract.ts";

const PHONE = { width: 390, height: 844 };

const STEPS: readonly [name: string, run: (page: Page) => Promise<void>][] = [
  ["leases are drawn where they lie, and their number is shown", acquires],
  ["released blocks rest, and the figures and the log say so", releases],
  ["a new mode is a new arena, in which a released lease's memory was revoked", changesMode],
  ["a stale view is dead in two modes and shows somebody else's bytes in the third", keepsStaleView],
  ["the controls are reached and pressed by keyboard, with a visible focus", usesKeyboard],
  ["nothing is wider than a phone", fitsPhone],
  ["the benchmark draws a bar for each rival at each length", measures],
];

/** Each step as a result, on a page as narrow as a phone. */
export async function runSteps(page: Page, steps: typeof STEPS): Promise<CaseResult[]> {
  await page.setViewport(PHONE);
  await page.reload();
  const results: CaseResult[] = [];
  for (const [name, run] of steps) {
    try {
      await run(page);
      results.push({ name, outcome: "passed" });
    } catch (error) {
      results.push({ name, outcome: "failed", reason: error instanceof Error ? (error.stack ?? error.message) : "?" });
    }
  }
  return results;
}

export function clickThrough(page: Page): Promise<CaseResult[]> {
  return runSteps(page, STEPS);
}

async function press(page: Page, action: string): Promise<void> {
  await page.click(`[data-action=${action}]`);
}

async function expectText(page: Page, selector: string, wanted: RegExp): Promise<void> {
  const found = await page.$eval(selector, (element) => element.textContent ?? "");
  if (!wanted.test(found)) throw new Error(`${selector} says "${found}", not ${wanted}`);
}

async function expectCount(page: Page, selector: string, wanted: (count: number) => boolean): Promise<void> {
  const { length } = await page.$$(selector);
  if (!wanted(length)) throw new Error(`${length} elements match ${selector}`);
}

async function acquires(page: Page): Promise<void> {
  await page.waitForSelector("#figures dd");
  await press(page, "acquire");
  await expectText(page, "#log", /Acquired 4096 zeroed bytes in memory 1/);
  await press(page, "acquireMany");
  await expectText(page, "#figures", /leases21/);
  await expectCount(page, ".slab .live", (count) => count === 21);
}

async function releases(page: Page): Promise<void> {
  await press(page, "releaseOldest");
  await expectText(page, "#log", /a view kept of them reads 7/);
  await expectCount(page, ".slab .resting", (count) => count === 1);
  await press(page, "releaseAll");
  await expectText(page, "#figures", /leases0leased0 KiB/);
  await press(page, "trim");
  await expectText(page, "#figures", /reserved0 KiB/);
}

async function changesMode(page: Page): Promise<void> {
  await page.click("input[value=on-release]");
  await expectText(page, "#log", /on release/);
  await press(page, "acquire");
  await press(page, "releaseOldest");
  await expectText(page, "#log", /a view kept of them is dead/);
  await expectText(page, "#figures", /revocations1/);
  await expectText(page, ".segment", /revoked 1×/);
}

async function keepsStaleView(page: Page): Promise<void> {
  await page.click("#stale-run");
  await expectText(page, "#stale tbody tr:nth-child(1)", /before-reuse77dead/);
  await expectText(page, "#stale tbody tr:nth-child(2)", /on-release7dead: length 0dead/);
  await expectText(page, "#stale tbody tr:nth-child(3)", /never779, somebody else/);
}

async function usesKeyboard(page: Page): Promise<void> {
  await page.focus("input[value=on-release]");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await expectText(page, "#log", /Acquired/);
  const { action, outline } = await page.evaluate(() => {
    const focused = document.activeElement as HTMLElement;
    return { action: focused.dataset["action"], outline: getComputedStyle(focused).outlineStyle };
  });
  if (action !== "acquire" || outline === "none") throw new Error(`the focus is on ${action}, outlined ${outline}`);
}

export async function fitsPhone(page: Page): Promise<void> {
  const { scroll, client } = await page.evaluate(() => ({
    scroll: document.documentElement.scrollWidth,
    client: document.documentElement.clientWidth,
  }));
  if (scroll > client) throw new Error(`the page is ${scroll} pixels wide on a screen of ${client}`);
}

async function measures(page: Page): Promise<void> {
  await page.click("#bench-run");
  await page.waitForFunction(() => /^Measured/.test(document.querySelector("#bench-status")?.textContent ?? ""));
  await expectCount(page, "#bench .bar", (count) => count === 15);
  const figures = await page.$$eval("#bench .bar", (bars) =>
    bars.map((bar) => Number.parseFloat(bar.textContent ?? "")),
  );
  if (!figures.every((figure) => figure > 0)) throw new Error(`figures: ${figures.join()}`);
}
