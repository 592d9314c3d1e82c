/** Where a process of isolated.ts begins. */

import { answerParent } from "./isolated.ts";
import { QUESTIONS } from "./questions.ts";

answerParent(QUESTIONS);
