/** What a worker of the shared contract runs. Bundled without the library. */

import * as library from "cleanslab/shared";
import { sharedRoles } from "./shared.ts";
import { playRole } from "./threads.ts";

void playRole(library, sharedRoles);
