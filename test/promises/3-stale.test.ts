/** Promise 3: no view made from a released lease ever sees or touches a later lease's bytes, in the modes that revoke. */

import { Arena, type Lease, type RevokeMode } from "cleanslab";
import { describe, expect, test } from "vitest";
import {
  exhaust,
  expectSound,
  expectThrow,
  isAll,
  isZero,
  LiveLeases,
  MODES,
  PAGE_BYTES,
  REVOKING_MODES,
  releaseAll,
  SEGMENT_BYTES,
  smallArena,
} from "../helpers.ts";
import { isDead, scribble, viewsOf } from "./helpers.ts";

const isResizable = "toResizableBuffer" in WebAssembly.Memory.prototype;

/** Node 26: makes the memory's buffer one that `grow` does not detach. */
function makeResizable({ memory }: Pick<Lease, "memory">): ArrayBuffer {
  return (memory as unknown as { toResizableBuffer(): ArrayBuffer }).toResizableBuffer();
}

describe.each(REVOKING_MODES)("revoke: %s, a stale view", (revoke: RevokeMode) => {
  test.each([64, 4096, 50_000, 70_000, 200_000])(
    "of %i bytes is dead before its bytes are anyone else's",
    (byteLength) => {
      using arena = smallArena({ revoke, onExhausted: "throw" }, 2);
      for (let round = 0; round < 5; round++) {
        const first = exhaust(arena, byteLength);
        const some = first.filter((_, each) => each % Math.ceil(first.length / 100) === 0);
        const stale = some.flatMap(viewsOf);
        const places = new Set(first.map((lease) => lease.memory));
        releaseAll(first);
        const live = new LiveLeases();
        live.add(...exhaust(arena, byteLength));
        expect([...live.marks.keys()].some((lease) => places.has(lease.memory))).toBe(true);
        for (const view of stale) {
          expect(isDead(view)).toBe(true);
          scribble(view);
        }
        live.releaseAll();
      }
    },
  );

  test("of a memory whose grow somebody replaced is dead all the same", () => {
    using arena = smallArena({ revoke, onExhausted: "throw" }, 1);
    const { grow } = WebAssembly.Memory.prototype;
    const first = exhaust(arena, 4096);
    const stale = first.map(({ bytes }) => bytes);
    for (const { memory } of first) Reflect.set(memory as object, "grow", () => 1);
    WebAssembly.Memory.prototype.grow = () => 1;
    try {
      releaseAll(first);
      expect(exhaust(arena, 4096)).toHaveLength(first.length);
      expect(stale.every((view) => view.length === 0)).toBe(true);
    } finally {
      WebAssembly.Memory.prototype.grow = grow;
    }
  });

  // Once such views survived the revocation; once an own byteLength on the buffer hid that it had failed.
  test.skipIf(!isResizable)("of a memory that somebody made resizable is dead all the same", () => {
    using arena = smallArena({ revoke, onExhausted: "throw" }, 2);
    for (const byteLength of [4096, 100_000]) {
      const leases = exhaust(arena, byteLength);
      const memories = new Set(leases.map(({ memory }) => memory));
      const stale = [...memories].flatMap((memory) => {
        const buffer = makeResizable({ memory });
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
  });
});

describe("revoke: on-release, a stale view", () => {
  test.each([16, 5000, 100_000])("of %i bytes is dead the moment release returns", (byteLength) => {
    using arena = smallArena({ revoke: "on-release" });
    const lease = arena.acquire(byteLength);
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
    expect(stale.length === 5000 && isAll(stale, 7)).toBe(true);
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

// Once an own property on the buffer hid it from the release, and the view stayed alive.
test.each(REVOKING_MODES)("revoke: %s, a heap lease is dead at release, whatever was put on its buffer", (revoke) => {
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

describe.each(MODES)("revoke: %s, a copy that the platform makes of a view", (revoke) => {
  // On Node 20 a transfer list with a lease's view is ignored in silence.
  test("by structuredClone never shows the next lease", () => {
    using arena = smallArena({ revoke });
    const lease = arena.acquire(100);
    lease.bytes[0] = 1;
    let clone: Uint8Array | undefined;
    try {
      clone = structuredClone(lease.bytes, { transfer: [lease.bytes.buffer] });
    } catch {
      // Refused, as the standard has it.
    }
    lease.release();
    arena.acquire(100).bytes.fill(9);
    expect(clone?.[0] ?? 1).toBe(1);
  });

  test("by Response, Blob or digest is taken at the call", async () => {
    using arena = smallArena({ revoke });
    const text = new TextEncoder().encode("hello world");
    const take = <T>(use: (bytes: Uint8Array<ArrayBuffer>) => T): T => {
      const lease = arena.copyOf(text);
      const taken = use(lease.bytes);
      lease.release();
      arena.acquire(11).bytes.fill(0x21);
      return taken;
    };
    expect(await take((bytes) => new Response(bytes)).text()).toBe("hello world");
    expect(await take((bytes) => new Blob([bytes])).text()).toBe("hello world");
    const digest = await take((bytes) => crypto.subtle.digest("SHA-256", bytes));
    expect(Buffer.from(digest).equals(Buffer.from(await crypto.subtle.digest("SHA-256", text)))).toBe(true);
  });
});

test("revoke: never, a stale view sees the next owner's bytes, as said", () => {
  using arena = smallArena({ revoke: "never" });
  const lease = arena.acquire(100);
  const { bytes } = lease;
  lease.release();
  expect(arena.acquire(100).bytes).toBe(bytes);
});
