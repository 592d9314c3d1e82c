/** All questions, in the order in which they are asked and shown. */

import type { Question } from "../question.ts";
import { aliasing } from "./aliasing.ts";
import { alive } from "./alive.ts";
import { cap } from "./cap.ts";
import { churn } from "./churn.ts";
import { guard } from "./guard.ts";
import { latency } from "./latency.ts";
import { mixedLifetimes } from "./mixed-lifetimes.ts";
import { oneLease } from "./one-lease.ts";
import { parsers } from "./parsers.ts";
import { pieces } from "./pieces.ts";
import { realSizes } from "./real-sizes.ts";
import { sideEffects } from "./side-effects.ts";
import { threads } from "./threads.ts";
import { writer } from "./writer.ts";

export const QUESTIONS: readonly Question[] = [
  oneLease,
  churn,
  alive,
  realSizes,
  latency,
  cap,
  mixedLifetimes,
  aliasing,
  sideEffects,
  pieces,
  writer,
  guard,
  parsers,
  threads,
];
