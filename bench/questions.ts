/** All questions, a file of questions/ each, in the order in which they are asked and shown. Those that the published command asks: cli/questions.ts. */

import type { Question } from "./question.ts";
import { aliasing } from "./questions/aliasing.ts";
import { guard } from "./questions/guard.ts";
import { oneLease } from "./questions/one-lease.ts";
import { parsers } from "./questions/parsers.ts";
import { pieces } from "./questions/pieces.ts";
import { sideEffects } from "./questions/side-effects.ts";
import { threads } from "./questions/threads.ts";

export const QUESTIONS: readonly Question[] = [oneLease, aliasing, sideEffects, pieces, guard, parsers, threads];
