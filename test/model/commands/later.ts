/** Promises that the caller settles in a command of its own. */

import { microtasks } from "../after.js";
import { Finding } from "../checks.js";
import type { Outcome } from "../model.js";
import type { World } from "../world.js";

/** What the caller rejects with, and throws. */
export const planned = new Error("mine");

export class Later<T> {
  readonly promise: Promise<T>;
  /** Makes it, in the printed program. */
  readonly code: string;
  readonly #name: string;
  #both: [(value: T) => void, (reason: unknown) => void] | undefined;

  constructor(world: World) {
    this.#name = `settle${world.next()}`;
    this.code = `new Promise((...both) => { ${this.#name} = both; })`;
    world.say(`let ${this.#name};`);
    this.promise = new Promise((...both) => {
      this.#both = both;
    });
    this.promise.catch(() => {});
  }

  /** With `value`, or a rejection. What is due then has run. */
  async settle(world: World, isFulfilled: boolean, value: T): Promise<void> {
    world.say(`${this.#name}[${isFulfilled ? `0](${JSON.stringify(value)})` : '1](new Error("mine"))'};`);
    if (isFulfilled) this.#both?.[0](value);
    else this.#both?.[1](planned);
    await microtasks();
  }
}

/** The library's promise settled as the caller's did. */
export function expectOutcome(name: string, outcome: Outcome<unknown>, isFulfilled: boolean, wanted: unknown): void {
  const { state, value, reason } = outcome;
  if (isFulfilled ? state === "fulfilled" && value === wanted : state === "rejected" && reason === planned) return;
  throw new Finding(`${name} is ${state} with ${String(value ?? reason)}`);
}
