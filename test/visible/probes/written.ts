/**
 * Buffers whose bytes are written before anyone sees them, so that an allocator may
 * spare the zeroing; and buffers that change their length. What of earlier owners
 * does the writer see, and what the holder?
 */

import { Harm, type Observation, type Probe, themed } from "../probe.ts";
import type { Allocator, Held } from "../subjects.ts";
import { acquireMarked, BUFFER_BYTES, gather, Inspection, isAll, Mark, passBy, settle } from "../traffic.ts";
import { describeLook } from "./stale.ts";

const HALF_BYTES = BUFFER_BYTES / 2;
/** No block, and no memory of a single buffer, of `BUFFER_BYTES` is so long. */
const LONG_BYTES = 256 * 1024;

export const WRITTEN_PROBES: readonly Probe[] = [
  ...themed("a buffer filled before it is shown", {
    "bytes that a filler is lent": fillerSees,
    "bytes behind a short fill, grown": (from) =>
      behind(from, 100, () =>
        from.acquireFilled(BUFFER_BYTES, (bytes) => bytes.subarray(0, 100).fill(Mark.first).length),
      ),
  }),
  ...themed("a buffer that is resized", {
    "bytes that growing adds": (from) => behind(from, HALF_BYTES, () => filled(from, HALF_BYTES)),
    "shrunk and grown again": (from) => behind(from, HALF_BYTES + 200, () => filled(from, BUFFER_BYTES)),
    "view from before a move, reading": (from) => staleAfterMove(from, () => []),
    "view from before a move, after reuse": (from) => staleAfterMove(from, settle),
  }),
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

function filled(allocator: Allocator, byteLength: number): Held {
  const held = allocator.acquire(byteLength);
  held.bytes.fill(Mark.first);
  return held;
}

function fillerSees(allocator: Allocator): Observation {
  const { look, result } = new Inspection();
  const make = (): Held =>
    allocator.acquireFilled(BUFFER_BYTES, (bytes) => {
      look(bytes);
      return bytes.fill(Mark.first).length;
    });
  let isWhole = true;
  each(allocator, make, (bytes) => {
    isWhole &&= isAll(bytes, Mark.first);
  });
  return isWhole ? result() : { seen: "what it wrote is not all there", harm: Harm.bytesLost };
}

/** What a buffer has behind its first `kept` bytes when it is grown. */
function behind(allocator: Allocator, kept: number, make: () => Held): Observation {
  const { look, result } = new Inspection(kept);
  const grown = (): Held => {
    const held = make();
    held.resize(kept);
    held.resize(BUFFER_BYTES);
    return held;
  };
  each(allocator, grown, look);
  return result();
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
