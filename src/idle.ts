/**
 * A stack of idle memories that shrinks by itself. What lay unused at the bottom
 * for `IDLE_ROUNDS` rounds was not needed, and half of it is dropped: a load that
 * comes back finds its memories, one outlier does not stay for good. The low-water
 * mark is TCMalloc's; a round is as many bytes turned over as the cap has, not so
 * many seconds, which keeps clocks and timers out.
 */

/**
 * A memory made again costs some ten times what wiping as many bytes does, and
 * comes when many wait. At one round, a server that turns over its cap in a sixth
 * of a second had dropped half of what the last burst took before the next came.
 */
export const IDLE_ROUNDS = 16;

export class IdleStack<T> {
  readonly #items: T[] = [];
  readonly #drop: (item: T) => void;
  #lowWater = 0;
  /** To the next look at the low-water mark. */
  #roundsLeft = IDLE_ROUNDS;

  constructor(drop: (item: T) => void) {
    this.#drop = drop;
  }

  get length(): number {
    return this.#items.length;
  }

  push(item: T): void {
    this.#items.push(item);
  }

  /** The item pushed last: its memory is the warmest. */
  pop(): T | undefined {
    const item = this.#items.pop();
    this.#sink();
    return item;
  }

  /** Drops the item that has lain here longest; false if there is none. */
  dropColdest(): boolean {
    const item = this.#items.shift();
    if (item === undefined) return false;
    this.#sink();
    this.#drop(item);
    return true;
  }

  /** The end of a round. Of the last in a row: half of what was never needed in them goes. */
  shrink(): void {
    if (--this.#roundsLeft > 0) return;
    this.#roundsLeft = IDLE_ROUNDS;
    for (let excess = Math.ceil(this.#lowWater / 2); excess > 0; excess--) this.dropColdest();
    this.#lowWater = this.#items.length;
  }

  /** Forgets the items without dropping them. */
  clear(): void {
    this.#items.length = 0;
    this.#lowWater = 0;
  }

  #sink(): void {
    if (this.#items.length < this.#lowWater) this.#lowWater = this.#items.length;
  }
}
