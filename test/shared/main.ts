/**
 * `npm run threads -- steps [--depth D]`: the step test's long form.
 * `npm run threads -- mutants [--only WORDS]`: the same on modules with one fault each, until it is found.
 * `npm run threads -- kill [--deaths N] [--seed S]`: threads that are ended at random.
 * `npm run threads -- model [--kind workers|copies] [--operations N] [--seed S]`: random programs against a plain model, of test/model.
 * Prints what it did. Exits with 1 if something did not hold, or if it did with a fault that a run can tell.
 */

import { parseArgs } from "node:util";
import { runShared } from "../model/shared/program.ts";
import { KINDS } from "../model/shared/threads.ts";
import { kill } from "./kill.ts";
import { compileSmall } from "./module.ts";
import { mutants } from "./mutants.ts";
import { families, growth, Steps } from "./steps.ts";

const { values, positionals } = parseArgs({
  options: {
    depth: { type: "string", default: "2" },
    only: { type: "string", default: "" },
    deaths: { type: "string", default: "5000" },
    kind: { type: "string", default: "workers" },
    operations: { type: "string", default: "1000000" },
    seed: { type: "string", default: String(Date.now() % 2 ** 20) },
  },
  allowPositionals: true,
});

/** The runs in turn, the short ones first; `say` hears of each part that is over. */
function runSteps(module: WebAssembly.Module, depth: number, say: (part: string) => void): void {
  say(`${families(module)} families of sweepers that died, ${growth(module)} times two said how long the memory is`);
  for (const [most, isDeep] of [
    [1, false],
    [1, true],
    [depth, true],
  ] as const) {
    const steps = new Steps(module, most);
    steps.all(most, isDeep);
    const { setUps, runs, deaths, ends } = steps.counts;
    say(
      `${isDeep ? "two events" : "one event"}: ${setUps} set-ups, ${runs} runs, ${deaths} deaths, ${ends} different ends`,
    );
  }
}

/** What a run says that finds the fault, or `undefined`. */
function findIn(module: WebAssembly.Module, depth: number): string | undefined {
  let parts = 0;
  try {
    runSteps(module, depth, () => parts++);
    return undefined;
  } catch (error) {
    const part = ["families", "one event", "two events", `set-ups of ${depth}`][parts];
    return `${part}: ${error instanceof Error ? error.message : error}`;
  }
}

/** Whether each fault was found that can be. */
async function runMutants(depth: number): Promise<boolean> {
  const wrong: string[] = [];
  const chosen = mutants.filter(({ name }) => name.includes(values.only));
  for (const { name, change, unseen } of chosen) {
    const found = findIn(await compileSmall([change]), unseen === undefined ? depth : 1);
    if ((found === undefined) === (unseen === undefined)) wrong.push(name);
    console.log(`${found === undefined ? "not found" : "found    "} ${name}\n          ${found ?? unseen ?? "WHY?"}`);
  }
  console.log(
    `${chosen.length} faults; ${wrong.length === 0 ? "all found but those that say why not" : `wrong: ${wrong.join("; ")}`}`,
  );
  return wrong.length === 0;
}

/** Whether random programs found nothing. */
async function runModel(say: (what: string) => void): Promise<boolean> {
  const kind = KINDS.find((each) => each === values.kind) ?? "workers";
  const tally: Record<string, number> = {};
  const sum = (): number => Object.values(tally).reduce((before, count) => before + count, 0);
  const progress = setInterval(() => say(`${sum()} operations`), 30_000);
  const failure = await runShared(kind, Number(values.seed), Number(values.operations), tally, 4000).catch(String);
  clearInterval(progress);
  say(`${kind}, seed ${values.seed}, Node ${process.version}: ${sum()} operations, ${JSON.stringify(tally)}`);
  console.log(failure ?? "no finding");
  return failure === undefined;
}

async function main(): Promise<boolean> {
  const depth = Number(values.depth);
  const start = performance.now();
  const say = (what: string): void => console.log(`${((performance.now() - start) / 1000).toFixed(0)} s: ${what}`);
  if (positionals[0] === "mutants") return runMutants(depth);
  if (positionals[0] === "steps") {
    runSteps(await compileSmall(), depth, say);
    return true;
  }
  if (positionals[0] === "model") return runModel(say);
  if (positionals[0] !== "kill") throw new Error(`${positionals[0]}: pass steps, mutants, kill or model`);
  const kills = await kill(Number(values.deaths), Number(values.seed));
  say(`seed ${values.seed}, Node ${process.version}: ${JSON.stringify(kills, null, 1)}`);
  return kills.problems.length === 0;
}

process.exitCode = (await main()) ? 0 : 1;
