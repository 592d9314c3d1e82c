/**
 * What a small view reaches beyond itself while it is rightly held: through
 * `.buffer`, by cloning, by transferring, and by staying.
 */

import { formatBytes, Harm, type Observation, outcomeOf, type Probe, themed } from "../probe.ts";
import type { Allocator, Held } from "../subjects.ts";
import { acquireMarked, isAll, Mark, reuse } from "../traffic.ts";

const SMALL_BYTES = 16;
/** So many bytes of the others' mark in a row are no chance and no bookkeeping. */
const TRACE = Buffer.alloc(64, Mark.other);

export const REACH_PROBES: readonly Probe[] = themed("what a small view reaches", [
  { name: "live view's .buffer, reading", run: readsNeighbours },
  { name: "live view's .buffer, writing", run: writesNeighbours },
  { name: "live view's .buffer when others left", run: readsRemains },
  { name: "a write that ignores byteOffset", run: ignoresByteOffset },
  { name: "structuredClone of 16 bytes", run: clones },
  { name: "transfer of a live view's buffer", run: transfers },
  { name: "kept 16 bytes, before reuse", run: (from) => keptAlive(from, () => {}) },
  { name: "kept 16 bytes, after reuse", run: (from) => keptAlive(from, () => reuse(from, () => {})) },
]);

/** One of many live owners, in their midst. */
function amongOthers(allocator: Allocator): { mine: Held; others: Held[] } {
  const before = Array.from({ length: 8 }, () => acquireMarked(allocator, Mark.other));
  const mine = acquireMarked(allocator, Mark.first);
  const after = Array.from({ length: 8 }, () => acquireMarked(allocator, Mark.other));
  return { mine, others: [...before, ...after] };
}

function releaseAll(owners: readonly Held[]): void {
  for (const held of owners) held.release();
}

function readsNeighbours(allocator: Allocator): Observation {
  const { mine, others } = amongOthers(allocator);
  const found = Buffer.from(mine.bytes.buffer).includes(TRACE);
  releaseAll([mine, ...others]);
  return found
    ? { seen: "shows other owners' bytes", harm: Harm.othersRead }
    : { seen: "shows nobody else's bytes", harm: Harm.none };
}

/** Writes only where it found another owner's bytes: an allocator's bookkeeping is not the question here. */
function writesNeighbours(allocator: Allocator): Observation {
  const { mine, others } = amongOthers(allocator);
  const whole = Buffer.from(mine.bytes.buffer);
  for (let at = whole.indexOf(TRACE); at >= 0; at = whole.indexOf(TRACE, at + 1)) whole[at] = Mark.stale;
  const changed = others.some(({ bytes }) => !isAll(bytes, Mark.other));
  releaseAll([mine, ...others]);
  return changed
    ? { seen: "changes another owner's bytes", harm: Harm.othersChanged }
    : { seen: "finds nobody's bytes to change", harm: Harm.none };
}

function readsRemains(allocator: Allocator): Observation {
  const { mine, others } = amongOthers(allocator);
  releaseAll(others);
  const found = Buffer.from(mine.bytes.buffer).includes(TRACE);
  mine.release();
  return found
    ? { seen: "shows what they left", harm: Harm.othersRead }
    : { seen: "shows nothing of theirs", harm: Harm.none };
}

/** What `new DataView(bytes.buffer).setUint32(8, …)` hits: the commonest fault with pooled memory. */
function ignoresByteOffset(allocator: Allocator): Observation {
  const { mine, others } = amongOthers(allocator);
  const front = new Uint8Array(mine.bytes.buffer, 0, 2 * SMALL_BYTES);
  const before = front.slice();
  new DataView(mine.bytes.buffer).setUint32(8, 0xc3c3c3c3);
  const hitsOthers = others.some(({ bytes }) => !isAll(bytes, Mark.other));
  const hitsOwn = !isAll(mine.bytes, Mark.first);
  const isReported = (allocator.strayWrites?.() ?? 0) > 0;
  // An allocator's own bookkeeping may lie there.
  front.set(before);
  releaseAll([mine, ...others]);
  if (hitsOthers) return { seen: "changes another owner's bytes", harm: Harm.othersChanged };
  if (hitsOwn) return { seen: "changes its own bytes", harm: Harm.none };
  return isReported
    ? { seen: "changes nobody's bytes, and is reported", harm: Harm.none }
    : { seen: "changes bytes that are nobody's here, unnoticed", harm: Harm.othersChanged };
}

function clones(allocator: Allocator): Observation {
  const { mine, others } = amongOthers(allocator);
  const clone = structuredClone(mine.bytes.subarray(0, SMALL_BYTES));
  const found = Buffer.from(clone.buffer).includes(TRACE);
  const copied = clone.buffer.byteLength;
  releaseAll([mine, ...others]);
  const seen = `copies ${formatBytes(copied)}, ${found ? "other owners' among them" : "nobody else's"}`;
  // Other owners' bytes weigh more than any number of one's own.
  return { seen, harm: found ? Number.MAX_SAFE_INTEGER : copied };
}

function transfers(allocator: Allocator): Observation {
  const { mine, others } = amongOthers(allocator);
  const { bytes } = mine;
  let moved: Uint8Array = new Uint8Array(0);
  const { threw } = outcomeOf(() => {
    moved = structuredClone(bytes, { transfer: [bytes.buffer] });
  });
  const died = others.filter((other) => outcomeOf(() => other.bytes[0]).threw !== null || other.bytes.length === 0);
  const found = Buffer.from(moved.buffer).includes(TRACE);
  const emptied = bytes.length === 0;
  outcomeOf(() => releaseAll([mine, ...others]));
  if (died.length > 0) return { seen: "other owners' views die", harm: Harm.othersChanged };
  if (found) return { seen: "gives a copy with other owners' bytes", harm: Harm.othersRead };
  if (threw !== null) return { seen: `throws ${threw}, nobody is harmed`, harm: Harm.none };
  return { seen: emptied ? "takes its own bytes along" : "gives a copy of its own bytes", harm: Harm.none };
}

/** How much memory a few bytes keep from being let go of, once their buffer was given back. */
function keptAlive(allocator: Allocator, meanwhile: () => void): Observation {
  const held = acquireMarked(allocator, Mark.first);
  const kept = held.bytes.subarray(0, SMALL_BYTES);
  held.release();
  meanwhile();
  const { byteLength } = kept.buffer;
  if (byteLength === 0) return { seen: "keep nothing alive", harm: 0 };
  return { seen: `keep ${formatBytes(byteLength)} alive`, harm: byteLength };
}
