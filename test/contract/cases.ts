/** The contract: what the library does on every engine. */

import type { ContractCase } from "./contract.ts";
import { guarantees } from "./guarantees.ts";
import { leaks } from "./leaks.ts";
import { limits } from "./limits.ts";
import { misuse } from "./misuse.ts";
import { modes } from "./modes.ts";
import { promises } from "./promises.ts";
import { waiting } from "./waiting.ts";
import { ways } from "./ways.ts";

export const contract: readonly ContractCase[] = [
  ...promises,
  ...guarantees,
  ...modes,
  ...ways,
  ...waiting,
  ...misuse,
  ...leaks,
  ...limits,
];
