/**
 * A segment: one memory of 64 slabs, known to the book by a number.
 *
 *   0        firstPtr                                                        memory's end
 *   ├─ trap ─┼─ slab 1 ─┬─ slab 2 ─┬─ … ─┬─ slab 63 ─┬─ unused, 64 to 4032 bytes ─┤
 *            └ firstPtr = slab bytes - 4096 + stagger
 *
 * The trap is never handed out and stays zero: other code that writes through
 * `.buffer` and ignores `byteOffset` writes here first. The stagger differs from one
 * segment to the next.
 *
 * M5  [usedBytes, end) was never handed out since the memory was made, so it is zero.
 * M6  [carvedBytes, end) was not handed out since the last recycling.
 */

import { type Book, type Memory, PAGE_BYTES, SLAB_COUNT } from "./abi.js";
import type { AccountTable } from "./account.js";
import { ArenaMemory, firstDirty, nextStagger, provideMemory } from "./arena-memory.js";

/** How much of the trap is looked at at a traced release, and when a segment is recycled: strays begin at 0. In bytes. */
export const TRAP_LOOK_BYTES = 1024;

export class Segment extends ArenaMemory {
  readonly slabBytes: number;
  /** Where slab 0 would begin, had it a stagger: what the book adds slab numbers to. */
  readonly base: number;
  /** Bytes from the start that were handed out since the last recycling. */
  carvedBytes = 0;
  idleSince = 0;

  constructor(memory: Memory, slabBytes: number, table: AccountTable) {
    super(memory, "segment", (slabBytes * SLAB_COUNT) / PAGE_BYTES, "active", table);
    this.slabBytes = slabBytes;
    this.base = nextStagger() - 4096;
  }

  /** Address of the first slab that is handed out. */
  get firstPtr(): number {
    return this.base + this.slabBytes;
  }

  /** The segment's number in `book`, entered anew if an earlier book was abandoned; negative if the book has no memory for it. */
  numberIn(book: Book): number {
    const { account } = this;
    if (account.entry?.book !== book) {
      const number = book.exports.addSegment(this.base);
      if (number < 0) return number;
      account.entry = { book, number };
    }
    return account.entry.number;
  }

  /** Offset of the first byte written in the trap, or -1. The trap is zero afterwards. */
  takeStrayWrite(lookBytes = TRAP_LOOK_BYTES): number {
    const to = Math.min(this.firstPtr, lookBytes);
    const at = firstDirty(this, 0, to);
    if (at >= 0) this.zero(0, this.firstPtr);
    return at;
  }
}

/** The memory of a new segment, all zero; `null` if the cap or the engine has no room. */
export function provideSegment(table: AccountTable, slabBytes: number): Memory | null {
  const pages = (slabBytes * SLAB_COUNT) / PAGE_BYTES;
  return provideMemory(table, pages, pages);
}
