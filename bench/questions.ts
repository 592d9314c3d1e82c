/** All questions, in the order in which they are asked and shown. */

import { guard } from "./guard.ts";
import { leaseCycle } from "./lease-cycle.ts";
import type { Question } from "./question.ts";

export const QUESTIONS: readonly Question[] = [leaseCycle, guard];
