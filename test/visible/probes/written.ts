/**
 * Buffers whose bytes are written before anyone sees them, so that an allocator may
 * spare the zeroing; and buffers that change their length. What of earlier owners
 * does the writer see, and what the holder?
 */

import { Harm, type Observation, type Probe, themed } from "../probe.ts";
import type { Allocator, Held } from "../subjects.ts";
import { acquireMarked, BUFFER_BYTES, gather, isAll, Mark, passBy, settle } from "../traffic.ts";
import { describeLook } from "./stale.ts";

const HALF_BYTES = BUFFER_BYTES / 2;
/** No block, and no memory of a single buffer, of `BUFFER_BYTES` is so long. */
const LONG_BYTES = 256 * 1024;

export const WRITTEN_PROBES: readonly Probe[] = [
  ...themed("a buffer filled before it is shown", [
    { name: "bytes that a filler is lent", run: fillerSees },
    { name: "bytes behind a short fill, grown", run: grownBehindFill },
  ]),
  ...themed("a buffer that is resized", [
    { name: "bytes that growing adds", run: grown },
    { name: "shrunk and grown again", run: shrunkAndGrown },
    { name: "view from before a move, reading", run: (from) => staleAfterMove(from, () => []) },
    { name: "view from before a move, after reuse", run: (from) => staleAfterMove(from, settle) },
  ]),
];

/** Leaves bytes of earlier owners behind, in buffers of `BUFFER_BYTES` and of half that. */
function spoil(allocator: Allocator): void {
  const fill = (owner: Uint8Array): unknown => owner.fill(Mark.other);
  passBy(allocator, fill);
  for (let turn = 0; turn < 2; turn++) for (const held of gather(allocator, fill)) held.release();
  const halves = Array.from({ length: 2000 }, () => allocator.acquire(HALF_BYTES));
  for (const held of halves) held.bytes.fill(Mark.other);
  for (const held of halves) held.release();
}

/** Many at a time, so that at least one lies where somebody was before. */
function each(allocator: Allocator, make: () => Held, look: (bytes: Uint8Array) => void): void {
  spoil(allocator);
  const all = Array.from({ length: 600 }, make);
  for (const { bytes } of all) look(bytes);
  for (const held of all) held.release();
}

class Tail {
  #former = false;
  #strange = false;
  #lost = false;

  /** Looks at what is added behind `kept` bytes of `Mark.first`. */
  readonly lookBehind =
    (kept: number) =>
    (bytes: Uint8Array): void => {
      const added = bytes.subarray(kept);
      this.#lost ||= !bytes.subarray(0, kept).every((byte) => byte === Mark.first);
      if (added.includes(Mark.other) || added.includes(Mark.first)) this.#former = true;
      else if (added.some((byte) => byte !== 0)) this.#strange = true;
    };

  get result(): Observation {
    if (this.#lost) return { seen: "what was written before is lost", harm: Harm.bytesLost };
    if (this.#former) return { seen: "bytes that were written before", harm: Harm.othersRead };
    if (this.#strange) return { seen: "bytes that nobody here wrote", harm: Harm.othersRead };
    return { seen: "zeros", harm: Harm.none };
  }
}

function fillerSees(allocator: Allocator): Observation {
  const tail = new Tail();
  const look = tail.lookBehind(0);
  const make = (): Held =>
    allocator.acquireFilled(BUFFER_BYTES, (bytes) => {
      look(bytes);
      return bytes.fill(Mark.first).length;
    });
  let whole = true;
  each(allocator, make, (bytes) => {
    whole &&= isAll(bytes, Mark.first);
  });
  if (!whole) return { seen: "what it wrote is not all there", harm: Harm.bytesLost };
  return tail.result;
}

function grownBehindFill(allocator: Allocator): Observation {
  const tail = new Tail();
  const make = (): Held => {
    const held = allocator.acquireFilled(BUFFER_BYTES, (bytes) => bytes.subarray(0, 100).fill(Mark.first).length);
    held.resize(BUFFER_BYTES);
    return held;
  };
  each(allocator, make, tail.lookBehind(100));
  return tail.result;
}

function grown(allocator: Allocator): Observation {
  const tail = new Tail();
  const make = (): Held => {
    const held = allocator.acquire(HALF_BYTES);
    held.bytes.fill(Mark.first);
    held.resize(BUFFER_BYTES);
    return held;
  };
  each(allocator, make, tail.lookBehind(HALF_BYTES));
  return tail.result;
}

function shrunkAndGrown(allocator: Allocator): Observation {
  const tail = new Tail();
  const make = (): Held => {
    const held = acquireMarked(allocator, Mark.first);
    held.resize(HALF_BYTES + 200);
    held.resize(BUFFER_BYTES);
    return held;
  };
  each(allocator, make, tail.lookBehind(HALF_BYTES + 200));
  return tail.result;
}

function staleAfterMove(allocator: Allocator, come: (allocator: Allocator) => Held[]): Observation {
  const held = acquireMarked(allocator, Mark.first);
  const stale = held.bytes;
  held.resize(LONG_BYTES);
  const others = come(allocator);
  const seen = describeLook({ look: () => stale, write: () => {} });
  for (const other of [held, ...others]) other.release();
  return seen;
}
