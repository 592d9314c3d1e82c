/** Where a process of the published command's benchmarks begins. */

import { answerParent } from "../bench/isolated.ts";
import { QUESTIONS } from "./questions.ts";

answerParent(QUESTIONS);
