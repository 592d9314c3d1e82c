/** What isolated.ts can run in a process of its own. */

export type Task = (input: unknown) => Promise<unknown> | unknown;

export const TASKS: Readonly<Record<string, Task>> = {};
