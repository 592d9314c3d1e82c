/** What the tests of the command share: the command itself, in a folder of its own. */

import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll } from "vitest";

const command = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

/** An empty folder, which goes when the tests of the file are done. */
export function openWorkshop() {
  const folder = mkdtempSync(join(tmpdir(), "cleanslab-cli-"));
  afterAll(() => rmSync(folder, { recursive: true }));
  /** Runs the bundled command, as the package has it, in the folder. */
  const cleanslab = (args: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> =>
    new Promise((resolve) => {
      execFile(process.execPath, [command, ...args], { cwd: folder }, (error, stdout, stderr) => {
        resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
      });
    });
  return { folder, cleanslab };
}
