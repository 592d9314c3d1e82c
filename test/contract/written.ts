/**
 * Leases that a producer writes: `acquireFilled`, `filler`, `copyOf`, and `resize`. Nothing
 * is zeroed first that is overwritten, and nobody sees a byte that was not written.
 */

import type { Arena, RevokeMode } from "cleanslab";
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
  SEGMENT_BYTES,
  smallArena,
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

function writtenIn(revoke: RevokeMode): ContractCase[] {
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
          const lease = filler.take();
          check(lease.bytes.length === byteLength && isAll(lease.bytes, 4), "it is not what was written");
          lease.release();
        }
        arena.assertDrained();
      },
    },
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
            checkSame([lease.byteLength, lease.bytes.length], [to, to], "the length");
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
    },
  ];
}

export const written: readonly ContractCase[] = [
  ...MODES.flatMap(writtenIn),
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
