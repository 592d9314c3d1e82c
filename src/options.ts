/**
 * The options of an arena: their defaults, their limits, and what follows from
 * them. Everything is checked here, once.
 */

import { isLength, requireKnown, requireOptions } from "./checks.js";
import { invalidArgument } from "./errors.js";

/** When a view kept past its release dies. */
export type RevokeMode = "before-reuse" | "on-release" | "never";
/** What `acquire` does when the cap leaves no room. */
export type ExhaustionPolicy = "allocate" | "throw";
/** How many leases are watched: who acquired them, and whether anyone writes to them after release. */
export type TraceLevel = "off" | "sampled" | "all";

/** A memory that goes from one state of its life to another; lengths in bytes. */
export interface MemoryMove {
  readonly kind: "segment" | "one-lease" | "heap";
  readonly to: "active" | "retired" | "drained" | "dropped" | "collected";
  readonly reservedBytes: number;
  readonly liveLeases: number;
  readonly liveBytes: number;
}

/** What an arena tells its time line. Must run none of the caller's code. */
export interface ArenaTimeline {
  moved(memory: object, move: MemoryMove): void;
  revoked(memory: object): void;
  /** A call that asked for room at `since`, by `performance.now()`, waits no longer. */
  waited(byteLength: number, since: number, isServed: boolean): void;
}

/** How often and how long room was waited for. */
export interface WaitCounts {
  /** Calls that had to wait and were served. */
  count: number;
  /** How long they waited together, in milliseconds. */
  totalMs: number;
  /** How long the longest of them waited, in milliseconds. */
  longestMs: number;
}

export interface ArenaOptions {
  /**
   * The hard cap on the memory that leases lie in, in bytes. Default 64 MiB. At least
   * one segment. Memory is reserved as it is needed, never up front. The arena's
   * book comes on top: `stats().bookBytes`, 64 KiB and up to a thirtieth of the cap in `"never"` mode.
   */
  maxBytes?: number | undefined;
  /**
   * Bytes in a segment: a power of two from 256 KiB to 16 MiB. Default 1 MiB, 256 KiB
   * or 512 KiB under a cap below 16 MiB; where a process may have few memories, as in
   * Chromium, at least a 64th of the cap. A segment is the unit of revocation, so one
   * lease held for long keeps this much out of use.
   */
  segmentBytes?: number | undefined;
  /** Default `"before-reuse"`. */
  revoke?: RevokeMode | undefined;
  /** Zero the bytes at release as well. Default false; `"on-release"` always does, and so does `trace: "all"`. */
  wipeOnRelease?: boolean | undefined;
  /** Default `"allocate"`: past the cap a lease is a fresh heap buffer, counted and reported. */
  onExhausted?: ExhaustionPolicy | undefined;
  /**
   * One lease in this many has a memory of its own and is revoked at release. Default 0: none.
   * None is made for a guard beyond 32 memories of one lease, idle ones included, nor by
   * dropping what is idle: `stats().missedGuards` counts those leases.
   */
  guardEvery?: number | undefined;
  /**
   * `"sampled"` keeps the stacks of a few leases, chosen by their bytes, and can stay on.
   * `"all"` keeps those of every lease, for several microseconds each, and is for tests.
   * Default: the environment variable `CLEANSLAB_TRACE` where there is one, else `"off"`.
   * Can be changed: `arena.trace`.
   */
  trace?: TraceLevel | undefined;
  /**
   * With `trace: "sampled"`: one lease is traced for this many bytes leased, on average,
   * and at most about a thousand a second. A whole number from 1. Default 512 KiB.
   */
  sampleBytes?: number | undefined;
  /** `new Timeline()`: the lives of memories, waits and revocations on tracks of their own in DevTools. Default: none. */
  timeline?: ArenaTimeline | undefined;
  /**
   * A `WebAssembly.Module` compiled from `cleanslab/arena.wasm`, for places that forbid
   * compiling at run time. Default: the embedded module, compiled at first use.
   */
  module?: object | undefined;
}

/** Checked options, with nothing left open. */
export type Settings = {
  readonly [K in Exclude<keyof ArenaOptions, "module" | "timeline">]-?: Exclude<ArenaOptions[K], undefined>;
} & Readonly<Pick<ArenaOptions, "module" | "timeline">>;

const KiB = 1024;
const MiB = 1024 * KiB;
const MIN_SEGMENT_BYTES = 256 * KiB;
const MAX_SEGMENT_BYTES = 16 * MiB;
/** Where memories are few, a cap never needs more than this many. */
const MOST_MEMORIES = 32;

