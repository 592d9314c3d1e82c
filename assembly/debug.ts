/**
 * The module with its layout laid open, for tests: every constant, the address of
 * everything that a test damages, and the busy word. Built with asserts.
 */

import { enter } from "./busy";
import { classHeadPtr as classHeadPtrOf, recordOf, spanId } from "./list";
import { roomBytePtr as roomBytePtrOf, segmentPtr as segmentPtrOf } from "./segment";
import { linkPtrOf } from "./span";
import { BASE } from "./layout";

export * from "./index";
export * from "./layout";
export * from "./status";

/** Leaves the book as a call does that is cut off before its first store. */
export function cutOff(): void {
  enter();
}

export function classHeadPtr(cls: i32): usize {
  return classHeadPtrOf(cls);
}

/** Address of the room map's byte with the segment's bit. */
export function roomBytePtr(segment: i32): usize {
  return roomBytePtrOf(segment);
}

export function segmentPtr(segment: i32): usize {
  return segmentPtrOf(segment);
}

/** Address of the record of the span that starts at `slab`. */
export function spanPtr(segment: i32, slab: i32): usize {
  return recordOf(spanId(segment, slab));
}

/** Address of the link of the block that starts at `ptr` in the segment's memory. */
export function linkPtr(segment: i32, ptr: i32): usize {
  return linkPtrOf(segmentPtrOf(segment), ptr - load<i32>(segmentPtrOf(segment), BASE));
}
