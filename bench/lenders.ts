/**
 * Rivals behind one interface for whole loads, where a buffer on loan is an object
 * that is passed on. Single leases have rivals.ts.
 */

import { Arena, type ArenaOptions } from "cleanslab";

/** A buffer on loan: zeroed, as long as was asked. */
export interface Loan {
  readonly bytes: Uint8Array;
  release(): void;
}

export interface Lender {
  /** `isLong` tells those who care that this loan is kept for long. */
  borrow(byteLength: number, isLong?: boolean): Loan;
  /** Behind this lender, to be asked for their stats. */
  readonly arenas: readonly Arena[];
}

export const FRESH = "new Uint8Array";
export const ARRAY_POOL = "array pool, fill(0)";

class FreshLoan implements Loan {
  readonly bytes: Uint8Array;

  constructor(byteLength: number) {
    this.bytes = new Uint8Array(byteLength);
  }

  /** The collector does it. */
  release(): void {}
}

export function freshLender(): Lender {
  return { borrow: (byteLength) => new FreshLoan(byteLength), arenas: [] };
}

class PooledLoan implements Loan {
  readonly bytes: Uint8Array;
  readonly #free: Uint8Array[];

  constructor(free: Uint8Array[], byteLength: number) {
    this.#free = free;
    this.bytes = free.pop() ?? new Uint8Array(byteLength);
  }

  release(): void {
    this.bytes.fill(0);
    this.#free.push(this.bytes);
  }
}

/** At its best: a free list for each length that occurs, no limit. */
export function arrayPoolLender(): Lender {
  const freeByLength = new Map<number, Uint8Array[]>();
  const borrow = (byteLength: number): Loan => {
    let free = freeByLength.get(byteLength);
    if (free === undefined) {
      free = [];
      freeByLength.set(byteLength, free);
    }
    return new PooledLoan(free, byteLength);
  };
  return { borrow, arenas: [] };
}

export function arenaLender(options: ArenaOptions): Lender {
  const arena = new Arena({ trace: "off", ...options });
  return { borrow: (byteLength) => arena.acquire(byteLength), arenas: [arena] };
}
