/**
 * What a probe is, and the scale on which it puts what it saw. Knows no subject.
 */

import type { Allocator } from "./subjects.ts";

export interface Observation {
  /** What was seen, in a few words. */
  readonly seen: string;
  /**
   * How bad it is, for comparison within one probe: a `Harm`, or a number of bytes
   * where the question is how many. Equal harm in other words is a difference too.
   */
  readonly harm: number;
}

/** Worse as it goes down. */
export const Harm = {
  none: 0,
  /** What the owner wrote is still there after it was given back. */
  ownBytesStay: 1,
  /** Bytes under way do not arrive. */
  bytesLost: 2,
  othersRead: 3,
  othersChanged: 4,
} as const;

export interface Probe {
  /** Unique; read as a line of the matrix. */
  readonly name: string;
  readonly theme: string;
  run(allocator: Allocator): Observation | Promise<Observation>;
}

export function themed(theme: string, probes: readonly Omit<Probe, "theme">[]): Probe[] {
  return probes.map((probe) => ({ theme, ...probe }));
}

/** Thrown by a probe that finds no way to try what it wants to here. */
export class CannotTry extends Error {}

/** What comes of a call that may throw. */
export function outcomeOf(action: () => unknown): { threw: string | null } {
  try {
    action();
    return { threw: null };
  } catch (error) {
    return { threw: nameOf(error) };
  }
}

function nameOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { code } = error as { code?: unknown };
  return typeof code === "string" ? code : error.name;
}

export function formatBytes(byteLength: number): string {
  if (byteLength >= 1024 * 1024) return `${rounded(byteLength / 1024 / 1024)} MiB`;
  return byteLength >= 1024 ? `${rounded(byteLength / 1024)} KiB` : `${byteLength} bytes`;
}

function rounded(value: number): number {
  return Math.round(value * 10) / 10;
}
