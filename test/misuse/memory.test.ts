/**
 * What other code can do to a lease, its memory and its buffer. Whatever it writes through
 * `.buffer` is test/contract's, and the model's, which also grows memories by nothing at random.
 */

import type { Lease } from "cleanslab";
import { describe, expect, test } from "vitest";
import {
  exhaust,
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
  REVOKING_MODES,
  releaseAll,
  SEGMENT_BYTES,
  smallArena,
} from "../helpers.ts";

/** Detached views say nothing of their own. */
function expectDetached(lease: Lease): void {
  const advice = ["release the lease", "do not grow lease.memory"];
  expectThrow(() => lease.bytes, "ERR_LEASE_DETACHED", "read bytes", `${lease.byteLength} bytes`, "revoked", ...advice);
  for (const use of [() => lease.view(DataView), () => lease.copy(), () => lease.resize(1)]) {
    expectThrow(use, "ERR_LEASE_DETACHED", ...advice);
  }
  expect(lease.released).toBe(false);
}

describe.each(MODES)("revoke: %s, a lease.memory that its holder grows", (revoke) => {
  test("by nothing, after the release, kills the views of the next owner, who is told so and can go on", () => {
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

  test.runIf(revoke !== "on-release")("and that is of one long lease, is let go of at release", () => {
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

const memoryOf = ({ memory }: Pick<Lease, "memory">): ResizableMemory => memory as unknown as ResizableMemory;

/** What else other code may do to a memory that it was given, or to its buffer; engines refuse some of it. */
const TRICKS: Record<string, (lease: Lease) => unknown> = {
  "structuredClone with a transfer": ({ bytes }) => structuredClone(bytes, { transfer: [bytes.buffer] }),
  "buffer.transfer()": ({ bytes }) => (bytes.buffer as unknown as { transfer(): void }).transfer(),
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

describe.each(REVOKING_MODES)("revoke: %s, a stale view", (revoke) => {
  // Once such views survived the revocation; once an own byteLength on the buffer hid that it had failed.
  test.skipIf(!("toResizableBuffer" in WebAssembly.Memory.prototype))(
    "of a memory that somebody made resizable is dead all the same",
    () => {
      using arena = smallArena({ revoke, onExhausted: "throw" }, 2);
      for (const byteLength of [4096, 100_000]) {
        const leases = exhaust(arena, byteLength);
        const memories = new Set(leases.map(({ memory }) => memory));
        const stale = [...memories].flatMap((memory) => {
          const buffer = memoryOf({ memory }).toResizableBuffer();
          Object.defineProperty(buffer, "byteLength", { value: 0 });
          return [new Uint8Array(buffer), new Uint8Array(buffer, 64)];
        });
        // The views of the leases are dead with it: they can only be released.
        for (const lease of leases) expectThrow(() => lease.bytes, "ERR_LEASE_DETACHED");
        releaseAll(leases);
        const next = exhaust(arena, byteLength);
        expect(next.some(({ memory }) => memories.has(memory))).toBe(true);
        expect(stale.map(({ length }) => length)).toEqual(stale.map(() => 0));
        for (const { bytes } of next) expect(isZero(bytes)).toBe(true);
        releaseAll(next);
        arena.trim();
      }
      expectSound(arena);
    },
  );

  // Once an own property on the buffer hid it from the release, and the view stayed alive.
  test("of a heap lease is dead at release, whatever was put on its buffer", () => {
    using arena = smallArena({ revoke }, 1);
    arena.acquire(SEGMENT_BYTES);
    const lease = arena.acquire(32);
    const { bytes, origin } = lease;
    const transfer = (): never => {
      throw new Error("transfer");
    };
    Object.defineProperties(bytes.buffer, { byteLength: { value: 0 }, transfer: { value: transfer } });
    lease.release();
    expect([origin, bytes.length]).toEqual(["heap", 0]);
  });
});

// Once a lease's class had a static method that gave out the arena's bookkeeping.
test.each(MODES)("revoke: %s, who holds a lease reaches no memory but its own, and no module", (revoke) => {
  using arena = smallArena({ revoke, trace: "all" });
  const lease = arena.acquire(100);
  const seen = new Set<unknown>([globalThis]);
  const found: string[] = [];
  const walk = (value: unknown, path: string, depth: number): void => {
    if (Object(value) !== value || seen.has(value) || depth > 6) return;
    seen.add(value);
    const kind = Object.prototype.toString.call(value);
    if (/WebAssembly\.(Instance|Module|Memory)/.test(kind) && value !== lease.memory) found.push(path);
    if (ArrayBuffer.isView(value)) return;
    for (const key of Reflect.ownKeys(value as object)) {
      try {
        walk(Reflect.get(value as object, key, value), `${path}.${String(key)}`, depth + 1);
      } catch {
        // A getter that refuses.
      }
    }
    walk(Object.getPrototypeOf(value), `${path}.__proto__`, depth + 1);
  };
  walk([lease, lease.pin(), arena.scope(), arena.writer(), arena.pool(8), arena.filler(8), arena], "", 0);
  expect(found).toEqual([]);
  expect(Reflect.ownKeys(lease.constructor).sort().map(String)).toEqual(["length", "name", "prototype"]);
});

test("nobody ends a lease through its prototype or an object like it", () => {
  using arena = smallArena();
  const victim = arena.acquire(100);
  for (const name of ["release", "pin", "resize", "copy", "view"] as const) {
    expect(() => Object.getPrototypeOf(victim)[name].call(Object.create(victim), 10)).toThrow(TypeError);
  }
  victim.release();
});
