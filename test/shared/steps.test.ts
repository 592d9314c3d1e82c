/**
 * The step test's short form, on the hooked build of the module: `npm run threads -- steps` is the
 * long one, and `npm run threads -- mutants` shows what it finds.
 */

import { expect, test } from "vitest";
import { seed } from "../seeded.ts";
import { families, growth, randomFrom, Steps } from "./steps.ts";
import { hookedModule } from "./world.ts";

test("live blocks never overlap, tokens are adopted once, and everything comes back, whoever runs or dies at any access", () => {
  const steps = new Steps(hookedModule, 2);
  steps.all(1, false);
  steps.some(20_000, randomFrom(seed));
  console.log(`steps: ${JSON.stringify(steps.counts)}, CLEANSLAB_SEED=${seed}`);
  expect(steps.counts.runs).toBeGreaterThan(100_000);
});

test("what a family held comes back to one who hears of the eldest only, wherever those that swept it died", () => {
  expect(families(hookedModule)).toBeGreaterThan(5000);
});

test("of two lengths that are said at once, the longer one holds", () => {
  expect(growth(hookedModule)).toBeGreaterThan(1);
});
