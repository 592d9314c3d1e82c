/**
 * A ring of messages in shared memory, one thread at each end. Owns the positions and who
 * wakes whom. Must not know leases: a message is a block's number, its generation, and a tag.
 *
 *   word  0        16       32              48            64
 *        ┌────────┬────────┬───────────────┬─────────────┬────────┬────────┬─ …
 *        │  head  │  tail  │ wake receiver │ wake sender │ slot 0 │ slot 1 │     4 words each
 *        └────────┴────────┴───────────────┴─────────────┴────────┴────────┴─ …
 *         sender's receiver's   positions: "wake me when head (tail) is this"
 *
 * P1  Positions only go up, modulo 2^30. `head` is written by the sender alone, `tail` by
 *     the receiver alone; bit 30 of either says that its writer is done, so nobody who
 *     waits for a change can miss it. Once a writer has died, the other end sets the bit.
 * P2  Who waits says for which position, then looks again, then waits. Who moves, moves
 *     first and then compares. A position cannot be cleared for an earlier move, as a flag
 *     could: virtio's event index.
 */

import { block, read, setBits, wake, woken, write } from "./access.js";

const HEAD = 0;
const TAIL = 16;
const WAKE_RECEIVER = 32;
const WAKE_SENDER = 48;
const SLOTS = 64;
const POSITION = 2 ** 30 - 1;
const DONE = 2 ** 30;
/** No position. */
const NEVER = -1;
/** How often an end looks before it waits: the other one is often just about to move. */
const SPINS = 400;

export function ringWords(capacity: number): number {
  return SLOTS + 4 * 2 ** Math.ceil(Math.log2(capacity));
}

/** What both ends have: where the ring lies. */
abstract class End {
  protected readonly words: Int32Array;
  protected readonly mask: number;

  constructor(words: Int32Array, capacity: number) {
    this.words = words;
    this.mask = (ringWords(capacity) - SLOTS) / 4 - 1;
  }

  protected slotAt(position: number): number {
    return SLOTS + 4 * (position & this.mask);
  }
}

/** The sender's end. */
export class Outbox extends End {
  readonly #capacity: number;
  #head: number;
  /** The tail as it was seen last. */
  #tail: number;

  constructor(words: Int32Array, capacity: number) {
    super(words, capacity);
    this.#capacity = capacity;
    this.#head = read(words, HEAD) & POSITION;
    this.#tail = read(words, TAIL) & POSITION;
  }

  /** Whether the receiver is done. */
  get isRefused(): boolean {
    return ((this.words[TAIL] as number) & DONE) !== 0;
  }

