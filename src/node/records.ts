/**
 * Files read for parsers of records: lines, messages, frames. Each stretch of bytes
 * begins with what the parser left over, so the parser never joins pieces. Owns the
 * two leases that take turns.
 */

import type { PathLike } from "node:fs";
import { type Arena, type CallerLeases, leasesFor } from "../arena.js";
import { requireArena } from "../checks.js";
import { invalidArgument } from "../errors.js";
import type { Lease } from "../lease/lease.js";
import { eachFileLease, type ReadFileOptions } from "./file.js";

/**
 * Takes the bytes from the first that was not consumed yet, valid during the call, and
 * answers how many of them it consumed. What is left stands in front of the next call's bytes.
 *
 * @param isLast nothing comes after these bytes.
 */
export type RecordFunction = (bytes: Uint8Array<ArrayBuffer>, isLast: boolean) => number;

/**
 * Reads a file as stretches of whole records, with one chunk read ahead.
 *
 * @param onBytes called for each chunk, and once with `isLast` at the end. If it throws,
 *   the reading ends with that error.
 * @returns a promise for bytes read. Rejects with an ArenaError `ERR_INVALID_ARGUMENT` if
 *   `onBytes` answers anything but a number of the bytes it was given; else as `eachFileLease`.
 */
export async function readRecords(
  path: PathLike,
  arena: Arena,
  options: ReadFileOptions,
  onBytes: RecordFunction,
): Promise<number> {
  if (typeof onBytes !== "function") throw invalidArgument("onBytes", onBytes, "a function that takes the bytes");
  requireArena(arena);
  const records = new RecordBuffer(leasesFor(arena), onBytes);
  try {
    const byteLength = await eachFileLease(path, arena, options, (lease) => records.add(lease));
    records.end();
    return byteLength;
  } finally {
    records.release();
  }
}

class RecordBuffer {
  readonly #leases: CallerLeases;
  readonly #onBytes: RecordFunction;
  /** What the parser left over, and the lease it lies in. */
  #rest: Uint8Array<ArrayBuffer> | null = null;
  #lease: Lease | null = null;

  constructor(leases: CallerLeases, onBytes: RecordFunction) {
    this.#leases = leases;
    this.#onBytes = onBytes;
  }

  add(chunk: Lease): void {
    const joined = this.#rest === null ? chunk : this.#join(this.#rest, chunk);
    this.release();
    this.#lease = joined;
    const { bytes } = joined;
    const consumed = this.#consumedOf(bytes, false);
    if (consumed === bytes.length) this.release();
    else this.#rest = bytes.subarray(consumed);
  }

  end(): void {
    this.#consumedOf(this.#rest ?? new Uint8Array(0), true);
  }

  release(): void {
    this.#lease?.[Symbol.dispose]();
    this.#lease = this.#rest = null;
  }

  #join(rest: Uint8Array, chunk: Lease): Lease {
    const { bytes } = chunk;
    try {
      const joined = this.#leases.acquireUnzeroed(rest.length + bytes.length);
      joined.bytes.set(rest);
      joined.bytes.set(bytes, rest.length);
      return joined;
    } finally {
      chunk.release();
    }
  }

  #consumedOf(bytes: Uint8Array<ArrayBuffer>, isLast: boolean): number {
    const consumed = this.#onBytes(bytes, isLast);
    if (Number.isInteger(consumed) && consumed >= 0 && consumed <= bytes.length) return consumed;
    throw invalidArgument("what onBytes answered", consumed, `how many of the ${bytes.length} bytes it consumed`);
  }
}
