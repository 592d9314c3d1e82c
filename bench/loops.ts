/**
 * The loop in which allocators are timed. Touches the first and the last byte of what it gets.
 * Knows no rival. A process uses it with one allocator.
 */

import type { Batch } from "./harness.ts";
import type { Allocator } from "./rivals.ts";

/** `alive` buffers are held, first in, first out: one operation gives one back and acquires another. */
export function lend<Held>(allocator: Allocator<Held>, byteLength: number, alive: number): Batch {
  return alive === 1 ? cycle(allocator, byteLength) : churn(allocator, byteLength, alive);
}

/** Acquire, touch, give back. Nothing else is alive. */
function cycle<Held>(allocator: Allocator<Held>, byteLength: number): Batch {
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

function churn<Held>(allocator: Allocator<Held>, byteLength: number, alive: number): Batch {
  const held: Held[] = [];
  for (let place = 0; place < alive; place++) held.push(allocator.acquire(byteLength));
  let place = 0;
  return (operations) => {
    let sum = 0;
    for (let each = 0; each < operations; each++) {
      allocator.release(held[place] as Held);
      const next = allocator.acquire(byteLength);
      const bytes = allocator.bytesOf(next);
      bytes[0] = each;
      bytes[byteLength - 1] = each;
      sum += bytes.length;
      held[place] = next;
      place = place + 1 === alive ? 0 : place + 1;
    }
    return sum;
  };
}
