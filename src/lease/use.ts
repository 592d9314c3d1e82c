/** Lending a lease's bytes to a function. Owns that the lease ends, whatever the function does. */

import { isView } from "../builtins.js";
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
  let result: T;
  try {
    result = fn(bytes);
    if (isThenable(result)) {
      const answer = (value: unknown): unknown => refuseView(value, bytes);
      const ended = (value: unknown): unknown => {
        end();
        return value;
      };
      return Promise.resolve(result).then(answer).then(ended, end) as T;
    }
    refuseView(result, bytes);
  } catch (error) {
    end(error);
    throw error;
  }
  end();
  return result;
}

/** A view of the lent bytes would be stale at once. */
function refuseView<T>(value: T, { buffer, byteOffset, length }: Uint8Array<ArrayBufferLike>): T {
  if (!isView(value) || value.buffer !== buffer) return value;
  if (value.byteOffset >= byteOffset + length || byteOffset >= value.byteOffset + value.byteLength) return value;
  const wanted = "it on as a copy, bytes.slice(), or return nothing: the lent bytes end with the call";
  throw invalidArgument("what fn returned", value, wanted);
}
