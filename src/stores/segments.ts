/**
 * What the stores that lend from segments have in common: the book that knows the
 * segments, its size classes, and what is done when a `vm` timeout cut the book off.
 */

import {
  type Book,
  describeAudit,
  openBook,
  requireBook,
  type SizeClasses,
  SLAB_COUNT,
  sizeClassesOf,
} from "../memory/abi.js";
import type { AccountTable } from "../memory/account.js";
import type { Segment } from "../memory/segment.js";
import { Store, type StoreHost } from "./store.js";

/** Longest lease served from a segment, in bytes: longer ones would fill whole pages as well. */
const LONGEST_BYTES = 96 * 1024;

export abstract class SegmentStore extends Store {
  readonly longest: number;
  readonly host: StoreHost;
  protected readonly table: AccountTable;
  protected readonly slabShift: number;
  protected readonly classes: SizeClasses;
  /** By `(byteLength + 15) >>> 4`, up to `longest`. */
  protected readonly classByGrain: Uint8Array;
  protected book: Book;
  /** Whether the book hands out single blocks, not whole runs. */
  private readonly hasBlocks: boolean;

  constructor(table: AccountTable, host: StoreHost, module: object, segmentBytes: number, hasBlocks: boolean) {
    super();
    this.table = table;
    this.host = host;
    this.hasBlocks = hasBlocks;
    this.slabShift = Math.log2(segmentBytes / SLAB_COUNT);
    this.longest = Math.min(LONGEST_BYTES, segmentBytes >> 2);
    this.book = requireBook(module, this.slabShift, hasBlocks);
    this.classes = sizeClassesOf(this.book, this.slabShift, this.longest);
    this.classByGrain = this.classes.byGrain;
  }

  override get bookBytes(): number {
    return this.book.byteLength;
  }

  override audit(problems: string[]): number {
    if (this.book.exports.isBusy() !== 0) this.abandonBook();
    const found = this.book.exports.audit();
    if (found !== 0) problems.push(describeAudit(found));
    return this.auditSegments(problems);
  }

  override dispose(): void {
    this.book.drop();
  }

  /** @param lookBytes how much of the trap is looked at. Default: a little. */
  lookAtTrap(segment: Segment, lookBytes?: number): void {
    const at = segment.closed ? -1 : segment.takeStrayWrite(lookBytes);
    if (at < 0) return;
    // What else that code wrote is unknown.
    segment.usedBytes = segment.reservedBytes;
    this.host.strayWrite(segment.account, at);
  }

  protected abstract auditSegments(problems: string[]): number;

  /**
   * A `vm` timeout stopped the book half way, and nothing it says can be relied on. Its
   * segments retire, and a new book starts. False if the engine has no memory for another.
   */
  protected abstract abandonBook(): boolean;

  protected newBook(): Book | null {
    return openBook(this.book.module, this.slabShift, this.hasBlocks);
  }
}
