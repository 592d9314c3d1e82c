/** The faults that the suite must catch. One is made at a time. */

import type { Fault } from "../fault.js";
import { ADAPTERS } from "./adapters.js";
import { DIAGNOSTICS } from "./diagnostics.js";
import { LEASES } from "./leases.js";
import { MEMORY } from "./memory.js";
import { MODULE } from "./module.js";

export const FAULTS: readonly Fault[] = [...MODULE, ...MEMORY, ...LEASES, ...DIAGNOSTICS, ...ADAPTERS];
