/** What a whole program is, to the runner: the ways to write it, and what one process of it does. And what they share. */

import type { AddressInfo, Server as NetServer } from "node:net";

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

interface AnyProgram {
  readonly name: string;
  readonly title: string;
  readonly variants: readonly Variant[];
}

/** A program whose measured process is a server. The load comes from a process of its own. */
export interface ServerProgram extends AnyProgram {
  serve(variant: string): Promise<Server>;
  /** Runs in the client's process, on a server that was just started. */
  load(port: number): Promise<Figures>;
}

/** A program of one process. */
export interface JobProgram extends AnyProgram {
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

/** What is told of milliseconds that a client waited. */
export function latencyFigures(milliseconds: readonly number[]): Figures {
  return {
    p99Ms: quantile(milliseconds, 0.99),
    worstMs: quantile(milliseconds, 1),
    operations: milliseconds.length,
  };
}

/** The same whole numbers below 2 ** 32 for the same seed. */
export function numbersFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state;
  };
}

/** Listens on a free port of the loopback. */
export async function listen(server: NetServer): Promise<Server> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

/** Calls `run` for each number below `count`, so many at a time. */
export async function eachOf(count: number, atOnce: number, run: (each: number) => Promise<void>): Promise<void> {
  let next = 0;
  const client = async (): Promise<void> => {
    for (let each = next++; each < count; each = next++) await run(each);
  };
  await Promise.all(Array.from({ length: atOnce }, client));
}

/** Gives back the memory of a chunk that has its buffer alone, from Node 22 on. */
export function free(chunk: Buffer): void {
  const { buffer } = chunk as Buffer<ArrayBuffer>;
  if (chunk.byteOffset === 0 && buffer.byteLength === chunk.length && chunk.length > 8192) {
    (buffer as ArrayBuffer & { transfer(length: number): ArrayBuffer }).transfer(0);
  }
}
