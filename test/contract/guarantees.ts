/** Promises 2, 4, 8 and 9, one by one. Their words are in promises.ts. */

import type { Arena, Lease, RevokeMode } from "cleanslab";
import {
  bytesNow,
  check,
  checkEqual,
  checkSame,
  checkSound,
  checkUsable,
  isAll,
  MODES,
  PAGE_BYTES,
  placeOf,
  recycle,
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

const LENGTHS = [1, 100, 4096, PAGE_BYTES, SEGMENT_BYTES];

function wipes(revoke: RevokeMode): ContractCase {
  return {
    name: `${revoke}: with wipeOnRelease the bytes are zero when release returns, unless pinned`,
    run(library) {
      using arena = smallArena(library, { revoke, wipeOnRelease: true, guardEvery: 3 });
      for (const byteLength of LENGTHS) {
        for (let round = 0; round < 3; round++) {
          const lease = arena.acquire(byteLength);
          const place = placeOf(lease);
          lease.bytes.fill(7);
          lease.release();
          check(isAll(bytesNow(place), 0), `a lease of ${byteLength} bytes was not wiped`);

          const pinned = arena.acquire(byteLength);
          const held = placeOf(pinned);
          const view = pinned.bytes.fill(8);
          const pin = pinned.pin();
          pinned.release();
          check(view.length === byteLength && isAll(view, 8), "the pin did not keep the bytes");
          pin.release();
          check(isAll(bytesNow(held), 0), `a lease of ${byteLength} bytes was not wiped by its last pin`);
        }
      }
      checkSound(arena);
    },
  };
}

function wipesMoves(revoke: RevokeMode): ContractCase {
  return {
    name: `${revoke}: with wipeOnRelease a resize leaves nothing behind, in the old block or at the end of this one`,
    run(library, environment) {
      using arena = smallArena(library, { revoke, wipeOnRelease: true }, 8);
      for (const [from, to] of [
        [100, 5000],
        [5000, 100],
        [100, 90],
        [PAGE_BYTES, 2 * SEGMENT_BYTES],
        [2 * SEGMENT_BYTES, 100],
      ] as const) {
        const lease = arena.acquire(from);
        const old = placeOf(lease);
        lease.bytes.fill(7);
        lease.resize(to);
        if (lease.origin === "heap") {
          lease.release();
          environment.skip("this engine has no memory to give, and has not collected those let go of");
        }
        const now = placeOf(lease);
        const hasMoved = now.memory !== old.memory || now.byteOffset !== old.byteOffset;
        check(!hasMoved || isAll(bytesNow(old), 0), `the block of ${from} bytes was not wiped`);
        lease.bytes.fill(8);
        lease.release();
        check(isAll(bytesNow({ ...now, byteLength: Math.max(to, hasMoved ? 0 : from) }), 0), "not wiped at release");
      }
      checkSound(arena);
    },
  };
}

const wiping: readonly ContractCase[] = [
  ...MODES.flatMap((revoke) => [wipes(revoke), wipesMoves(revoke)]),
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

/** Writes to everything that the buffer under `lease` shows. */
function scribble(lease: Lease): void {
  new Uint8Array(lease.bytes.buffer).fill(0xab);
}

function bookkeeping(revoke: RevokeMode): ContractCase {
  return {
    name: `${revoke}: writing to all of .buffer damages no bookkeeping: every lease ends once, and none overlap`,
    run(library) {
      using arena = smallArena(library, { revoke });
      const held = [100, 4096, PAGE_BYTES, SEGMENT_BYTES, 100].map((byteLength) => arena.acquire(byteLength));
      held[1]?.release();
      for (const lease of held) if (!lease.released) scribble(lease);
      checkSound(arena);
      const more = [100, 4096, PAGE_BYTES, 5000].map((byteLength) => arena.acquire(byteLength));
      const live = [...held, ...more].filter(({ released }) => !released);
      for (const [mark, { bytes }] of live.entries()) bytes.fill(mark + 1);
      for (const [mark, { bytes }] of live.entries()) check(isAll(bytes, mark + 1), "two leases overlap");
      for (const lease of live) lease.release();
      arena.assertDrained();
      checkSound(arena);
      arena.trim();
      checkUsable(arena);
    },
  };
}

/** Where stray writes are found. */
const FINDERS: Record<string, (arena: Arena) => void> = {
  audit: (arena) => checkSame(arena.audit().problems, [], "the audit"),
  trim: (arena) => void arena.trim(),
};

function strayWrites(revoke: RevokeMode): ContractCase[] {
  return Object.entries({
    ...FINDERS,
    ...(revoke === "before-reuse" && { recycling: (arena: Arena) => recycle(arena) }),
  }).map(
    ([finder, find]): ContractCase => ({
      name: `${revoke}: a write that ignores byteOffset is reported by ${finder}, once, with its offset`,
      async run(library) {
        using arena = smallArena(library, { revoke });
        const events: { count: number; byteOffset: number }[] = [];
        arena.addEventListener("stray-write", (event) => events.push(event));
        const lease = arena.acquire(100);
        new Uint8Array(lease.bytes.buffer)[8] = 1;
        lease.release();
        find(arena);
        checkEqual(arena.stats().strayWrites, 1, "strayWrites");
        checkEqual(events.length, 0, "events before the arena was left");
        await turn();
        checkSame(
          events.map(({ count, byteOffset }) => ({ count, byteOffset })),
          [{ count: 1, byteOffset: 8 }],
          "the events",
        );
        find(arena);
        await turn();
        checkEqual(arena.stats().strayWrites, 1, "strayWrites in the end");
        checkUsable(arena);
      },
    }),
  );
}

const strays: readonly ContractCase[] = [
  ...SEGMENT_MODES.flatMap(strayWrites),
  ...SEGMENT_MODES.map(
    (revoke): ContractCase => ({
      name: `${revoke}: with trace: all a stray write is reported at the release, with who held leases there`,
      async run(library) {
        using arena = smallArena(library, { revoke, trace: "all" });
        let sites = "";
        arena.addEventListener("stray-write", (event) => {
          sites = event.sites.map(({ stack }) => stack).join("\n");
        });
        function ignoresByteOffset(): void {
          const lease = arena.acquire(100);
          new DataView(lease.bytes.buffer).setUint8(0, 1);
          lease.release();
        }
        ignoresByteOffset();
        await turn();
        checkEqual(arena.stats().strayWrites, 1, "strayWrites");
        check(sites.includes("ignoresByteOffset"), `the holder is not named: ${sites}`);
      },
    }),
  ),
  {
    name: "before-reuse: after a stray write every lease is zero once its segment was recycled",
    run(library) {
      using arena = smallArena(library, {}, 1);
      const lease = arena.acquire(100);
      scribble(lease);
      lease.release();
      // Three leases of a page are all that fit: the segment's end is not handed out before.
      recycle(arena, PAGE_BYTES);
      const all: Lease[] = [];
      while (all.at(-1)?.origin !== "heap") all.push(arena.acquire(4096));
      check(all.length > 40, `only ${all.length} leases`);
      for (const { bytes } of all) check(isAll(bytes, 0), "a lease is not zero");
      for (const next of all) next.release();
      checkEqual(arena.stats().strayWrites, 1, "strayWrites");
    },
  },
];

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
    const reader = new library.ByteReader(source);
    reader.readBytes(100);
    const filled = arena.acquireFilled(5000, (bytes) => {
      bytes.set(source);
      return 5000;
    });
    for (const lease of [copy, filler.take(), writer.take(), filled]) lease.release();
    arena.trim();
    arena[Symbol.dispose]();
    check(source.length === 5000 && isAll(source, 7), "the caller's bytes changed");
    checkEqual(source.buffer.byteLength, 5000, "the length of the caller's buffer");
  },
}));

export const guarantees: readonly ContractCase[] = [
  ...MODES.map(overflows),
  ...wiping,
  ...MODES.map(bookkeeping),
  ...strays,
  ...foreign,
];
