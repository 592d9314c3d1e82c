/** What a whole program is, to the runner: the ways to write it, and what one process of it does. */

/** Figures of one run, by name. The unit is part of the name: `p99Ms`, `megabytesPerSecond`. */
export type Figures = Record<string, number>;

export interface Variant {
  readonly name: string;
  /** Without the library: one of the best ways we know. */
  readonly isOrdinary: boolean;
  /** Oldest major version of Node that can do it. */
  readonly since?: number;
}

export interface Server {
  readonly port: number;
  close(): Promise<void>;
}

/** A program whose measured process is a server. The load comes from a process of its own. */
export interface ServerProgram {
  readonly name: string;
  readonly title: string;
  readonly variants: readonly Variant[];
  serve(variant: string): Promise<Server>;
  /** Runs in the client's process, on a server that was just started. */
  load(port: number): Promise<Figures>;
}

/** A program of one process. */
export interface JobProgram {
  readonly name: string;
  readonly title: string;
  readonly variants: readonly Variant[];
  /** Makes what every variant reads, once for all, in the folder given. */
  prepare?(folder: string): Promise<void>;
  work(variant: string, folder: string): Promise<Figures>;
}

export type Program = ServerProgram | JobProgram;

export function ordinary(name: string, since?: number): Variant {
  return { name, isOrdinary: true, ...(since !== undefined && { since }) };
}

export function leases(name: string, since?: number): Variant {
  return { name, isOrdinary: false, ...(since !== undefined && { since }) };
}

/** The quantile of unsorted samples. */
export function quantile(samples: readonly number[], share: number): number {
  const sorted = Float64Array.from(samples).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
