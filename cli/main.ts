#!/usr/bin/env node
/**
 * The `cleanslab` command. Its exit code:
 *
 *   0  done
 *   1  something failed
 *   2  bad arguments
 */

import { report, run } from "./program.ts";

try {
  process.exitCode = await run(process.argv.slice(2));
} catch (error) {
  process.exitCode = report(error);
}
