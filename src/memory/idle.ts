/**
 * A stack of idle memories, last released first, because its memory is the warmest. Which
 * of the stacks gives first is budget.ts's.
 * It shrinks by itself: of what lay unused at its bottom for `IDLE_ROUNDS` rounds
 * of the budget's clock, half is dropped. A load that comes back finds its
 * memories; one outlier does not stay. The low-water mark is TCMalloc's.
 *
 * A memory made again costs some ten times what zeroing as many bytes does, and
 * comes when many wait. After one round instead of 16, a server that turns over its
 * cap in a sixth of a second dropped half of its last burst before the next came.
 */

import type { Budget, IdleMemories } from "./budget.js";

export interface IdleMemory {
  readonly reservedBytes: number;
  /** When it became idle, in pushes of any stack. */
  idleSince: number;
  /** Gives the memory back to the system, and its bytes to the budget. */
  drop(): void;
}

let pushes = 0;

export class IdleStack<T extends IdleMemory> implements IdleMemories {
  readonly #items: T[] = [];
  #lowWater = 0;

  constructor(budget: Budget) {
    budget.enlist(this);
  }

  get length(): number {
    return this.#items.length;
  }

  /** Bytes reserved by the memories in it. */
  get byteLength(): number {
    return this.#items.reduce((sum, item) => sum + item.reservedBytes, 0);
  }

  /** When the coldest memory became idle; infinite for an empty stack. */
  get coldestSince(): number {
    return this.#items[0]?.idleSince ?? Number.POSITIVE_INFINITY;
  }

  push(item: T): void {
    item.idleSince = pushes++;
    this.#items.push(item);
  }

  /** The memory pushed last. */
  pop(): T | undefined {
    const item = this.#items.pop();
    if (this.#items.length < this.#lowWater) this.#lowWater = this.#items.length;
    return item;
  }

  /** The longest memory below `byteLength` bytes; of several, the one pushed last. */
  takeLongest(byteLength: number): T | undefined {
    return this.#takeNearest(byteLength, 1, byteLength - 1);
  }

  /** The shortest memory of `least` to `most` bytes; of several, the one pushed last. */
  takeShortest(least: number, most: number): T | undefined {
    return this.#takeNearest(least, least, most);
  }

  dropColdest(): boolean {
    const item = this.#takeAt(0);
    item?.drop();
    return item !== undefined;
  }

  /** Drops half of what was not needed since the last call. */
  shrink(): void {
    for (let excess = Math.ceil(this.#lowWater / 2); excess > 0; excess--) this.dropColdest();
    this.#lowWater = this.#items.length;
  }

  /** Drops everything. */
  trim(): void {
    while (this.dropColdest());
  }

  /** Forgets everything, and drops nothing. */
  clear(): void {
    this.#items.length = 0;
  }

  #takeNearest(wanted: number, least: number, most: number): T | undefined {
    let best = -1;
    let bestDistance = Number.POSITIVE_INFINITY;
    for (let each = this.#items.length - 1; each >= 0 && bestDistance > 0; each--) {
      const { reservedBytes } = this.#items[each] as T;
      const distance = Math.abs(reservedBytes - wanted);
      if (reservedBytes < least || reservedBytes > most || distance >= bestDistance) continue;
      best = each;
      bestDistance = distance;
    }
    return this.#takeAt(best);
  }

  #takeAt(index: number): T | undefined {
    if (index < 0 || index >= this.#items.length) return undefined;
    const [item] = this.#items.splice(index, 1);
    if (this.#items.length < this.#lowWater) this.#lowWater = this.#items.length;
    return item;
  }
}
