/** Those who wait: for room, and for the moment when no lease is out. Who is served is looked at after every command. */

import fc from "fast-check";
import { afterCommand, follow } from "../after.js";
import { MOST_BLOCKS, type Model, type OpenScope, picked } from "../model.js";
import { byteLengths, pick } from "../settings.js";
import type { World } from "../world.js";
import { calls, callsOn } from "./call.js";

const MOST_WAITING = 6;
const canWait = (model: Model): boolean => model.waiting.length < MOST_WAITING && model.blocks.length < MOST_BLOCKS;

const several = fc.array(byteLengths, { maxLength: 4 });

const acquireAsync = calls(4, [byteLengths, fc.boolean()], {
  name: "acquireAsync",
  can: canWait,
  run(world, byteLength, hasSignal) {
    const controller = hasSignal ? new AbortController() : undefined;
    const name = sayWaiting(world, `arena.acquireAsync(${byteLength}`, hasSignal);
    const promise = world.arena.acquireAsync(byteLength, { signal: controller?.signal }).then((lease) => [lease]);
    const outcome = follow(promise);
    world.model.waiting.push({ name, byteLengths: [byteLength], isList: false, scope: undefined, controller, outcome });
  },
});

const acquireSeveral = calls(4, [several, fc.boolean(), fc.boolean(), pick], {
  name: "acquireSeveral",
  can: canWait,
  run(world, lengths, hasSignal, inScope, index) {
    const { arena, model } = world;
    const controller = hasSignal ? new AbortController() : undefined;
    const scope: OpenScope | undefined = inScope ? picked(model.scopes, index) : undefined;
    const name = sayWaiting(world, `${scope?.name ?? "arena"}.acquireAsync([${lengths.join(", ")}]`, hasSignal);
    const outcome = follow((scope?.scope ?? arena).acquireAsync(lengths, { signal: controller?.signal }));
    model.waiting.push({ name, byteLengths: lengths, isList: true, scope, controller, outcome });
  },
});

function sayWaiting(world: World, call: string, hasSignal: boolean): string {
  const name = `waiting${world.next()}`;
  if (hasSignal) world.say(`const abort_${name} = new AbortController();`);
  world.say(`const ${name} = ${call}${hasSignal ? `, { signal: abort_${name}.signal }` : ""});`);
  world.say(`${name}.catch(() => {});`);
  return name;
}

const abort = callsOn(2, ({ waiting }) => waiting.filter(({ controller }) => controller !== undefined), [], {
  name: "abort",
  async run(world, { name, controller }) {
    const { model, arena } = world;
    world.say(`abort_${name}.abort();`);
    controller?.abort();
    // Whoever is first now was served if there was room: then this finds none.
    await afterCommand(world);
    const [byteLength, ...more] = model.waiting[0]?.byteLengths ?? [];
    if (byteLength === undefined || more.length > 0 || model.blocks.length >= MOST_BLOCKS) return;
    world.obtain(`arena.acquire(${byteLength})`, byteLength, () => arena.acquire(byteLength));
  },
});

const drained = calls(1, [], {
  name: "drained",
  can: (model) => model.drains.length < 2,
  run(world) {
    const name = `drained${world.next()}`;
    world.say(`const ${name} = arena.drained();`);
    world.model.noticeDrained();
    world.model.drains.push({ name, outcome: follow(world.arena.drained()) });
  },
});

export const waitingCommands = [acquireAsync, acquireSeveral, abort, drained];
