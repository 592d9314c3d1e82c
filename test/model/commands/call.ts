/** One command of a random program: what it is called with, when it makes sense, and how it prints. */

import fc from "fast-check";
import { afterCommand } from "../after.js";
import type { Model } from "../model.js";
import type { World } from "../world.js";

export type Command = fc.AsyncCommand<Model, World>;

interface Step<A extends readonly unknown[]> {
  readonly name: string;
  /** Whether there is anything to do it with. */
  readonly can?: (model: Model) => boolean;
  /** Makes the calls, checks what comes of them, and keeps the model in step. */
  readonly run: (world: World, ...args: A) => void | Promise<void>;
}

class Call<A extends readonly unknown[]> implements Command {
  readonly #step: Step<A>;
  readonly #args: A;
  #said = "";

  constructor(step: Step<A>, args: A) {
    this.#step = step;
    this.#args = args;
  }

  check(model: Readonly<Model>): boolean {
    return this.#step.can?.(model as Model) ?? true;
  }

  async run(_model: Model, world: World): Promise<void> {
    world.lines = [];
    try {
      const running = this.#step.run(world, ...this.#args);
      if (running !== undefined) await running;
      await afterCommand(world);
    } finally {
      this.#said = world.lines.join("\n");
      // One that found nothing to do is no operation.
      if (world.lines.length > 0) world.count(this.#step.name);
    }
  }

  /** The calls, as they were made when it last ran; a comment if there were none. */
  toString(): string {
    return this.#said || `// ${this.#step.name}(${this.#args.map((arg) => JSON.stringify(arg)).join(", ")})`;
  }
}

/** Any command of this kind, and how often there is one. */
export function calls<A extends readonly unknown[]>(
  weight: number,
  args: { readonly [K in keyof A]: fc.Arbitrary<A[K]> },
  step: Step<A>,
): fc.WeightedArbitrary<Command> {
  const each = fc.tuple(...(args as unknown as fc.Arbitrary<unknown>[]));
  return { weight, arbitrary: each.map((values) => new Call(step, values as unknown as A)) };
}
