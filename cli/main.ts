#!/usr/bin/env node
/** The `cleanslab` command, as it is published. */

import { main } from "./program.ts";
import { QUESTIONS } from "./questions.ts";

await main(QUESTIONS);
