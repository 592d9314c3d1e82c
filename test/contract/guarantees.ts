/** Promises 2, 4, 8 and 9, and the trap, one by one. Their words are in promises.ts. */

import type { Arena, Lease, RevokeMode } from "cleanslab";
import {
  bytesNow,
  check,
  checkEqual,
  checkSame,
  checkSound,
  checkUsable,
  fillUp,
  isAll,
  MODES,
  PAGE_BYTES,
  placeOf,
  SEGMENT_BYTES,
  SEGMENT_MODES,
  smallArena,
  turn,
} from "./check.ts";
import type { ContractCase } from "./contract.ts";

/** Runs `step` in each of the innermost frames of a stack that has overflowed: a little more room each time. */
function atTheEndOfTheStack(step: () => void, padding: number): void {
  // Compiled first: that takes more of the stack than the code does.
  step();
  let frames = 0;
  function dive(): void {
    try {
      dive();
    } catch {
      // The overflow, or that of `step` in the frame below.
    }
    if (frames++ < 60) step();
  }
  try {
    // Arguments take room on the stack: frames begin elsewhere.
    (dive as (...args: unknown[]) => void)(...new Array(padding).fill(0));
  } catch {
    // Overflows in every frame so far.
  }
}

function overflows(revoke: RevokeMode): ContractCase {
  return {
    name: `${revoke}: after stack overflows inside acquire and release no two leases overlap, and all were zero`,
    async run(library) {
      for (let round = 0; round < 64; round++) {
        // A new one each time: a count that an overflow left too high heals only in a collection.
        using arena = smallArena(library, { revoke });
        const held: Lease[] = [];
        for (let each = 0; each < 30; each++) held.push(arena.acquire(4096));
        // Rounds that acquire, and rounds that release: each overflows at another depth.
        let next = 0;
        atTheEndOfTheStack(() => {
          if (round % 2 === 0) held.push(arena.acquire(4096));
          else held[next++ % 30]?.release();
        }, round);
        // Whether an overflow left it held or not.
        for (const lease of held) lease[Symbol.dispose]();
        const all = Array.from({ length: 40 }, () => arena.acquire(4096));
        for (const [mark, { bytes }] of all.entries()) {
          check(isAll(bytes, 0), "a lease is not zero");
          bytes.fill(mark + 1);
        }
        for (const [mark, { bytes }] of all.entries()) check(isAll(bytes, mark + 1), "two leases overlap");
        for (const lease of all) lease.release();
        checkSound(arena);
        // Where memories are few, the engine has to collect those of the round before.
        await turn();
      }
    },
  };
}

const wiping: readonly ContractCase[] = [
  ...MODES.map(
    (revoke): ContractCase => ({
      name: `${revoke}: with wipeOnRelease the bytes are zero when release returns, unless pinned`,
      run(library) {
        using arena = smallArena(library, { revoke, wipeOnRelease: true, guardEvery: 3 });
        for (const byteLength of [1, 100, 4096, PAGE_BYTES, SEGMENT_BYTES]) {
          for (let round = 0; round < 3; round++) {
            const lease = arena.acquire(byteLength);
            // What was written behind the lease, in its block, is wiped as well.
            const blockBytes = lease.origin === "guard" ? byteLength : Math.ceil(byteLength / 16) * 16;
            const place = { ...placeOf(lease), byteLength: blockBytes };
            bytesNow(place).fill(7);
            const view = lease.bytes;
            const pin = round === 0 ? lease.pin() : undefined;
            lease.release();
            check(
              pin === undefined || (view.length === byteLength && isAll(view, 7)),
              "the pin did not keep the bytes",
            );
            pin?.release();
            check(isAll(bytesNow(place), 0), `a lease of ${byteLength} bytes was not wiped`);
          }
        }
        checkSound(arena);
      },
    }),
  ),
  {
    name: "on-release wipes without being told to, and the whole memory: also what was written past the lease",
    run(library) {
      using arena = smallArena(library, { revoke: "on-release" });
      const lease = arena.acquire(100);
      const place = placeOf(lease);
      new Uint8Array(lease.bytes.buffer).fill(7);
      lease.release();
      check(isAll(bytesNow({ ...place, byteLength: PAGE_BYTES }), 0), "not all of it was wiped");
    },
  },
];

/** How stray writes are found. */
const FINDERS: [RevokeMode, string, (arena: Arena) => unknown][] = [
  ...SEGMENT_MODES.flatMap((revoke): typeof FINDERS => [
    [revoke, "audit", (arena) => arena.audit()],
    [revoke, "trim", (arena) => arena.trim()],
  ]),
  // More than a segment holds.
  ["before-reuse", "recycling", (arena) => new Array(70).fill(4096).map((each) => arena.acquire(each).release())],
];

const strays: readonly ContractCase[] = FINDERS.map(
  ([revoke, finder, find]): ContractCase => ({
    name: `${revoke}: a write that ignores byteOffset is reported by ${finder}, once, with its offset`,
    async run(library) {
      using arena = smallArena(library, { revoke });
      const events: { count: number; byteOffset: number }[] = [];
      arena.addEventListener("stray-write", ({ count, byteOffset }) => events.push({ count, byteOffset }));
      const lease = arena.acquire(100);
      new Uint8Array(lease.bytes.buffer)[8] = 1;
      lease.release();
      find(arena);
      checkEqual(events.length, 0, "events before the arena was left");
      await turn();
      find(arena);
      await turn();
      checkSame(events, [{ count: 1, byteOffset: 8 }], "the events");
      checkEqual(arena.stats().strayWrites, 1, "strayWrites");
      checkUsable(arena);
    },
  }),
);

const foreign: readonly ContractCase[] = MODES.map((revoke) => ({
  name: `${revoke}: what the library is given to read or copy stays attached and as it was`,
  run(library) {
    const arena = smallArena(library, { revoke });
    const source = new Uint8Array(5000).fill(7);
    const copy = arena.copyOf(source);
    const filler = arena.filler(5000);
    filler.put(source);
    const writer = arena.writer();
    writer.writeBytes(source);
    new library.ByteReader(source).readBytes(100);
    for (const lease of [copy, filler.take(), writer.take()]) lease.release();
    arena.trim();
    arena[Symbol.dispose]();
    check(source.length === 5000 && isAll(source, 7), "the caller's bytes changed");
    checkEqual(source.buffer.byteLength, 5000, "the length of the caller's buffer");
  },
}));

const bookkeeping: readonly ContractCase[] = MODES.map((revoke) => ({
  name: `${revoke}: who writes over all that .buffer shows takes no block, costs no room and changes no count`,
  run(library) {
    using arena = smallArena(library, { revoke, onExhausted: "throw" });
    const leases = [arena.acquire(SEGMENT_BYTES), ...fillUp(library, arena)];
    const before = arena.stats();
    for (const value of [0xff, 0, 0x55]) {
      for (const { bytes } of leases) new Uint8Array(bytes.buffer).fill(value);
      checkSound(arena);
      checkSame({ ...arena.stats(), strayWrites: 0 }, before, "stats");
    }
    for (const lease of leases) lease.release();
    arena.trim();
    const again = [arena.acquire(SEGMENT_BYTES), ...fillUp(library, arena)];
    checkEqual(again.length, leases.length, "leases that fit");
    for (const { bytes } of again) check(isAll(bytes, 0), "a lease is not zero");
    for (const lease of again) lease.release();
    checkSound(arena);
  },
}));

export const guarantees: readonly ContractCase[] = [
  ...MODES.map(overflows),
  ...wiping,
  ...strays,
  ...bookkeeping,
  ...foreign,
];
