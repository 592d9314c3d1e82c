/**
 * The loops in which allocators are timed: what is held, for how long, and what
 * is given back next. All touch the first byte of what they get. Know no rival;
 * every call makes a loop of its own (own-copy.ts).
 */

import type { Allocator } from "./allocators.ts";
import type { Batch } from "./harness.ts";
import { ownCopy } from "./own-copy.ts";

/** Acquire, touch, give back; nothing else alive. */
export function cycle(allocator: Allocator, byteLength: number): Batch {
  return ownCopy((own: Allocator, length: number): Batch => {
    return (operations) => {
      let sum = 0;
      for (let each = 0; each < operations; each++) {
        const held = own.acquire(length);
        const bytes = own.bytesOf(held);
        bytes[0] = each;
        sum += bytes.length;
        own.release(held);
      }
      return sum;
    };
  })(allocator, byteLength);
}

/**
 * Keeps `alive` held. One operation gives one back and acquires another.
 *
 * @param order which of them, by place: what `releaseOrder` gives.
 */
export function churn(allocator: Allocator, byteLength: number, alive: number, order: Uint32Array): Batch {
  return ownCopy((own: Allocator, length: number, places: number, turns: Uint32Array): Batch => {
    const held: unknown[] = [];
    for (let place = 0; place < places; place++) held.push(own.acquire(length));
    let turn = 0;
    return (operations) => {
      let sum = 0;
      for (let each = 0; each < operations; each++) {
        const place = turns[turn] as number;
        turn = turn + 1 === turns.length ? 0 : turn + 1;
        own.release(held[place]);
        const next = own.acquire(length);
        const bytes = own.bytesOf(next);
        bytes[0] = each;
        sum += bytes.length;
        held[place] = next;
      }
      return sum;
    };
  })(allocator, byteLength, alive, order);
}

/**
 * Acquires `lengths` in their order, over and over, with the last `alive` held.
 * One operation is one length.
 *
 * @param source copied into every buffer for as long as that is, as reading would
 *   do; empty to touch the first byte only.
 */
export function replay(allocator: Allocator, lengths: Uint32Array, alive: number, source: Uint8Array): Batch {
  return ownCopy((own: Allocator, trace: Uint32Array, places: number, from: Uint8Array): Batch => {
    const held: unknown[] = [];
    for (let place = 0; place < places; place++) held.push(own.acquire(trace[0] as number));
    let turn = 0;
    let place = 0;
    return (operations) => {
      let sum = 0;
      for (let each = 0; each < operations; each++) {
        const length = trace[turn] as number;
        turn = turn + 1 === trace.length ? 0 : turn + 1;
        own.release(held[place]);
        const next = own.acquire(length);
        const bytes = own.bytesOf(next);
        bytes[0] = each;
        if (from.length > 0) bytes.set(from.subarray(0, length));
        sum += bytes.length;
        held[place] = next;
        place = place + 1 === places ? 0 : place + 1;
      }
      return sum;
    };
  })(allocator, lengths, alive, source);
}

export type Order = "first in, first out" | "random";

/** Long enough that no allocator's state repeats with it. */
const RANDOM_TURNS = 2 ** 17;

/**
 * Which of `alive` places is given back next, to be gone through in a circle.
 * Random means that whatever is alive may be the next, with the same chance: a
 * shuffled list gone through again and again would be first in, first out.
 */
export function releaseOrder(order: Order, alive: number, seed = 1): Uint32Array {
  if (order !== "random") return Uint32Array.from({ length: alive }, (_, place) => place);
  const next = randomIntegers(seed);
  return Uint32Array.from({ length: RANDOM_TURNS }, () => Math.floor((next() / 2 ** 32) * alive));
}

/** Marsaglia's xorshift: the same 32-bit integers for the same seed everywhere. */
function randomIntegers(seed: number): () => number {
  let state = seed >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}
