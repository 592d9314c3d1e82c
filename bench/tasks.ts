/** What isolated.ts can run in a process of its own. */

import { type LatencyInput, runLatency } from "./latency.ts";

export type Task = (input: unknown) => Promise<unknown> | unknown;

export const TASKS: Readonly<Record<string, Task>> = {
  latency: (input) => runLatency(input as LatencyInput),
};
