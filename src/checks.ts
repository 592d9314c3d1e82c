/**
 * What is asked of arguments before anything is leased, opened or read: for the
 * adapters above all. A thing is known by the members that are used of it: not by its
 * class, of which a program may have two copies, nor by one that other things have as well.
 */

import type { Arena } from "./arena.js";
import { invalidArgument } from "./errors.js";
import type { Lease } from "./lease.js";

export function requireArena(arena: Arena): void {
  if (typeof arena?.acquire === "function" && typeof arena.writer === "function") return;
  throw invalidArgument("arena", arena, "an Arena");
}

export function requireLease(lease: Lease): void {
  if (typeof lease?.releaseAfter === "function") return;
  throw invalidArgument("lease", lease, "a lease; of a writer, what its take() returns");
}

/** Whether each is a lease is asked when it comes. */
export function requireLeases(leases: Iterable<Lease> | AsyncIterable<Lease>): void {
  const { [Symbol.iterator]: each, [Symbol.asyncIterator]: eachAsync } = Object(leases);
  if (typeof each !== "function" && typeof eachAsync !== "function") {
    throw invalidArgument("leases", leases, "an iterable of leases");
  }
}

export function requireOptions(options: unknown): void {
  if (typeof options !== "object" || options === null) throw invalidArgument("options", options, "an object");
}

export function isLength(byteLength: unknown): boolean {
  return Number.isSafeInteger(byteLength) && (byteLength as number) >= 0;
}

/** A chunk length in bytes, or `byDefault`. */
export function chunkLength(chunkBytes: number | undefined, byDefault: number): number {
  if (chunkBytes === undefined) return byDefault;
  if (isLength(chunkBytes) && chunkBytes > 0) return chunkBytes;
  throw invalidArgument("chunkBytes", chunkBytes, "a whole number of bytes from 1");
}

/** Bytes that a stream may hold before its writer has to wait, if that is said. */
export function requireHighWaterMark(highWaterMark: number | undefined): void {
  if (highWaterMark === undefined || isLength(highWaterMark)) return;
  throw invalidArgument("highWaterMark", highWaterMark, "a whole number of bytes, 0 for none");
}
