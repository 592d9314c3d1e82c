/** What all steps share: their shape, and how they pick what they are done to. */

import type { Live } from "../model.js";
import type { Step } from "../program.js";
import type { World } from "../world.js";

/** Does one step to the arena and its model; waited for if it answers a promise. */
export type Perform = (world: World, step: Step) => unknown;

export function pickFrom<T>(items: readonly T[], pick: number): T | undefined {
  return pick < 0 ? items[items.length - 1] : items[pick % items.length];
}

/** A lease that its holder still has. */
export function pickHeld(world: World, pick: number): Live | undefined {
  const live = pickFrom(world.live, pick);
  return live === undefined || live.ended ? undefined : live;
}

/** What contents are where they are not a mark: this byte, over and over. */
export const CONTENT = 7;
/** The same as a mark has it. */
export const CONTENT_MARK = 0x07070707;
