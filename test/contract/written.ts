/**
 * Leases that a producer writes: `acquireFilled`, `filler`, `copyOf`, and `resize`. Nothing
 * is zeroed first that is overwritten, and nobody sees a byte that was not written.
 */

import type { Arena, Lease, RevokeMode } from "cleanslab";
import {
  bytesNow,
  check,
  checkArenaError,
  checkEqual,
  checkSame,
  checkSound,
  checkThrows,
  isAll,
  MODES,
  PAGE_BYTES,
  randomFrom,
  rejectionOf,
  SEGMENT_BYTES,
  smallArena,
  wrong,
} from "./check.ts";
import type { ContractCase } from "./contract.ts";

const LENGTHS: readonly number[] = [0, 1, 100, 4096, 5000, PAGE_BYTES, SEGMENT_BYTES];

/** Leaves other bytes than zero in memory that is handed out next, as far as the mode keeps it. */
function soil(arena: Arena, byteLength: number): void {
  const leases = [arena.acquire(byteLength), arena.acquire(byteLength)];
  for (const lease of leases) {
    lease.bytes.fill(0xee);
    lease.release();
  }
}

/** Answers that `write` may not give for a lease of 100 bytes, and how they are shown. */
const WRONG_ANSWERS: readonly [unknown, string][] = [
  [-1, "-1"],
  [0.5, "0.5"],
  [101, "101"],
  [2 ** 32, "4294967296"],
  [Number.NaN, "NaN"],
  ["100", '"100"'],
  [undefined, "undefined"],
  [null, "null"],
  [100n, "100n"],
];

function filled(revoke: RevokeMode): ContractCase[] {
  return [
    {
      name: `${revoke}: acquireFilled gives exactly the bytes that were written, and none of those behind`,
      async run(library) {
        using arena = smallArena(library, { revoke }, 8);
        for (const byteLength of LENGTHS) {
          for (const written of [0, byteLength >> 1, Math.max(0, byteLength - 1), byteLength]) {
            soil(arena, byteLength);
            const write = (bytes: Uint8Array): number => {
              checkEqual(bytes.length, byteLength, "the bytes to write to");
              bytes.fill(3, 0, written);
              return written;
            };
            for (const lease of [
              arena.acquireFilled(byteLength, write),
              await arena.acquireFilled(byteLength, async (bytes) => write(bytes)),
            ]) {
              checkEqual(lease.byteLength, written, "byteLength");
              check(lease.bytes.length === written && isAll(lease.bytes, 3), "it is not what was written");
              check(isAll(bytesNow(lease), 3), "memory and byteOffset are not where the bytes are");
              lease.release();
            }
          }
        }
        arena.assertDrained();
        checkSound(arena);
      },
    },
    {
      name: `${revoke}: a wrong answer of write is a typed error, a throw is the caller's own, and nothing stays leased`,
      async run(library) {
        using arena = smallArena(library, { revoke });
        for (const [answer, shown] of WRONG_ANSWERS) {
          const message = `what write answered is ${shown}`;
          checkThrows(library, () => arena.acquireFilled(100, () => wrong(answer)), "ERR_INVALID_ARGUMENT", message);
          const later = arena.acquireFilled(100, async () => wrong(answer));
          checkEqual(arena.stats().liveLeases, 1, "leases while it is written");
          checkArenaError(library, await rejectionOf(later), "ERR_INVALID_ARGUMENT", message);
          arena.assertDrained();
        }
        const own = new Error("thrown on purpose");
        let caught: unknown;
        try {
          arena.acquireFilled(100, () => {
            throw own;
          });
        } catch (error) {
          caught = error;
        }
        checkEqual(caught, own, "what acquireFilled throws");
        checkEqual(await rejectionOf(arena.acquireFilled(100, () => Promise.reject(own))), own, "the rejection");
        arena.assertDrained();
        checkSound(arena);
      },
    },
    {
      name: `${revoke}: with wipeOnRelease the bytes to write to are zero`,
      run(library) {
        using arena = smallArena(library, { revoke, wipeOnRelease: true }, 8);
        for (const byteLength of LENGTHS) {
          soil(arena, byteLength);
          for (let round = 0; round < 3; round++) {
            const lease = arena.acquireFilled(byteLength, (bytes) => {
              check(isAll(bytes, 0), "they are not zero");
              return bytes.fill(5).length;
            });
            lease.release();
          }
        }
      },
    },
    {
      name: `${revoke}: a filler shows its lease once every byte was written, piece by piece`,
      run(library) {
        using arena = smallArena(library, { revoke }, 8);
        const source = new Uint8Array(SEGMENT_BYTES).fill(4);
        for (const byteLength of LENGTHS) {
          soil(arena, byteLength);
          const filler = arena.filler(byteLength);
          while (!filler.full) {
            checkThrows(library, () => filler.take(), "ERR_OUT_OF_BOUNDS", `${filler.rest} of ${byteLength} bytes`);
            check(filler.put(source, source.length - 4000) > 0, "nothing was copied");
          }
          checkEqual(filler.put(source), 0, "bytes copied when it was full");
          const lease = filler.take();
          check(lease.bytes.length === byteLength && isAll(lease.bytes, 4), "it is not what was written");
          lease.release();
          arena.filler(byteLength).drop();
        }
        arena.assertDrained();
        checkSound(arena);
      },
    },
  ];
}

