/** `npm run bench`: the command of the package, with all questions. */

import { main } from "../cli/program.ts";
import { QUESTIONS } from "./questions.ts";

await main(QUESTIONS);
