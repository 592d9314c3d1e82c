/**
 * The pools of an arena, one for each length asked for. Owns which kind of pool serves
 * a length, and what concerns all that keep blocks. How one works is src/pool.ts.
 */

import { blockBytesOf, sizeClassOf } from "./abi.js";
import { FreeListSegment, FreeListSegments } from "./free-list.js";
import { CachedPool, PlainPool, type PoolHost, type SizeClassPool } from "./pool.js";
import type { RevokingSegments } from "./revoking.js";
import type { Segment } from "./segment.js";

export class Pools {
  readonly #byLength = new Map<number, SizeClassPool>();
  /** Those of them that keep blocks. */
  readonly #cached: CachedPool[] = [];
  readonly #host: PoolHost;
  readonly #segments: RevokingSegments | FreeListSegments | null;
  readonly #slabShift: number;
  readonly #classCount: number;

  constructor(
    host: PoolHost,
    segments: RevokingSegments | FreeListSegments | null,
    slabShift: number,
    classCount: number,
  ) {
    this.#host = host;
    this.#segments = segments;
    this.#slabShift = slabShift;
    this.#classCount = classCount;
  }

  /** The same one for the same length. */
  of(byteLength: number): SizeClassPool {
    let pool = this.#byLength.get(byteLength);
    if (pool === undefined) {
      pool = this.#create(byteLength);
      this.#byLength.set(byteLength, pool);
    }
    return pool;
  }

  /** Gives every kept block back; false if there was none. */
  flush(): boolean {
    let flushed = false;
    for (const pool of this.#cached) {
      if (pool.flush()) flushed = true;
    }
    return flushed;
  }

  /** Whether to keep blocks has to be asked anew. */
  keep(): void {
    for (const pool of this.#cached) pool.keep();
  }

  /** How many blocks of `segment` are kept: live to the module, though nobody's. */
  keptIn(segment: Segment): number {
    if (!(segment instanceof FreeListSegment)) return 0;
    return this.#cached.reduce((kept, pool) => kept + pool.keptOf(segment), 0);
  }

  /** The arena has ended. */
  close(): void {
    for (const pool of this.#cached) pool.close();
    this.#cached.length = 0;
    this.#byLength.clear();
  }

  #create(byteLength: number): SizeClassPool {
    const sizeClass = sizeClassOf(byteLength, this.#slabShift);
    if (!(this.#segments instanceof FreeListSegments) || sizeClass >= this.#classCount) {
      return new PlainPool(byteLength, this.#host);
    }
    const blockBytes = blockBytesOf(sizeClass, this.#slabShift);
    const pool = new CachedPool(byteLength, sizeClass, blockBytes, this.#host, this.#segments);
    this.#cached.push(pool);
    return pool;
  }
}
