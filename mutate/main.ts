/**
 * `npm run mutate -- [--only WORD] [--by suite|fuzz] [--list]`: breaks the module
 * and the bindings on purpose, one fault at a time, each in a copy of its own, and
 * shows what catches it: the test suite, fast tests first, or the fuzzer alone.
 * Exits with 1 if a fault that is not declared equivalent goes unnoticed.
 *
 * Stryker makes its mutants by pattern, thousands for src/, and knows nothing of
 * AssemblyScript. These are faults that mean something, in both halves.
 */

import { execFile } from "node:child_process";
import { cp, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import Table from "cli-table3";
import { build } from "esbuild";
import { MUTANTS, type Mutant } from "./mutants.js";

const AT_A_TIME = 2;
/** Milliseconds; a fault that makes a test loop is caught by this. */
const STAGE_TIMEOUT = 300_000;
const COPIED = [
  "assembly",
  "src",
  "test",
  "fuzz",
  "scripts",
  "build",
  "dist",
  "package.json",
  "asconfig.json",
  "tsconfig.json",
  "vitest.config.ts",
];
/** For the module what drives it directly, for the bindings what drives them; then everything that could notice. */
const STAGES: Record<"assembly" | "src", readonly (readonly string[])[]> = {
  assembly: [
    ["test/unit/abi.test.ts", "test/model-module.test.ts"],
    ["test/unit", "test/misuse.test.ts", "test/model-arena.test.ts"],
  ],
  src: [["test/unit", "test/model-arena.test.ts"], ["test/misuse.test.ts"]],
};
const FUZZ_MINUTES = "0.5";

const { values } = parseArgs({
  options: { only: { type: "string" }, by: { type: "string", default: "suite" }, list: { type: "boolean" } },
});

interface Verdict {
  readonly mutant: Mutant;
  /** The test that failed, or what the fuzzer printed; undefined if nothing noticed. */
  readonly caughtBy: string | undefined;
  readonly seconds: number;
}

interface Outcome {
  readonly code: number;
  readonly output: string;
}

/** Runs to the end or the timeout, whatever the exit code; 0 is success. */
function run(cwd: string, command: string, args: readonly string[]): Promise<Outcome> {
  const env = { ...process.env, CLEANSLAB_OPS: "4000", CLEANSLAB_SEED: "1" };
  return new Promise((resolve) => {
    const options = { cwd, env, timeout: STAGE_TIMEOUT, killSignal: "SIGKILL" as const, maxBuffer: 2 ** 28 };
    execFile(command, args, options, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === "number" ? error.code : -1;
      resolve({ code, output: stdout + stderr });
    });
  });
}

/** @throws Error if the piece of source is not there, or not only there: the sources changed, so must the mutant. */
async function apply({ file, fault, from, to }: Mutant, root: string): Promise<void> {
  const source = await readFile(join(root, file), "utf8");
  const parts = source.split(from);
  if (parts.length !== 2) {
    throw new Error(`${file}, "${fault}": stands there ${parts.length - 1} times, must be once:\n${from}`);
  }
  await writeFile(join(root, file), parts.join(to));
}

async function rebuild(file: string, root: string): Promise<string | undefined> {
  if (file.startsWith("assembly/")) {
    for (const [entry, target] of [
      ["index", "release"],
      ["debug", "debug"],
    ]) {
      const args = ["node_modules/assemblyscript/bin/asc.js", `assembly/${entry}.ts`, "--target", `${target}`];
      const { code, output } = await run(root, process.execPath, args);
      if (code !== 0) throw new Error(`the module does not compile: ${output}`);
    }
    await run(root, process.execPath, ["scripts/embed-module.mjs"]);
  }
  const sources = (await readdir(join(root, "src"))).filter((name) => name.endsWith(".ts") && !name.endsWith(".d.ts"));
  // Types are not what is tested here.
  await build({
    entryPoints: sources.map((name) => join(root, "src", name)),
    outdir: join(root, "dist"),
    format: "esm",
    target: "es2022",
    logLevel: "silent",
    sourcemap: true,
  });
  return undefined;
}

interface Report {
  readonly testResults: readonly {
    assertionResults: readonly { status: string; fullName: string }[];
    message: string;
    name: string;
  }[];
}

