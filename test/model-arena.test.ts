/**
 * The arena against a plain model, in each mode: random programs of the whole
 * public API, made and checked by fuzz/. What is checked, and how often, is said
 * in fuzz/world.ts; here it is after every few operations, so that what goes wrong
 * is seen near to where it does. `npm run fuzz` does the same for longer.
 */

import { describe, expect, test } from "vitest";
import { fuzz } from "../fuzz/campaign.js";
import { MODES, REACTIONS } from "../fuzz/program.js";
import { emptyTally } from "../fuzz/steps.js";
import { operations, seed } from "./seeded.js";

// What a listener throws ends a test run, as it should; npm run fuzz has these, too.
const reactions = REACTIONS.filter((reaction) => reaction !== "throw");

describe.each(MODES)("%s", (mode) => {
  test("does what the plain model does", { timeout: 1_800_000 }, async () => {
    const tally = emptyTally();
    const done = (): number => Object.values(tally).reduce((sum, count) => sum + count, 0);
    for (let round = 0; done() < operations; round++) {
      const found = await fuzz({
        mode,
        seed: seed + round,
        runs: 10,
        maxSteps: 150,
        reactions,
        hostile: false,
        tally,
        world: { checkEvery: 5 },
      });
      if (found !== null) expect.fail(`${found.finding.message}, CLEANSLAB_SEED=${seed + round}\n\n${found.source}`);
    }
    console.log(`arena, ${mode}: ${done()} operations, CLEANSLAB_SEED=${seed}`);
  });
});
