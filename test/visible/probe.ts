/** What a probe is, and the scale on which it puts what it saw. Knows no subject. */

import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
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

export interface Probe<A = Allocator> {
  /** Unique; read as a line of the matrix. */
  readonly name: string;
  readonly theme: string;
  run(allocator: A): Observation | Promise<Observation>;
}

/** Probes by name. */
export function themed<A = Allocator>(theme: string, runs: Record<string, Probe<A>["run"]>): Probe<A>[] {
  return Object.entries(runs).map(([name, run]) => ({ theme, name, run }));
}

/** The first that is so; `otherwise` is harmless. */
export function firstOf(findings: [isSo: boolean, seen: string, harm: number][], otherwise: string): Observation {
  const [, seen, harm] = findings.find(([isSo]) => isSo) ?? [true, otherwise, Harm.none];
  return { seen, harm };
}

/** Thrown by a probe that finds no way to try what it wants to here. */
export class CannotTry extends Error {}

/** The name of what `action` throws, or `null`. */
export function thrownBy(action: () => unknown): string | null {
  try {
    action();
    return null;
  } catch (error) {
    const { code, name } = Object(error) as { code?: unknown; name?: unknown };
    return String(code ?? name ?? error);
  }
}

export function formatBytes(byteLength: number): string {
  const rounded = (value: number): number => Math.round(value * 10) / 10;
  if (byteLength >= 1024 * 1024) return `${rounded(byteLength / 1024 / 1024)} MiB`;
  return byteLength >= 1024 ? `${rounded(byteLength / 1024)} KiB` : `${byteLength} bytes`;
}

setFlagsFromString("--expose-gc");
/** Asks the garbage collector. Whether it comes is up to the engine: ask in a bounded loop. */
export const collectGarbage = runInNewContext("gc") as () => void;
