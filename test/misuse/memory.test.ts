/** What the holder of `lease.memory` or of a view's `.buffer` can do to an arena. */

import type { Lease } from "cleanslab";
import { describe, expect, test } from "vitest";
import {
  bytesNow,
  expectSound,
  expectThrow,
  expectUnharmed,
  expectUsable,
  growUnder,
  isAll,
  isZero,
  MODES,
  memoryNow,
  PAGE_BYTES,
  releaseAll,
  SEGMENT_BYTES,
  SEGMENT_MEMORY_BYTES,
  SEGMENT_MODES,
  smallArena,
} from "../helpers.ts";

describe.each(MODES)("revoke: %s, a lease.memory that its holder grows by nothing", (revoke) => {
  test.each(["acquire", "pool"] as const)("kills the views of leases from %s, which can still be released", (way) => {
    using arena = smallArena({ revoke });
    const take = (): Lease => (way === "pool" ? arena.pool(100).acquire() : arena.acquire(100));
    const lease = take();
    const other = take();
    lease.bytes.fill(7);
    other.bytes.fill(8);
    const before = arena.stats();
    growUnder(lease, 0);
    for (const each of lease.memory === other.memory ? [lease, other] : [lease]) {
      expectThrow(
        () => each.bytes,
        "ERR_ARENA_CORRUPT",
        "cannot read bytes",
        "100 bytes",
        "revoked",
        "release the lease",
        "do not grow lease.memory",
      );
      expectThrow(() => each.view(DataView), "ERR_ARENA_CORRUPT", "do not grow");
      expectThrow(() => each.copy(), "ERR_ARENA_CORRUPT", "do not grow");
      expect(each.released).toBe(false);
    }
    expect(arena.stats()).toEqual(before);
    const next = take();
    expect(isZero(next.bytes)).toBe(true);
    next.release();
    lease.release();
    other.release();
    expect(isZero(bytesNow(lease)) && isZero(bytesNow(other))).toBe(true);
    expect(arena.stats()).toMatchObject({ liveLeases: 0, corruptSegments: 0 });
    for (let round = 0; round < 3; round++) {
      const again = take();
      expect(again.bytes.length).toBe(100);
      expect(isZero(again.bytes)).toBe(true);
      again.release();
    }
    expectUsable(arena);
  });

  test("can still be released with tracing on", () => {
    using arena = smallArena({ revoke, trace: "all" });
    const lease = arena.acquire(100);
    growUnder(lease, 0);
    lease.release();
    expect(arena.stats().liveLeases).toBe(0);
  });

  test("cannot be grown for real, past the cap", () => {
    using arena = smallArena({ revoke });
    const lease = arena.acquire(100);
    lease.bytes.fill(7);
    expectUnharmed(arena, () => {
      expect(() => growUnder(lease, 1)).toThrow(RangeError);
    });
    expect(isAll(lease.bytes, 7)).toBe(true);
    lease.release();
    expectSound(arena);
  });
});

