/** Where a process of isolated.ts begins. */

import { QUESTIONS } from "./questions/index.ts";

const name = process.argv[2] ?? "";
const question = QUESTIONS.find((each) => each.name === name);
if (question === undefined) throw new Error(`no question is called "${name}"`);
process.once("message", async (message) => {
  const { input } = message as { input: unknown };
  process.send?.({ value: await question.run(input) }, () => process.disconnect());
});
