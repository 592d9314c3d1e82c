#!/usr/bin/env node
/**
 * The `cleanslab` command. Its exit code:
 *
 *   0  done
 *   1  something failed
 *   2  bad arguments
 */

import { createProgram, report } from "./program.ts";

const program = createProgram(
  (code) => {
    process.exitCode = code;
  },
  (text) => process.stderr.write(text),
);
try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = report(error);
}
