/**
 * The cap. Owns how much memory is reserved, and the order in which idle memories
 * are dropped for it. It answers "no room" and asks nobody to make any.
 *
 * M1  reservedBytes = the sum of reservedBytes over all accounts, and at most maxBytes.
 */

/** Rounds without need after which half of an idle stack's unused memories go; see idle.ts. */
const IDLE_ROUNDS = 16;

/** A stack of idle memories; see idle.ts. */
export interface IdleMemories {
  /** Bytes reserved by the memories in it. */
  readonly byteLength: number;
  /** When the coldest one became idle; infinite if there is none. */
  readonly coldestSince: number;
  /** False if there is none. */
  dropColdest(): boolean;
  /** Drops some of those that were not needed since the last call. */
  shrink(): void;
}

export class Budget {
  readonly maxBytes: number;
  /** Written by the account table alone. */
  reservedBytes = 0;
  peakReservedBytes = 0;
  readonly #stacks: IdleMemories[] = [];
  #turnedOver = 0;
  #rounds = 0;

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }

  /** Bytes in idle memories. */
  get idleBytes(): number {
    return this.#stacks.reduce((sum, stack) => sum + stack.byteLength, 0);
  }

  /** Bytes that could be reserved now, idle memories dropped. */
  get headroom(): number {
    return this.maxBytes - this.reservedBytes + this.idleBytes;
  }

  /** Made by an idle stack, of itself. */
  enlist(stack: IdleMemories): void {
    this.#stacks.push(stack);
  }

  /** Whether `byteLength` more bytes fit under the cap. Drops idle memories for them, coldest first. */
  makeRoom(byteLength: number): boolean {
    if (this.reservedBytes + byteLength <= this.maxBytes) return true;
    if (byteLength > this.headroom) return false;
    while (this.reservedBytes + byteLength > this.maxBytes && this.dropColdest());
    return this.reservedBytes + byteLength <= this.maxBytes;
  }

  noticePeak(): void {
    if (this.reservedBytes > this.peakReservedBytes) this.peakReservedBytes = this.reservedBytes;
  }

  /** Drops the memory that has been idle longest; false if none is idle. */
  dropColdest(): boolean {
    let coldest: IdleMemories | undefined;
    for (const stack of this.#stacks) {
      if (stack.coldestSince < (coldest?.coldestSince ?? Number.POSITIVE_INFINITY)) coldest = stack;
    }
    return coldest?.dropColdest() ?? false;
  }

  /**
   * `byteLength` bytes of memory changed hands: the clock by which idle memories age.
   * It keeps timers out. A round is over once the whole cap could have been used.
   */
  turnOver(byteLength: number): void {
    this.#turnedOver += byteLength;
    if (this.#turnedOver < this.maxBytes) return;
    this.#turnedOver = 0;
    if (++this.#rounds % IDLE_ROUNDS !== 0) return;
    for (const stack of this.#stacks) stack.shrink();
  }
}
