/**
 * The options of an arena: their defaults, their limits, and what follows from
 * them. Everything is checked here, once.
 */

import { MAX_SLAB_SHIFT, MIN_SLAB_SHIFT, SLAB_COUNT, segmentMemoryBytes } from "./abi.js";
import { invalidArgument } from "./errors.js";

/** When a view kept past its release dies. */
export type RevokeMode = "before-reuse" | "on-release" | "never";
/** What `acquire` does when the cap leaves no room. */
export type ExhaustionPolicy = "allocate" | "throw";
/** How many leases are watched: who acquired them, and whether anyone writes to them after release. */
export type TraceLevel = "off" | "sampled" | "all";

export interface ArenaOptions {
  /**
   * The hard cap on linear memory, in bytes, bookkeeping included. Default 64 MiB.
   * At least one segment; memory is reserved as it is needed, never up front.
   */
  maxBytes?: number | undefined;
  /**
   * Bytes of slabs in a segment: a power of two from 256 KiB to 16 MiB. Default 1 MiB.
   * A segment is the unit of revocation, so one lease held for long keeps this much out of use.
   */
  segmentBytes?: number | undefined;
  /** Default `"before-reuse"`. */
  revoke?: RevokeMode | undefined;
  /** Default `"allocate"`: past the cap a lease is a fresh heap buffer, counted and reported. */
  onExhausted?: ExhaustionPolicy | undefined;
  /**
   * One lease in this many has a memory of its own and dies at release. Default 0: none.
   * None is made for a guard beyond 32 memories of one lease, of whatever origin and idle
   * ones included, nor by dropping what is idle: `stats().missedGuards` counts those leases.
   */
  guardEvery?: number | undefined;
  /** Default: the environment variable `CLEANSLAB_TRACE` where there is one, else `"off"`. Can be changed: `arena.trace`. */
  trace?: TraceLevel | undefined;
}

/** Checked options, with nothing left open. */
export interface Settings {
  readonly maxBytes: number;
  readonly segmentBytes: number;
  readonly slabShift: number;
  readonly revoke: RevokeMode;
  readonly onExhausted: ExhaustionPolicy;
  readonly guardEvery: number;
  readonly trace: TraceLevel;
}

const MiB = 1024 * 1024;

/** @throws ArenaError `ERR_INVALID_ARGUMENT` naming the option, its value and what it may be. */
export function resolveOptions(options: ArenaOptions = {}): Settings {
  if (typeof options !== "object" || options === null) {
    throw invalidArgument("options", options, "an object, or nothing");
  }
  const segmentBytes = options.segmentBytes ?? MiB;
  const slabShift = typeof segmentBytes === "number" ? Math.log2(segmentBytes / SLAB_COUNT) : Number.NaN;
  if (!Number.isInteger(slabShift) || slabShift < MIN_SLAB_SHIFT || slabShift > MAX_SLAB_SHIFT) {
    throw invalidArgument("segmentBytes", segmentBytes, "a power of two from 262144 (256 KiB) to 16777216 (16 MiB)");
  }
  const maxBytes = options.maxBytes ?? 64 * MiB;
  const least = segmentMemoryBytes(slabShift);
  if (!Number.isSafeInteger(maxBytes) || maxBytes < least) {
    throw invalidArgument("maxBytes", maxBytes, `a whole number of bytes, at least ${least} for one segment`);
  }
  const guardEvery = options.guardEvery ?? 0;
  if (!Number.isSafeInteger(guardEvery) || guardEvery < 0) {
    throw invalidArgument("guardEvery", guardEvery, "0 for none, or N for one lease in N");
  }
  return {
    maxBytes,
    segmentBytes,
    slabShift,
    revoke: oneOf("revoke", options.revoke ?? "before-reuse", ["before-reuse", "on-release", "never"]),
    onExhausted: oneOf("onExhausted", options.onExhausted ?? "allocate", ["allocate", "throw"]),
    guardEvery,
    trace: options.trace === undefined ? traceFromEnvironment() : checkTrace(options.trace),
  };
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
  if (allowed.includes(value)) return value;
  throw invalidArgument(name, value, allowed.map((each) => `"${each}"`).join(" or "));
}
