/**
 * Promise 8: no view and no other WebAssembly module can damage the arena's bookkeeping.
 * A holder writes anything he likes over every byte that his view's `.buffer` reaches.
 */

import type { Arena, Lease, RevokeMode } from "cleanslab";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { exhaust, expectSound, isAll, isZero, MODES, releaseAll, SEGMENT_BYTES, smallArena } from "../helpers.ts";
import { runPrograms } from "../seeded.ts";

type Op =
  | { do: "acquire"; byteLength: number }
  | { do: "release" | "fill" | "grow"; which: number; value: number }
  | { do: "copy"; which: number; from: number; to: number }
  | { do: "trim" };

const OPERATION: fc.Arbitrary<Op> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant("acquire" as const),
      byteLength: fc.oneof(fc.nat(300), fc.nat(20_000), fc.nat(SEGMENT_BYTES)),
    }),
  },
  {
    weight: 7,
    arbitrary: fc.record({ do: fc.constantFrom("release", "fill", "grow"), which: fc.nat(), value: fc.nat(255) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("copy" as const),
      which: fc.nat(),
      from: fc.nat(SEGMENT_BYTES),
      to: fc.nat(SEGMENT_BYTES),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("trim" as const) }) },
) as fc.Arbitrary<Op>;

function expectInside(lease: Lease): void {
  if (lease.memory === undefined) return;
  expect(lease.byteOffset).toBeGreaterThanOrEqual(0);
  expect(lease.byteOffset + lease.byteLength).toBeLessThanOrEqual(lease.memory.buffer.byteLength);
}

/** No lease overlaps another: each is named by its memory and where it lies there. */
function expectApart(leases: Iterable<Lease>): void {
  const byMemory = new Map<unknown, [number, number][]>();
  for (const { memory, byteOffset, byteLength } of leases) {
    if (memory === undefined || byteLength === 0) continue;
    byMemory.set(memory, [...(byMemory.get(memory) ?? []), [byteOffset, byteOffset + byteLength]]);
  }
  for (const ranges of byMemory.values()) {
    ranges.sort(([a], [b]) => a - b);
    for (let each = 1; each < ranges.length; each++) {
      expect(ranges[each]?.[0]).toBeGreaterThanOrEqual(ranges[each - 1]?.[1] ?? 0);
    }
  }
}

function run(revoke: RevokeMode, ops: readonly Op[]): void {
  using arena = smallArena({ revoke }, 3);
  const leases: Lease[] = [];
  for (const op of ops) {
    if (op.do === "acquire") {
      const lease = arena.acquire(op.byteLength);
      expectInside(lease);
      leases.push(lease);
      continue;
    }
    if (op.do === "trim") {
      arena.trim();
      continue;
    }
    const lease = leases[op.which % Math.max(1, leases.length)];
    const memory = lease?.memory as WebAssembly.Memory | undefined;
    if (op.do === "release") {
      if (lease !== undefined) leases.splice(leases.indexOf(lease), 1);
      lease?.release();
    } else if (memory === undefined) continue;
    else if (op.do === "fill") new Uint8Array(memory.buffer).fill(op.value);
    else if (op.do === "grow") memory.grow(0);
    else if (op.do === "copy") new Uint8Array(memory.buffer).copyWithin(op.to, op.from, op.from + 64);
  }
  expectApart(leases);
  releaseAll(leases);
  expect(arena.stats()).toMatchObject({ liveLeases: 0, liveBytes: 0 });
  expectSound(arena);
}

describe.each(MODES)("revoke: %s, a hostile holder", (revoke: RevokeMode) => {
  test("breaks no invariant, and gets no lease outside its memory or over another", { timeout: 600_000 }, async () => {
    await runPrograms(`hostile, ${revoke}`, OPERATION, (ops) => run(revoke, ops));
  });

  test("who fills all of a segment changes nothing that the arena counts", () => {
    using arena = smallArena({ revoke, onExhausted: "throw" }, 2);
    const leases = exhaust(arena, 4096);
    const before = arena.stats();
    for (const value of [0xff, 0, 0x55]) {
      for (const { bytes } of leases) new Uint8Array(bytes.buffer).fill(value);
      expect({ ...arena.stats(), strayWrites: 0 }).toEqual({ ...before, strayWrites: 0 });
      expectSound(arena);
    }
    releaseAll(leases);
    expect(exhaust(arena, 4096)).toHaveLength(leases.length);
  });
});

/** A module that imports a memory and fills `length` bytes of it at `at`, as other code's does. */
const FILLER = new WebAssembly.Module(
  Uint8Array.of(
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    // (type (func (param i32 i32 i32)))
    ...[1, 7, 1, 0x60, 3, 0x7f, 0x7f, 0x7f, 0],
    // (import "env" "memory" (memory 1))
    ...[2, 15, 1, 3, 0x65, 0x6e, 0x76, 6, 0x6d, 0x65, 0x6d, 0x6f, 0x72, 0x79, 2, 0, 1],
    ...[3, 2, 1, 0],
    // (export "fill" (func 0))
    ...[7, 8, 1, 4, 0x66, 0x69, 0x6c, 0x6c, 0, 0],
    // memory.fill
    ...[10, 13, 1, 11, 0, 0x20, 0, 0x20, 1, 0x20, 2, 0xfc, 11, 0, 0x0b],
  ),
);

describe.each(MODES)("revoke: %s, another WebAssembly module", (revoke: RevokeMode) => {
  test("uses a lease's bytes by memory and byteOffset, and whatever else it writes harms no bookkeeping", () => {
    using arena: Arena = smallArena({ revoke });
    const lease = arena.acquire(1000);
    const { exports } = new WebAssembly.Instance(FILLER, { env: { memory: lease.memory as WebAssembly.Memory } });
    const fill = exports["fill"] as (at: number, value: number, length: number) => void;
    fill(lease.byteOffset, 7, 1000);
    expect(isAll(lease.bytes, 7)).toBe(true);
    fill(0, 0xee, lease.memory?.buffer.byteLength ?? 0);
    lease.release();
    expectSound(arena);
    arena.trim();
    const next = arena.acquire(1000);
    expect(isZero(next.bytes)).toBe(true);
    next.release();
  });
});
