/**
 * What the `stats()` of a program say about its arena: which options, pools and
 * arenas would serve it, and what it should not pool. Pure. Each piece of advice
 * names the numbers that it rests on.
 */

import type { ArenaStats } from "cleanslab";
import { formatLength } from "../../bench/harness.ts";
import type { Cycle } from "./figures.ts";
import { TINY_BYTES } from "./machine-rules.ts";

export interface Advice {
  about: "health" | "maxBytes" | "segmentBytes" | "lifetimes" | "pool()" | "not worth pooling";
  advice: string;
  why: string;
  /** For machines: the option to set, or the length to pool. */
  set?: { maxBytes: number } | { segmentBytes: number } | { pool: number };
}

export interface Circumstances {
  /** Of the arena, where it is known. */
  segmentBytes?: number;
  /** Of this machine, shortest first; without them V8's limit of 64 bytes decides. */
  cycles?: readonly Cycle[];
}

const MiB = 2 ** 20;
const MIN_SEGMENT_BYTES = 2 ** 18;
const MAX_SEGMENT_BYTES = 2 ** 24;
const DEFAULT_SEGMENT_BYTES = MiB;
/** Fewer leases than this say nothing of what is common. */
const ENOUGH_LEASES = 100;
/** Of all leases: a length is common, or a matter of its own. */
const COMMON = 0.01;
const FREQUENT = 0.2;
/** Retired segments with less than this share of their bytes leased are held by a few long leases. */
const MIXED = 0.25;

export function adviseForStats(stats: ArenaStats, circumstances: Circumstances = {}): Advice[] {
  if (stats.acquired === 0) {
    return [{ about: "not worth pooling", advice: "Nothing can be said.", why: "acquired is 0: nobody took a lease." }];
  }
  const segmentBytes = circumstances.segmentBytes ?? inferSegmentBytes(stats);
  return [
    ...health(stats),
    ...lifetimes(stats),
    cap(stats),
    segment(stats, segmentBytes),
    ...pools(stats, circumstances.cycles),
    ...notWorth(stats, circumstances.cycles),
  ];
}

/** From what retired segments reserve; their bookkeeping is less than a segment more. */
export function inferSegmentBytes({ segments }: ArenaStats): number | undefined {
  if (segments.retired === 0) return undefined;
  return 2 ** Math.floor(Math.log2(segments.retiredBytes / segments.retired));
}

function health({ leakedLeases, corruptSegments, dirtyBlocks, acquired }: ArenaStats): Advice[] {
  const found: Advice[] = [];
  const add = (advice: string, why: string): void => {
    found.push({ about: "health", advice, why });
  };
  if (corruptSegments > 0) {
    add(
      "Find who writes through a view's .buffer before anything else.",
      `corruptSegments is ${corruptSegments}: the bookkeeping of segments was overwritten.`,
    );
  }
  if (dirtyBlocks > 0) {
    add(
      'Find who writes after release: guardEvery: 1000, or revoke: "on-release" in tests.',
      `dirtyBlocks is ${dirtyBlocks}: blocks were written to after they were released.`,
    );
  }
  if (leakedLeases > 0) {
    add(
      'Find who forgets to release: trace: "all" or CLEANSLAB_TRACE=all, and assertDrained() in tests.',
      `leakedLeases is ${leakedLeases} of ${acquired} acquired: they cost a fresh buffer each and keep segments from use.`,
    );
  }
  return found;
}

function isMixed({ segments }: ArenaStats): boolean {
  return segments.retired >= 2 && segments.retiredLiveBytes < segments.retiredBytes * MIXED;
}

