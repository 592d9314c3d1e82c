/**
 * npm run test:browser: the contract against the packed tarball in real Chromium
 * and real Firefox, in pages with and without cross-origin isolation and in
 * workers; shared memory between them; the recipe for WebCodecs; a profile in
 * speedscope; a page that forbids WebAssembly; and the pages of the site, clicked
 * through. With `-- PART`, only the suites whose names contain it.
 * Ends non-zero if a case fails or a browser does not run.
 */

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import type { Browser, Page } from "puppeteer-core";
import type { CaseResult } from "../contract/contract.ts";
import { type EngineResult, report } from "../contract/report.ts";
import { installInto, inTemporaryFolder, packInto, run } from "../package/tarball.ts";
import { type BrowserKind, provideBrowsers, start } from "./browsers.ts";
import { runFrames } from "./frames.ts";
import { clickThrough } from "./playground.ts";
import { openProfile } from "./profiles.ts";
import { serve } from "./server.ts";

type InPage = typeof import("./in-page.ts");

/** Milliseconds for one suite in one page. */
const PAGE_TIMEOUT = 120_000;

/** Of site/. */
const PAGES = ["playground", "frames"] as const;

async function main(): Promise<boolean> {
  const browsers = provideBrowsers();
  return inTemporaryFolder(async (folder) => {
    const home = join(folder, "consumer");
    mkdirSync(home);
    await installInto(home, await packInto(folder));
    await bundleInto(home);
    for (const page of PAGES) await buildPage(page, join(folder, page));
    const server = await serve({
      "/package/": join(home, "node_modules/cleanslab"),
      "/tests/": home,
      "/speedscope/": "node_modules/speedscope/dist/release",
      ...Object.fromEntries(PAGES.map((page) => [`/${page}/`, join(folder, page)])),
    });
    try {
      const results: EngineResult[] = [];
      for (const [kind, path] of browsers) results.push(...(await runIn(kind, path, server.origin)));
      return report("browser", results);
    } finally {
      server.close();
    }
  });
}

async function buildPage(page: string, outDir: string): Promise<void> {
  const options = ["--config", "site/vite.config.ts", "--logLevel", "warn", "--emptyOutDir", "--outDir", outDir];
  await run("npx", ["vite", "build", `site/${page}`, ...options], ".");
}

/** The suite as a module that leaves the library where the tarball has it. */
async function bundleInto(home: string): Promise<void> {
  await build({
    entryPoints: ["test/browser/in-page.ts", "test/contract/shared-worker.ts"],
    outdir: home,
    entryNames: "[name]",
    bundle: true,
    format: "esm",
    target: "es2022",
    platform: "neutral",
    plugins: [
      {
        name: "library",
        setup: ({ onResolve }) =>
          onResolve({ filter: /^cleanslab(\/shared)?$/ }, ({ path }) => ({
            path: `${path.replace("cleanslab", "/package/dist")}/index.js`,
            external: true,
          })),
      },
    ],
  });
}

async function runIn(kind: BrowserKind, path: string, origin: string): Promise<EngineResult[]> {
  const results: EngineResult[] = [];
  for (const [where, url, suite] of SUITES.filter(([name]) => name.includes(process.argv[2] ?? ""))) {
    console.error(`${kind.name}, ${where} …`);
    let version = "?";
    let browser: Browser | undefined;
    const engine = `${kind.name}, ${where}`;
    try {
      // A browser for each, so that the memories of one do not count for the next.
      browser = await start(kind, path);
      version = (await browser.version()).replace(/^\D+/, "");
      const page = await browser.newPage();
      page.setDefaultTimeout(PAGE_TIMEOUT);
      await page.goto(origin + url);
      results.push({ engine, version, cases: await suite(page) });
    } catch (error) {
      results.push({ engine, version, cases: [], error: error instanceof Error ? error.message : String(error) });
    } finally {
      await browser?.close();
    }
  }
  return results;
}

/** Where each suite runs, in a page of its own. */
const SUITES: readonly [where: string, url: string, suite: (page: Page) => Promise<CaseResult[]>][] = [
  ["page", "/plain", (page) => contractIn(page, "runHere")],
  ["isolated page", "/isolated", (page) => contractIn(page, "runHere")],
  ["worker", "/isolated", (page) => contractIn(page, "runInWorker")],
  ["crowded page", "/plain", (page) => contractIn(page, "runCrowded")],
  ["page and workers", "/isolated", (page) => contractIn(page, "runShared")],
  ["frames to a worker", "/isolated", (page) => contractIn(page, "runFramesToWorker")],
  ["page without isolation", "/plain", (page) => contractIn(page, "runNotIsolated")],
  ["webcodecs", "/isolated", (page) => contractIn(page, "runWebCodecs")],
  ["page without wasm", "/no-wasm", forbidden],
  ["playground", "/playground/", clickThrough],
  ["frames", "/frames/", runFrames],
  ["profiles", "/plain", openProfile],
];

async function contractIn(page: Page, where: Exclude<keyof InPage, "refusal" | "profile">): Promise<CaseResult[]> {
  return page.evaluate(async (entry) => {
    const inPage: InPage = await import("/tests/in-page.js" as string);
    return inPage[entry]();
  }, where);
}

async function forbidden(page: Page): Promise<CaseResult[]> {
  const name = "a Content-Security-Policy without wasm-unsafe-eval is ERR_WASM_UNAVAILABLE";
  const refusal = await page.evaluate(async () => {
    const inPage: InPage = await import("/tests/in-page.js" as string);
    return inPage.refusal();
  });
  if (refusal.startsWith("ERR_WASM_UNAVAILABLE")) return [{ name, outcome: "passed" }];
  return [{ name, outcome: "failed", reason: `what new Arena() threw: ${refusal}` }];
}

process.exitCode = (await main()) ? 0 : 1;
