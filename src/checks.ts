/**
 * What arguments must be, asked before anything is leased, opened or read. Arguments
 * are duck-typed: `instanceof` fails across two copies of the package.
 */

import { invalidArgument } from "./errors.js";

/** Longest lease that can be asked for, in bytes. */
export const MAX_BYTE_LENGTH = 2 ** 32 - 1;

/** The part of an `AbortSignal` that is used. */
export interface AbortSignalLike {
  readonly aborted: boolean;
  readonly reason?: unknown;
  addEventListener(type: "abort", listener: () => void, options?: { once?: boolean }): void;
  removeEventListener(type: "abort", listener: () => void): void;
}

/** @throws ArenaError `ERR_INVALID_ARGUMENT` if `signal` is given and is none. */
export function checkSignal(signal: AbortSignalLike | null | undefined): AbortSignalLike | undefined {
  if (signal === undefined || signal === null) return undefined;
  const { aborted, addEventListener, removeEventListener } = signal;
  if (
    typeof aborted === "boolean" &&
    typeof addEventListener === "function" &&
    typeof removeEventListener === "function"
  ) {
    return signal;
  }
  throw invalidArgument("signal", signal, "an AbortSignal");
}

/** The signal in `options`. Throws its reason if it has given up already. */
export function signalIn(options: { readonly signal?: AbortSignalLike | undefined }): AbortSignalLike | undefined {
  requireOptions(options);
  const signal = checkSignal(options.signal);
  if (signal?.aborted) throw signal.reason;
  return signal;
}

export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as { then?: unknown } | null | undefined)?.then === "function";
}

/** Whether `byteLength` can be the length of a lease. */
export function isLeaseLength(byteLength: unknown): byteLength is number {
  return typeof byteLength === "number" && byteLength >>> 0 === byteLength;
}

export function requireLeaseLength(byteLength: unknown): void {
  if (isLeaseLength(byteLength)) return;
  throw invalidArgument("byteLength", byteLength, `a whole number of bytes from 0 to ${MAX_BYTE_LENGTH}`);
}

/** The lengths of all leases that `acquireAsync` is asked for. */
export function leaseLengths(wanted: number | readonly number[]): readonly number[] {
  const byteLengths: readonly number[] = Array.isArray(wanted) ? [...wanted] : [wanted];
  for (const byteLength of byteLengths) requireLeaseLength(byteLength);
  return byteLengths;
}

/** @param names of all options that there are, where others are refused. */
export function requireOptions(options: unknown, names?: readonly string[]): void {
  if (typeof options !== "object" || options === null) throw invalidArgument("options", options, "an object");
  if (typeof (options as { aborted?: unknown }).aborted === "boolean") {
    throw invalidArgument("options", options, "an object that has the signal: { signal }");
  }
  if (names !== undefined) requireKnown(options, names);
}

/** @throws ArenaError `ERR_INVALID_ARGUMENT` for an option that is none of `names`: one that is misspelt would do nothing. */
export function requireKnown(options: object, names: readonly string[]): void {
  for (const [name, value] of Object.entries(options)) {
    if (!names.includes(name))
      throw invalidArgument(`options.${name}`, value, `only options that there are: ${names.join(", ")}`);
  }
}

export function isLength(byteLength: unknown): byteLength is number {
  return Number.isSafeInteger(byteLength) && (byteLength as number) >= 0;
}

/** A chunk length in bytes, by default 64 KiB. */
export function chunkLength(chunkBytes: number = 64 * 1024): number {
  if (isLength(chunkBytes) && chunkBytes > 0) return chunkBytes;
  throw invalidArgument("chunkBytes", chunkBytes, "a whole number of bytes from 1");
}

export function checkFunction(what: string, fn: unknown, wanted: string): void {
  if (fn !== undefined && typeof fn !== "function") throw invalidArgument(what, fn, `${wanted}, or nothing`);
}

export function checkBoolean(what: string, value: unknown): void {
  if (value !== undefined && typeof value !== "boolean") throw invalidArgument(what, value, "true or false");
}

/** Bytes that a stream may hold before its writer has to wait, if that is said. */
export function requireHighWaterMark(highWaterMark: number | undefined): void {
  if (highWaterMark === undefined || isLength(highWaterMark)) return;
  throw invalidArgument("highWaterMark", highWaterMark, "a whole number of bytes, 0 for none");
}

export function requireArena(arena: unknown, what = "arena"): void {
  const { acquire, writer } = Object(arena) as { acquire?: unknown; writer?: unknown };
  if (typeof acquire === "function" && typeof writer === "function") return;
  throw invalidArgument(what, arena, "an Arena");
}

export function requireLease(lease: unknown): void {
  if (typeof (Object(lease) as { releaseAfter?: unknown }).releaseAfter === "function") return;
  throw invalidArgument("lease", lease, "a lease; of a writer, what its take() returns");
}

/** Each element is checked when it comes. */
export function requireLeases(leases: unknown): void {
  const { [Symbol.iterator]: each, [Symbol.asyncIterator]: eachAsync } = Object(leases);
  if (typeof each !== "function" && typeof eachAsync !== "function") {
    throw invalidArgument("leases", leases, "an iterable of leases");
  }
}
