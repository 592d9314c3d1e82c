/**
 * The shared module with one fault each: what is wrong, the change, and, of a fault that no run here
 * can tell, why: because it is none, or because the step test runs operations whole in the gaps of
 * others, and so never lets two overlap. `npm run threads -- mutants` runs the step test on each.
 */

import type { Change } from "./module.ts";

export interface Mutant {
  readonly name: string;
  readonly change: Change;
  readonly unseen?: string | undefined;
}

// biome-ignore format: a table
const ROWS: readonly (readonly [name: string, file: string, from: string, to: string, unseen?: string])[] = [
  ["take: a free slab is claimed without a swap", "slabs.ts", "if (!swap(slabWord(free), FREE, CLAIMED | me)) continue;", "if (read(slabWord(free)) != FREE) continue;\n    write(slabWord(free), CLAIMED | me);"],
  ["take: a block is claimed without a swap", "slabs.ts", "if (swap(record, FREE, OWNED | me)) {", "write(record, OWNED | me);\n      {"],
  ["take: the class is not looked at again", "slabs.ts", "if (read(slabWord(slab)) != open) {", "if (false) {"],
  ["take: backs out, and the block stays owned", "slabs.ts", "          write(record, FREE);\n", ""],
  ["take: backs out without the hint", "slabs.ts", "          write(record, FREE);\n          write(maybeWord(slab), 1);\n", "          write(record, FREE);\n"],
  ["take: clears the hint of a slab with another class", "slabs.ts", "  if (taken < 0 && read(slabWord(slab)) != open) write(maybeWord(slab), 1);\n", ""],
  ["take: clears the hint after it has looked", "slabs.ts", "    if (++index == count) index = 0;\n  }\n", "    if (++index == count) index = 0;\n    if (seen == count - 1) write(maybeWord(slab), 0);\n  }\n"],
  ["take: sees no second block", "slabs.ts", "      if (taken >= 0) {\n        write(maybeWord(slab), 1);\n", "      if (taken >= 0) {\n"],
  ["take: the hint of a new slab is not set", "slabs.ts", "    write(maybeWord(free), 1);\n", "", "whoever opens a slab looks for a block in it at once, and sets the hint then; or dies, and is swept"],
  ["give: anybody's block", "slabs.ts", "if (state != (OWNED | me) && state != (KEPT | me)) return NOT_YOURS;", ""],
  ["give: the hint first", "slabs.ts", "  write(record, FREE);\n  write(maybeWord(slab), 1);\n  return 0;", "  write(maybeWord(slab), 1);\n  write(record, FREE);\n  return 0;"],
  ["give: without the hint", "slabs.ts", "  write(record, FREE);\n  write(maybeWord(slab), 1);\n  return 0;", "  write(record, FREE);\n  return 0;"],
  ["give: any block of a long one's slab gives the long one", "slabs.ts", "== LONG && id == slab << BLOCKS_SHIFT)", "== LONG)"],
  ["close: the class is lost", "slabs.ts", "CLOSING | (word & ~KIND) | me)", "CLAIMED | me)"],
  ["close: claimed without a swap", "slabs.ts", "!swap(slabWord(slab), word, CLOSING | (word & ~KIND) | me)) return false;", "false) return false;\n  write(slabWord(slab), CLOSING | (word & ~KIND) | me);"],
  ["close: blocks are not claimed", "slabs.ts", "while (got < count && swap(recordOf(first + got), FREE, OWNED | me)) got++;\n  const all", "while (got < count && read(recordOf(first + got)) == FREE) got++;\n  const all", "beyond these runs: two operations have to overlap, neither inside the other. A block that a late taker has claimed meanwhile would be freed under it"],
  ["close: blocks are claimed without a swap", "slabs.ts", "while (got < count && swap(recordOf(first + got), FREE, OWNED | me)) got++;\n  const all", "for (; got < count; got++) write(recordOf(first + got), OWNED | me);\n  const all"],
  ["close: the slab is free before its blocks", "slabs.ts", "  while (got > 0) write(recordOf(first + --got), FREE);\n  if (!all) write(maybeWord(slab), 1);\n  write(slabWord(slab), all ? FREE : word);", "  write(slabWord(slab), all ? FREE : word);\n  while (got > 0) write(recordOf(first + --got), FREE);\n  if (!all) write(maybeWord(slab), 1);"],
  ["close: gives up without the hint", "slabs.ts", "  if (!all) write(maybeWord(slab), 1);\n", "", "beyond these runs: two operations have to overlap, neither inside the other. Someone has to look at a block while it is claimed, and at the slab's word once it is open again"],
  ["close: stays CLOSING until it is free", "slabs.ts", "  if (all) write(slabWord(slab), CLAIMED | me);\n", "", "nobody else owns one of its blocks by then; the sweep of one that died there opens it, empty"],
  ["takeLong: a slab is claimed without a swap", "slabs.ts", "while (got < count && swap(slabWord(head + got), FREE, CLAIMED | me)) got++;", "while (got < count && read(slabWord(head + got)) == FREE) write(slabWord(head + got++), CLAIMED | me);"],
  ["takeLong: the block is claimed without a swap", "slabs.ts", "swap(recordOf(head << BLOCKS_SHIFT), FREE, OWNED | me)) {", "read(recordOf(head << BLOCKS_SHIFT)) == FREE) {\n    write(recordOf(head << BLOCKS_SHIFT), OWNED | me);", "beyond these runs: two operations have to overlap, neither inside the other. A late taker has to claim the block between the look and the write"],
  ["takeLong: the block is claimed after the slabs say so", "slabs.ts", "swap(recordOf(head << BLOCKS_SHIFT), FREE, OWNED | me)) {\n    write(slabWord(head), LONG | count);", "read(recordOf(head << BLOCKS_SHIFT)) == FREE) {\n    write(slabWord(head), LONG | count);\n    swap(recordOf(head << BLOCKS_SHIFT), FREE, OWNED | me);"],
  ["takeLong: tails before the head", "slabs.ts", "    write(slabWord(head), LONG | count);\n    for (let i = 1; i < count; i++) write(slabWord(head + i), TAIL | head);\n", "    for (let i = 1; i < count; i++) write(slabWord(head + i), TAIL | head);\n    write(slabWord(head), LONG | count);\n"],
  ["takeLong: gives up and keeps a slab", "slabs.ts", "  while (got > 0) write(slabWord(head + --got), FREE);\n  return false;", "  while (got > 1) write(slabWord(head + --got), FREE);\n  return false;"],
  ["giveLong: tails without a swap", "slabs.ts", "swap(slabWord(head + i), TAIL | head, FREE);", "write(slabWord(head + i), FREE);"],
  ["giveLong: tails in their order", "slabs.ts", "for (let i = count - 1; i > 0; i--) swap(", "for (let i = 1; i < count; i++) swap(", "a tail is freed only while it names this head, in whatever order"],
  ["giveLong: the head stays LONG until it is free", "slabs.ts", "  write(slabWord(head), CLAIMED | me);\n  write(recordOf(", "  write(recordOf("],
  ["giveLong: the slab is free before the block", "slabs.ts", "  write(recordOf(head << BLOCKS_SHIFT), FREE);\n  write(slabWord(head), FREE);\n", "  write(slabWord(head), FREE);\n  write(recordOf(head << BLOCKS_SHIFT), FREE);\n"],
  ["giveLong: the block is free before the tails", "slabs.ts", "  for (let i = count - 1; i > 0; i--) swap(slabWord(head + i)", "  write(recordOf(head << BLOCKS_SHIFT), FREE);\n  for (let i = count - 1; i > 0; i--) swap(slabWord(head + i)"],
  ["handOver: the generation is not raised", "slabs.ts", "(read(record + GENERATION) + 1) & GENERATION_MASK", "max(1, read(record + GENERATION)) & GENERATION_MASK"],
  ["handOver: in transit before the generation", "slabs.ts", "  write(record + GENERATION, generation);\n", "  write(record, IN_TRANSIT | me);\n  write(record + GENERATION, generation);\n"],
  ["handOver: in transit before the length", "slabs.ts", "  write(record + BYTE_LENGTH, byteLength);\n  write(record, IN_TRANSIT | me);\n", "  write(record, IN_TRANSIT | me);\n  write(record + BYTE_LENGTH, byteLength);\n", "nobody has a token before handOver answers its generation, which is new"],
  ["adopt: without a swap", "slabs.ts", "return swapPair(record, pair, (<i64>generation << 32) | <i64>(OWNED | me)) ? 0 : USED_TOKEN;", "write(record, OWNED | me);\n  return 0;"],
  ["adopt: swaps the state alone", "slabs.ts", "swapPair(record, pair, (<i64>generation << 32) | <i64>(OWNED | me))", "swap(record, <i32>pair, OWNED | me)"],
  ["adopt: whatever the state", "slabs.ts", "if ((<i32>pair & KIND) != IN_TRANSIT) return generation == 0 ? NO_TOKEN : USED_TOKEN;", ""],
  ["attach: a slot is claimed without a swap", "threads.ts", "!swapPair(entry(slot), 0, pairOf(engine, serial))) continue;", "false) continue;\n    writePair(entry(slot), pairOf(engine, serial));"],
  ["attach: the parent is not said", "threads.ts", "    writePair(entry(slot) + 8, pairOf(parent, serial));\n", ""],
  ["attach: two threads may have one number", "threads.ts", "do serial = (add(LAST_SERIAL, 1) + 1) & WHO;", "do {\n    serial = (read(LAST_SERIAL) + 1) & WHO;\n    write(LAST_SERIAL, serial);\n  }"],
  ["threadEnded: the thread before those that it started", "threads.ts", "if (turn < THREAD_COUNT) {", "if (turn >= THREAD_COUNT) {"],
  ["threadEnded: not those that it started", "threads.ts", "freed += threadEnded(name);", "freed++;"],
  ["threadEnded: no thread that was declared dead before", "threads.ts", "const name = abs(<i32>pair);", "const name = <i32>pair;"],
  ["threadEnded: the entry goes with blocks in transit", "threads.ts", "if (!isLeft) swapPair(at", "swapPair(at"],
  ["threadEnded: the entry stays", "threads.ts", "      if (!isLeft) swapPair(at, pairOf(-engine, serial), 0);\n", ""],
  ["threadEnded: the entry goes first", "threads.ts", "      freed += sweep(serial, false);\n", "      swapPair(at, pairOf(-engine, serial), 0);\n      freed += sweep(serial, false);\n"],
  ["forgetDead: the entry goes first", "threads.ts", "    freed += sweep(<i32>(pair >> 32), true);\n    swapPair(entry(slot), pair, 0);\n", "    swapPair(entry(slot), pair, 0);\n    freed += sweep(<i32>(pair >> 32), true);\n"],
  ["forgetDead: not what is in transit", "threads.ts", "sweep(<i32>(pair >> 32), true)", "sweep(<i32>(pair >> 32), false)"],
  ["sweep: what is in transit too", "threads.ts", "(state & KIND) == IN_TRANSIT && !withTransit", "false"],
  ["sweep: a claimed slab stays", "threads.ts", "    if (word == (CLAIMED | dead)) swap(slabWord(slab), word, FREE);\n", ""],
  ["sweep: a claimed slab is freed without a swap", "threads.ts", "if (word == (CLAIMED | dead)) swap(slabWord(slab), word, FREE);", "if (word == (CLAIMED | dead)) write(slabWord(slab), FREE);", "beyond these runs: after a death there is one event only, and this takes two between the look and the write: another's sweep of the same thread, and someone who claims the slab at once"],
  ["sweep: a closing slab is freed", "threads.ts", "word, OPEN | (word & CLASS_MASK));", "word, FREE);"],
  ["sweep: a closing slab is opened without a swap", "threads.ts", "(CLOSING | dead)) swap(slabWord(slab), word, OPEN | (word & CLASS_MASK));", "(CLOSING | dead)) write(slabWord(slab), OPEN | (word & CLASS_MASK));", "beyond these runs: after a death there is one event only, and this takes two between the look and the write: another's sweep of the same thread, and someone who claims the slab at once"],
  ["sweep: not the blocks of free slabs", "threads.ts", "    for (let index = 0; index < BLOCKS_A_SLAB; index++) {\n      const id", "    if (read(slabWord(slab)) != FREE) for (let index = 0; index < BLOCKS_A_SLAB; index++) {\n      const id"],
  ["sweep: a block is inherited without a swap", "threads.ts", "if (!swap(recordOf(id), state, OWNED | me)) continue;", "write(recordOf(id), OWNED | me);"],
  ["sweep: a block is freed, and not given", "threads.ts", "      give(id);\n", "      write(recordOf(id), FREE);\n"],
  ["sweep: without the hint", "threads.ts", "    if ((read(slabWord(slab)) & KIND) == OPEN) write(maybeWord(slab), 1);\n", ""],
  ["setSlabs: without a swap", "layout.ts", "if (old >= count || swap(SLABS, old, count)) return;", "if (old < count) write(SLABS, count);\n    return;"],
];

export const mutants: readonly Mutant[] = ROWS.map(([name, file, from, to, unseen]) => ({
  name,
  change: [file, from, to],
  unseen,
}));
