/**
 * A stack of idle memories that shrinks by itself. What lay unused at the bottom
 * for a whole round of turnovers was not needed, and half of it is dropped: a
 * load that comes back finds its memories, one outlier does not stay for good.
 * The low-water mark is tcmalloc's; counting turnovers instead of seconds keeps
 * clocks and timers out.
 */

/** Pushes and pops between two looks at the low-water mark. */
const ROUND = 256;

export class IdleStack<T> {
  readonly #items: T[] = [];
  readonly #drop: (item: T) => void;
  #lowWater = 0;
  #turnovers = 0;

  constructor(drop: (item: T) => void) {
    this.#drop = drop;
  }

  get length(): number {
    return this.#items.length;
  }

  push(item: T): void {
    this.#items.push(item);
    this.#turn();
  }

  /** The item pushed last: its memory is the warmest. */
  pop(): T | undefined {
    const item = this.#items.pop();
    if (this.#items.length < this.#lowWater) this.#lowWater = this.#items.length;
    this.#turn();
    return item;
  }

  /** Drops the item that has lain here longest; false if there is none. */
  dropColdest(): boolean {
    const item = this.#items.shift();
    if (item === undefined) return false;
    if (this.#items.length < this.#lowWater) this.#lowWater = this.#items.length;
    this.#drop(item);
    return true;
  }

  dropAll(): void {
    while (this.dropColdest());
  }

  /** Forgets the items without dropping them. */
  clear(): void {
    this.#items.length = 0;
    this.#lowWater = 0;
  }

  #turn(): void {
    if (++this.#turnovers < ROUND) return;
    this.#turnovers = 0;
    for (let excess = Math.ceil(this.#lowWater / 2); excess > 0; excess--) this.dropColdest();
    this.#lowWater = this.#items.length;
  }
}
