/**
 * Runs the contract where it is started and prints the results as one line of
 * JSON. Bundled without the library, which it imports as a consumer does.
 */

import * as library from "cleanslab";
import { contract } from "../contract/cases.ts";
import { runContract } from "../contract/contract.ts";

console.log(JSON.stringify(await runContract(library, contract)));
