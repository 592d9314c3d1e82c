/** Random programs over several threads: what they are made of, and a round of them. */

import fc from "fast-check";
import { kindOf, shorten } from "../program.js";
import type { Tally } from "../world.js";
import type { Dice } from "./model.js";
import { type Kind, Pool } from "./threads.js";
import { type Settings, type Step, World } from "./world.js";

/** What programs do, and how often. */
const STEPS: readonly [weight: number, ...Step[]][] = [
  [320, "acquire", "release"],
  [200, "trySend", "tryReceive"],
  [160, "handOver", "adopt"],
  [120, "acquireFilled", "write"],
  [60, "resize", "send"],
  [40, "acquireAsync", "copyOf", "use", "open", "receive"],
  [30, "writer", "useEnded", "channel"],
  [20, "scope", "adoptAgain", "trim", "attach"],
  [16, "close", "detach"],
  [10, "abort", "peerEnded"],
  [1, "threadEnded"],
];

/** Of every class often, of a few slabs sometimes, and of more than there is. */
const byteLengths = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom(100, 0, 1, 256, 1000, 5000, 20_000, 32_768) },
  { weight: 8, arbitrary: fc.nat(2048) },
  { weight: 3, arbitrary: fc.nat(40_000) },
  { weight: 1, arbitrary: fc.constantFrom(65_536, 65_537, 150_000, 300_000, 1_000_000, 3_000_000) },
);
const steps = STEPS.flatMap(([weight, ...names]) => names.map((name) => ({ weight, arbitrary: fc.constant(name) })));
const dice: fc.Arbitrary<Dice> = fc.record({
  who: fc.nat(11),
  which: fc.nat(39),
  how: fc.nat(59),
  byteLength: byteLengths,
});
const slabs = fc.oneof(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 13, max: 40 }));

const settings: fc.Arbitrary<Settings> = fc.record({ threads: fc.constantFrom(2, 4), slabs });

type Calls = readonly (readonly [Step, Dice])[];

/** Shrinking goes on for so long: what is shortest by then is good enough. */
const SHRINK_MS = 60_000;

/** Runs random programs from `seed` on, until they have made so many calls. What is found rejects, shortened. */
export async function runShared(
  kind: Kind,
  seed: number,
  operations: number,
  tally: Tally,
  maxLength: number,
): Promise<void> {
  const pool = new Pool(kind);
  const run = async (options: Settings, calls: Calls, counts: Tally): Promise<void> => {
    const world = await World.open(pool, options);
    try {
      for (const [name, each] of calls) await world.step(name, each, counts);
      await world.end();
    } catch (error) {
      throw Object.assign(error as Error, { source: `${JSON.stringify(options)}\n${world.source}` });
    } finally {
      pool.giveBack();
    }
  };
  const shorter = async (options: Settings, calls: Calls, found: Error): Promise<Error & { source?: string }> => {
    const end = performance.now() + SHRINK_MS;
    let last = found;
    const fails = async (candidate: Calls): Promise<boolean> => {
      const error = await (performance.now() < end ? run(options, candidate, {}) : Promise.resolve()).catch(Object);
      if (kindOf(error) !== kindOf(found)) return false;
      last = error as Error;
      return true;
    };
    await shorten(calls, fails);
    return last;
  };
  const calls = fc.array(fc.tuple(fc.oneof(...steps), dice), { maxLength, size: "max" });
  const property = fc.asyncProperty(settings, calls, (options, list) => run(options, list, tally));
  const done = (): number => Object.values(tally).reduce((sum, count) => sum + count, 0);
  try {
    for (let round = seed; done() < operations; round++) {
      const { counterexample, errorInstance } = await fc.check(property, {
        seed: round,
        numRuns: 10,
        endOnFailure: true,
      });
      if (counterexample === null) continue;
      const error = await shorter(...counterexample, errorInstance as Error);
      throw new Error(`${error.source}\n${error.message}\n--kind ${kind} --seed ${round}`, { cause: error });
    }
  } finally {
    await pool.endAll();
  }
}
