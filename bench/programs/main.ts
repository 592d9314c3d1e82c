/** `npm run bench -- programs [NAME …] [--node PATH] [--rounds N] [--json]`: runs programs, and prints a table for each. */

import { parseArgs } from "node:util";
import { printTable } from "../figures.ts";
import { PROGRAMS } from "./index.ts";
import { runProgram, versionOf } from "./run.ts";
import { resultOf, tableOf } from "./table.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { node: { type: "string" }, rounds: { type: "string", default: "3" }, json: { type: "boolean" } },
});
const unknown = positionals.find((name) => !PROGRAMS.some((program) => program.name === name));
if (unknown !== undefined) {
  console.error(
    `there is no program called "${unknown}"; the programs are: ${PROGRAMS.map(({ name }) => name).join(", ")}`,
  );
  process.exit(2);
}
const programs = positionals.length === 0 ? PROGRAMS : PROGRAMS.filter(({ name }) => positionals.includes(name));
const node = versionOf(values.node);

for (const program of programs) {
  const result = resultOf(await runProgram(program, { rounds: Number(values.rounds), node: values.node }), node);
  console.log(values.json === true ? JSON.stringify(result) : `\n${printTable(tableOf(result))}`);
}
