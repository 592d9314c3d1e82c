/** Random programs over several threads: what they are made of, and a round of them. */

import fc from "fast-check";
import { kindOf, shorten } from "../program.js";
import type { Tally } from "../world.js";
import { type Kind, Pool } from "./threads.js";
import { type Dice, type Settings, type Step, World } from "./world.js";

/** What programs do, and how often. */
const STEPS: Record<Step, number> = {
  acquire: 320,
  acquireAsync: 40,
  abort: 10,
  acquireFilled: 120,
  copyOf: 40,
  use: 40,
  scope: 20,
  writer: 30,
  write: 120,
  resize: 60,
  release: 320,
  handOver: 160,
  adopt: 160,
  adoptAgain: 20,
  misuse: 10,
  useEnded: 30,
  channel: 30,
  open: 40,
  trySend: 200,
  send: 60,
  tryReceive: 200,
  receive: 40,
  close: 16,
  peerEnded: 10,
  trim: 20,
  detach: 16,
  attach: 20,
  threadEnded: 1,
};

/** Of every class often, of a few slabs sometimes, and of more than there is. */
const byteLengths = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom(100, 0, 1, 256, 1000, 5000, 20_000, 32_768) },
  { weight: 8, arbitrary: fc.nat(2048) },
  { weight: 3, arbitrary: fc.nat(40_000) },
  { weight: 1, arbitrary: fc.constantFrom(65_536, 65_537, 150_000, 300_000, 1_000_000, 3_000_000) },
);
const steps = Object.entries(STEPS).map(([name, weight]) => ({ weight, arbitrary: fc.constant(name as Step) }));
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
