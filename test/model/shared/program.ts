/** Random programs over several threads: what they are made of, and a round of them. */

import fc from "fast-check";
import type { Tally } from "../world.js";
import { Pool } from "./threads.js";
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

/** Shrinking goes on for so long: what is smallest by then is good enough. */
const SHRINK_MS = 30_000;

/** Runs random programs from `seed` on, until they have made so many calls. What is found rejects. */
export async function runShared(seed: number, operations: number, tally: Tally, maxLength: number): Promise<void> {
  const pool = new Pool();
  const settings: fc.Arbitrary<Settings> = fc.record({ threads: fc.constantFrom(2, 4), slabs });
  const calls = fc.array(fc.tuple(fc.oneof(...steps), dice), { maxLength, size: "max" });
  let failedAt = 0;
  const property = fc.asyncProperty(settings, calls, async (options, list) => {
    if (failedAt > 0 && performance.now() > failedAt + SHRINK_MS) return;
    const world = await World.open(pool, options);
    try {
      for (const [name, each] of list) await world.step(name, each, failedAt > 0 ? {} : tally);
      await world.end();
    } catch (error) {
      failedAt ||= performance.now();
      throw new Error(`${JSON.stringify(options)}\n${world.source}\n${String(error)}`, { cause: error });
    } finally {
      pool.giveBack();
    }
  });
  const done = (): number => Object.values(tally).reduce((sum, count) => sum + count, 0);
  try {
    for (let round = seed; done() < operations; round++) {
      const { errorInstance } = await fc.check(property, { seed: round, numRuns: 10 });
      if (errorInstance instanceof Error)
        throw new Error(`${errorInstance.message}\nseed ${round}`, { cause: errorInstance });
    }
  } finally {
    await pool.endAll();
  }
}
