/**
 * What the library promises. Leases here are those of one arena.
 *
 * 1. A lease's bytes are all zero when handed out, or are exactly what the producer
 *    wrote, whatever stale views of leases did before (`before-reuse`, `on-release`). A
 *    write through `.buffer` outside a lease is not covered; the trap reports the common kind.
 * 2. Two live leases never overlap. Also after a stack overflow, a `vm` timeout, or a
 *    hook that throws, at any point inside the library.
 * 3. No view made from a released lease ever sees or touches a later lease's bytes
 *    (`before-reuse`, `on-release`).
 * 4. With `wipeOnRelease`, and always in `on-release`: the bytes are zero the moment
 *    `release()` returns, unless pinned.
 * 5. The arena never holds more linear memory than `maxBytes`, memory that only a
 *    forgotten view keeps included, and lets go of what it dropped.
 * 6. A leak never becomes permanent, and is reported (`before-reuse`, `on-release`).
 * 7. Every misuse is a typed error, and leaves the arena as it was.
 * 8. No view and no other WebAssembly module can damage the arena's bookkeeping.
 * 9. The library never detaches or frees a buffer that it did not make, unless an
 *    option says so (`freeChunks`).
 *
 * Here are 1 to 5, at once in a seeded random program, and the cap. What else an engine can
 * get wrong is modes.ts's (3), guarantees.ts's (2, 4, 8 and 9), leaks.ts's (6) and misuse.ts's
 * (7). Long random programs are test/model's, and what only Node can bring about test/promises'.
 */

import type { Arena, Lease, RevokeMode } from "cleanslab";
import {
  bytesNow,
  check,
  checkEqual,
  checkSame,
  checkSound,
  checkThrows,
  fillUp,
  isAll,
  MODES,
  PAGE_BYTES,
  placeOf,
  randomFrom,
  SEGMENT_MODES,
  smallArena,
  turn,
} from "./check.ts";
import type { ContractCase, Library } from "./contract.ts";

/** Acquires, resizes and releases in each random program. */
const OPERATIONS = 6000;
/** With and without `wipeOnRelease`. */
const PROGRAMS: readonly [seed: number, wipeOnRelease: boolean][] = [
  [1, false],
  [20_261_123, true],
];

/** The ways to a lease: of zeros of a length, or of `content`. */
const WAYS: readonly [
  name: string,
  (arena: Arena, byteLength: number, content: Uint8Array, mayBeDirty: boolean) => Lease,
][] = [
  ["acquire", (arena, byteLength) => arena.acquire(byteLength)],
  ["pool", (arena, byteLength) => arena.pool(byteLength).acquire()],
  ["scope", (arena, byteLength) => arena.scope().acquire(byteLength)],
  ["copyOf", (arena, _, content) => arena.copyOf(content)],
  [
    "acquireFilled",
    (arena, byteLength, content, mayBeDirty) =>
      arena.acquireFilled(byteLength, (bytes) => {
        check(mayBeDirty || isAll(bytes, 0), "promise 4: unzeroed bytes although releases wipe");
        bytes.set(content);
        return content.length;
      }),
  ],
  [
    "filler",
    (arena, _, content) => {
      const filler = arena.filler(content.length);
      filler.put(content);
      return filler.take();
    },
  ],
];
const FILLED = new Set(["copyOf", "acquireFilled", "filler"]);

interface Held {
  readonly lease: Lease;
  mark: number;
}

/** Acquires, checks, fills, resizes, keeps stale views and writes through them, releases in any order. */
class Program {
  readonly #arena: Arena;
  readonly #random: (below: number) => number;
  readonly #revoke: RevokeMode;
  /** Whether promise 4 holds. */
  readonly #wipes: boolean;
  readonly #held: Held[] = [];
  readonly #stale: Uint8Array[] = [];
  #mark = 0;

  constructor(library: Library, revoke: RevokeMode, seed: number, wipeOnRelease: boolean) {
    this.#arena = smallArena(library, { revoke, wipeOnRelease, guardEvery: 50 });
    this.#random = randomFrom(seed);
    this.#revoke = revoke;
    this.#wipes = wipeOnRelease || revoke === "on-release";
  }

