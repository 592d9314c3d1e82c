/** Promise 3: no view made from a released lease ever sees or touches a later lease's bytes, in the modes that revoke. */

import { Arena, type Lease, type RevokeMode } from "cleanslab";
import { describe, expect, test } from "vitest";
import {
  exhaust,
  expectSound,
  expectThrow,
  growUnder,
  isAll,
  isZero,
  PAGE_BYTES,
  REVOKING_MODES,
  releaseAll,
  SEGMENT_BYTES,
  smallArena,
} from "../helpers.ts";
import { isDead, scribble, viewsOf } from "./helpers.ts";

const isResizable = "toResizableBuffer" in WebAssembly.Memory.prototype;

describe.each(REVOKING_MODES)("revoke: %s, a stale view", (revoke: RevokeMode) => {
  test.each([64, 4096, 50_000, 70_000, 200_000])(
    "of %i bytes is dead before its bytes are anyone else's",
    (byteLength) => {
      using arena = smallArena({ revoke, onExhausted: "throw" }, 2);
      for (let round = 0; round < 5; round++) {
        const first = exhaust(arena, byteLength);
        const stale = first.flatMap((lease, each) =>
          each % Math.ceil(first.length / 100) === 0 ? viewsOf(lease) : [],
        );
        const places = new Set(first.map((lease) => lease.memory));
        releaseAll(first);
        const second = exhaust(arena, byteLength);
        expect(second.some((lease) => places.has(lease.memory))).toBe(true);
        for (const { bytes } of second) bytes.fill(7);
        for (const view of stale) {
          expect(isDead(view)).toBe(true);
          scribble(view);
        }
        for (const { bytes } of second) expect(isAll(bytes, 7)).toBe(true);
        releaseAll(second);
      }
    },
  );

  test("of a lease that moved is one of a released lease", () => {
    using arena = smallArena({ revoke }, 8);
    const lease = arena.acquire(1000);
    const stale = viewsOf(lease);
    lease.resize(100_000);
    lease.bytes.fill(7);
    for (const view of stale) scribble(view);
    expect(isAll(lease.bytes, 7)).toBe(true);
    const others: Lease[] = [];
    for (let each = 0; each < 200; each++) {
      const other = arena.acquire(1000);
      other.bytes.fill(9);
      for (const view of stale) scribble(view);
      expect(isAll(other.bytes, 9)).toBe(true);
      others.push(other);
      if (others.length > 10) others.shift()?.release();
    }
    expect(isAll(lease.bytes, 7)).toBe(true);
  });

  test("of a memory whose grow somebody replaced is dead all the same", () => {
    using arena = smallArena({ revoke, onExhausted: "throw" }, 1);
    const { grow } = WebAssembly.Memory.prototype;
    const first = exhaust(arena, 4096);
    const stale = first.map(({ bytes }) => bytes);
    for (const { memory } of first) Reflect.set(memory as object, "grow", () => 1);
    WebAssembly.Memory.prototype.grow = () => 1;
    try {
      releaseAll(first);
      const second = exhaust(arena, 4096);
      expect(second.length).toBe(first.length);
      expect(stale.every((view) => view.length === 0)).toBe(true);
    } finally {
      WebAssembly.Memory.prototype.grow = grow;
    }
  });

  test.skipIf(!isResizable)("of a memory that somebody made resizable is dead all the same", () => {
    using arena = smallArena({ revoke, onExhausted: "throw" }, 2);
    for (const byteLength of [4096, 100_000]) {
      const leases = exhaust(arena, byteLength);
      const memories = new Set(leases.map(({ memory }) => memory as unknown as { toResizableBuffer(): ArrayBuffer }));
      const stale = [...memories].flatMap((memory) => {
        const buffer = memory.toResizableBuffer();
        return [new Uint8Array(buffer), new Uint8Array(buffer, 64)];
      });
      // The views of the leases are dead with it: they can only be released.
      for (const lease of leases) expectThrow(() => lease.bytes, "ERR_LEASE_DETACHED");
      releaseAll(leases);
      const next = exhaust(arena, byteLength);
      const used = new Set(next.map(({ memory }) => memory as unknown));
      expect([...memories].some((memory) => used.has(memory))).toBe(true);
      for (const view of stale) expect(view.length).toBe(0);
      for (const { bytes } of next) expect(isZero(bytes)).toBe(true);
      releaseAll(next);
      arena.trim();
    }
  });

  test("of a memory that a stranger revoked under its lease is dead, and so are the lease's bytes; releasing works", () => {
    using arena = smallArena({ revoke });
    for (const byteLength of [100, 100_000]) {
      const lease = arena.acquire(byteLength);
      const other = arena.acquire(byteLength);
      lease.bytes.fill(7);
      growUnder(lease, 0);
      for (const use of [() => lease.bytes, () => lease.view(DataView), () => lease.copy(), () => lease.resize(5)]) {
        expectThrow(use, "ERR_LEASE_DETACHED", "other code revoked");
      }
      lease.release();
      other.release();
      const next = arena.acquire(byteLength);
      expect(isZero(next.bytes)).toBe(true);
      next.release();
      expectSound(arena);
    }
  });

  test("keeps no memory from being dropped: it is dead after trim and dispose", () => {
    for (const end of ["trim", Symbol.dispose] as const) {
      const arena = smallArena({ revoke });
      const stale = [100, 100_000].flatMap((byteLength) => {
        const lease = arena.acquire(byteLength);
        const views = viewsOf(lease);
        lease.release();
        return views;
      });
      arena[end]();
      expect(stale.every(isDead)).toBe(true);
      arena[Symbol.dispose]();
    }
  });
});

