/**
 * The other code in the program: what every probe fills buffers with, and the
 * owners that come after the one it watches. Outside code cannot ask where a
 * buffer lies, so reuse is provoked: many owners one after another, then many at
 * a time, until what was given back must have been handed out again if it ever is.
 */

import { firstOf, Harm, type Observation } from "./probe.ts";
import type { Allocator, Held } from "./subjects.ts";

export const BUFFER_BYTES = 2048;

/** What a buffer is filled with, and by whom. */
export const Mark = {
  /** The owner that the probe watches. */
  first: 0xa1,
  /** Any owner after or beside it. */
  other: 0xb2,
  /** A view used past its release. */
  stale: 0xc3,
  /** A file or socket. */
  io: 0xd4,
} as const;

/** One after another: several turns of every free list. */
const PASSERS_BY = 600;
/** At a time: more than two megabytes. */
export const CROWD = 1200;

/** Is shown a buffer, and may write to it. */
type Meet = (owner: Uint8Array<ArrayBuffer>) => unknown;

export function acquireMarked(allocator: Allocator, mark: number): Held {
  const held = allocator.acquire(BUFFER_BYTES);
  held.bytes.fill(mark);
  return held;
}

/** Lets other owners come and go, one at a time. `meet` sees each as it was handed out. */
export function passBy(allocator: Allocator, meet: Meet): void {
  for (let count = 0; count < PASSERS_BY; count++) {
    const held = allocator.acquire(BUFFER_BYTES);
    meet(held.bytes);
    held.release();
  }
}

/** Other owners that all stay. `meet` sees each as it was handed out. */
export function gather(allocator: Allocator, meet: Meet): Held[] {
  return Array.from({ length: CROWD }, () => {
    const held = allocator.acquire(BUFFER_BYTES);
    meet(held.bytes);
    return held;
  });
}

/** Both of the above; `meet` sees those who stay once more when all are there. */
export function reuse(allocator: Allocator, meet: Meet): void {
  const crowd = passAndGather(allocator, meet);
  for (const { bytes } of crowd) meet(bytes);
  for (const held of crowd) held.release();
}

/** Other owners that stay, and wrote, after others have come and gone. */
export function settle(allocator: Allocator): Held[] {
  return passAndGather(allocator, (owner) => owner.fill(Mark.other));
}

/** Those who stay come twice: an allocator may let memory rest until all who had it are gone. */
function passAndGather(allocator: Allocator, meet: Meet): Held[] {
  passBy(allocator, meet);
  for (const held of gather(allocator, meet)) held.release();
  return gather(allocator, meet);
}

const patterns = new Map<number, Buffer>(
  [0, ...Object.values(Mark)].map((mark) => [mark, Buffer.alloc(BUFFER_BYTES, mark)]),
);

/** Whether `bytes`, of `BUFFER_BYTES`, hold `mark` and nothing else. */
export function isAll(bytes: Uint8Array, mark: number): boolean {
  const pattern = patterns.get(mark) ?? Buffer.alloc(BUFFER_BYTES, mark);
  return pattern.equals(bytes);
}

/** So many bytes of the others' mark in a row are no chance and no bookkeeping. */
const TRACE = Buffer.alloc(64, Mark.other);

export const showsOthers = (buffer: ArrayBufferLike): boolean => Buffer.from(buffer).includes(TRACE);

/** Writes only where it finds another owner's bytes: an allocator's bookkeeping is not the question here. */
export function defaceOthers(buffer: ArrayBufferLike): void {
  const whole = Buffer.from(buffer);
  for (let at = whole.indexOf(TRACE); at >= 0; at = whole.indexOf(TRACE, at + 1)) whole[at] = Mark.stale;
}

/** Whether any byte of one is a byte of another: each writes its number, then each looks for it. */
export function anyShared(owners: readonly Uint8Array[]): boolean {
  const number = (owner: Uint8Array, index: number): void => {
    owner.fill(index % 251);
    owner[0] = Math.floor(index / 251);
  };
  const isNumber = (owner: Uint8Array, index: number): boolean =>
    owner[0] === Math.floor(index / 251) && owner.subarray(1).every((byte) => byte === index % 251);
  for (const [index, owner] of owners.entries()) number(owner, index);
  return !owners.every(isNumber);
}

/** Looks at buffers before anyone writes to them; behind the first `kept` bytes, which are their owner's. */
export class Inspection {
  readonly #kept: number;
  #isLost = false;
  #isFormer = false;
  #isStrange = false;

  constructor(kept = 0) {
    this.#kept = kept;
  }

  readonly look = (bytes: Uint8Array): void => {
    const added = bytes.subarray(this.#kept);
    this.#isLost ||= !bytes.subarray(0, this.#kept).every((byte) => byte === Mark.first);
    if (added.includes(Mark.other) || added.includes(Mark.first)) this.#isFormer = true;
    else this.#isStrange ||= added.some((byte) => byte !== 0);
  };

  readonly lookAndFill = (bytes: Uint8Array): void => {
    this.look(bytes);
    bytes.fill(Mark.first);
  };

  readonly result = (): Observation =>
    firstOf(
      [
        [this.#isLost, "what was written before is lost", Harm.bytesLost],
        [this.#isFormer, "bytes that were written before", Harm.othersRead],
        [this.#isStrange, "bytes that nobody here wrote", Harm.othersRead],
      ],
      "zeros",
    );
}