/** The first failure of these tests, or undefined. */
async function failureOf(root: string, files: readonly string[]): Promise<string | undefined> {
  const report = join(root, "report.json");
  const args = [
    "node_modules/vitest/vitest.mjs",
    "run",
    ...files,
    "--bail=1",
    "--maxWorkers=1",
    "--reporter=json",
    `--outputFile=${report}`,
  ];
  const { code, output } = await run(root, process.execPath, args);
  if (code === 0) return undefined;
  if (code < 0) return "a test that never ends, or a crash";
  const { testResults } = JSON.parse(await readFile(report, "utf8")) as Report;
  for (const { assertionResults } of testResults) {
    const failed = assertionResults.find(({ status }) => status === "failed");
    if (failed !== undefined) return failed.fullName;
  }
  const broken = testResults.find(({ message }) => message !== "");
  return broken === undefined
    ? output.slice(-200)
    : `${broken.name.replace(root, "")}: ${broken.message.slice(0, 100)}`;
}

async function findingOf(root: string): Promise<string | undefined> {
  const args = ["--expose-gc", "--import", "tsx", "fuzz/main.ts", "--seed", "1", "--minutes", FUZZ_MINUTES];
  const { code, output } = await run(root, process.execPath, args);
  if (code === 0) return undefined;
  const [, found] = /\n((?:before-reuse|on-release|never): [\s\S]*?)\nAgain:/.exec(output) ?? [];
  return found ?? output.slice(-300);
}

async function judge(mutant: Mutant): Promise<Verdict> {
  const start = performance.now();
  const root = await mkdtemp(join(tmpdir(), "cleanslab-mutant-"));
  try {
    for (const name of COPIED) await cp(name, join(root, name), { recursive: true });
    await symlink(join(process.cwd(), "node_modules"), join(root, "node_modules"));
    await apply(mutant, root);
    await rebuild(mutant.file, root);
    let caughtBy: string | undefined;
    if (values.by === "fuzz") caughtBy = await findingOf(root);
    else {
      for (const files of STAGES[mutant.file.startsWith("assembly/") ? "assembly" : "src"]) {
        caughtBy ??= await failureOf(root, files);
      }
    }
    return { mutant, caughtBy, seconds: (performance.now() - start) / 1000 };
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

function verdictOf({ mutant, caughtBy }: Verdict): string {
  if (caughtBy !== undefined)
    return mutant.equivalent === undefined ? caughtBy : `${caughtBy} (was declared equivalent)`;
  return mutant.equivalent === undefined ? "MISSED" : `equivalent: ${mutant.equivalent}`;
}

const { only } = values;
const chosen = MUTANTS.filter(({ file, fault }) => only === undefined || `${file}: ${fault}`.includes(only));
// All at once before the first is tried: a run of minutes must not end with a slip of the pen.
for (const mutant of MUTANTS) {
  const count = (await readFile(mutant.file, "utf8")).split(mutant.from).length - 1;
  if (count === 1) continue;
  console.error(`${mutant.file}, "${mutant.fault}": stands there ${count} times, must be once:\n${mutant.from}`);
  process.exitCode = 1;
}
if (process.exitCode === 1 || values.list === true) {
  if (values.list === true) for (const { file, fault } of chosen) console.log(`${file}: ${fault}`);
  process.exit();
}

const queue = [...chosen];
const verdicts: Verdict[] = [];
async function work(): Promise<void> {
  for (let mutant = queue.shift(); mutant !== undefined; mutant = queue.shift()) {
    const verdict = await judge(mutant);
    verdicts.push(verdict);
    const { file, fault } = mutant;
    console.log(
      `${verdicts.length}/${chosen.length} ${file}: ${fault}: ${verdictOf(verdict)} (${verdict.seconds.toFixed(0)} s)`,
    );
  }
}
await Promise.all(Array.from({ length: AT_A_TIME }, work));

const table = new Table({
  head: ["file", "fault", "caught by"],
  style: { head: [], border: [] },
  colWidths: [24, 44, 90],
  wordWrap: true,
});
for (const mutant of chosen) {
  const verdict = verdicts.find((each) => each.mutant === mutant);
  if (verdict !== undefined) table.push([mutant.file, mutant.fault, verdictOf(verdict)]);
}
const missed = verdicts.filter(({ mutant, caughtBy }) => caughtBy === undefined && mutant.equivalent === undefined);
console.log(
  `${table}\n${verdicts.length} faults, ${verdicts.filter(({ caughtBy }) => caughtBy !== undefined).length} caught, ${missed.length} missed`,
);
process.exitCode = missed.length === 0 ? 0 : 1;
