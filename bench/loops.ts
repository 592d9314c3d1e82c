/**
 * The loops in which allocators are timed: what is held, for how long, and what
 * is given back next. All touch the first and the last byte of what they get.
 * Know no rival. A process uses one of them, with one allocator.
 */

import type { Batch } from "./harness.ts";
import type { Allocator } from "./rivals.ts";
import { seededRandom } from "./statistics.ts";

/** Acquire, touch, give back. Nothing else is alive. */
export function cycle<Held>(allocator: Allocator<Held>, byteLength: number): Batch {
  return (operations) => {
    let sum = 0;
    for (let each = 0; each < operations; each++) {
      const held = allocator.acquire(byteLength);
      const bytes = allocator.bytesOf(held);
      bytes[0] = each;
      bytes[byteLength - 1] = each;
      sum += bytes.length;
      allocator.release(held);
    }
    return sum;
  };
}

/**
 * Keeps `alive` held. One operation gives one back and acquires another.
 *
 * @param order which of them, by place: what `releaseOrder` gives.
 */
export function churn<Held>(allocator: Allocator<Held>, byteLength: number, alive: number, order: Uint32Array): Batch {
  const held: Held[] = [];
  for (let place = 0; place < alive; place++) held.push(allocator.acquire(byteLength));
  let turn = 0;
  return (operations) => {
    let sum = 0;
    for (let each = 0; each < operations; each++) {
      const place = order[turn] as number;
      turn = turn + 1 === order.length ? 0 : turn + 1;
      allocator.release(held[place] as Held);
      const next = allocator.acquire(byteLength);
      const bytes = allocator.bytesOf(next);
      bytes[0] = each;
      bytes[byteLength - 1] = each;
      sum += bytes.length;
      held[place] = next;
    }
    return sum;
  };
}

/**
 * Acquires `lengths` in their order, over and over, with the last `alive` held.
 * One operation is one length.
 *
 * @param source copied into every buffer for as long as that is, as reading would
 *   do; empty to touch the first byte only.
 */
export function replay<Held>(
  allocator: Allocator<Held>,
  lengths: Uint32Array,
  alive: number,
  source: Uint8Array,
): Batch {
  const held: Held[] = [];
  for (let place = 0; place < alive; place++) held.push(allocator.acquire(lengths[0] as number));
  let turn = 0;
  let place = 0;
  return (operations) => {
    let sum = 0;
    for (let each = 0; each < operations; each++) {
      const length = lengths[turn] as number;
      turn = turn + 1 === lengths.length ? 0 : turn + 1;
      allocator.release(held[place] as Held);
      const next = allocator.acquire(length);
      const bytes = allocator.bytesOf(next);
      bytes[0] = each;
      if (source.length > 0) bytes.set(source.subarray(0, length));
      sum += bytes.length;
      held[place] = next;
      place = place + 1 === alive ? 0 : place + 1;
    }
    return sum;
  };
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
  const random = seededRandom(seed);
  return Uint32Array.from({ length: RANDOM_TURNS }, () => Math.floor(random() * alive));
}
