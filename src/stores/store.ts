/**
 * What all stores are. A store hands out leases of one kind of memory and owns when
 * their bytes are zeroed and when their views are revoked. It answers `null` when there
 * is no room; what happens then is the arena's business.
 */

import type { AnyLease, Lease } from "../lease/lease.js";
import type { LeaseSource } from "../lease/source.js";
import type { Account } from "../memory/account.js";

export abstract class Store<L extends AnyLease = Lease> {
  /** Longest lease that this store serves, in bytes. */
  abstract readonly longest: number;
  /** A lease of zero bytes; `null` if there is no room. `byteLength` is at most `longest`. */
  abstract acquire(byteLength: number): L | null;
  /** The same without zeroing: for code that writes every byte before anyone sees it. */
  abstract acquireUnzeroed(byteLength: number): L | null;
  /** Leases handed out so far, by the longest length that each row stands for. */
  abstract countAcquired(add: CountRow): void;

  /** Bytes of bookkeeping outside the cap. */
  get bookBytes(): number {
    return 0;
  }

  /** Bytes that the budget must have for all these leases together, at most; 0 where only trying tells. */
  bytesFor(_byteLengths: readonly number[]): number {
    return 0;
  }

  /**
   * Room was refused: makes what no lease needs droppable, and what leaked leases
   * hold collectable. Answers whether another try may succeed.
   */
  yieldMemory(): boolean {
    return false;
  }

  /** Drops every memory without leases, now and not at the next need. */
  trim(): void {}

  /** Adds a line for each broken invariant. Answers how many segments it walked. */
  audit(_problems: string[]): number {
    return 0;
  }

  /** Lets go of everything. The memories are closed by the arena. */
  dispose(): void {}
}

/** A store for leases of any length, each with a memory of its own. */
export abstract class AnyLengthStore extends Store {
  readonly longest = 2 ** 32 - 1;
  /** Leases handed out, by the bit length of their byteLength. */
  readonly #acquiredByBits = new Array<number>(33).fill(0);

  protected count(byteLength: number): void {
    (this.#acquiredByBits[32 - Math.clz32(byteLength)] as number)++;
  }

  countAcquired(add: CountRow): void {
    for (const [bits, acquired] of this.#acquiredByBits.entries()) {
      if (acquired > 0) add(2 ** bits - 1, acquired, false);
    }
  }
}

/** @param isClass whether the row is a size class, of blocks of `maxByteLength` bytes. */
export type CountRow = (maxByteLength: number, acquired: number, isClass: boolean) => void;

/** What a store needs of the arena. Runs none of the caller's code. */
export interface StoreHost {
  /** Where a lease that outgrows its block gets another. */
  readonly source: LeaseSource;
  readonly policy: WipePolicy;
  /** A release may have made room. */
  roomMade(): void;
  /** The store holds a memory that it lends from: while somebody waits, it is soon asked to `yieldMemory` again. */
  held(): void;
  /** A byte that should be zero was written after its release. */
  dirty(account: Account, byteOffset: number): void;
  /** A byte in front of the first block was written. */
  strayWrite(account: Account, byteOffset: number): void;
}

/** Whether released bytes are zeroed at once. Changes when tracing is switched. */
export class WipePolicy {
  /** Zero blocks at release. */
  wipes: boolean;
  /** Look for writes after release: only where all releases wipe. */
  looksForDirty = false;
  /** Goes up at each change: what was wiped under another policy proves nothing. */
  epoch = 0;
  /** The epoch if what is wiped now will be looked at; else -1, which is none. */
  stamp = -1;
  readonly #always: boolean;

  constructor(always: boolean) {
    this.wipes = this.#always = always;
  }

  lookForDirty(looks: boolean): void {
    if (looks === this.looksForDirty) return;
    this.epoch++;
    this.looksForDirty = looks;
    this.stamp = looks ? this.epoch : -1;
    this.wipes = this.#always || looks;
  }
}
