/** One seed and one budget of operations for all random tests of a run. */

import { setImmediate } from "node:timers/promises";
import fc from "fast-check";

/** `CLEANSLAB_SEED` repeats a run. */
export const seed = Number(process.env["CLEANSLAB_SEED"] ?? Date.now() % 2 ** 31);

/** Operations that each random test makes, at least; `CLEANSLAB_OPS` makes a run longer. */
export const operations = Number(process.env["CLEANSLAB_OPS"] ?? 40_000);

const RUNS_AT_A_TIME = 50;
/** Of the search for a shorter program that fails too: there are more of them than anyone waits for. */
const MOST_MS = 60_000;

/** Runs `program` on random lists of operations until the budget is used up, and prints the seed. */
export async function runPrograms<Op>(
  name: string,
  operation: fc.Arbitrary<Op>,
  program: (operations: readonly Op[]) => void,
): Promise<void> {
  let done = 0;
  const list = fc.array(operation, { minLength: 1, maxLength: 400, size: "max" });
  const property = fc.asyncProperty(list, async (each) => {
    program(each);
    done += each.length;
    // A job of its own for each, so that what one leaves behind can be collected.
    await setImmediate();
  });
  for (let round = 0; done < operations; round++) {
    await fc.assert(property, { seed: seed + round, numRuns: RUNS_AT_A_TIME, interruptAfterTimeLimit: MOST_MS });
  }
  console.log(`${name}: ${done} operations, CLEANSLAB_SEED=${seed}`);
}
