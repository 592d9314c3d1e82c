/**
 * Slabs and the blocks in them: who takes, gives back, opens and closes. Owns every
 * change of a slab's word and of a block's state by a living thread. No lists, no locks:
 * a thread that stops anywhere leaves words with its name on them, and nobody waits.
 *
 *            take: swap              release                give
 *     FREE ──────────────▶ OWNED(t) ◀────────▶ KEPT(t) ──────────▶ FREE
 *      ▲                    │    ▲    acquire
 *      │ sweep(t)           │    └── adopt: swap of state and generation together
 *      └────────────────────┤            │
 *                           └─ handOver ─▶ IN_TRANSIT(t), generation + 1
 *
 * OWNED to KEPT and back are plain stores of the bindings: the word is the thread's own.
 *
 *     FREE ─▶ CLAIMED(t) ─▶ OPEN(class) ─▶ CLOSING(class, t) ─▶ CLAIMED(t) ─▶ FREE
 *                 └──▶ LONG, TAIL … ──────────────────────────▶ CLAIMED(t) ─▶ FREE
 */

import { read, readPair, swap, swapPair, write } from "./access";
import {
  BLOCKS_A_SLAB, BLOCKS_SHIFT, BYTE_LENGTH, CLAIMED, CLASS_SHIFT, CLOSING, FREE, GENERATION, GENERATION_MASK,
  IN_TRANSIT, KEPT, KIND, LONG, NOT_YOURS, NO_ROOM, NO_TOKEN, OPEN, OWNED, REST, TAIL, USED_TOKEN,
  blocksOf, classIn, maybeWord, me, recordOf, slabWord, slabs,
} from "./layout";

// ---- Short blocks ----

/** A block of class `cls`, owned by this thread now: its id, or NO_ROOM. Looks from block `from` on, a hint. */
export function take(cls: i32, from: i32): i32 {
  const open = OPEN | (cls << CLASS_SHIFT);
  const total = slabs();
  let slab = from >> BLOCKS_SHIFT;
  let index = from & (BLOCKS_A_SLAB - 1);
  if (slab >= total) slab = 0;
  let free = total;
  for (let seen = 0; seen < total; seen++) {
    const word = read(slabWord(slab));
    if (word == FREE) {
      free = min(free, slab);
    } else if (word == open && read(maybeWord(slab)) != 0) {
      const id = takeIn(slab, open, index);
      if (id >= 0) return id;
    }
    index = 0;
    if (++slab == total) slab = 0;
  }
  // From the bottom, so that long blocks find their slabs at the top.
  for (; free < total; free++) {
    if (!swap(slabWord(free), FREE, CLAIMED | me)) continue;
    write(maybeWord(free), 1);
    write(slabWord(free), open);
    const id = takeIn(free, open, 0);
    if (id >= 0) return id;
  }
  return NO_ROOM;
}

function takeIn(slab: i32, open: i32, from: i32): i32 {
  // Before looking: whoever gives a block back meanwhile sets it again.
  write(maybeWord(slab), 0);
  const first = slab << BLOCKS_SHIFT;
  const count = blocksOf(classIn(open));
  let taken = NO_ROOM;
  let index = from < count ? from : 0;
  for (let seen = 0; seen < count; seen++) {
    const record = recordOf(first + index);
    if (read(record) == FREE) {
      if (taken >= 0) {
        write(maybeWord(slab), 1);
        break;
      }
      if (swap(record, FREE, OWNED | me)) {
        // The slab may have another class by now. With a block of ours in it, it keeps it.
        if (read(slabWord(slab)) != open) {
          write(record, FREE);
          write(maybeWord(slab), 1);
          break;
        }
        taken = first + index;
      }
    }
    if (++index == count) index = 0;
  }
  // It had another class before the hint was cleared: what is free there was not looked at.
  if (taken < 0 && read(slabWord(slab)) != open) write(maybeWord(slab), 1);
  return taken;
}

