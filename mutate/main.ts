/**
 * `npm run mutate`: breaks the module and the bindings on purpose, one fault at a
 * time, each in a copy of its own, and shows what catches it: the test suite, those
 * tests first that are about the broken file, or the fuzzer alone. Exits with 1 if
 * a fault that is not declared equivalent goes unnoticed, or if the unbroken copy
 * does not pass. `--help` says the rest.
 */

import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { cp, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import Table from "cli-table3";
import { build } from "esbuild";
import { MUTANTS, type Mutant } from "./mutants.js";

const AT_A_TIME = 2;
/** Milliseconds; a fault that makes a test loop is caught by this. */
const STAGE_TIMEOUT = 240_000;
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
/** Everything that could notice, what is quick first. Not the tests of the benchmarks, which are not copied. */
const ALL = [
  ["test/unit", "test/model-arena.test.ts"],
  ["test/misuse", "test/diagnostics.test.ts", "test/faults.test.ts", "test/pins.test.ts"],
] as const;
const EXCLUDED = "test/unit/bench*";
/** What is about a file and not named after it. */
const NEAR: Readonly<Record<string, readonly string[]>> = {
  "src/abi.ts": ["test/unit/refusals.test.ts", "test/unit/abi.test.ts"],
  "src/checks.ts": ["test/misuse/nonsense.test.ts", "test/node/file.test.ts"],
  "src/channels.ts": ["test/diagnostics.test.ts"],
  "src/countdown.ts": ["test/unit/trace.test.ts", "test/diagnostics.test.ts"],
  "src/trace.ts": ["test/unit/trace.test.ts", "test/diagnostics.test.ts"],
  "src/ledger.ts": ["test/unit/refusals.test.ts", "test/unit/ledger.test.ts", "test/unit/stats.test.ts"],
  "src/collector.ts": ["test/node/collect.test.ts"],
  "src/writer.ts": ["test/unit/writer.test.ts", "test/unit/writer-model.test.ts", "test/misuse/writer.test.ts"],
  "src/lend.ts": ["test/misuse/use.test.ts"],
  "src/pools.ts": ["test/unit/pool.test.ts"],
  "src/encoding.ts": ["test/unit/encoding.test.ts", "test/unit/writer-model.test.ts", "test/misuse/writer.test.ts"],
};
const HELP = `npm run mutate -- [options]

Breaks the library on purpose, one fault at a time, and shows what catches it.

  --only WORD          the faults whose file or name contains WORD; may be given again for more
  --list               names the faults, and tries none
  --by suite|fuzz      what is to catch them: the tests (default), or the fuzzer, half a minute for each
  --help               this`;
const FUZZ_MINUTES = "0.5";

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
if (values.by !== "suite" && values.by !== "fuzz") throw new Error(`--by ${values.by}: pass suite or fuzz`);

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

async function rebuild(file: string, root: string): Promise<void> {
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
  const sources = (await readdir(join(root, "src"), { recursive: true })).filter(
    (name) => name.endsWith(".ts") && !name.endsWith(".d.ts"),
  );
  // Types are not what is tested here.
  await build({
    entryPoints: sources.map((name) => join(root, "src", name)),
    outbase: join(root, "src"),
    outdir: join(root, "dist"),
    format: "esm",
    target: "es2022",
    logLevel: "silent",
    sourcemap: true,
  });
}

/** Tests to run one after the other until one fails. */
function stagesFor(file: string): readonly (readonly string[])[] {
  if (file.startsWith("assembly/")) return [["test/unit/abi.test.ts", "test/model-module.test.ts"], ...ALL];
  const [, folder, name] = /^src\/(node\/)?(.*)\.ts$/.exec(file) ?? [];
  if (folder !== undefined)
    return [[existsSync(`test/node/${name}.test.ts`) ? `test/node/${name}.test.ts` : "test/node"]];
  const named = `test/unit/${name}.test.ts`;
  const near = NEAR[file] ?? (existsSync(named) ? [named] : []);
  return near.length === 0 ? ALL : [near, ...ALL];
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
    `--exclude=${EXCLUDED}`,
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

/** Runs `fn` in a copy of the repository. */
async function inCopy<T>(fn: (root: string) => Promise<T>): Promise<T> {
  const root = await mkdtemp(join(tmpdir(), "cleanslab-mutant-"));
  try {
    for (const name of COPIED) await cp(name, join(root, name), { recursive: true });
    await symlink(join(process.cwd(), "node_modules"), join(root, "node_modules"));
    return await fn(root);
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

/** What the tests find, stage after stage; or the fuzzer. */
async function noticedIn(root: string, stages: readonly (readonly string[])[]): Promise<string | undefined> {
  if (values.by === "fuzz") return findingOf(root);
  let failure: string | undefined;
  for (const files of stages) failure ??= await failureOf(root, files);
  return failure;
}

function judge(mutant: Mutant): Promise<Verdict> {
  const start = performance.now();
  return inCopy(async (root) => {
    await apply(mutant, root);
    await rebuild(mutant.file, root);
    const caughtBy = await noticedIn(root, stagesFor(mutant.file));
    return { mutant, caughtBy, seconds: (performance.now() - start) / 1000 };
  });
}

/** What fails in a copy without a fault: it would pass for the catching of every fault. */
function failureWithoutFault(mutants: readonly Mutant[]): Promise<string | undefined> {
  const stages = new Map(mutants.flatMap(({ file }) => stagesFor(file)).map((files) => [files.join(), files]));
  return inCopy(async (root) => {
    await rebuild("src/", root);
    return noticedIn(root, [...stages.values()]);
  });
}

function verdictOf({ mutant, caughtBy }: Verdict): string {
  if (caughtBy !== undefined)
    return mutant.equivalent === undefined ? caughtBy : `${caughtBy} (was declared equivalent)`;
  return mutant.equivalent === undefined ? "MISSED" : `equivalent: ${mutant.equivalent}`;
}

const { only } = values;
const chosen = MUTANTS.filter(({ file, fault }) => only?.some((word) => `${file}: ${fault}`.includes(word)) ?? true);
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

const before = chosen.length === 0 ? undefined : await failureWithoutFault(chosen);
if (before !== undefined) throw new Error(`nothing is broken yet, and this fails: ${before}`);

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

interface Sum {
  caught: number;
  missed: number;
  equivalent: number;
}
const sums = new Map<string, Sum>();
for (const { mutant, caughtBy } of verdicts) {
  const sum = sums.get(mutant.file) ?? { caught: 0, missed: 0, equivalent: 0 };
  sum[caughtBy !== undefined ? "caught" : mutant.equivalent === undefined ? "missed" : "equivalent"]++;
  sums.set(mutant.file, sum);
}
const perFile = new Table({ head: ["file", "caught", "missed", "equivalent"], style: { head: [], border: [] } });
const total: Sum = { caught: 0, missed: 0, equivalent: 0 };
for (const [file, sum] of [...sums].sort(([a], [b]) => a.localeCompare(b))) {
  perFile.push([file, sum.caught, sum.missed, sum.equivalent]);
  for (const kind of ["caught", "missed", "equivalent"] as const) total[kind] += sum[kind];
}
console.log(
  `${table}\n${perFile}\n${verdicts.length} faults: ${total.caught} caught, ${total.missed} missed, ${total.equivalent} equivalent`,
);
process.exitCode = total.missed === 0 ? 0 : 1;