function resized(revoke: RevokeMode): ContractCase[] {
  return [
    {
      name: `${revoke}: resize keeps what fits, zeroes what is new, and moves no byte of another lease`,
      run(library) {
        using arena = smallArena(library, { revoke }, 8);
        for (const from of LENGTHS) {
          for (const to of LENGTHS) {
            soil(arena, to);
            const lease = arena.acquire(from);
            const neighbour = arena.acquire(100);
            lease.bytes.fill(3);
            neighbour.bytes.fill(4);
            lease.resize(to);
            const kept = Math.min(from, to);
            checkEqual(lease.byteLength, to, "byteLength");
            checkEqual(lease.bytes.length, to, "length");
            check(isAll(lease.bytes.subarray(0, kept), 3), `from ${from} to ${to}: it lost bytes`);
            check(isAll(lease.bytes.subarray(kept), 0), `from ${from} to ${to}: what is new is not zero`);
            lease.bytes.fill(5);
            check(isAll(bytesNow(lease), 5), "memory and byteOffset are not where the bytes are");
            check(isAll(neighbour.bytes, 4), "the neighbour changed");
            checkEqual(arena.stats().liveBytes, to + 100, "liveBytes");
            lease.release();
            neighbour.release();
          }
        }
        arena.assertDrained();
        checkSound(arena);
      },
    },
    {
      name: `${revoke}: a resize that is shorter and longer again shows none of the old bytes`,
      run(library) {
        using arena = smallArena(library, { revoke });
        const lease = arena.acquire(100);
        lease.bytes.fill(7);
        lease.resize(10);
        lease.resize(100);
        check(isAll(lease.bytes.subarray(0, 10), 7), "it lost bytes");
        check(isAll(lease.bytes.subarray(10), 0), "the old bytes are back");
        lease.release();
      },
    },
    {
      name: `${revoke}: a resize that finds no room leaves the lease as it was`,
      run(library) {
        using arena = smallArena(library, { revoke, onExhausted: "throw" }, 1);
        const lease = arena.acquire(100);
        const bytes = lease.bytes.fill(7);
        checkThrows(library, () => lease.resize(SEGMENT_BYTES), "ERR_ARENA_EXHAUSTED");
        checkThrows(library, () => lease.resize(-1), "ERR_INVALID_ARGUMENT", "byteLength is -1");
        const pin = lease.pin();
        checkThrows(library, () => lease.resize(10), "ERR_LEASE_PINNED", "resize");
        pin.release();
        checkEqual(lease.bytes, bytes, "bytes");
        check(isAll(bytes, 7), "the bytes changed");
        lease.release();
        arena.assertDrained();
        checkSound(arena);
      },
    },
    {
      name: `${revoke}: a long lease cut short gives its memory back`,
      run(library) {
        using arena = smallArena(library, { revoke, onExhausted: "throw" }, 2);
        const leases: Lease[] = [];
        for (let each = 0; each < 4; each++) {
          const lease = arena.acquireFilled(SEGMENT_BYTES, (bytes) => bytes.fill(each + 1, 0, 10) && 10);
          leases.push(lease);
        }
        for (const [each, lease] of leases.entries()) {
          check(isAll(lease.bytes, each + 1), "the bytes changed");
          lease.release();
        }
        arena.assertDrained();
        checkSound(arena);
      },
    },
  ];
}

const copies: readonly ContractCase[] = [
  ...MODES.map(
    (revoke): ContractCase => ({
      name: `${revoke}: a copy of an own stale view has its bytes, or is a typed error with nothing leased`,
      run(library) {
        using arena = smallArena(library, { revoke }, 1);
        const random = randomFrom(7);
        let refused = 0;
        let revokedInside = 0;
        for (let round = 0; round < 600; round++) {
          const lease = arena.acquire(4096);
          const stale = lease.bytes.fill(7);
          lease.release();
          // So that rounds begin at any place in the segment.
          const between = random(3);
          for (let each = 0; each < between; each++) arena.acquire(4096).release();
          const wasAttached = stale.length > 0;
          try {
            const copy = arena.copyOf(stale);
            check(isAll(copy.bytes, revoke === "never" && between > 0 ? 0 : 7), "the copy has other bytes");
            copy.release();
          } catch (error) {
            checkArenaError(library, error, "ERR_INVALID_ARGUMENT", "still attached");
            refused++;
            if (wasAttached) revokedInside++;
          }
          checkEqual(arena.stats().liveLeases, 0, "liveLeases");
        }
        if (revoke === "on-release") checkEqual(refused, 600, "copies refused");
        else if (revoke === "never") checkEqual(refused, 0, "copies refused");
        else check(revokedInside > 0 && refused < 200, `${refused} refused, ${revokedInside} of them while copying`);
        checkSound(arena);
      },
    }),
  ),
  {
    name: "a copy of any view has the bytes under it",
    run(library) {
      using arena = smallArena(library);
      const { buffer } = Uint8Array.from({ length: 16 }, (_, each) => each);
      for (const view of [new DataView(buffer, 4, 3), new Uint8Array(buffer, 4, 3), new Uint16Array(buffer, 4, 2)]) {
        const lease = arena.copyOf(view);
        checkSame([...lease.bytes], [4, 5, 6, 7].slice(0, view.byteLength), "the copy");
        lease.release();
      }
      arena.assertDrained();
    },
  },
];

export const written: readonly ContractCase[] = [...MODES.flatMap(filled), ...MODES.flatMap(resized), ...copies];
