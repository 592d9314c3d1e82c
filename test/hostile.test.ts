/**
 * A holder who writes anything he likes over a segment's bookkeeping, through
 * his view's `.buffer`. Whatever he writes, no lease is handed out that reaches
 * the bookkeeping or lies outside its memory, nothing traps or hangs, only typed
 * errors come out, and once his leases have ended the arena is sound.
 */

import { ArenaError, type Lease, type RevokeMode } from "cleanslab";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { expectSound, expectUsable, PAGE_BYTES, SEGMENT_BYTES, smallArena } from "./helpers.ts";
import { runPrograms } from "./seeded.ts";

type Op =
  | { do: "acquire"; byteLength: number }
  | { do: "release"; which: number }
  | { do: "write"; which: number; at: number; value: number }
  | { do: "copy"; which: number; from: number; to: number }
  | { do: "audit" };

const length = fc.oneof(fc.nat(300), fc.nat(20_000), fc.nat(SEGMENT_BYTES));
/** Class heads and slab records more often than the links behind them. */
const address = fc.oneof(fc.nat(127), fc.nat(2175), fc.nat(12_287), fc.nat(PAGE_BYTES - 4));
const operation: fc.Arbitrary<Op> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant("acquire" as const), byteLength: length }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("release" as const), which: fc.nat() }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("write" as const),
      which: fc.nat(),
      at: address,
      value: fc.oneof(fc.nat(255), fc.nat(65_535)),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("copy" as const), which: fc.nat(), from: address, to: address }),
  },
  { weight: 1, arbitrary: fc.constant({ do: "audit" as const }) },
);

function attempt(fn: () => void): void {
  try {
    fn();
  } catch (error) {
    if (!(error instanceof ArenaError) || error.code !== "ERR_ARENA_CORRUPT") throw error;
  }
}

function run(revoke: RevokeMode, ops: readonly Op[]): void {
  using arena = smallArena({ revoke });
  const leases: Lease[] = [];
  const pick = (which: number): Lease | undefined => leases[which % leases.length];
  for (const op of ops) {
    if (op.do === "acquire") {
      const lease = op.byteLength % 2 === 0 ? arena.acquire(op.byteLength) : arena.pool(op.byteLength).acquire();
      leases.push(lease);
      if (lease.origin !== "arena" || revoke === "on-release") continue;
      const end = lease.byteOffset + op.byteLength;
      if (op.byteLength > SEGMENT_BYTES || lease.byteOffset < PAGE_BYTES || end > PAGE_BYTES + SEGMENT_BYTES) {
        expect.fail(`a lease at ${lease.byteOffset} of ${op.byteLength} bytes`);
      }
    } else if (op.do === "release" && leases.length > 0) {
      const [lease] = leases.splice(op.which % leases.length, 1);
      attempt(() => lease?.release());
      expect(lease?.released).toBe(true);
    } else if (op.do === "write" || op.do === "copy") {
      const buffer = pick(op.which)?.memory?.buffer;
      if (buffer === undefined) continue;
      if (op.do === "write") new DataView(buffer).setUint16(op.at, op.value, true);
      else new Uint8Array(buffer).copyWithin(op.to, op.from, Math.min(op.from + 32, PAGE_BYTES));
    } else if (op.do === "audit") arena.audit();
  }
  for (const lease of leases) attempt(() => lease.release());
  expect(arena.stats()).toMatchObject({ liveLeases: 0, liveBytes: 0 });
  // Every drained segment is looked at before it serves again; a damaged one is gone.
  arena.trim();
  if (revoke !== "never") {
    expectSound(arena);
    expectUsable(arena);
  }
}

describe.each(["before-reuse", "on-release", "never"] as const)("revoke: %s, a hostile holder", (revoke) => {
  test("gets no lease outside the slabs, no trap and no endless loop, and harms no later arena state", async () => {
    await runPrograms(`hostile, ${revoke}`, operation, (ops) => run(revoke, ops));
  });
});
