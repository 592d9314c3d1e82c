/**
 * The real browsers that the tests drive: where they are, how they come here, how
 * they are started. What is done in them is the callers' business.
 */

import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { type Browser, launch } from "puppeteer-core";

export interface BrowserKind {
  readonly name: "chromium" | "firefox";
  /** As Debian knows it. */
  readonly package: string;
  /** Where it is looked for; the environment variable comes first. */
  readonly variable: string;
  readonly paths: readonly string[];
}

export const BROWSERS: readonly BrowserKind[] = [
  {
    name: "chromium",
    package: "chromium",
    variable: "CHROMIUM_PATH",
    paths: ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"],
  },
  {
    name: "firefox",
    package: "firefox-esr",
    variable: "FIREFOX_PATH",
    paths: ["/usr/bin/firefox-esr", "/usr/bin/firefox"],
  },
];

/** Installs what is missing where it may, and otherwise says what to install. */
export function provideBrowsers(): [BrowserKind, path: string][] {
  const find = ({ variable, paths }: BrowserKind): string | undefined =>
    [process.env[variable] ?? "", ...paths].find((path) => existsSync(path));
  const missing = BROWSERS.filter((kind) => find(kind) === undefined).map((kind) => kind.package);
  if (missing.length > 0 && process.getuid?.() === 0 && existsSync("/usr/bin/apt-get")) {
    console.error(`installing ${missing.join(" and ")} …`);
    execFileSync("scripts/install-debian.sh", missing, { stdio: ["ignore", "ignore", "inherit"] });
  }
  return BROWSERS.map((kind) => {
    const path = find(kind);
    if (path !== undefined) return [kind, path];
    const how = `install it (on Debian: apt-get install ${kind.package}), or set ${kind.variable} to its path`;
    throw new Error(`${kind.name} was not found: ${how}`);
  });
}

export function start(kind: BrowserKind, executablePath: string): Promise<Browser> {
  if (kind.name === "firefox") {
    return launch({
      browser: "firefox",
      executablePath,
      // Gives pages TestUtils.gc().
      extraPrefsFirefox: { "dom.testing.testutils.enabled": true },
    });
  }
  return launch({
    browser: "chrome",
    executablePath,
    args: [
      // Chromium refuses to run as root in its sandbox.
      ...(process.getuid?.() === 0 ? ["--no-sandbox"] : []),
      "--disable-gpu",
      "--disable-quic",
      "--js-flags=--expose-gc",
    ],
  });
}