function lifetimes(stats: ArenaStats): Advice[] {
  const { segments, acquired, liveLeases, peakReservedBytes, peakLiveBytes } = stats;
  if (isMixed(stats)) {
    const share = percent(segments.retiredLiveBytes / segments.retiredBytes);
    return [
      {
        about: "lifetimes",
        advice: "Give the leases that are held for long an arena of their own.",
        why:
          `segments.retiredLiveBytes is ${formatLength(segments.retiredLiveBytes)}, ${share} of segments.retiredBytes ` +
          `(${formatLength(segments.retiredBytes)} in ${segments.retired} segments): a few leases keep all of that out of use. ` +
          "This is one moment; look again under load.",
      },
    ];
  }
  if (acquired >= ENOUGH_LEASES && liveLeases > acquired / 2) {
    return [
      {
        about: "lifetimes",
        advice: "Do not pool what is kept: a fresh buffer does as well.",
        why: `liveLeases is ${liveLeases} of ${acquired} acquired: hardly any come back to be used again.`,
      },
    ];
  }
  if (peakReservedBytes >= 8 * MiB && peakReservedBytes > 8 * peakLiveBytes) {
    return [
      {
        about: "lifetimes",
        advice: 'See whether long and short leases are mixed, or where the code is trusted use revoke: "never".',
        why:
          `peakReservedBytes (${formatLength(peakReservedBytes)}) is ${Math.round(peakReservedBytes / Math.max(1, peakLiveBytes))} times ` +
          `peakLiveBytes (${formatLength(peakLiveBytes)}): segments drain late, in "never" mode each gap is used at once.`,
      },
    ];
  }
  return [];
}

function cap(stats: ArenaStats): Advice {
  const { maxBytes, overflowed, waiting, acquired, peakReservedBytes, peakLiveBytes } = stats;
  const about = "maxBytes";
  const peaks = `peakReservedBytes is ${formatLength(peakReservedBytes)}, peakLiveBytes ${formatLength(peakLiveBytes)}, maxBytes ${formatLength(maxBytes)}`;
  if (overflowed > 0 || waiting > 0) {
    const short = `overflowed is ${overflowed} (${percent(overflowed / acquired)} of acquired), waiting ${waiting}; ${peaks}.`;
    if (isMixed(stats) && peakLiveBytes < maxBytes / 2) {
      return { about, advice: "Leave it until lifetimes are apart: what was live would have fitted.", why: short };
    }
    const wanted = powerOfTwoFrom(2 * Math.max(maxBytes, peakLiveBytes));
    return { about, advice: `Raise maxBytes to ${formatLength(wanted)}.`, why: short, set: { maxBytes: wanted } };
  }
  const ample = Math.max(4 * MiB, powerOfTwoFrom(2 * peakReservedBytes));
  if (acquired >= ENOUGH_LEASES && ample <= maxBytes / 2) {
    return {
      about,
      advice: `maxBytes of ${formatLength(ample)} would do.`,
      why: `${peaks}. A cap reserves nothing, but a lower one shows a runaway sooner.`,
      set: { maxBytes: ample },
    };
  }
  return {
    about,
    advice: `Leave maxBytes at ${formatLength(maxBytes)}.`,
    why: `Nothing overflowed and nobody waits; ${peaks}.`,
  };
}

function segment(stats: ArenaStats, known: number | undefined): Advice {
  const about = "segmentBytes";
  const segmentBytes = known ?? DEFAULT_SEGMENT_BYTES;
  const now = `segmentBytes is ${known === undefined ? `taken to be ${formatLength(segmentBytes)} (--segment-bytes says otherwise)` : formatLength(segmentBytes)}`;
  const longest = longestCommon(stats);
  const long = longest === undefined ? "" : `lengths up to ${formatLength(longest)} are common; `;
  const set = (wanted: number, why: string): Advice => {
    const verb = wanted > segmentBytes ? "Raise" : "Lower";
    return { about, advice: `${verb} segmentBytes to ${formatLength(wanted)}.`, why, set: { segmentBytes: wanted } };
  };
  const roomy = clamp(powerOfTwoFrom(8 * (longest ?? 0)));
  if (longest !== undefined && longest > segmentBytes / 4 && roomy > segmentBytes) {
    const effect =
      longest > segmentBytes
        ? "each takes a memory and a revocation of its own"
        : "few fit into one segment, and a revocation serves few";
    return set(roomy, `${long}${now}: ${effect}.`);
  }
  const small = clamp(powerOfTwoFrom(16 * (longest ?? MAX_SEGMENT_BYTES)));
  if (isMixed(stats) && small < segmentBytes) {
    return set(small, `${long}${now}: in a smaller segment a long lease keeps less out of use.`);
  }
  return { about, advice: "Leave segmentBytes as it is.", why: `${long}${now}: many leases fit into a segment.` };
}

function longestCommon({ requestedLengths, acquired }: ArenaStats): number | undefined {
  return requestedLengths.filter(({ count }) => count >= acquired * COMMON).at(-1)?.maxByteLength;
}

