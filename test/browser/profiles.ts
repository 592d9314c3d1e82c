/**
 * A profile of leases in a parser that is not ours: made in the page, opened by speedscope,
 * whose table of functions is read.
 */

import type { Page } from "puppeteer-core";
import type { CaseResult } from "../contract/contract.ts";

/** The page is an empty one. */
export async function openProfile(page: Page): Promise<CaseResult[]> {
  const name = "a profile of leases opens in speedscope, with the functions that hold them and their bytes";
  try {
    const profile = await page.evaluate(async () => {
      const inPage: typeof import("./in-page.ts") = await import("/tests/in-page.js" as string);
      return inPage.profile();
    });
    const hasWebGL = await page.evaluate(() => document.createElement("canvas").getContext("webgl") !== null);
    if (!hasWebGL) return [{ name, outcome: "skipped", reason: "speedscope needs WebGL" }];
    const { origin } = new URL(page.url());
    await page.goto(
      `${origin}/speedscope/index.html#profileURL=data:,${encodeURIComponent(encodeURIComponent(profile))}`,
    );
    await page.waitForFunction(() => document.body.innerText.includes("Sandwich"));
    await page.keyboard.press("3");
    await page.waitForFunction(() => document.body.innerText.includes("(100%)"));
    const table = await page.evaluate(() => document.body.innerText.replace(/\s+/g, " "));
    for (const row of [
      /390\.63 KB \(40%\) 0 B [^ ]* forgets\b/,
      /976\.56 KB \(100%\) 0 B [^ ]* handles\b/,
      /2 leases of 400000 bytes/,
    ]) {
      if (!row.test(table)) throw new Error(`no ${row} in: ${table}`);
    }
    return [{ name, outcome: "passed" }];
  } catch (error) {
    return [{ name, outcome: "failed", reason: error instanceof Error ? (error.stack ?? error.message) : "?" }];
  }
}
