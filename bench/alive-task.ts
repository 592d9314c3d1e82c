/**
 * One rival with more and more alive, in a process of its own: the collector
 * walks what is alive, whoever keeps it, so rivals must not share a heap here.
 */

import { rivalNamed } from "./allocators.ts";
import { churn, releaseOrder } from "./loops.ts";

export interface AliveInput {
  rival: string;
  byteLength: number;
  /** How many alive; each in turn, and all of them `rounds` times. */
  counts: readonly number[];
  rounds: number;
  batches: number;
  /** Leases in one batch: enough for collections to be in every batch. */
  operations: number;
}

/** Nanoseconds for one lease in each batch, for each of `counts`. */
export async function runAlive(input: unknown): Promise<number[][]> {
  const { rival, byteLength, counts, rounds, batches, operations } = input as AliveInput;
  const { gc } = globalThis;
  if (gc === undefined) throw new Error("run with --expose-gc");
  const samples: number[][] = counts.map(() => []);
  for (let round = -1; round < rounds; round++) {
    for (const [index, alive] of counts.entries()) {
      const allocator = await rivalNamed(rival).open({ byteLength, alive, isAlone: true });
      const batch = churn(allocator, byteLength, alive, releaseOrder("first in, first out", alive));
      batch(alive); // from here on what is given back has lived as long as all that will be
      for (let each = 0; each < batches; each++) {
        const start = performance.now();
        batch(operations);
        const ns = ((performance.now() - start) * 1e6) / operations;
        if (round >= 0) samples[index]?.push(ns); // the round before the first is the compiler's
      }
      allocator.close?.();
      gc();
    }
  }
  return samples;
}
