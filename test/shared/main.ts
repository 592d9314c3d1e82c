/**
 * `npm run threads -- steps [--depth D] [--random N] [--seed S]`: the step test's long form on the built module.
 * `npm run threads -- mutants [--only WORDS] …`: the same on modules with one fault each, until it is found.
 * Prints what it did. Exits with 1 if something did not hold, or if it did with a fault that a run can tell.
 */

import { parseArgs } from "node:util";
import { compileMutant, type Mutant, mutants } from "./mutants.ts";
import { families, growth, randomFrom, Steps } from "./steps.ts";
import { hookedModule } from "./world.ts";

const { values, positionals } = parseArgs({
  options: {
    only: { type: "string", default: "" },
    depth: { type: "string", default: "2" },
    random: { type: "string", default: "300000" },
    seed: { type: "string", default: "1" },
  },
  allowPositionals: true,
});
const [depth, random, seed] = [values.depth, values.random, values.seed].map(Number) as [number, number, number];

/** The runs in turn, the short ones first; `say` hears of each part that is over. */
function runAll(module: WebAssembly.Module, say: (part: string, runs: number) => void): void {
  let before = 0;
  const steps = new Steps(module, depth);
  const part = (name: string, run: () => void): void => {
    run();
    say(name, steps.counts.runs - before);
    before = steps.counts.runs;
  };
  say("families of sweepers that die", families(module));
  say("two threads lengthen the memory", growth(module));
  part("one event, set-ups of 1", () => steps.all(1, false));
  part("two events, set-ups of 1", () => steps.all(1, true));
  part(`one or two events, set-ups of ${depth}`, () => steps.all(depth, true));
  part("up to three others at random", () => steps.some(random, randomFrom(seed)));
  const { setUps, runs, deaths, ends } = steps.counts;
  const counts = [setUps, runs, deaths, ends].map((count) => count.toLocaleString("en"));
  say(`${counts[0]} set-ups, ${counts[1]} runs, ${counts[2]} deaths, ${counts[3]} different ends: all held`, 0);
}

function runSteps(): void {
  const start = performance.now();
  runAll(hookedModule, (part, runs) => {
    const seconds = ((performance.now() - start) / 1000).toFixed(0);
    console.log(`${seconds.padStart(5)} s ${runs.toLocaleString("en").padStart(10)} runs   ${part}`);
  });
}

/** After which part the fault was found in the next one, and what did not hold. */
async function find(mutant: Mutant): Promise<string | undefined> {
  const module = await compileMutant(mutant);
  let after = "the set-ups";
  try {
    runAll(module, (part) => {
      after = part;
    });
    return undefined;
  } catch (error) {
    return `after ${after}: ${error instanceof Error ? error.message : error}`;
  }
}

/** Whether each fault was found that can be. */
async function runMutants(): Promise<boolean> {
  const wrong: string[] = [];
  const chosen = mutants.filter(({ name }) => name.includes(values.only));
  let count = 0;
  for (const mutant of chosen) {
    const { name, equivalent } = mutant;
    const found = await find(mutant);
    if (found !== undefined) count++;
    if ((found === undefined) !== (equivalent !== undefined)) wrong.push(name);
    console.log(
      `${found === undefined ? "not found" : "found    "} ${name}\n          ${found ?? equivalent ?? "WHY?"}`,
    );
  }
  console.log(
    `${count} of ${chosen.length} found; ${wrong.length === 0 ? "the others cannot be" : `wrong: ${wrong.join(", ")}`}`,
  );
  return wrong.length === 0;
}

if (positionals[0] === "mutants") process.exitCode = (await runMutants()) ? 0 : 1;
else if (positionals[0] === "steps") runSteps();
else throw new Error(`${positionals[0]}: pass steps or mutants`);
