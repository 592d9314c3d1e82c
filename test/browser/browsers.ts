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
export function provideBrowsers(): Map<BrowserKind, string> {
  const missing = BROWSERS.filter((kind) => find(kind) === undefined);
  if (missing.length > 0) install(missing.map((kind) => kind.package));
  const paths = new Map<BrowserKind, string>();
  for (const kind of BROWSERS) {
    const path = find(kind);
    if (path === undefined) {
      throw new Error(
        `${kind.name} was not found: install it (on Debian: apt-get install ${kind.package}), or set ${kind.variable} to its path`,
      );
    }
    paths.set(kind, path);
  }
  return paths;
}

function find({ variable, paths }: BrowserKind): string | undefined {
  const given = process.env[variable];
  return [...(given === undefined ? [] : [given]), ...paths].find((path) => existsSync(path));
}

function install(packages: readonly string[]): void {
  if (process.getuid?.() !== 0 || !existsSync("/usr/bin/apt-get")) return;
  console.error(`installing ${packages.join(" and ")} …`);
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const wait = ["-o", "DPkg::Lock::Timeout=300"];
  execFileSync("apt-get", [...wait, "update", "-qq"], { env, stdio: ["ignore", "ignore", "inherit"] });
  const install = [...wait, "install", "-y", "-qq", "--no-install-recommends", ...packages];
  execFileSync("apt-get", install, { env, stdio: ["ignore", "ignore", "inherit"] });
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
