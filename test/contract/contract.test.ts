/** The contract on this Node. Browsers and other runtimes: npm run test:browser, npm run test:runtimes. */

import * as library from "cleanslab";
import { expect, test } from "vitest";
import { contract } from "./cases.ts";
import { environmentHere, runContract } from "./contract.ts";

test.for(contract)("$name", async ({ run }, { skip }) => {
  await run(library, { ...environmentHere(), skip });
});

test("a case that fails or skips is reported as such, and the rest still run", async () => {
  const results = await runContract(library, [
    {
      name: "fails",
      run() {
        throw new Error("on purpose");
      },
    },
    { name: "skips", run: (_library, environment) => environment.skip("no reason") },
    { name: "passes", async run() {} },
  ]);
  expect(results).toMatchObject([
    { name: "fails", outcome: "failed", reason: expect.stringContaining("on purpose") },
    { name: "skips", outcome: "skipped", reason: "no reason" },
    { name: "passes", outcome: "passed" },
  ]);
});