/** Takes back a block that this thread owns or keeps. */
export function give(id: i32): i32 {
  const record = recordOf(id);
  const state = read(record);
  if (state != (OWNED | me) && state != (KEPT | me)) return NOT_YOURS;
  const slab = id >> BLOCKS_SHIFT;
  const word = read(slabWord(slab));
  // Another index in a long block's slab: of a thread that died before it saw that the class had changed.
  if ((word & KIND) == LONG && id == slab << BLOCKS_SHIFT) return giveLong(slab, word & REST);
  write(record, FREE);
  write(maybeWord(slab), 1);
  return 0;
}

/** Frees an open slab that nobody uses, for other classes. False if there is none. */
export function closeOne(): bool {
  const total = slabs();
  for (let slab = 0; slab < total; slab++) {
    const word = read(slabWord(slab));
    if ((word & KIND) == OPEN && close(slab, word)) return true;
  }
  return false;
}

function close(slab: i32, word: i32): bool {
  const first = slab << BLOCKS_SHIFT;
  const count = blocksOf(classIn(word));
  let got = 0;
  while (got < count && read(recordOf(first + got)) == FREE) got++;
  if (got < count || !swap(slabWord(slab), word, CLOSING | (word & ~KIND) | me)) return false;
  got = 0;
  while (got < count && swap(recordOf(first + got), FREE, OWNED | me)) got++;
  const all = got == count;
  if (all) write(slabWord(slab), CLAIMED | me);
  while (got > 0) write(recordOf(first + --got), FREE);
  if (!all) write(maybeWord(slab), 1);
  write(slabWord(slab), all ? FREE : word);
  return all;
}

// ---- Long blocks ----

/** `count` slabs in a row as one block: its id, or NO_ROOM. */
export function takeLong(count: i32): i32 {
  let run = 0;
  for (let slab = slabs() - 1; slab >= 0; slab--) {
    if (read(slabWord(slab)) != FREE) {
      run = 0;
    } else if (++run == count) {
      if (claimRun(slab, count)) return slab << BLOCKS_SHIFT;
      run = 0;
    }
  }
  return NO_ROOM;
}

function claimRun(head: i32, count: i32): bool {
  let got = 0;
  while (got < count && swap(slabWord(head + got), FREE, CLAIMED | me)) got++;
  if (got == count && swap(recordOf(head << BLOCKS_SHIFT), FREE, OWNED | me)) {
    write(slabWord(head), LONG | count);
    for (let i = 1; i < count; i++) write(slabWord(head + i), TAIL | head);
    return true;
  }
  while (got > 0) write(slabWord(head + --got), FREE);
  return false;
}

/** The tails in reverse: what a death leaves of it, the sweep of the same block finishes. */
function giveLong(head: i32, count: i32): i32 {
  for (let i = count - 1; i > 0; i--) swap(slabWord(head + i), TAIL | head, FREE);
  write(slabWord(head), CLAIMED | me);
  write(recordOf(head << BLOCKS_SHIFT), FREE);
  write(slabWord(head), FREE);
  return 0;
}

// ---- From thread to thread ----

/** Ends this thread's right to the block. Whoever knows the generation that this answers may adopt it, once. */
export function handOver(id: i32, byteLength: i32): i32 {
  const record = recordOf(id);
  if (read(record) != (OWNED | me)) return NOT_YOURS;
  const generation = (read(record + GENERATION) + 1) & GENERATION_MASK;
  write(record + GENERATION, generation);
  write(record + BYTE_LENGTH, byteLength);
  write(record, IN_TRANSIT | me);
  return generation;
}

/** This thread owns the block now: 0. */
export function adopt(id: i32, generation: i32): i32 {
  if (<u32>id >= <u32>(slabs() << BLOCKS_SHIFT)) return NO_TOKEN;
  const record = recordOf(id);
  const pair = readPair(record);
  const last = <i32>(pair >> 32);
  if (last != generation) return <u32>generation - 1 < <u32>last ? USED_TOKEN : NO_TOKEN;
  if ((<i32>pair & KIND) != IN_TRANSIT) return generation == 0 ? NO_TOKEN : USED_TOKEN;
  return swapPair(record, pair, (<i64>generation << 32) | <i64>(OWNED | me)) ? 0 : USED_TOKEN;
}
