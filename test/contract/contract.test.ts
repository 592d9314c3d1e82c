/** The contract on this Node. Browsers and other runtimes: npm run test:browser, npm run test:runtimes. */

import { pathToFileURL } from "node:url";
import * as library from "cleanslab";
import * as sharedLibrary from "cleanslab/shared";
import { build } from "esbuild";
import { beforeAll, describe, expect, test } from "vitest";
import { contract } from "./cases.ts";
import { environmentHere, runContract } from "./contract.ts";
import { shared } from "./shared.ts";
import { starter } from "./threads.ts";

test.for(contract)("$name", async ({ run }, { skip }) => {
  await run(library, { ...environmentHere(), skip });
});

describe("between threads", () => {
  const worker = "build/test/shared-worker.mjs";

  beforeAll(async () => {
    await build({
      entryPoints: ["test/contract/shared-worker.ts"],
      outfile: worker,
      bundle: true,
      format: "esm",
      target: "es2022",
      platform: "neutral",
      alias: { "cleanslab/shared": "./src/shared/index.ts" },
    });
  });

  test.for(shared(starter("worker_threads", pathToFileURL(worker))))("$name", async ({ run }, { skip }) => {
    await run(sharedLibrary, { ...environmentHere(), skip });
  });
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
