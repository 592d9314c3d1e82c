/**
 * The shared arena against a plain model: random programs over two and four threads. What must
 * hold is said in shared/world.ts. `npm run threads -- model` does the same for longer. Not
 * here: threads that run at once, which test/shared has.
 */

import { test } from "vitest";
import { operations, seed } from "../seeded.js";
import { runShared } from "./shared/program.js";
import { KINDS } from "./shared/threads.js";

/** Of the budget of one random test: a call to a worker takes its time. */
const SHARES = { workers: 0.1, copies: 0.5 };

test.each(KINDS)("%s: a shared arena does what the plain model does", { timeout: 3_600_000 }, async (kind) => {
  await runShared(kind, seed, SHARES[kind] * operations, {}, 400);
  console.log(`shared model, ${kind}: ${SHARES[kind] * operations} operations, CLEANSLAB_SEED=${seed}`);
});
