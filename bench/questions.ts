/** All questions, in the order in which they are asked and shown. */

import { leaseCycle } from "./lease-cycle.ts";
import type { Question } from "./question.ts";
import { writer } from "./writer.ts";

export const QUESTIONS: readonly Question[] = [leaseCycle, writer];
