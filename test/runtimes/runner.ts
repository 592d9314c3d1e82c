/**
 * Runs the contracts where it is started and prints the results as one line of
 * JSON. Bundled without the library, which it imports as a consumer does.
 */

import * as library from "cleanslab";
import * as sharedLibrary from "cleanslab/shared";
import { contract } from "../contract/cases.ts";
import { runContract } from "../contract/contract.ts";
import { shared } from "../contract/shared.ts";
import { kindsHere, starter } from "../contract/threads.ts";

const results = await runContract(library, contract);
for (const kind of process.argv.includes("--alone") ? [] : kindsHere()) {
  const cases = shared(starter(kind, new URL("./shared-worker.mjs", import.meta.url)));
  for (const result of await runContract(sharedLibrary, cases)) {
    results.push({ ...result, name: `with ${kind}: ${result.name}` });
  }
}
console.log(JSON.stringify(results));
