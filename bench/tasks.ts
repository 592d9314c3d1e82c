/** What isolated.ts can run in a process of its own. */

import { type CapInput, runCap } from "./cap.ts";
import { type LatencyInput, runLatency } from "./latency.ts";
import { type MixedInput, runMixed } from "./mixed-lifetimes.ts";
import { runSideEffects, type SideEffectsInput } from "./side-effects.ts";

export type Task = (input: unknown) => Promise<unknown> | unknown;

export const TASKS: Readonly<Record<string, Task>> = {
  cap: (input) => runCap(input as CapInput),
  latency: (input) => runLatency(input as LatencyInput),
  "mixed-lifetimes": (input) => runMixed(input as MixedInput),
  "side-effects": (input) => runSideEffects(input as SideEffectsInput),
};
