/** Lending a lease's bytes to a function. Owns that the lease ends, whatever the function does. */

import { isThenable } from "../checks.js";
import { throwAll } from "../errors.js";
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
  let result: T;
  try {
    result = fn(lease.bytes);
    if (isThenable(result)) {
      const ended = (value: unknown): unknown => {
        end();
        return value;
      };
      return Promise.resolve(result).then(ended, end) as T;
    }
  } catch (error) {
    end(error);
    throw error;
  }
  end();
  return result;
}
