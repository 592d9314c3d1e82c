/**
 * The plain model of an arena: what is live, what ended, who waits, and which
 * segments a hostile holder wrote over. Only data: that the arena agrees with it
 * is checked in checks.ts.
 */

import type { Lease, LinearMemory, Pin, Scope, TraceLevel } from "cleanslab";
import type { PlannedError } from "./finding.js";

/** Turns of the microtask queue after which all that is due has run. */
export const REST_TURNS = 8;

/** A lease that is out, from its acquisition until its block is returned. */
export interface Live {
  readonly serial: number;
  readonly byteLength: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly buffer: ArrayBuffer;
  readonly start: number;
  readonly mark: number;
  /** None where only the bytes are lent: `use`, `scope.bytes`. */
  readonly lease: Lease | undefined;
  /** The arena's level when it was acquired. */
  readonly trace: TraceLevel;
  /** As the arena counts it: a writer may have asked for more than it wrote. */
  countedBytes: number;
  readonly pins: Pin[];
  scope: OpenScope | undefined;
  /** Promises under way that keep the block in place. */
  held: number;
  /** Released, though perhaps kept in place. */
  ended: boolean;
}

export interface OpenScope {
  readonly serial: number;
  readonly scope: Scope;
}

export interface Stale {
  readonly serial: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly part: Uint8Array<ArrayBuffer>;
  readonly data: DataView<ArrayBuffer>;
}

export interface Ended {
  readonly serial: number;
  readonly lease: Lease;
}

export interface Waiter {
  readonly serial: number;
  readonly byteLength: number;
  readonly controller: AbortController | undefined;
  aborted: boolean;
}

/** A promise that something lent until it settles waits for. */
export interface Pending {
  readonly live: Live;
  readonly planned: PlannedError;
  resolve(value: number): void;
  reject(reason: unknown): void;
  /** What came out: the value, or the reason. */
  outcome: unknown;
}

export class Model {
  live: Live[] = [];
  /** Views of what ended, where they must show zeros or nothing. */
  stale: Stale[] = [];
  /** Leases that ended: every use of one must fail. */
  ended: Ended[] = [];
  scopes: OpenScope[] = [];
  pending: Pending[] = [];
  waiting: Waiter[] = [];
  leaked = 0;
  leakedBytes = 0;
  /** Leaks that the arena told of. */
  reported = { leases: 0, bytes: 0 };
  /** Memories whose bookkeeping was written over: of their leases only the lengths and counts are promised. */
  damaged = new Set<LinearMemory>();
  /** How many there ever were. */
  damagedInAll = 0;
  /** By a listener, in the middle of something else. */
  disposed = false;
  operations = 0;
  #serial = 0;

  nextSerial(): number {
    return ++this.#serial;
  }

  /** Bytes in leases, as the arena should count them. */
  get liveBytes(): number {
    const lost = this.leakedBytes - this.reported.bytes;
    return this.live.reduce((sum, { countedBytes }) => sum + countedBytes, lost);
  }

  /** The arena is disposed: nothing is left of what it was. */
  clear(): void {
    this.live = [];
    this.stale = [];
    this.ended = [];
    this.scopes = [];
    this.pending = [];
    this.leaked = this.leakedBytes = 0;
    this.reported = { leases: 0, bytes: 0 };
    this.damaged.clear();
    this.damagedInAll = 0;
    this.disposed = false;
  }

  /** Whether leases and views of `buffer` lie in a segment whose bookkeeping was written over. */
  isDamaged(buffer: ArrayBuffer): boolean {
    for (const memory of this.damaged) {
      if (memory.buffer === buffer) return true;
    }
    return false;
  }

  /** Its bookkeeping is written over: no stale view of it is promised anything from now on. */
  damage(memory: LinearMemory): void {
    if (this.damaged.has(memory)) return;
    this.damaged.add(memory);
    this.damagedInAll++;
    this.stale = this.stale.filter(({ bytes }) => bytes.buffer !== memory.buffer);
  }
}
