/**
 * The class lists: for each size class, the spans of all segments that have room,
 * doubly linked by span id. The span that got room last comes first.
 *
 * Owns the class heads and the spans' `prev` and `next`. Only in a book of single blocks.
 *
 * B4  A class's list holds exactly the spans of that class that have room, each once.
 */

import { CLASS_HEADS, NEXT, NO_SPAN, PREV, SPANS, SPAN_SHIFT, bookPtr } from "./layout";
import { segmentPtr } from "./segment";

// @ts-ignore: decorator
@inline
export function spanId(segment: i32, slab: i32): u32 {
  return (segment << 6) | slab;
}

/** Address of the record of the span `id`. */
export function recordOf(id: u32): usize {
  return segmentPtr(id >> 6) + SPANS + (<usize>(id & 63) << SPAN_SHIFT);
}

// @ts-ignore: decorator
@inline
export function classHeadPtr(cls: i32): usize {
  return bookPtr() + CLASS_HEADS + (<usize>cls << 2);
}

export function list(id: u32, cls: i32): void {
  const record = recordOf(id);
  const next = load<u32>(classHeadPtr(cls));
  if (next != NO_SPAN) store<u32>(recordOf(next), id, PREV);
  store<u32>(record, NO_SPAN, PREV);
  store<u32>(record, next, NEXT);
  store<u32>(classHeadPtr(cls), id);
}

export function unlist(id: u32, cls: i32): void {
  const record = recordOf(id);
  const prev = load<u32>(record, PREV);
  const next = load<u32>(record, NEXT);
  if (prev != NO_SPAN) {
    if (!ASC_NO_ASSERT) assert(load<u32>(recordOf(prev), NEXT) == id);
    store<u32>(recordOf(prev), next, NEXT);
  } else {
    if (!ASC_NO_ASSERT) assert(load<u32>(classHeadPtr(cls)) == id);
    store<u32>(classHeadPtr(cls), next);
  }
  if (next != NO_SPAN) store<u32>(recordOf(next), prev, PREV);
}
