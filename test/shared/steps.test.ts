/** The step test's short form. `npm run threads -- steps` is the long one, `-- mutants` shows what it finds. */

import { expect, test } from "vitest";
import { compileSmall } from "./module.ts";
import { families, growth, Steps } from "./steps.ts";

const small = await compileSmall();

test("live blocks never overlap, tokens are adopted once, and all comes back, whoever runs or dies at any access", () => {
  const steps = new Steps(small, 1);
  steps.all(1, true);
  console.log(`steps: ${JSON.stringify(steps.counts)}`);
  expect(steps.counts.runs).toBeGreaterThan(500_000);
});

test("what a family held comes back to one who hears of the eldest only, wherever those that swept it died", () => {
  expect(families(small)).toBeGreaterThan(5000);
});

test("of two lengths that are said at once, the longer one holds", () => {
  expect(growth(small)).toBeGreaterThan(1);
});