function pools({ sizeClasses, acquired }: ArenaStats, cycles: Circumstances["cycles"]): Advice[] {
  if (acquired < ENOUGH_LEASES) return [];
  return sizeClasses
    .filter((each) => each.acquired >= acquired * FREQUENT && saves(each.blockBytes, "neverPool", cycles) > 0)
    .map(({ blockBytes, acquired: count }) => ({
      about: "pool()",
      advice: `pool(${blockBytes}), or the length within that class that you ask for, if the code can be trusted with revoke: "never".`,
      why:
        `${count} of ${acquired} leases (${percent(count / acquired)}) are of the class of ${formatLength(blockBytes)}` +
        `${inNever(blockBytes, cycles)}; in the other modes a pool is a name for a length and gains nothing.`,
      set: { pool: blockBytes },
    }));
}

function inNever(byteLength: number, cycles: Circumstances["cycles"]): string {
  if (cycles === undefined || byteLength > (cycles.at(-1)?.byteLength ?? 0)) return "";
  const through = (way: "never" | "neverPool"): string => nsAt(cycles, byteLength, way).toFixed(0);
  return `, which in "never" mode cost about ${through("neverPool")} ns here through a pool and ${through("never")} through acquire`;
}

function notWorth({ requestedLengths, acquired }: ArenaStats, cycles: Circumstances["cycles"]): Advice[] {
  const about = "not worth pooling";
  const losing = requestedLengths.filter(({ maxByteLength }) => saves(maxByteLength, "beforeReuse", cycles) <= 0);
  const count = losing.reduce((sum, each) => sum + each.count, 0);
  const longest = losing.at(-1)?.maxByteLength;
  const found: Advice[] = [];
  if (longest !== undefined) {
    const measured =
      cycles === undefined || cycles.length === 0
        ? `V8 keeps arrays up to ${TINY_BYTES} bytes on its own heap, where a fresh one costs less than a lease`
        : `here ${formatLength(longest)} costs about ${nsAt(cycles, longest, "fresh").toFixed(0)} ns fresh and ${nsAt(cycles, longest, "beforeReuse").toFixed(0)} leased`;
    found.push({
      about,
      advice: `Buffers up to ${formatLength(longest)}: make them fresh.`,
      why: `${count} of ${acquired} leases (${percent(count / acquired)}) are that short, and ${measured}.`,
    });
  }
  const rare = requestedLengths.filter((each) => !losing.includes(each) && each.count < acquired * 0.0001);
  if (rare.length > 0) {
    const lengths = rare.map((each) => `${each.count} up to ${formatLength(each.maxByteLength)}`).join(", ");
    found.push({
      about,
      advice: "Lengths that hardly ever come: a fresh buffer does as well.",
      why: `Fewer than one lease in 10,000 each (requestedLengths: ${lengths}).`,
    });
  }
  return found;
}

/** Nanoseconds that a lease of this length saves against a fresh array, about; 1 or 0 where nothing was measured. */
function saves(byteLength: number, way: "beforeReuse" | "neverPool", cycles: Circumstances["cycles"]): number {
  if (cycles === undefined || cycles.length === 0) return byteLength > TINY_BYTES ? 1 : 0;
  return nsAt(cycles, byteLength, "fresh") - nsAt(cycles, byteLength, way);
}

/** Between measured lengths as a straight line; beyond them what the nearest has. */
export function nsAt(cycles: readonly Cycle[], byteLength: number, way: Exclude<keyof Cycle, "byteLength">): number {
  const above = cycles.find((each) => each.byteLength >= byteLength) ?? cycles.at(-1);
  // Fresh arrays jump at V8's limit: what lies above it is like the next, not like the last.
  const below =
    cycles.findLast(
      (each) => each.byteLength <= byteLength && (each.byteLength > TINY_BYTES || byteLength <= TINY_BYTES),
    ) ?? above;
  if (above === undefined || below === undefined) return Number.NaN;
  if (above.byteLength <= below.byteLength) return below[way];
  const share = (byteLength - below.byteLength) / (above.byteLength - below.byteLength);
  return below[way] + share * (above[way] - below[way]);
}

function clamp(segmentBytes: number): number {
  return Math.min(MAX_SEGMENT_BYTES, Math.max(MIN_SEGMENT_BYTES, segmentBytes));
}

function powerOfTwoFrom(bytes: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(1, bytes)));
}

function percent(share: number): string {
  const value = share * 100;
  return `${value >= 10 || value === 0 ? value.toFixed(0) : value.toPrecision(2)} %`;
}
