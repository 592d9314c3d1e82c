/** Random programs over several threads: what they are made of, and a round of them. */

import fc from "fast-check";
import type { Tally } from "../world.js";
import { Pool } from "./threads.js";
import { type Dice, type Settings, type Step, World } from "./world.js";

/** What programs do, and how often. */
const STEPS: Record<Step, number> = {
  acquire: 160,
  acquireAsync: 20,
  abort: 5,
  acquireFilled: 60,
  copyOf: 20,
  use: 20,
  scope: 10,
  writer: 15,
  write: 60,
  resize: 30,
  release: 160,
  handOver: 80,
  adopt: 80,
  adoptAgain: 10,
  misuse: 5,
  useEnded: 15,
  channel: 15,
  open: 20,
  trySend: 100,
  send: 30,
  tryReceive: 100,
  receive: 20,
  close: 8,
  peerEnded: 5,
  trim: 10,
  detach: 8,
  attach: 10,
  threadEnded: 2,
  turn: 10,
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
