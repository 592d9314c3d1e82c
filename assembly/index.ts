/**
 * What the module exports. One instance is the book of one arena: it says which slabs
 * and blocks of which segments are handed out, and never touches a segment's bytes.
 * It knows no leases, views or revocation.
 *
 * A block is named by its segment's number and its pointer in that segment's memory.
 * Slab s of a segment starts at base + (s << slabShift); slab 0 is the trap and never
 * handed out. Answers are those of status.ts. Arguments are checked in every build, and
 * no argument makes an export trap.
 *
 * Exports that store stand between `enter` and `leave`. The others can be called on a
 * book that was cut off half way, but need not be right then.
 *
 * Imports point one way:
 * index → audit → span → list → segment → slab-map, size-class → layout, status, busy.
 */

import { enter, isSet, leave } from "./busy";
import { EXCHANGE_CAPACITY, LIVE, LIVE_BLOCKS, MAX_SLAB_SHIFT, MIN_SLAB_SHIFT, SLAB_COUNT } from "./layout";
import { recordOf, spanId } from "./list";
import { enterSegment, hasBlocks, layOut, leaveSegment, noteRoom, usedSegmentPtr } from "./segment";
import {
  blockBytesOf, capacityOf, classCount as classes, isClass, setSlabShift, sizeClassOf as smallestClassOf, slabShift,
  spanSlabsOf,
} from "./size-class";
import { freeSlabCount, isHead } from "./slab-map";
import { classOf, forgetSpans, give, pairPtr, take, takeWholeRun } from "./span";
import { BAD_ADDRESS, BAD_CLASS, BAD_COUNT, BAD_LAYOUT, BAD_SEGMENT, BUSY, OK, WRONG_MODE } from "./status";

export { audit } from "./audit";
export { classAt } from "./span";

/**
 * Lays out an empty book, once: for single blocks if `blocks` is 1, for whole runs if
 * it is 0. The memory must be zero, as a new one is.
 */
export function init(shift: i32, blocks: i32): i32 {
  return enter() ? leave(start(shift, blocks)) : BUSY;
}

function start(shift: i32, blocks: i32): i32 {
  const isInRange = <u32>(shift - MIN_SLAB_SHIFT) <= <u32>(MAX_SLAB_SHIFT - MIN_SLAB_SHIFT) && <u32>blocks <= 1;
  if (slabShift != 0 || !isInRange) return BAD_LAYOUT;
  setSlabShift(shift);
  layOut(blocks != 0);
  return OK;
}

// ---- Size classes ----

export function classCount(): i32 {
  return classes;
}

/** Bytes in a block of class `cls`. */
export function blockBytes(cls: i32): i32 {
  return isClass(cls) ? blockBytesOf(cls) : BAD_CLASS;
}

/** Slabs in a span of class `cls`. */
export function spanSlabs(cls: i32): i32 {
  return isClass(cls) ? spanSlabsOf(cls) : BAD_CLASS;
}

/** The smallest class whose blocks hold `byteLength` bytes, an unsigned number; `classCount()` if none does. */
export function sizeClassOf(byteLength: i32): i32 {
  return smallestClassOf(byteLength);
}

// ---- Segments ----

/**
 * Enters a segment whose slab 0 starts at `base`: above -4096, at most 0, a multiple
 * of 64. Answers its number, below 65536, or a negative status.
 */
export function addSegment(base: i32): i32 {
  return enter() ? leave(enterSegment(base)) : BUSY;
}

/** Forgets the segment and whatever was handed out of it. Its number may be used again. */
export function dropSegment(segment: i32): i32 {
  return enter() ? leave(forget(segment, true)) : BUSY;
}

/** All slabs of the segment but the trap are free again, whatever was handed out of it. */
export function recycle(segment: i32): i32 {
  return enter() ? leave(forget(segment, false)) : BUSY;
}

function forget(segment: i32, isDropped: bool): i32 {
  const at = usedSegmentPtr(segment);
  if (at == 0) return BAD_SEGMENT;
  forgetSpans(segment, at);
  if (isDropped) leaveSegment(segment, at);
  else noteRoom(segment);
  return OK;
}

export function freeSlabs(segment: i32): i32 {
  const at = usedSegmentPtr(segment);
  return at != 0 ? freeSlabCount(at) : BAD_SEGMENT;
}

// ---- Whole runs ----

/**
 * Hands out a run: all blocks of a new span of class `cls`, in the lowest free slabs
 * that fit. Answers the pointer of its first block, `NO_ROOM`, or a negative status.
 */
export function openRun(segment: i32, cls: i32): i32 {
  return enter() ? leave(takeRunOf(segment, cls)) : BUSY;
}

function takeRunOf(segment: i32, cls: i32): i32 {
  if (hasBlocks) return WRONG_MODE;
  const at = usedSegmentPtr(segment);
  if (at == 0) return BAD_SEGMENT;
  return isClass(cls) ? takeWholeRun(at, cls) : BAD_CLASS;
}

// ---- Single blocks ----

/**
 * Hands out up to `count` blocks of class `cls`, of any segments, and writes a pair
 * (segment, pointer) for each to the exchange. Answers how many: fewer than `count`
 * if the segments there are have no more room.
 */
export function takeBlocks(cls: i32, count: i32): i32 {
  return enter() ? leave(takeMany(cls, count)) : BUSY;
}

function takeMany(cls: i32, count: i32): i32 {
  if (!hasBlocks) return WRONG_MODE;
  if (!isClass(cls)) return BAD_CLASS;
  return <u32>count <= <u32>EXCHANGE_CAPACITY ? take(cls, count) : BAD_COUNT;
}

/**
 * Takes back the blocks of the exchange's first `count` pairs. If one of them is not a
 * live block, or stands there twice, answers a negative status and takes back none.
 */
export function giveBlocks(count: i32): i32 {
  return enter() ? leave(giveMany(count)) : BUSY;
}

function giveMany(count: i32): i32 {
  if (!hasBlocks) return WRONG_MODE;
  return <u32>count <= <u32>EXCHANGE_CAPACITY ? give(count) : BAD_COUNT;
}

/** Address of the exchange in the book's memory: 128 pairs of u32. */
export function exchangePtr(): i32 {
  return <i32>pairPtr(0);
}

/** Blocks of the segment that are handed out. */
export function liveBlocks(segment: i32): i32 {
  if (!hasBlocks) return WRONG_MODE;
  const at = usedSegmentPtr(segment);
  return at != 0 ? load<i32>(at, LIVE_BLOCKS) : BAD_SEGMENT;
}

// ---- Looking ----

/**
 * The span that starts at `slab`, as `class << 16 | live blocks`; all blocks of a run
 * are live. -1 if no span starts there.
 */
export function spanAt(segment: i32, slab: i32): i32 {
  const at = usedSegmentPtr(segment);
  if (at == 0) return BAD_SEGMENT;
  if (<u32>slab >= <u32>SLAB_COUNT || !isHead(at, slab)) return BAD_ADDRESS;
  const cls = classOf(at, slab);
  const live: i32 = hasBlocks ? load<u16>(recordOf(spanId(segment, slab)), LIVE) : capacityOf(cls);
  return (cls << 16) | live;
}

/** 1 if a call that stores was cut off half way. */
export function isBusy(): i32 {
  return isSet();
}