describe("revoke: on-release, a stale view", () => {
  test.each([10, 5000, 100_000])("of %i bytes is dead the moment release returns", (byteLength) => {
    using arena = smallArena({ revoke: "on-release" });
    const lease = arena.acquire(Math.max(16, byteLength));
    const other = arena.acquire(5000);
    other.bytes.fill(7);
    const stale = [...viewsOf(lease), new Uint8Array(lease.bytes.buffer)];
    lease.release();
    expect(stale.every(isDead)).toBe(true);
    expect(isAll(other.bytes, 7)).toBe(true);
  });

  test("shows nobody else's bytes through .buffer, before release and after it", () => {
    using arena = smallArena({ revoke: "on-release", onExhausted: "throw" }, 1);
    for (let round = 0; round < 20; round++) {
      const leases = exhaust(arena, 100);
      for (const { bytes } of leases) {
        expect(isZero(new Uint8Array(bytes.buffer))).toBe(true);
        new Uint8Array(bytes.buffer).fill(0xff);
      }
      releaseAll(leases);
    }
  });
});

describe("revoke: before-reuse, a stale view", () => {
  test("keeps its own old bytes until then, as a fresh array would", () => {
    using arena = smallArena();
    const lease = arena.acquire(5000);
    const stale = lease.bytes.fill(7);
    lease.release();
    for (let each = 0; each < 10; each++) arena.acquire(5000).bytes.fill(9);
    expect(isAll(stale, 7)).toBe(true);
    expect(stale.length).toBe(5000);
  });

  test("is dead before reuse although its segment started over early, for a lease alone in it", () => {
    using arena = new Arena({ trace: "off" });
    const stale: Uint8Array[] = [];
    for (let each = 0; each < 100; each++) {
      const lease = arena.acquire(PAGE_BYTES);
      lease.bytes.fill(7);
      for (const view of stale) scribble(view);
      expect(isAll(lease.bytes, 7)).toBe(true);
      stale.push(lease.bytes);
      lease.release();
    }
    expect(arena.stats().revocations).toBeGreaterThan(5);
    expect(arena.stats().reservedBytes).toBe(1024 * 1024);
  });
});

test("revoke: never, a stale view sees the next owner's bytes, as said", () => {
  using arena = smallArena({ revoke: "never" });
  const lease = arena.acquire(100);
  const { bytes } = lease;
  lease.release();
  const next = arena.acquire(100);
  expect(next.bytes).toBe(bytes);
  expect(SEGMENT_BYTES).toBe(arena.stats().reservedBytes);
});
