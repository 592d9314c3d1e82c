/**
 * The arena against a plain model, in each mode: random programs of the whole public API on
 * small arenas. After every command:
 *
 * - what was handed out is zero, or what its producer wrote, and shares no byte with another lease;
 * - every live lease has its bytes, and a view of a released one its own old bytes or none at all;
 * - the counts of `stats()` are the model's, and no more is reserved than the cap allows;
 * - those who wait are served in their order, and nobody waits once no lease is out;
 *
 * and every so often `audit()` is clean. At the end of each program everything is released:
 * then nothing is out and nothing is reserved.
 *
 * `npm run fuzz` does the same for as long as one likes. Single cases are the business of the
 * other files, and so are leaks, `vm` timeouts and stack overflows.
 */

import { expect, test } from "vitest";
import { MODES } from "../helpers.js";
import { operations, seed } from "../seeded.js";
import { runRound } from "./program.js";

/** Of the budget of one random test: a command does more than most operations. */
const SHARE = 0.5;

test.each(MODES)("%s: the arena does what the plain model does", { timeout: 3_600_000 }, async (mode) => {
  const tally: Record<string, number> = {};
  const done = (): number => Object.values(tally).reduce((sum, count) => sum + count, 0);
  for (let round = 0; done() < operations * SHARE; round++) {
    const failure = await runRound({ mode, seed: seed + round, tally });
    if (failure === undefined) continue;
    expect.fail(
      `${failure.message}\n\n${failure.source}\n\nnpm run fuzz -- --mode ${mode} --replay '${failure.replay}'`,
    );
  }
  console.log(`model, ${mode}: ${done()} operations, CLEANSLAB_SEED=${seed}`);
});
