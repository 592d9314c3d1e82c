/**
 * The arena against a plain model, in each mode: random programs of the whole
 * public API, made and checked by fuzz/. What is checked, and how often, is said
 * in fuzz/checks.ts; here it is after every few operations, so that what goes wrong
 * is seen near to where it does. `npm run fuzz` does the same for longer.
 */

import type { RevokeMode } from "cleanslab";
import { describe, expect, test } from "vitest";
import { fuzz } from "../fuzz/campaign.js";
import { MODES, REACTIONS } from "../fuzz/program.js";
import { emptyTally } from "../fuzz/steps.js";
import { operations, seed } from "./seeded.js";

// What a listener throws ends a test run, as it should; npm run fuzz has these, too.
const reactions = REACTIONS.filter((reaction) => reaction !== "throw");

/** How much of the budget goes to programs in which a holder writes over the bookkeeping. */
const HOSTILE_SHARE = 0.25;

async function expectNoFinding(mode: RevokeMode, hostile: boolean, budget: number): Promise<void> {
  const tally = emptyTally();
  const done = (): number => Object.values(tally).reduce((sum, count) => sum + count, 0);
  for (let round = 0; done() < budget; round++) {
    const found = await fuzz({
      mode,
      seed: seed + round,
      runs: 10,
      maxSteps: 150,
      reactions,
      hostile,
      tally,
      world: { checkEvery: 5 },
    });
    if (found !== null) expect.fail(`${found.finding.message}, CLEANSLAB_SEED=${seed + round}\n\n${found.source}`);
  }
  if (hostile) expect(tally.damage).toBeGreaterThan(0);
  console.log(`arena, ${mode}${hostile ? ", hostile" : ""}: ${done()} operations, CLEANSLAB_SEED=${seed}`);
}

describe.each(MODES)("%s", (mode) => {
  test("does what the plain model does", { timeout: 1_800_000 }, () => expectNoFinding(mode, false, operations));

  test("does so beside a segment whose bookkeeping a holder writes over", { timeout: 1_800_000 }, () =>
    expectNoFinding(mode, true, operations * HOSTILE_SHARE),
  );
});
