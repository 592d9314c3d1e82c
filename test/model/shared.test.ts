/**
 * The shared arena against a plain model: random programs over two and four threads. What must
 * hold is said in shared/world.ts. `npm run threads -- model` does the same for longer. Not
 * here: threads that run at once, which test/shared has.
 */

import { test } from "vitest";
import { operations, seed } from "../seeded.js";
import { runShared } from "./shared/program.js";

test("a shared arena does what the plain model does", { timeout: 3_600_000 }, async () => {
  await runShared(seed, operations, {}, 400);
  console.log(`shared model: ${operations} operations, CLEANSLAB_SEED=${seed}`);
});
