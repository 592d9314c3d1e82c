/**
 * The busy word: set while an export stores.
 *
 * A `vm` timeout or a stack overflow can stop WebAssembly between any two stores.
 * The word then stays set, every later call that would store answers `BUSY`, and the
 * bindings abandon the book.
 *
 * The word is in memory, not a global: the optimizer keeps memory accesses in order,
 * but moved a global's last store ahead of other stores.
 */

import { BUSY_WORD, bookPtr } from "./layout";

/** Before the first store. False if an earlier call was cut off: the export must answer `BUSY`. */
export function enter(): bool {
  if (isSet()) return false;
  store<u32>(bookPtr(), 1, BUSY_WORD);
  return true;
}

/** After the last store. Passes the export's answer through. */
export function leave(answer: i32): i32 {
  store<u32>(bookPtr(), 0, BUSY_WORD);
  return answer;
}

// @ts-ignore: decorator
@inline
export function isSet(): bool {
  return load<u32>(bookPtr(), BUSY_WORD) != 0;
}
