/**
 * Who is attached, and what becomes of the words of a thread that died. Owns the thread
 * table. Whoever sweeps inherits the dead thread's words by compare-and-swap; if it dies
 * itself, they carry its name.
 */

import { add, read, readPair, swap, swapPair, write, writePair } from "./access";
import {
  BLOCKS_A_SLAB, BLOCKS_SHIFT, CLAIMED, CLASS_MASK, CLOSING, FREE, IN_TRANSIT, KIND, LAST_SERIAL,
  NO_ROOM, OPEN, OWNED, THREADS, THREAD_COUNT, WHO,
  beThread, layOut, maybeWord, me, recordOf, slabWord, slabs,
} from "./layout";
import { give } from "./slabs";

/** Whether the last sweep left blocks in transit. */
let isLeft = false;

function entry(slot: i32): usize {
  return THREADS + (<usize>slot << 4);
}

function pairOf(engine: i32, serial: i32): i64 {
  return (<i64>serial << 32) | <i64><u32>engine;
}

/**
 * Attaches this thread: the slot that it has in the table, or NO_ROOM.
 *
 * @param engine above 0, of no other living thread.
 */
export function attach(engine: i32, parent: i32): i32 {
  layOut();
  const serial = newSerial();
  for (let slot = 1; slot < THREAD_COUNT; slot++) {
    if (read(entry(slot)) != 0 || !swapPair(entry(slot), 0, pairOf(engine, serial))) continue;
    writePair(entry(slot) + 8, pairOf(parent, serial));
    beThread(serial);
    return slot;
  }
  return NO_ROOM;
}

/** After eight million threads numbers come again: none that is still in the table. */
function newSerial(): i32 {
  let serial = 0;
  do serial = (add(LAST_SERIAL, 1) + 1) & WHO;
  while (serial == 0 || slotOf(serial) != 0);
  return serial;
}

/** The slot of the thread with that number, dead or alive; 0 if there is none. */
function slotOf(serial: i32): i32 {
  for (let slot = 1; slot < THREAD_COUNT; slot++) {
    const pair = readPair(entry(slot));
    if (pair != 0 && <i32>(pair >> 32) == serial) return slot;
  }
  return 0;
}

/** Whether `serial` is a living thread's. */
export function isAlive(serial: i32): bool {
  const slot = slotOf(serial);
  return slot != 0 && read(entry(slot)) > 0;
}

/** Leaves the table, once no word has this thread's number. */
export function leave(slot: i32): void {
  const pair = readPair(entry(slot));
  if (<i32>(pair >> 32) == me) swapPair(entry(slot), pair, 0);
}

/**
 * The thread runs no more, nor does any that it started: what they held is free. What
 * they had handed over stays, until `forgetDead`. Answers how many blocks came free.
 */
export function threadEnded(engine: i32): i32 {
  let freed = 0;
  // Twice through the table. First those that it started, dead ones too: whoever died over them,
  // or dies now, leaves the way to them.
  for (let turn = 1; turn < 2 * THREAD_COUNT; turn++) {
    const at = entry(turn & (THREAD_COUNT - 1));
    const pair = readPair(at);
    const serial = <i32>(pair >> 32);
    const name = abs(<i32>pair);
    if (name == 0 || serial == me) continue;
    if (turn < THREAD_COUNT) {
      if (readPair(at + 8) == pairOf(engine, serial)) freed += threadEnded(name);
    } else if (name == engine) {
      // Dead already, if it was declared so by one that died over it.
      swapPair(at, pair, pairOf(-engine, serial));
      freed += sweep(serial, false);
      if (!isLeft) swapPair(at, pairOf(-engine, serial), 0);
    }
  }
  return freed;
}

/** Frees what dead threads had handed over and nobody adopted, and their slots. Answers how many blocks. */
export function forgetDead(): i32 {
  let freed = 0;
  for (let slot = 1; slot < THREAD_COUNT; slot++) {
    const pair = readPair(entry(slot));
    if (<i32>pair >= 0) continue;
    freed += sweep(<i32>(pair >> 32), true);
    swapPair(entry(slot), pair, 0);
  }
  return freed;
}

/** Everything with the number `dead` on it is free; of what is in transit only `withTransit`. */
function sweep(dead: i32, withTransit: bool): i32 {
  const total = slabs();
  let freed = 0;
  isLeft = false;
  for (let slab = 0; slab < total; slab++) {
    const word = read(slabWord(slab));
    if (word == (CLAIMED | dead)) swap(slabWord(slab), word, FREE);
    if ((word & ~CLASS_MASK) == (CLOSING | dead)) swap(slabWord(slab), word, OPEN | (word & CLASS_MASK));
    // Also of a free slab: the thread may have died before it saw that the slab was closed.
    for (let index = 0; index < BLOCKS_A_SLAB; index++) {
      const id = (slab << BLOCKS_SHIFT) + index;
      const state = read(recordOf(id));
      if ((state & WHO) != dead) continue;
      if ((state & KIND) == IN_TRANSIT && !withTransit) {
        isLeft = true;
        continue;
      }
      if (!swap(recordOf(id), state, OWNED | me)) continue;
      give(id);
      freed++;
    }
    if ((read(slabWord(slab)) & KIND) == OPEN) write(maybeWord(slab), 1);
  }
  return freed;
}

/** Blocks of that kind, of thread `serial` or, for 0, of anybody. */
export function count(kind: i32, serial: i32): i32 {
  const total = slabs() << BLOCKS_SHIFT;
  let found = 0;
  for (let id = 0; id < total; id++) {
    const state = read(recordOf(id));
    if ((state & KIND) == kind && (serial == 0 || (state & WHO) == serial)) found++;
  }
  return found;
}
