/** What the holder of `lease.memory` or of a view's `.buffer` can do to an arena. */

import type { Arena, Lease } from "cleanslab";
import { describe, expect, test } from "vitest";
import {
  bytesNow,
  exhaust,
  expectSound,
  expectThrow,
  expectUnharmed,
  expectUsable,
  growUnder,
  isAll,
  isZero,
  LONGEST_SHORT_BYTES,
  MODES,
  memoryNow,
  PAGE_BYTES,
  placeOf,
  releaseAll,
  SEGMENT_BYTES,
  smallArena,
} from "../helpers.ts";

/** Detached views say nothing of their own. */
function expectDetached(lease: Lease): void {
  expectThrow(
    () => lease.bytes,
    "ERR_LEASE_DETACHED",
    "cannot read bytes",
    `${lease.byteLength} bytes`,
    "revoked",
    "release the lease",
    "do not grow lease.memory",
  );
  expectThrow(() => lease.view(DataView), "ERR_LEASE_DETACHED", "do not grow");
  expectThrow(() => lease.copy(), "ERR_LEASE_DETACHED", "do not grow");
  expectThrow(() => lease.resize(1), "ERR_LEASE_DETACHED", "cannot resize", "do not grow");
  expectThrow(() => lease.resize(lease.byteLength), "ERR_LEASE_DETACHED", "cannot resize");
  expect(lease.released).toBe(false);
}

