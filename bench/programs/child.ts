/**
 * Where each process of a program begins: `child PROGRAM serve|load|work|prepare ARGUMENT FOLDER`.
 * Its parent hears from it over the process's own channel.
 */

import { PROGRAMS } from "./index.ts";
import { Meter } from "./measure.ts";

const [name, role, argument = "", folder = ""] = process.argv.slice(2);
const program = PROGRAMS.find((each) => each.name === name);
if (program === undefined) throw new Error(`no program is called "${name}"`);

function say(message: object): Promise<void> {
  return new Promise((resolve, reject) => {
    process.send?.(message, (error: Error | null) => (error === null ? resolve() : reject(error)));
  });
}

if ("serve" in program && role === "serve") {
  const server = await program.serve(argument);
  const meter = new Meter();
  process.once("message", async () => {
    await say({ figures: meter.stop() });
    await server.close();
    process.exit();
  });
  await say({ port: server.port });
} else if ("serve" in program && role === "load") {
  await say({ figures: await program.load(Number(argument)) });
  process.exit();
} else if ("work" in program && role === "prepare") {
  await program.prepare?.(folder);
  process.exit();
} else if ("work" in program && role === "work") {
  const meter = new Meter();
  const figures = await program.work(argument, folder);
  await say({ figures: { ...figures, ...meter.stop() } });
  process.exit();
} else {
  throw new Error(`${name} has no role "${role}"`);
}