/**
 * @param memoriesAreFew whether a process may have only about a hundred memories here.
 * @throws ArenaError `ERR_INVALID_ARGUMENT` naming the option, its value and what it may be.
 */
export function resolveOptions(options: ArenaOptions = {}, memoriesAreFew = false): Settings {
  requireOptions(options);
  const maxBytes = options.maxBytes ?? 64 * MiB;
  const segmentBytes = options.segmentBytes ?? automaticSegmentBytes(maxBytes, memoriesAreFew);
  const isSegment =
    isPowerOfTwo(segmentBytes) && segmentBytes >= MIN_SEGMENT_BYTES && segmentBytes <= MAX_SEGMENT_BYTES;
  check("segmentBytes", segmentBytes, isSegment, "a power of two from 262144 (256 KiB) to 16777216 (16 MiB)");
  const least = options.segmentBytes ?? MIN_SEGMENT_BYTES;
  const isCap = Number.isSafeInteger(maxBytes) && maxBytes >= segmentBytes;
  check("maxBytes", maxBytes, isCap, `a whole number of bytes, at least ${least} for one segment`);
  const guardEvery = options.guardEvery ?? 0;
  check("guardEvery", guardEvery, isLength(guardEvery), "0 for none, or N for one lease in N");
  const sampleBytes = options.sampleBytes ?? 512 * KiB;
  check("sampleBytes", sampleBytes, isLength(sampleBytes) && sampleBytes > 0, "a whole number of bytes, at least 1");
  const wipeOnRelease = options.wipeOnRelease ?? false;
  check("wipeOnRelease", wipeOnRelease, typeof wipeOnRelease === "boolean", "true or false");
  const { module, timeline } = options;
  const { moved } = Object(timeline) as { moved?: unknown };
  const isTimeline = timeline === undefined || typeof moved === "function";
  check("timeline", timeline, isTimeline, "new Timeline(), or nothing");
  const isObject = typeof module === "object" && module !== null;
  check("module", module, module === undefined || isObject, "a WebAssembly.Module compiled from cleanslab/arena.wasm");
  const settings: Settings = {
    maxBytes,
    segmentBytes,
    revoke: oneOf("revoke", options.revoke ?? "before-reuse", ["before-reuse", "on-release", "never"]),
    wipeOnRelease,
    onExhausted: oneOf("onExhausted", options.onExhausted ?? "allocate", ["allocate", "throw"]),
    guardEvery,
    trace: options.trace === undefined ? traceFromEnvironment() : checkTrace(options.trace),
    sampleBytes,
    timeline,
    module,
  };
  requireKnown(options, Object.keys(settings));
  return settings;
}

/**
 * 1 MiB holds fifteen leases of 64 KiB, the commonest length: 0.94 of the cap, where
 * 256 KiB hold three, 0.75. A small cap wants short segments, so that there are several.
 */
function automaticSegmentBytes(maxBytes: number, memoriesAreFew: boolean): number {
  let segmentBytes = MiB;
  while (segmentBytes > MIN_SEGMENT_BYTES && segmentBytes * 16 > maxBytes) segmentBytes /= 2;
  if (memoriesAreFew) {
    while (segmentBytes < MAX_SEGMENT_BYTES && segmentBytes * MOST_MEMORIES < maxBytes) segmentBytes *= 2;
  }
  return segmentBytes;
}

function check(name: string, value: unknown, isGood: boolean, wanted: string): void {
  if (!isGood) throw invalidArgument(name, value, wanted);
}

function isPowerOfTwo(value: unknown): boolean {
  return typeof value === "number" && Number.isSafeInteger(value) && Number.isInteger(Math.log2(value));
}

/** @throws ArenaError `ERR_INVALID_ARGUMENT` if `trace` is no level. */
export function checkTrace(trace: TraceLevel, name = "trace"): TraceLevel {
  return oneOf(name, trace, ["off", "sampled", "all"]);
}

function traceFromEnvironment(): TraceLevel {
  const { process } = globalThis as { process?: { env?: Record<string, string | undefined> } };
  let trace: string | undefined;
  try {
    trace = process?.env?.["CLEANSLAB_TRACE"];
  } catch {
    // Deno without the permission to read it: nobody has asked for tracing there.
  }
  return checkTrace((trace || "off") as TraceLevel, "the environment variable CLEANSLAB_TRACE");
}

function oneOf<T extends string>(name: string, value: T, allowed: readonly T[]): T {
  check(name, value, allowed.includes(value), allowed.map((each) => `"${each}"`).join(" or "));
  return value;
}