describe.each(MODES)("revoke: %s, a lease.memory that its holder grows by nothing", (revoke) => {
  const WAYS: Record<string, (arena: Arena) => Lease> = {
    acquire: (arena) => arena.acquire(100),
    pool: (arena) => arena.pool(100).acquire(),
    acquireFilled: (arena) => arena.acquireFilled(200, (bytes) => bytes.fill(1, 0, 100) && 100),
    "an acquire of a memory of its own": (arena) => arena.acquire(LONGEST_SHORT_BYTES + 1),
  };

  test.each(Object.entries(WAYS))("kills the views of leases from %s, which can still be released", (_name, take) => {
    using arena = smallArena({ revoke, wipeOnRelease: true });
    const lease = take(arena);
    const other = take(arena);
    lease.bytes.fill(7);
    other.bytes.fill(8);
    const places = [placeOf(lease), placeOf(other)];
    const { byteLength } = lease;
    const before = arena.stats();
    growUnder(lease, 0);
    for (const each of lease.memory === other.memory ? [lease, other] : [lease]) expectDetached(each);
    expect(arena.stats()).toEqual(before);
    const next = arena.acquire(byteLength);
    expect(isZero(next.bytes)).toBe(true);
    next.release();
    lease.release();
    other.release();
    for (const place of places) expect(isZero(bytesNow(place))).toBe(true);
    expect(arena.stats()).toMatchObject({ liveLeases: 0 });
    for (let round = 0; round < 3; round++) {
      const again = arena.acquire(byteLength);
      expect(again.bytes.length).toBe(byteLength);
      expect(isZero(again.bytes)).toBe(true);
      again.bytes.fill(9);
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
    expectUsable(arena);
  });

  test("kept past the release, kills the views of the next owner, who is told so and can go on", () => {
    using arena = smallArena({ revoke }, 1);
    const lease = arena.acquire(100);
    const place = placeOf(lease);
    lease.release();
    const next = arena.acquire(100);
    expect(next.memory).toBe(place.memory);
    growUnder(place, 0);
    expectDetached(next);
    const again = arena.acquire(100);
    expect(again.bytes.length).toBe(100);
    releaseAll([next, again]);
    expectUsable(arena);
  });

  test("says so of a lease without bytes, too, which looks the same when it is detached", () => {
    using arena = smallArena({ revoke });
    const lease = arena.acquire(0);
    growUnder(lease, 0);
    expect(lease.bytes.length).toBe(0);
    lease.release();
    expectUsable(arena);
  });
});

describe.each(MODES)("revoke: %s, a lease.memory that its holder grows for real", (revoke) => {
  test("cannot be grown past the cap", () => {
    using arena = smallArena({ revoke }, 1);
    for (const lease of [arena.acquire(100), arena.acquire(SEGMENT_BYTES - PAGE_BYTES)]) {
      if (lease.origin === "heap") continue;
      lease.bytes.fill(7);
      expectUnharmed(arena, () => {
        expect(() => growUnder(lease, 5)).toThrow(RangeError);
      });
      expect(isAll(lease.bytes, 7)).toBe(true);
      lease.release();
    }
    expectSound(arena);
  });

  test("cannot be grown at all where other leases lie in it", () => {
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

  test.runIf(revoke !== "on-release")("of one long lease, is let go of at release", () => {
    using arena = smallArena({ revoke });
    const lease = arena.acquire(LONGEST_SHORT_BYTES + 1);
    const place = placeOf(lease);
    growUnder(lease, 1);
    expectDetached(lease);
    memoryNow(place).fill(7);
    lease.release();
    expect(arena.stats()).toMatchObject({ liveLeases: 0, reservedBytes: 0, oneLease: { leased: 0, idle: 0 } });
    const next = arena.acquire(LONGEST_SHORT_BYTES + 1);
    expect(next.memory).not.toBe(place.memory);
    expect(isZero(next.bytes)).toBe(true);
    next.release();
    expectUsable(arena);
  });
});

/** Node 26: makes the memory's buffer one that `grow` does not detach. */
function makeResizable(lease: Lease): void {
  (lease.memory as unknown as { toResizableBuffer(): ArrayBuffer }).toResizableBuffer();
}

describe.runIf("toResizableBuffer" in WebAssembly.Memory.prototype)("a lease.memory that is made resizable", () => {
  test.each(MODES)("shows no later lease's bytes to a view of it, in %s mode", (revoke) => {
    using arena = smallArena({ revoke }, 1);
    const lease = arena.acquire(100);
    makeResizable(lease);
    const memory = lease.memory as { buffer: ArrayBuffer };
    const whole = new Uint8Array(memory.buffer);
    const ptr = lease.byteOffset;
    lease.release();
    for (let round = 0; round < 200; round++) {
      const next = arena.acquire(4096);
      expect(isZero(next.bytes)).toBe(true);
      next.bytes.fill(9);
      if (revoke === "on-release") expect(whole.length).toBe(0);
      next.release();
    }
    // A view of what lay there at first: dead, or not of these bytes.
    if (revoke === "before-reuse") expect(whole.length === 0 || whole[ptr] === 0).toBe(true);
    expectUsable(arena);
  });
});

/** Everything that the buffer under `lease` shows. */
function scribble(lease: Lease): void {
  new Uint8Array(lease.bytes.buffer).fill(0xab);
}

describe.each(MODES)("revoke: %s, a view's .buffer that is written all over", (revoke) => {
  test("takes no block from the leases that are out, and each can be released once", () => {
    using arena = smallArena({ revoke });
    const leases = [
      ...Array.from({ length: 8 }, () => arena.acquire(1000)),
      arena.acquire(LONGEST_SHORT_BYTES),
      arena.acquire(LONGEST_SHORT_BYTES + 1),
    ];
    for (const lease of leases) scribble(lease);
    for (const [value, { bytes }] of leases.entries()) bytes.fill(value + 1);
    const more = Array.from({ length: 5 }, () => arena.acquire(1000));
    for (const { bytes } of more) bytes.fill(0xff);
    for (const [value, { bytes }] of leases.entries()) expect(isAll(bytes, value + 1)).toBe(true);
    expectSound(arena);
    releaseAll([...more, ...leases]);
    for (const lease of leases) expectThrow(() => lease.release(), "ERR_LEASE_RELEASED");
    expect(arena.stats()).toMatchObject({ liveLeases: 0, liveBytes: 0 });
    expectUsable(arena, 5000);
  });

  test("costs no room: as many leases fit afterwards as before", () => {
    using arena = smallArena({ revoke, onExhausted: "throw" }, 2);
    const before = exhaust(arena, 4096);
    for (const lease of before) scribble(lease);
    releaseAll(before);
    const after = exhaust(arena, 4096);
    expect(after.length).toBe(before.length);
    releaseAll(after);
    expectSound(arena);
  });
});
