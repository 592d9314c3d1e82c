/**
 * The promises of the README, one by one, and all at once in a seeded random
 * program. The long random programs, with shrinking, are test/model-*.test.ts's.
 */

import type { Arena, Lease, RevokeMode } from "cleanslab";
import {
  bytesNow,
  check,
  checkEqual,
  checkSound,
  checkThrows,
  fillUp,
  isAll,
  MODES,
  PAGE_BYTES,
  REVOKING_MODES,
  randomFrom,
  SEGMENT_BYTES,
  SEGMENT_MEMORY_BYTES,
  smallArena,
} from "./check.ts";
import type { ContractCase, Library } from "./contract.ts";

/** Acquires and releases in each random program. */
const OPERATIONS = 6000;
const SEEDS: readonly number[] = [1, 20_261_123];

interface Held {
  readonly lease: Lease;
  readonly mark: number;
}

/** Acquires, checks, fills, keeps stale views and writes through them, releases in any order. */
class Program {
  readonly #arena: Arena;
  readonly #random: (below: number) => number;
  readonly #revoke: RevokeMode;
  readonly #held: Held[] = [];
  readonly #stale: Uint8Array[] = [];
  #mark = 0;

  constructor(library: Library, revoke: RevokeMode, seed: number) {
    this.#arena = smallArena(library, { revoke, guardEvery: 50 });
    this.#random = randomFrom(seed);
    this.#revoke = revoke;
  }

  run(): void {
    for (let operation = 0; operation < OPERATIONS; operation++) {
      if (this.#held.length < 60 && this.#random(100) < 55) this.#acquire();
      else if (this.#held.length > 0) this.#release();
      if (operation % 1000 === 0) checkSound(this.#arena);
      if (operation % 1777 === 0) this.#arena.trim();
    }
    while (this.#held.length > 0) this.#release();
    checkSound(this.#arena);
    this.#arena.assertDrained();
    const { acquired, released } = this.#arena.stats();
    checkEqual(acquired, released, "acquired");
    this.#arena[Symbol.dispose]();
  }

  #acquire(): void {
    const bits = this.#random(18);
    const lease = this.#arena.acquire(this.#random(2 ** bits + 1));
    check(isAll(lease.bytes, 0), `promise 1: a lease of ${lease.byteLength} bytes is not zero`);
    this.#mark = (this.#mark % 255) + 1;
    lease.bytes.fill(this.#mark);
    this.#held.push({ lease, mark: this.#mark });
    // In "never" a stale view is the next owner's, as the README says.
    if (this.#revoke !== "never") this.#scribble();
  }

  #release(): void {
    const [{ lease, mark }] = this.#held.splice(this.#random(this.#held.length), 1) as [Held];
    const view = lease.bytes;
    check(isAll(view, mark), `promise 2 or 3: someone else wrote to a lease of ${lease.byteLength} bytes`);
    lease.release();
    if (lease.memory !== undefined) check(isAll(bytesNow(lease), 0), "promise 4: not zero after release");
    this.#stale.push(view);
    if (this.#stale.length > 50) this.#stale.shift();
    const { reservedBytes, maxBytes } = this.#arena.stats();
    check(reservedBytes <= maxBytes, `promise 5: ${reservedBytes} bytes are reserved`);
  }

  /** Writes through a stale view: dead, or into a block that rests. */
  #scribble(): void {
    const stale = this.#stale[this.#random(this.#stale.length || 1)];
    if (stale !== undefined && stale.length > 0) stale.fill(0xee);
  }
}

function programs(revoke: RevokeMode): ContractCase[] {
  return SEEDS.map((seed) => ({
    name: `${revoke}: promises 1 to 5 hold in a random program of ${OPERATIONS} operations, seed ${seed}`,
    run: (library) => new Program(library, revoke, seed).run(),
  }));
}

function staleViews(revoke: RevokeMode): ContractCase {
  return {
    name: `${revoke}: a stale view of any kind neither sees nor touches a later lease's bytes`,
    run(library) {
      using arena = smallArena(library, { revoke });
      const lease = arena.acquire(1024);
      const views = [
        lease.bytes,
        lease.bytes.subarray(8, 16),
        new Uint8Array(lease.bytes.buffer, lease.byteOffset, 32),
        lease.view(Float64Array),
        lease.view(DataView),
      ];
      lease.release();
      for (let round = 0; round < 3000; round++) {
        const next = arena.acquire(1024);
        next.bytes.fill(9);
        for (const view of views) {
          if (view.buffer.byteLength === 0) continue;
          const seen = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
          check(isAll(seen, 0), "a stale view sees the next owner's bytes");
        }
        next.release();
      }
      // Not the view's own: a DataView throws where an array answers 0.
      for (const view of views) checkEqual(view.buffer.byteLength, 0, "the length of a stale view's buffer in the end");
    },
  };
}

function cap(revoke: RevokeMode): ContractCase[] {
  return [
    {
      name: `${revoke}: past the cap a lease is a zeroed heap buffer, counted and reported, or a typed error`,
      run(library) {
        using strict = smallArena(library, { revoke, onExhausted: "throw" });
        const all = fillUp(library, strict);
        check(all.length >= 16, `only ${all.length} pages fit`);
        checkThrows(library, () => strict.acquire(PAGE_BYTES), "ERR_ARENA_EXHAUSTED", "maxBytes");
        checkSound(strict);
        for (const lease of all) lease.release();
        strict.acquire(PAGE_BYTES).release();

        using lenient = smallArena(library, { revoke });
        const events: number[] = [];
        lenient.addEventListener("exhausted", ({ byteLength }) => events.push(byteLength));
        const leases: Lease[] = [];
        while (lenient.stats().overflowed < 3) leases.push(lenient.acquire(PAGE_BYTES));
        checkEqual(events.length, 3, "events");
        const last = leases.at(-1) as Lease;
        checkEqual(last.origin, "heap", "origin");
        checkEqual(last.memory, undefined, "memory");
        check(isAll(last.bytes, 0), "a heap lease is not zero");
        const stale = last.bytes.fill(7);
        for (const lease of leases) lease.release();
        checkEqual(stale.length, revoke === "never" ? PAGE_BYTES : 0, "the length of the stale heap view");
        check(isAll(stale, 0), "a heap lease is not wiped");
        checkSound(lenient);
      },
    },
    {
      name: `${revoke}: a lease longer than a segment counts under the same cap, and its memory is used again`,
      run(library) {
        using arena = smallArena(library, { revoke, onExhausted: "throw" }, 8);
        const byteLength = 3 * SEGMENT_BYTES;
        const lease = arena.acquire(byteLength);
        check(arena.stats().reservedBytes >= byteLength, "it is not counted");
        lease.bytes.fill(7);
        checkThrows(library, () => arena.acquire(8 * SEGMENT_MEMORY_BYTES), "ERR_ARENA_EXHAUSTED");
        lease.release();
        const { reservedBytes } = arena.stats();
        const next = arena.acquire(byteLength);
        check(isAll(next.bytes, 0), "it is not zero");
        checkEqual(arena.stats().reservedBytes, reservedBytes, "reservedBytes");
        next.release();
        check(arena.trim() >= byteLength, "trim did not let go of it");
        checkEqual(arena.stats().reservedBytes, 0, "reservedBytes after trim");
      },
    },
  ];
}

export const promises: readonly ContractCase[] = [
  ...MODES.flatMap(programs),
  ...REVOKING_MODES.map(staleViews),
  ...MODES.flatMap(cap),
];
