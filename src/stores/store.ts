/**
 * The interface of all stores. A store hands out leases of one kind of memory and
 * owns when their bytes are zeroed and when their views are revoked. It answers
 * `null` when there is no room; what happens then is the arena's business.
 */

import type { AnyLease, Lease } from "../lease/lease.js";
import type { LeaseSource } from "../lease/source.js";
import type { Account } from "../memory/account.js";

export interface Store<L extends AnyLease = Lease> {
  /** Longest lease that this store serves, in bytes. */
  readonly longest: number;
  /** A lease of zero bytes; `null` if there is no room. `byteLength` is at most `longest`. */
  acquire(byteLength: number): L | null;
  /** The same without zeroing: for code that writes every byte before anyone sees it. */
  acquireUnzeroed(byteLength: number): L | null;
  /** Bytes that the budget must have for all these leases together, at most. */
  bytesFor(byteLengths: readonly number[]): number;
  /**
   * Room was refused: makes what no lease needs droppable, and what leaked leases
   * hold collectable. Answers whether another try may succeed.
   */
  yieldMemory(): boolean;
  /** Drops every memory without leases, now and not at the next need. */
  trim(): void;
  /** Leases handed out so far, by the longest length that each row stands for. */
  countAcquired(add: CountRow): void;
  /** Adds a line for each broken invariant. Answers how many segments it walked. */
  audit(problems: string[]): number;
  /** Lets go of everything. The memories are closed by the arena. */
  dispose(): void;
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
  readonly #always: boolean;

  constructor(always: boolean) {
    this.wipes = this.#always = always;
  }

  lookForDirty(looks: boolean): void {
    if (looks === this.looksForDirty) return;
    this.epoch++;
    this.looksForDirty = looks;
    this.wipes = this.#always || looks;
  }
}
