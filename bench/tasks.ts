/** What isolated.ts can run in a process of its own. */

import { runAlive } from "./alive-task.ts";
import { type CapInput, runCap } from "./cap.ts";
import { runChurn } from "./churn-task.ts";
import { type LatencyInput, runLatency } from "./latency.ts";
import { type MixedInput, runMixed } from "./mixed-lifetimes.ts";
import { type ParsersInput, runParsers } from "./parsers.ts";
import { runSideEffects, type SideEffectsInput } from "./side-effects.ts";

export type Task = (input: unknown) => Promise<unknown> | unknown;

export const TASKS: Readonly<Record<string, Task>> = {
  alive: runAlive,
  cap: (input) => runCap(input as CapInput),
  churn: runChurn,
  latency: (input) => runLatency(input as LatencyInput),
  "mixed-lifetimes": (input) => runMixed(input as MixedInput),
  parsers: (input) => runParsers(input as ParsersInput),
  "side-effects": (input) => runSideEffects(input as SideEffectsInput),
};
