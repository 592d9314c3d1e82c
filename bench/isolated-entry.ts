/** Where a process of isolated.ts begins. */

import { TASKS } from "./tasks.ts";

const name = process.argv[2] ?? "";
const task = TASKS[name];
if (task === undefined) throw new Error(`no task is called "${name}"`);
process.once("message", async (message) => {
  const { input } = message as { input: unknown };
  process.send?.({ value: await task(input) }, () => process.disconnect());
});
