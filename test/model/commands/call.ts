/** One command of a random program: what it is called with, when it makes sense, and how it prints. */

import fc from "fast-check";
import { afterCommand } from "../after.js";
import { type Model, picked } from "../model.js";
import { pick } from "../settings.js";
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

type Arbitraries<A> = { readonly [K in keyof A]: fc.Arbitrary<A[K]> };

function allOf<A extends readonly unknown[]>(args: Arbitraries<A>): fc.Arbitrary<A> {
  return fc.tuple(...(args as unknown as fc.Arbitrary<unknown>[])) as unknown as fc.Arbitrary<A>;
}

/** Any command of this kind, and how often there is one. */
export function calls<A extends readonly unknown[]>(
  weight: number,
  args: Arbitraries<A>,
  step: Step<A>,
): fc.WeightedArbitrary<Command> {
  return { weight, arbitrary: allOf(args).map((each) => new Call(step, each)) };
}

/** As `calls`, with one of a list as the first argument of `run`: only where there is one. */
export function callsOn<T, A extends readonly unknown[]>(
  weight: number,
  listOf: (model: Model) => readonly T[],
  args: Arbitraries<A>,
  { name, can = () => true, run }: Step<readonly [T, ...A]>,
): fc.WeightedArbitrary<Command> {
  return calls<readonly [number, A]>(weight, [pick, allOf(args)], {
    name,
    can: (model) => listOf(model).length > 0 && can(model),
    run: (world, index, rest) => run(world, picked(listOf(world.model), index) as T, ...rest),
  });
}
