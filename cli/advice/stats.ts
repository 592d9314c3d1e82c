/** Checks that what was read is the `stats()` of an arena. Gives no advice. */

import type { ArenaStats } from "cleanslab";
import { UsageError } from "../failure.ts";

const COUNTS = [
  "liveLeases",
  "liveBytes",
  "peakLiveBytes",
  "reservedBytes",
  "peakReservedBytes",
  "maxBytes",
  "acquired",
  "released",
  "overflowed",
  "revocations",
  "leakedLeases",
  "dirtyBlocks",
  "corruptSegments",
  "missedGuards",
  "waiting",
] as const;
const SEGMENTS = ["active", "retired", "drained", "corrupt", "retiredBytes", "retiredLiveBytes"] as const;
const DEDICATED = ["leased", "idle"] as const;
const SIZE_CLASS = ["blockBytes", "acquired", "liveBlocks"] as const;
const LENGTH = ["maxByteLength", "count"] as const;

/** @throws UsageError naming the member that is not as `stats()` has it, its value, and what to do. */
export function parseStats(value: unknown, source: string): ArenaStats {
  const fail = (what: string): never => {
    throw new UsageError(
      `${source} is not the stats() of an arena: ${what}; write it with JSON.stringify(arena.stats())`,
    );
  };
  const record = (at: string, each: unknown): Record<string, unknown> => {
    if (typeof each === "object" && each !== null && !Array.isArray(each)) return each as Record<string, unknown>;
    return fail(`${at} is ${show(each)}, not an object`);
  };
  const counts = <Name extends string>(at: string, each: unknown, names: readonly Name[]): Record<Name, number> => {
    const members = record(at === "" ? "it" : at, each);
    const checked = names.map((name): [Name, number] => {
      const member = members[name];
      const path = at === "" ? name : `${at}.${name}`;
      if (member === undefined) return fail(`${path} is missing`);
      if (typeof member === "number" && Number.isSafeInteger(member) && member >= 0) return [name, member];
      return fail(`${path} is ${show(member)}, not a whole number from 0 on`);
    });
    return Object.fromEntries(checked) as Record<Name, number>;
  };
  const list = <Name extends string>(at: string, each: unknown, names: readonly Name[]): Record<Name, number>[] => {
    if (!Array.isArray(each)) return fail(`${at} is ${show(each)}, not an array`);
    return each.map((entry: unknown, index) => counts(`${at}[${index}]`, entry, names));
  };
  const stats = record("it", value);
  return {
    ...counts("", stats, COUNTS),
    segments: counts("segments", stats["segments"], SEGMENTS),
    dedicated: counts("dedicated", stats["dedicated"], DEDICATED),
    sizeClasses: list("sizeClasses", stats["sizeClasses"], SIZE_CLASS),
    requestedLengths: list("requestedLengths", stats["requestedLengths"], LENGTH),
  };
}

function show(value: unknown): string {
  const text = value === undefined ? "missing" : JSON.stringify(value);
  return text.length > 40 ? `${text.slice(0, 37)}…` : text;
}
