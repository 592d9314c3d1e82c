/**
 * `npm run mutate`: breaks the module and the bindings on purpose, one fault at a
 * time, and shows what catches it: the test suite, those tests first that are
 * likely to, or the fuzzer alone. Exits with 1 if a fault that is not declared
 * equivalent goes unnoticed or cannot be judged. `--help` says the rest.
 */

import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { brokenSource } from "./fault.js";
import { FAULTS } from "./faults/index.js";
import { Judge, type Verdict } from "./judge.js";
import { lineOf, tablesOf } from "./report.js";

const HELP = `npm run mutate -- [options]

Breaks the library on purpose, one fault at a time, and shows what catches it. A
fault that no test catches by failing, but that makes one hang or take too long, is
counted apart, as caught by a time limit: on a busy machine that may be no catch.

  --only WORD          the faults whose file or name contains WORD; may be given again for more
  --list               names the faults, and tries none
  --by suite|fuzz      what is to catch them: the tests (default), or the fuzzer, half a minute for each
  --help               this`;

const { values } = parseArgs({
  options: {
    only: { type: "string", multiple: true },
    by: { type: "string", default: "suite" },
    list: { type: "boolean" },
    help: { type: "boolean" },
  },
});
if (values.help === true) {
  console.log(HELP);
  process.exit();
}
const { only, by } = values;
if (by !== "suite" && by !== "fuzz") throw new Error(`--by ${by}: pass suite or fuzz`);

const chosen = FAULTS.filter(({ file, name }) => only?.some((word) => `${file}: ${name}`.includes(word)) ?? true);
// All at once before the first is tried: a run of minutes must not end with a slip of the pen.
for (const fault of FAULTS) {
  await brokenSource(fault, ".").catch((error: Error) => {
    console.error(error.message);
    process.exitCode = 1;
  });
}
if (process.exitCode === 1 || values.list === true) {
  if (values.list === true) for (const { file, name } of chosen) console.log(`${file}: ${name}`);
  process.exit();
}

const judges = await Promise.all(
  Array.from({ length: Math.min(chosen.length, availableParallelism()) }, () => Judge.make(by)),
);
process.on("exit", () => {
  for (const judge of judges) judge.end();
});
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => process.exit(130));

const queue = [...chosen];
const verdicts = new Map<string, Verdict>();
await Promise.all(
  judges.map(async (judge) => {
    for (let fault = queue.shift(); fault !== undefined; fault = queue.shift()) {
      const verdict = await judge.judge(fault);
      verdicts.set(`${fault.file}: ${fault.name}`, verdict);
      console.log(`${verdicts.size}/${chosen.length} ${lineOf(verdict)}`);
    }
  }),
);
const inOrder = chosen.map(({ file, name }) => verdicts.get(`${file}: ${name}`) as Verdict);
console.log(tablesOf(inOrder));
process.exit(inOrder.some(({ kind }) => kind === "missed" || kind === "not judged") ? 1 : 0);
