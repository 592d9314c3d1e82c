/** The kill test's short form. `npm run threads -- kill` is the long one. */

import { expect, test } from "vitest";
import { seed } from "../seeded.ts";
import { kill } from "./kill.ts";

test("threads that are ended at any moment harm nobody's live lease, and all that they held comes back", async () => {
  const kills = await kill(30, seed);
  console.log(`kill: ${JSON.stringify(kills)}, CLEANSLAB_SEED=${seed}`);
  expect(kills.problems).toEqual([]);
  expect(Math.min(kills.adopted, kills.usedTokens, kills.cameBack, kills.exits)).toBeGreaterThan(0);
});
