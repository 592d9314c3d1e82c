/**
 * What `stats()` and `audit()` answer: plain objects, made on request from the
 * ledger and the memories that are still reachable.
 */

import { blockBytesOf, SLAB_COUNT } from "./abi.js";
import type { Ledger, MemoryState } from "./ledger.js";
import { Segment } from "./segment.js";

/** Counters of one arena. All lengths in bytes; counts since the arena was created unless said otherwise. */
export interface ArenaStats {
  /** Leases out now: acquired, and neither released nor leaked. A pinned lease is out until its last pin is released. */
  liveLeases: number;
  /** Bytes in those leases, as asked for. */
  liveBytes: number;
  peakLiveBytes: number;
  /** Linear memory held now, bookkeeping included; never above `maxBytes`. */
  reservedBytes: number;
  peakReservedBytes: number;
  maxBytes: number;
  acquired: number;
  released: number;
  /** Leases that became heap buffers because the cap left no room. */
  overflowed: number;
  /** How often a memory's views were detached. */
  revocations: number;
  /** Leases never released, found when their memory was collected; in `"never"` mode those of them that were watched. */
  leakedLeases: number;
  /** With tracing on: blocks found written to after their release. */
  dirtyBlocks: number;
  /** Leases that `guardEvery` meant to guard, and could not: no room, or 32 memories of one lease were there already. */
  missedGuards: number;
  /** Segments taken out of use because their bookkeeping was damaged. */
  corruptSegments: number;
  /** Calls of `acquireAsync` waiting for room now. */
  waiting: number;
  /** Segments now, by state. */
  segments: {
    active: number;
    retired: number;
    drained: number;
    corrupt: number;
    /** Bytes reserved by retired segments: out of use until their last lease is released … */
    retiredBytes: number;
    /** … and bytes in the leases that keep them so. Far below `retiredBytes`: short and long lifetimes are mixed. */
    retiredLiveBytes: number;
  };
  /** Memories of one lease each now: guards, `"on-release"`, and leases longer than a segment. */
  dedicated: { leased: number; idle: number };
  /** Size classes ever used, shortest first. */
  sizeClasses: { blockBytes: number; acquired: number; liveBlocks: number }[];
  /** Histogram of requested lengths: leases asked for with more bytes than the bar before, and at most `maxByteLength`. */
  requestedLengths: { maxByteLength: number; count: number }[];
}

/** What an audit found. */
export interface AuditReport {
  /** Whether every invariant holds. */
  ok: boolean;
  /** Segments walked. */
  segments: number;
  /** One line for each broken invariant. */
  problems: string[];
}

export function collectStats(ledger: Ledger, slabShift: number): ArenaStats {
  const segments = { active: 0, retired: 0, drained: 0, corrupt: 0, retiredBytes: 0, retiredLiveBytes: 0 };
  const dedicated = { leased: 0, idle: 0 };
  const liveByClass = new Float64Array(ledger.acquiredByClass.length);
  for (const tally of ledger.tallies) {
    if (tally.kind === "segment") {
      segments[tally.state as Exclude<MemoryState, "dropped">]++;
      if (tally.state === "retired") {
        segments.retiredBytes += tally.reservedBytes;
        segments.retiredLiveBytes += tally.liveBytes;
      }
      const owner = tally.owner;
      if (owner instanceof Segment) countLiveBlocks(owner, liveByClass);
    } else if (tally.kind === "dedicated") {
      dedicated[tally.state === "active" ? "leased" : "idle"]++;
    }
  }
  const sizeClasses = Array.from(ledger.acquiredByClass, (acquired, sizeClass) => ({
    blockBytes: blockBytesOf(sizeClass, slabShift),
    acquired,
    liveBlocks: liveByClass[sizeClass] as number,
  })).filter(({ acquired }) => acquired > 0);
  return {
    liveLeases: ledger.liveLeases,
    liveBytes: ledger.liveBytes,
    peakLiveBytes: ledger.peakLiveBytes,
    reservedBytes: ledger.reservedBytes,
    peakReservedBytes: ledger.peakReservedBytes,
    maxBytes: ledger.maxBytes,
    acquired: ledger.acquired,
    released: ledger.released,
    overflowed: ledger.overflowed,
    revocations: ledger.revocations,
    leakedLeases: ledger.leakedLeases,
    dirtyBlocks: ledger.dirtyBlocks,
    missedGuards: ledger.missedGuards,
    corruptSegments: ledger.corruptSegments,
    waiting: ledger.waiting,
    segments,
    dedicated,
    sizeClasses,
    requestedLengths: histogram(ledger, slabShift),
  };
}

function countLiveBlocks(segment: Segment, liveByClass: Float64Array): void {
  for (let slab = 0; slab < SLAB_COUNT; slab++) {
    const span = segment.exports.spanAt(slab);
    if (span >= 0 && span >> 16 < liveByClass.length) (liveByClass[span >> 16] as number) += span & 0xffff;
  }
}

function histogram(ledger: Ledger, slabShift: number): ArenaStats["requestedLengths"] {
  const counts = new Map<number, number>();
  const add = (maxByteLength: number, count: number): void => {
    if (count > 0) counts.set(maxByteLength, (counts.get(maxByteLength) ?? 0) + count);
  };
  for (const [sizeClass, count] of ledger.acquiredByClass.entries()) add(blockBytesOf(sizeClass, slabShift), count);
  for (const [bits, count] of ledger.acquiredByBits.entries()) add(2 ** bits - 1, count);
  return Array.from(counts, ([maxByteLength, count]) => ({ maxByteLength, count })).sort(
    (a, b) => a.maxByteLength - b.maxByteLength,
  );
}

/**
 * Walks every segment that can be reached.
 *
 * @param keptIn how many blocks of a segment its pools keep: live to the module, but no lease.
 * @param expectZero whether free blocks must be zero between leases (`"never"`, where nothing zeroes them again).
 */
export function auditMemories(ledger: Ledger, keptIn: (segment: Segment) => number, expectZero: boolean): AuditReport {
  const problems: string[] = [];
  let walked = 0;
  let reservedBytes = 0;
  let live = 0;
  for (const tally of ledger.tallies) {
    reservedBytes += tally.reservedBytes;
    live += tally.live;
    const segment = tally.owner;
    if (!(segment instanceof Segment)) continue;
    walked++;
    const name = `segment ${walked} (${tally.state})`;
    const found = segment.exports.audit();
    if (found !== 0) problems.push(`${name}: invariant I${found >> 8} is broken at slab ${found & 0xff}`);
    const blocks = segment.exports.liveBlocks() - keptIn(segment) - tally.lost;
    if (blocks !== tally.live) problems.push(`${name}: ${blocks} live blocks for ${tally.live} leases`);
    const dirtyAt = expectZero && found === 0 ? segment.exports.findDirty() : 0;
    if (dirtyAt !== 0)
      problems.push(`${name}: the free byte at ${dirtyAt} is not zero; something wrote to it after release`);
  }
  if (reservedBytes !== ledger.reservedBytes) {
    problems.push(`L1: ${ledger.reservedBytes} bytes are reserved, but the memories have ${reservedBytes}`);
  }
  if (ledger.reservedBytes > ledger.maxBytes) {
    problems.push(`L1: ${ledger.reservedBytes} bytes are reserved, above maxBytes = ${ledger.maxBytes}`);
  }
  if (live !== ledger.liveLeases)
    problems.push(`L2: ${ledger.liveLeases} leases are live, but the memories have ${live}`);
  return { ok: problems.length === 0, segments: walked, problems };
}
