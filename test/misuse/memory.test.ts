/** What the holder of `lease.memory` or of its buffer can do to an arena. Stale views of it are promises/3-stale.test.ts's. */

import type { Arena, Lease } from "cleanslab";
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
  LiveLeases,
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
  const advice = ["release the lease", "do not grow lease.memory"];
  expectThrow(() => lease.bytes, "ERR_LEASE_DETACHED", "read bytes", `${lease.byteLength} bytes`, "revoked", ...advice);
  expectThrow(() => lease.view(DataView), "ERR_LEASE_DETACHED", ...advice);
  expectThrow(() => lease.copy(), "ERR_LEASE_DETACHED", ...advice);
  for (const byteLength of [1, lease.byteLength]) {
    expectThrow(() => lease.resize(byteLength), "ERR_LEASE_DETACHED", "cannot resize", ...advice);
  }
  expect(lease.released).toBe(false);
}

describe.each(MODES)("revoke: %s, a lease.memory that its holder grows by nothing", (revoke) => {
  test.each<[string, (arena: Arena) => Lease]>([
    ["acquire", (arena) => arena.acquire(100)],
    ["pool", (arena) => arena.pool(100).acquire()],
    ["acquireFilled", (arena) => arena.acquireFilled(200, (bytes) => bytes.fill(1, 0, 100) && 100)],
    ["an acquire of a memory of its own", (arena) => arena.acquire(LONGEST_SHORT_BYTES + 1)],
  ])("kills the views of leases from %s, which can still be released", (_name, take) => {
    for (const options of [{ wipeOnRelease: true }, { trace: "all" }] as const) {
      using arena = smallArena({ revoke, ...options });
      const [lease, other] = [take(arena), take(arena)] as const;
      for (const { bytes } of [lease, other]) bytes.fill(7);
      const places = [placeOf(lease), placeOf(other)];
      const before = arena.stats();
      growUnder(lease, 0);
      for (const each of lease.memory === other.memory ? [lease, other] : [lease]) expectDetached(each);
      expect(arena.stats()).toEqual(before);
      arena.use(lease.byteLength, (bytes) => expect(isZero(bytes)).toBe(true));
      releaseAll([lease, other]);
      for (const place of places) expect(isZero(bytesNow(place))).toBe(true);
      arena.assertDrained();
      expectUsable(arena, places[0]?.byteLength);
    }
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

  test("gives a lease without bytes another view, which looks the same when it is detached", () => {
    using arena = smallArena({ revoke });
    const lease = arena.acquire(0);
    const { bytes } = lease;
    growUnder(lease, 0);
    expect(lease.bytes === bytes).toBe(false);
    expect(lease.bytes.buffer.byteLength).toBeGreaterThan(0);
    lease.release();
    expectUsable(arena);
  });
});

describe.each(MODES)("revoke: %s, a lease.memory that its holder grows for real", (revoke) => {
  test("cannot be grown past the cap, and not at all where other leases lie in it", () => {
    using arena = smallArena({ revoke }, 2);
    const pages = revoke === "on-release" ? 1 : (2 * SEGMENT_BYTES) / PAGE_BYTES;
    for (const [lease, more] of [
      [arena.acquire(100), 1],
      [arena.acquire(SEGMENT_BYTES - PAGE_BYTES), pages],
    ] as const) {
      lease.bytes.fill(7);
      expectUnharmed(arena, () => expect(() => growUnder(lease, more)).toThrow(RangeError));
      expect(isAll(lease.bytes, 7)).toBe(true);
      lease.release();
    }
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

interface ResizableMemory {
  toResizableBuffer(): ArrayBuffer;
  toFixedLengthBuffer(): ArrayBuffer;
}

const memoryOf = ({ memory }: Lease): ResizableMemory => memory as unknown as ResizableMemory;

/** What else other code may do to a memory that it was given, or to its buffer; engines refuse some of it. */
const TRICKS: Record<string, (lease: Lease) => unknown> = {
  "structuredClone with a transfer": ({ bytes }) => structuredClone(bytes, { transfer: [bytes.buffer] }),
  "buffer.transfer()": ({ bytes }) => (bytes.buffer as unknown as { transfer(): void }).transfer(),
  "toResizableBuffer()": (lease) => memoryOf(lease).toResizableBuffer(),
  "toResizableBuffer() and toFixedLengthBuffer()": (lease) => {
    memoryOf(lease).toResizableBuffer();
    memoryOf(lease).toFixedLengthBuffer();
  },
};

// Once some of these were an untyped error at release, or stayed in the counts.
describe.each(MODES)("revoke: %s, a lease's memory changed by", (revoke) => {
  test.each(Object.entries(TRICKS))("%s is released, and harms nobody", (_name, trick) => {
    using arena = smallArena({ revoke });
    const live = new LiveLeases();
    for (const byteLength of [100, LONGEST_SHORT_BYTES + 1]) {
      const lease = arena.acquire(byteLength);
      try {
        trick(lease);
      } catch {
        // Refused.
      }
      live.add(arena.acquire(byteLength));
      lease.release();
      for (let each = 0; each < 20; each++) live.add(arena.acquire(100));
    }
    live.releaseAll();
    arena.assertDrained();
    expectUsable(arena);
  });
});
