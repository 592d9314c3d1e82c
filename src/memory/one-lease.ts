/**
 * A memory that serves one lease at a time. Owns its length in pages, and where the
 * lease begins. What is zeroed and when it is revoked is its store's business.
 */

import { type Memory, PAGE_BYTES } from "./abi.js";
import type { AccountTable } from "./account.js";
import { ArenaMemory } from "./arena-memory.js";

export abstract class OneLeaseMemory extends ArenaMemory {
  readonly #stagger: number;
  idleSince = 0;

  constructor(memory: Memory, pages: number, stagger: number, table: AccountTable) {
    super(memory, "one-lease", pages, "retired", table);
    this.#stagger = stagger;
  }

  get pages(): number {
    return this.account.reservedBytes / PAGE_BYTES;
  }

  /** Where a lease of `byteLength` bytes begins: at the memory's stagger if it fits behind it. */
  startFor(byteLength: number): number {
    return this.#stagger + byteLength <= this.account.reservedBytes ? this.#stagger : 0;
  }

  /** Lengthens the memory to `pages`. What is new is zero. Only without a lease. */
  lengthen(pages: number): boolean {
    return this.grow(pages - this.pages);
  }
}
