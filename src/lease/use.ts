/** Lending a lease's bytes to a function. Owns that the lease ends, whatever the function does. */

import { isView, plainBytes } from "../builtins.js";
import { isThenable } from "../checks.js";
import { invalidArgument, throwAll } from "../errors.js";
import type { AnyLease } from "./lease.js";

/** Calls `fn`, and releases when it returns or throws, or when the promise it returned settles. */
export function lend<T, L extends AnyLease>(lease: L, fn: (bytes: L["bytes"]) => T): T {
  /** Releases, and throws that error, or `fn`'s, or both in one. */
  const end = (...errors: unknown[]): void => {
    try {
      lease[Symbol.dispose]();
    } catch (error) {
      errors.push(error);
    }
    throwAll(errors, "the function that used the lease failed, and so did the release");
  };
  const { bytes } = lease;
  const ended = (value: unknown): unknown => {
    if (isViewOf(bytes, value)) end(invalidArgument("what fn returned", value, "a copy on, bytes.slice(), or nothing"));
    else end();
    return value;
  };
  let result: T;
  try {
    result = fn(bytes);
    if (isThenable(result)) return Promise.resolve(result).then(ended, end) as T;
  } catch (error) {
    end(error);
    throw error;
  }
  return ended(result) as T;
}

/** Whether `value` shows any of the bytes, or is the buffer under them: it would be stale at once. A subclass cannot make it lie. */
function isViewOf(bytes: Uint8Array<ArrayBufferLike>, value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  try {
    const lent = plainBytes(bytes);
    if (!isView(value)) return value === lent.buffer;
    const given = plainBytes(value);
    if (given.buffer !== lent.buffer) return false;
    return given.byteOffset < lent.byteOffset + lent.length && lent.byteOffset < given.byteOffset + given.length;
  } catch {
    // One of them is detached, and shows nothing.
    return false;
  }
}
