/** All questions, in the order in which they are asked and shown. */

import { alive } from "./alive.ts";
import { churn } from "./churn.ts";
import { leaseCycle } from "./lease-cycle.ts";
import type { Question } from "./question.ts";
import { realSizes } from "./real-sizes.ts";

export const QUESTIONS: readonly Question[] = [leaseCycle, churn, alive, realSizes];
