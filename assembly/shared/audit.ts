/**
 * Walks every word. Reads only. Exact while no other thread is inside the module: one
 * that is may leave T2 and T4 to T6 for a moment.
 *
 *  T1  Nothing is half done by a dead thread or by this one: no slab is CLAIMED or CLOSING.
 *  T2  A TAIL lies in the LONG block of the head that it names.
 *  T3  Only records of blocks that a slab has are taken.
 *  T4  Owned and kept blocks belong to living threads.
 *  T5  A LONG block is taken, and its slabs are all there.
 *  T6  An open slab with a free block has its `maybe` set.
 *
 * Answers 0, or n << 24 | slab for Tn.
 */

import { read } from "./access";
import {
  BLOCKS_A_SLAB, BLOCKS_SHIFT, CLAIMED, CLOSING, FREE, IN_TRANSIT, KIND, LONG, OPEN, REST, TAIL, WHO,
  blocksOf, classIn, maybeWord, me, recordOf, slabWord, slabs,
} from "./layout";
import { isAlive } from "./threads";

export function audit(): i32 {
  const total = slabs();
  for (let slab = 0; slab < total; slab++) {
    const found = auditSlab(slab, read(slabWord(slab)));
    if (found != 0) return (found << 24) | slab;
  }
  return 0;
}

function auditSlab(slab: i32, word: i32): i32 {
  const kind = word & KIND;
  if (kind == CLAIMED || kind == CLOSING) return isLost(word & WHO) ? 1 : 0;
  if (kind == TAIL) {
    const head = word & REST;
    const at = read(slabWord(head));
    if ((at & KIND) != LONG || head >= slab || head + (at & REST) <= slab) return 2;
  }
  const count = kind == OPEN ? blocksOf(classIn(word)) : kind == LONG ? 1 : 0;
  let free = 0;
  for (let index = 0; index < BLOCKS_A_SLAB; index++) {
    const state = read(recordOf((slab << BLOCKS_SHIFT) + index));
    if (state == FREE) {
      if (index < count) free++;
      continue;
    }
    if (index >= count) return 3;
    if ((state & KIND) != IN_TRANSIT && !isAlive(state & WHO)) return 4;
  }
  if (kind == LONG && (free != 0 || !isWhole(slab, word & REST))) return 5;
  return kind == OPEN && free != 0 && read(maybeWord(slab)) == 0 ? 6 : 0;
}

function isLost(serial: i32): bool {
  return serial == me || !isAlive(serial);
}

function isWhole(head: i32, count: i32): bool {
  for (let i = 1; i < count; i++) if (read(slabWord(head + i)) != (TAIL | head)) return false;
  return true;
}
