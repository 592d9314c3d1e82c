/**
 * The model: which leases are out and what their bytes must be, and which views are
 * left of leases that ended. Plain lists. It never asks the arena anything.
 */

import type { ByteFiller, ByteWriter, Lease, LeaseOrigin, LinearMemory, Pin, Scope } from "cleanslab";

/** Memory that somebody may use now. */
export interface Block {
  /** Its view in the printed program. */
  name: string;
  bytes: Uint8Array<ArrayBuffer>;
  byteLength: number;
  byteOffset: number;
  /** What the bytes must be. Of a writer's block perhaps more. */
  expected: Uint8Array;
  /** Unknown for bytes that came without a lease. */
  memory: LinearMemory | undefined;
  /** A stranger revoked the memory: `bytes` is dead, and the bytes are where they were. */
  isDetached: boolean;
}

/** A lease: held, or ended and pinned. */
export interface Held extends Block {
  readonly lease: Lease;
  readonly leaseName: string;
  origin: LeaseOrigin;
  pins: number;
  /** Released, and still pinned. */
  hasEnded: boolean;
  /** Certainly in a segment, whose first bytes are a trap. */
  isInSegment: boolean;
}

export interface View {
  readonly name: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** What it shows, unless it is dead. */
  readonly expected: Uint8Array;
}

/** A writer. Its bytes are a view of what was written so far. */
export interface Writing extends Block {
  readonly writer: ByteWriter;
  readonly writerName: string;
  /** Bytes in its lease. The library decides how it grows. */
  capacity: number;
}

/** A filler shows nothing before it is full. */
export interface Filling {
  readonly name: string;
  readonly filler: ByteFiller;
  readonly byteLength: number;
  readonly expected: Uint8Array;
  /** Somebody wrote where the filler's block may be. */
  isTouched: boolean;
  /** A stranger revoked some memory: perhaps the filler's. */
  mayBeDetached: boolean;
}

export interface OpenScope {
  readonly name: string;
  readonly scope: Scope;
  readonly leases: Held[];
  ended: boolean;
}

export interface HeldPin {
  readonly name: string;
  readonly pin: Pin;
  readonly held: Held;
}

/** What a promise did so far. */
export interface Outcome<T> {
  state: "pending" | "fulfilled" | "rejected";
  value?: T;
  reason?: unknown;
}

export interface Waiting {
  readonly name: string;
  readonly byteLengths: readonly number[];
  readonly isList: boolean;
  readonly scope: OpenScope | undefined;
  readonly controller: AbortController | undefined;
  readonly outcome: Outcome<Lease[]>;
}

/** Bytes are used until a promise of the caller's settles. */
export interface Pending {
  readonly name: string;
  /** Settles the promise, and checks what came of it. */
  settle(isFulfilled: boolean, isDisposed: boolean): Promise<void>;
}

export const MOST_BLOCKS = 150;
const MOST_STALE = 40;
const MOST_ENDED = 8;

export class Model {
  /** Everything that may be used, except for what writers and fillers have. */
  readonly blocks: Block[] = [];
  /** The leases among them that have not ended. */
  readonly held: Held[] = [];
  readonly writers: Writing[] = [];
  readonly fillers: Filling[] = [];
  readonly pins: HeldPin[] = [];
  readonly scopes: OpenScope[] = [];
  readonly waiting: Waiting[] = [];
  readonly drains: { readonly name: string; readonly outcome: Outcome<void> }[] = [];
  readonly pending: Pending[] = [];
  /** Views of leases that have ended, the newest last. */
  readonly stale: View[] = [];
  /** Leases that have ended, the newest last. */
  readonly ended: { readonly name: string; readonly lease: Lease }[] = [];
  /** Commands so far. */
  ticks = 0;
  /** No lease was out at some time since waiting was last looked at. */
  wasDrained = true;
  /** Somebody wrote to a released lease's bytes, or outside every lease. */
  wroteWrongly = false;
  /** Somebody wrote outside every lease, through `.buffer`. */
  hasStrayed = false;
  /** By memory: what was written outside every lease. Such bytes may be seen again. */
  readonly strayed = new Map<LinearMemory, Strayed>();

  /** @param revokes whether a stale view dies before its bytes are anyone else's. */
  constructor(readonly revokes: boolean) {}

  /** The arena was disposed, and another one takes its place. */
  clear(): void {
    const { blocks, held, writers, fillers, pins, scopes, waiting, drains, pending, stale, ended } = this;
    for (const list of [blocks, held, writers, fillers, pins, scopes, waiting, drains, pending, stale, ended]) {
      list.length = 0;
    }
    this.strayed.clear();
    this.wasDrained = true;
    this.wroteWrongly = this.hasStrayed = false;
  }

  get liveLeases(): number {
    return this.blocks.length + this.writers.length + this.fillers.length;
  }

  get liveBytes(): number {
    let sum = 0;
    for (const { byteLength } of this.blocks) sum += byteLength;
    for (const { capacity } of this.writers) sum += capacity;
    for (const { byteLength } of this.fillers) sum += byteLength;
    return sum;
  }

  /** No longer out. */
  remove(block: Block): void {
    removeFrom(this.blocks, block);
    removeFrom(this.held, block as Held);
    this.noticeDrained();
  }

  noticeDrained(): void {
    if (this.liveLeases === 0) this.wasDrained = true;
  }

  addStale(view: View): void {
    if (view.bytes.length === 0) return;
    this.stale.push(view);
    if (this.stale.length > MOST_STALE) this.stale.shift();
  }

  addEnded(name: string, lease: Lease): void {
    this.ended.push({ name, lease });
    if (this.ended.length > MOST_ENDED) this.ended.shift();
  }

  /** Somebody filled [from, to) of `buffer`: whoever has bytes there sees it. */
  noteWrite(buffer: ArrayBuffer, from: number, to: number, value: number): void {
    const apply = (byteOffset: number, expected: Uint8Array): void => {
      const start = Math.max(from, byteOffset) - byteOffset;
      const end = Math.min(to, byteOffset + expected.length) - byteOffset;
      if (start < end) expected.fill(value, start, end);
    };
    for (const block of this.blocks) if (bufferOf(block) === buffer) apply(block.byteOffset, block.expected);
    for (const { bytes, expected, byteLength } of this.writers) {
      if (bytes.buffer === buffer) apply(bytes.byteOffset, expected.subarray(0, byteLength));
    }
    for (const { bytes, expected } of this.stale) {
      if (bytes.length > 0 && bytes.buffer === buffer) apply(bytes.byteOffset, expected);
    }
  }
}

export interface Strayed {
  /** The memory's buffer at that time: another one tells of a revocation. */
  buffer: ArrayBuffer;
  readonly writes: { readonly from: number; readonly to: number; readonly value: number }[];
  /** The arena notices when it recycles the memory, and zeroes all of it. */
  isNoticed: boolean;
}

/** The buffer that a block's bytes are in now. */
export function bufferOf({ memory, bytes }: Block): ArrayBuffer {
  return memory?.buffer ?? bytes.buffer;
}

export function removeFrom<T>(list: T[], item: T): void {
  const at = list.indexOf(item);
  if (at >= 0) list.splice(at, 1);
}

/** The item that `pick` means, 0 being the newest; `undefined` if there is none. */
export function picked<T>(list: readonly T[], pick: number): T | undefined {
  return list[list.length - 1 - (pick % list.length)];
}