  get hasRoom(): boolean {
    if (this.#count < this.#capacity) return true;
    this.#tail = read(this.words, TAIL) & POSITION;
    return this.#count < this.#capacity;
  }

  /** Messages that are not received. */
  get unreceived(): number {
    this.#tail = read(this.words, TAIL) & POSITION;
    return this.#count;
  }

  get #count(): number {
    return (this.#head - this.#tail) & POSITION;
  }

  /** There must be room. False if the receiver was done meanwhile, and may not have seen it. */
  put(id: number, generation: number, tag: number): boolean {
    const { words } = this;
    const at = this.slotAt(this.#head);
    words[at] = id;
    words[at + 1] = generation;
    words[at + 2] = tag;
    this.#head = (this.#head + 1) & POSITION;
    write(words, HEAD, this.#head);
    if (read(words, WAKE_RECEIVER) === this.#head) wake(words, HEAD);
    return (read(words, TAIL) & DONE) === 0;
  }

  /** A promise for half of the ring being free, or for the receiver's end; `undefined` if it may be so already. */
  whenRoom(): PromiseLike<unknown> | undefined {
    const { words } = this;
    const tail = this.#tail;
    for (let spin = 0; spin < SPINS; spin++) if (read(words, TAIL) !== tail) return undefined;
    write(words, WAKE_SENDER, (tail + Math.max(1, this.#capacity >> 1)) & POSITION);
    return woken(words, TAIL, tail);
  }

  /** Calls `each` with what the receiver, which is done, has left. */
  takeBack(each: (id: number, generation: number, tag: number) => void): void {
    const { words } = this;
    for (let left = this.unreceived; left > 0; left--) {
      const at = this.slotAt(this.#tail);
      this.#tail = (this.#tail + 1) & POSITION;
      each(words[at] as number, words[at + 1] as number, words[at + 2] as number);
    }
    write(words, TAIL, this.#head | DONE);
  }

  /** The receiver runs no more. */
  refuse(): void {
    setBits(this.words, TAIL, DONE);
    wake(this.words, TAIL);
  }

  close(): void {
    write(this.words, HEAD, this.#head | DONE);
    wake(this.words, HEAD);
    // Whoever waits for room here.
    wake(this.words, TAIL);
  }
}

/** The receiver's end. */
export class Inbox extends End {
  #tail: number;
  /** The head as it was seen last. */
  #head: number;
  /** DONE, once this end is. */
  #done = 0;

  constructor(words: Int32Array, capacity: number) {
    super(words, capacity);
    this.#tail = read(words, TAIL) & POSITION;
    this.#head = read(words, HEAD) & POSITION;
  }

  /** What `receive` makes of the next message. One of which it makes `null` is passed over. `null` if there is none. */
  take<T>(receive: (id: number, generation: number, tag: number) => T | null): T | null {
    const { words } = this;
    for (;;) {
      if (this.#tail === this.#head) {
        this.#head = read(words, HEAD) & POSITION;
        if (this.#tail === this.#head) return null;
      }
      const at = this.slotAt(this.#tail);
      const received = receive(words[at] as number, words[at + 1] as number, words[at + 2] as number);
      this.#tail = (this.#tail + 1) & POSITION;
      write(words, TAIL, this.#tail | this.#done);
      if (read(words, WAKE_SENDER) === this.#tail) wake(words, TAIL);
      if (received !== null) return received;
    }
  }

  /** Whether the sender is done, and everything is received. */
  get isDone(): boolean {
    const head = read(this.words, HEAD);
    return (head & DONE) !== 0 && (head & POSITION) === this.#tail;
  }

  /** Whether the sender is done. */
  get isEnding(): boolean {
    return (read(this.words, HEAD) & DONE) !== 0;
  }

  /** A promise for the next message, or for the sender's end; `undefined` if it may be there already. */
  whenMessage(): PromiseLike<unknown> | undefined {
    return this.#announce() ? woken(this.words, HEAD, this.#tail) : undefined;
  }

  /** Blocks this thread until then, or until the time is up. */
  waitForMessage(ms: number): void {
    if (this.#announce()) block(this.words, HEAD, this.#tail, ms);
  }

  /** The sender runs no more. `restamp` gives each message that it had sent another generation. */
  inherit(restamp: (id: number, generation: number) => number): void {
    const { words } = this;
    setBits(words, HEAD, DONE);
    const head = read(words, HEAD) & POSITION;
    for (let each = this.#tail; each !== head; each = (each + 1) & POSITION) {
      const at = this.slotAt(each);
      words[at + 1] = restamp(words[at] as number, words[at + 1] as number);
    }
    wake(words, HEAD);
  }

  close(): void {
    this.#done = DONE;
    write(this.words, TAIL, this.#tail | DONE);
    wake(this.words, TAIL);
    // Whoever waits for a message here.
    wake(this.words, HEAD);
  }

  /** P2. False if something came meanwhile. */
  #announce(): boolean {
    const { words } = this;
    for (let spin = 0; spin < SPINS; spin++) if (read(words, HEAD) !== this.#tail) return false;
    write(words, WAKE_RECEIVER, (this.#tail + 1) & POSITION);
    return true;
  }
}

/** The words of a new ring. */
export function clearRing(words: Int32Array): void {
  words[WAKE_RECEIVER] = words[WAKE_SENDER] = NEVER;
}
