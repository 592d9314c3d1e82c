/** The questions of bench/ that the published command asks: those whose answer depends on the machine it runs on. */

import type { Question } from "../bench/question.ts";
import { guard } from "../bench/questions/guard.ts";
import { oneLease } from "../bench/questions/one-lease.ts";

export const QUESTIONS: readonly Question[] = [oneLease, guard];
