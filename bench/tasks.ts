/** What isolated.ts can run in a process of its own. */

import { runAlive } from "./alive-task.ts";
import { runChurn } from "./churn-task.ts";

export type Task = (input: unknown) => Promise<unknown> | unknown;

export const TASKS: Readonly<Record<string, Task>> = { alive: runAlive, churn: runChurn };