  run(): void {
    for (let operation = 0; operation < OPERATIONS; operation++) {
      const choice = this.#random(100);
      if (this.#held.length < 60 && choice < 50) this.#acquire();
      else if (this.#held.length > 0 && choice < 60) this.#resize();
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

  #length(): number {
    return this.#random(2 ** this.#random(18) + 1);
  }

  #nextMark(): number {
    this.#mark = (this.#mark % 255) + 1;
    return this.#mark;
  }

  #acquire(): void {
    const mark = this.#nextMark();
    const byteLength = this.#length();
    const written = this.#random(byteLength + 1);
    const [way, acquire] = WAYS[this.#random(WAYS.length)] as (typeof WAYS)[number];
    const content = new Uint8Array(written).fill(mark);
    const lease = acquire(this.#arena, byteLength, content, !this.#wipes);
    const isFilled = FILLED.has(way);
    const wanted = isFilled ? written : byteLength;
    checkSame([lease.bytes.length, lease.byteLength, lease.byteOffset % 16], [wanted, wanted, 0], `a lease by ${way}`);
    check(isAll(lease.bytes, isFilled ? mark : 0), `promise 1: a lease of ${wanted} bytes by ${way}`);
    lease.bytes.fill(mark);
    check(
      lease.memory === undefined || isAll(bytesNow(lease), mark),
      "memory and byteOffset are not where the bytes are",
    );
    checkEqual(lease.view(DataView).byteLength, wanted, "the length of another view");
    this.#held.push({ lease, mark });
    // In "never" a stale view is the next owner's, as the README says.
    if (this.#revoke !== "never") this.#scribble();
  }

  #resize(): void {
    const held = this.#held[this.#random(this.#held.length)] as Held;
    const { lease, mark } = held;
    const { bytes, byteLength: kept } = lease;
    const { memory, byteOffset } = placeOf(lease);
    lease.resize(this.#length());
    check(isAll(lease.bytes.subarray(0, kept), mark), `promise 1: a resize from ${kept} bytes lost some`);
    check(
      isAll(lease.bytes.subarray(kept), 0),
      `promise 1: a resize to ${lease.byteLength} bytes is not zero at its end`,
    );
    held.mark = this.#nextMark();
    lease.bytes.fill(held.mark);
    // A view of before shows the lease still, unless the block has moved.
    if (memory !== lease.memory || byteOffset !== lease.byteOffset) this.#stale.push(bytes);
  }

  #release(): void {
    const [{ lease, mark }] = this.#held.splice(this.#random(this.#held.length), 1) as [Held];
    const view = lease.bytes;
    check(isAll(view, mark), `promise 2 or 3: someone else wrote to a lease of ${lease.byteLength} bytes`);
    const place = placeOf(lease);
    lease.release();
    if (this.#wipes && place.memory !== undefined) {
      check(isAll(bytesNow(place), 0), "promise 4: not zero after release");
    }
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
  return PROGRAMS.map(([seed, wipeOnRelease]) => ({
    name: `${revoke}: promises 1 to 5 hold in a random program of ${OPERATIONS} operations, seed ${seed}, wipeOnRelease: ${wipeOnRelease}`,
    run: (library) => new Program(library, revoke, seed, wipeOnRelease).run(),
  }));
}

function cap(revoke: RevokeMode): ContractCase {
  return {
    name: `${revoke}: past the cap a lease is a zeroed heap buffer, counted and reported, or a typed error`,
    async run(library) {
      using strict = smallArena(library, { revoke, onExhausted: "throw" });
      const all = fillUp(library, strict);
      // A segment of 256 KiB has 63 slabs of 4 KiB to hand out.
      checkEqual(all.length, revoke === "on-release" ? 16 : 12, "pages that fit");
      const says = [`no room for ${PAGE_BYTES} bytes`, "raise maxBytes", "acquireAsync"];
      checkThrows(library, () => strict.acquire(PAGE_BYTES), "ERR_ARENA_EXHAUSTED", ...says);
      checkSound(strict);
      for (const lease of all) lease.release();
      strict.acquire(PAGE_BYTES).release();

      using lenient = smallArena(library, { revoke });
      const events: { count: number; byteLength: number }[] = [];
      lenient.addEventListener("exhausted", (event) => events.push(event));
      const leases: Lease[] = [];
      while (lenient.stats().overflowed < 3) leases.push(lenient.acquire(PAGE_BYTES));
      checkEqual(events.length, 0, "events before the arena was left");
      await turn();
      checkEqual(events.length, 1, "events");
      checkEqual(events[0]?.count, 3, "leases in the event");
      checkEqual(events[0]?.byteLength, PAGE_BYTES, "byteLength in the event");
      const last = leases.at(-1) as Lease;
      checkEqual(last.origin, "heap", "origin");
      checkEqual(last.memory, undefined, "memory");
      check(isAll(last.bytes, 0), "a heap lease is not zero");
      const stale = last.bytes.fill(7);
      for (const lease of leases) lease.release();
      checkEqual(stale.length, revoke === "never" ? PAGE_BYTES : 0, "the length of the stale heap view");
      checkSound(lenient);
    },
  };
}

/** Segments as long as the library chooses them. */
function packing(revoke: RevokeMode): ContractCase {
  return {
    name: `${revoke}: leases of 64 KiB, the commonest length, fill at least 0.9 of the cap`,
    run(library) {
      using arena = new library.Arena({ revoke, onExhausted: "throw", maxBytes: 256 * PAGE_BYTES, trace: "off" });
      const all = fillUp(library, arena);
      check(all.length >= 0.9 * 256, `${all.length} of 256 fit`);
      for (const lease of all) lease.release();
      checkSound(arena);
    },
  };
}

export const promises: readonly ContractCase[] = [
  ...MODES.flatMap(programs),
  ...MODES.map(cap),
  ...SEGMENT_MODES.map(packing),
];
