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

const NO_BYTES = new Uint8Array(0);

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
 * @returns a promise for bytes read. Rejects as `readFileLeases` throws, and if `onBytes`
 *   answers anything but a number of the bytes it was given.
 */
export async function readRecords(
  path: PathLike,
  arena: Arena,
  options: ReadFileOptions,
  onBytes: RecordFunction,
): Promise<number> {
  if (typeof onBytes !== "function") throw invalidArgument("onBytes", onBytes, "a function that takes the bytes");
  requireArena(arena);
  const leases = leasesFor(arena);
  /** What the parser left over, and the lease it lies in. */
  let rest = NO_BYTES;
  let held: Lease | null = null;
  const consume = (bytes: Uint8Array<ArrayBuffer>, isLast: boolean): number => {
    const consumed = onBytes(bytes, isLast);
    if (Number.isInteger(consumed) && consumed >= 0 && consumed <= bytes.length) return consumed;
    throw invalidArgument("what onBytes answered", consumed, `how many of the ${bytes.length} bytes it consumed`);
  };
  const release = (): void => {
    held?.[Symbol.dispose]();
    held = null;
    rest = NO_BYTES;
  };
  try {
    const byteLength = await eachFileLease(path, arena, options, (chunk) => {
      const lease = rest.length === 0 ? chunk : joined(leases, rest, chunk);
      release();
      held = lease;
      const { bytes } = lease;
      rest = bytes.subarray(consume(bytes, false));
      if (rest.length === 0) release();
    });
    consume(rest, true);
    return byteLength;
  } finally {
    release();
  }
}

function joined(leases: CallerLeases, rest: Uint8Array, chunk: Lease): Lease {
  const { bytes } = chunk;
  try {
    const lease = leases.acquireUnzeroed(rest.length + bytes.length);
    lease.bytes.set(rest);
    lease.bytes.set(bytes, rest.length);
    return lease;
  } finally {
    chunk.release();
  }
}