describe.each(SEGMENT_MODES)("revoke: %s, bookkeeping that was written over through a view's .buffer", (revoke) => {
  /** Everything before slab 0. */
  function scribble(lease: Lease): void {
    new Uint8Array(lease.bytes.buffer, 0, PAGE_BYTES).fill(0xab);
  }

  test("makes release throw ERR_ARENA_CORRUPT, and the arena goes on with another segment", () => {
    using arena = smallArena({ revoke });
    const lease = arena.acquire(100);
    const { bytes } = lease;
    bytes.fill(7);
    const bystander = arena.acquire(100);
    bystander.bytes.fill(7);
    scribble(lease);
    const whole = new Uint8Array(bytes.buffer);
    // The first who comes upon the damage is told. For everybody the lease ends, wiped and counted.
    expectThrow(() => lease.release(), "ERR_ARENA_CORRUPT", "segment", "bookkeeping", ".buffer");
    expectThrow(() => lease.release(), "ERR_LEASE_RELEASED");
    expect(lease.released).toBe(true);
    expect(whole.length === 0 || isZero(whole.subarray(lease.byteOffset, lease.byteOffset + 100))).toBe(true);
    expect(arena.stats()).toMatchObject({ corruptSegments: 1, released: 1 });
    bystander.release();
    for (let round = 0; round < 10; round++) {
      const next = arena.acquire(100);
      expect(next.memory).not.toBe(lease.memory);
      expect(isZero(next.bytes)).toBe(true);
      next.release();
    }
    expect(arena.stats()).toMatchObject({ liveLeases: 0, corruptSegments: 1, segments: { active: 1, corrupt: 0 } });
    expectUsable(arena);
  });

  test("takes no block from the leases that are out", () => {
    using arena = smallArena({ revoke });
    const leases = Array.from({ length: 20 }, () => arena.acquire(1000));
    for (const [value, { bytes }] of leases.entries()) bytes.fill(value + 1);
    const [first] = leases;
    if (first !== undefined) scribble(first);
    const more = Array.from({ length: 20 }, () => arena.acquire(1000));
    for (const { bytes } of more) bytes.fill(0xff);
    for (const [value, { bytes }] of leases.entries()) expect(isAll(bytes, value + 1)).toBe(true);
  });

  test("keeps a segment out of use once it was found damaged, though its other leases are released", () => {
    using arena = smallArena({ revoke });
    const short = arena.acquire(64);
    const long = arena.acquire(4096);
    // The head of the list of the first size class.
    memoryNow(short)[0] = 200;
    expect(arena.acquire(64).memory).not.toBe(short.memory);
    expect(arena.stats()).toMatchObject({ corruptSegments: 1, segments: { corrupt: 1 } });
    long.release();
    expect(arena.acquire(8192).memory).not.toBe(short.memory);
    expect(arena.stats()).toMatchObject({ corruptSegments: 1, segments: { corrupt: 1 } });
    short.release();
    expect(arena.acquire(16384).memory).not.toBe(short.memory);
  });

  test("finds the room in the other segments when a full one turns out damaged", () => {
    using arena = smallArena({ revoke });
    const short = arena.acquire(4096);
    const whole = arena.acquire(SEGMENT_BYTES);
    expect(whole.memory).not.toBe(short.memory);
    // The heads of the lists of all size classes.
    memoryNow(whole).fill(200, 0, 128);
    expect(arena.acquire(8192).memory).toBe(short.memory);
    expect(arena.acquire(16384).memory).toBe(short.memory);
  });
});

describe("revoke: never, a pool with blocks in a damaged segment", () => {
  function scribble(lease: Lease): void {
    memoryNow(lease).fill(0xab, 0, PAGE_BYTES);
  }

  test("counts a lease once, though its block cannot be taken back", () => {
    using arena = smallArena({ revoke: "never" }, 20);
    const pool = arena.pool(PAGE_BYTES);
    // One more than the pool keeps.
    const leases = Array.from({ length: 17 }, () => pool.acquire());
    const last = leases.pop();
    if (last === undefined) throw new Error("17 leases were acquired");
    scribble(last);
    releaseAll(leases);
    const before = arena.stats();
    expectThrow(() => last.release(), "ERR_ARENA_CORRUPT", "segment");
    expectThrow(() => last.release(), "ERR_LEASE_RELEASED");
    expect(arena.stats()).toMatchObject({ liveLeases: 0, released: before.released + 1, corruptSegments: 1 });
  });

  test("gives up the others when room is needed", () => {
    using arena = smallArena({ revoke: "never", onExhausted: "throw" }, 2);
    const pool = arena.pool(32 * 1024);
    const leases = Array.from({ length: 16 }, () => pool.acquire());
    const [damaged] = leases;
    const sound = leases.find(({ memory }) => memory !== damaged?.memory);
    if (damaged === undefined || sound === undefined) throw new Error("16 leases lie in two segments");
    scribble(damaged);
    releaseAll(leases);
    const lease = arena.acquire(SEGMENT_BYTES);
    expect(lease.memory).toBe(sound.memory);
    expect(isZero(lease.bytes)).toBe(true);
  });
});

describe("revoke: before-reuse, a damaged segment", () => {
  test("is dropped with its last lease, and its bytes are back under the cap", () => {
    using arena = smallArena({ revoke: "before-reuse" });
    const short = arena.acquire(64);
    const long = arena.acquire(4096);
    const view = long.bytes;
    memoryNow(short)[0] = 200;
    arena.acquire(64).release();
    expect(arena.stats()).toMatchObject({ reservedBytes: 2 * SEGMENT_MEMORY_BYTES, segments: { corrupt: 1 } });
    short.release();
    long.release();
    expect(view.length).toBe(0);
    expect(arena.stats()).toMatchObject({
      reservedBytes: SEGMENT_MEMORY_BYTES,
      corruptSegments: 1,
      segments: { active: 1, corrupt: 0 },
    });
    expectUsable(arena);
  });
});
