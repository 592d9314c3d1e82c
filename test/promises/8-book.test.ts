/**
 * Promise 8: no view and no other WebAssembly module can damage the arena's bookkeeping.
 * A holder writes anything he likes over every byte that his view's `.buffer` reaches. That
 * leases stay apart meanwhile, test/model looks at in random programs.
 */

import { describe, expect, test } from "vitest";
import {
  exhaust,
  expectSound,
  expectThrow,
  expectUsable,
  isAll,
  isZero,
  LiveLeases,
  LONGEST_SHORT_BYTES,
  MODES,
  memoryNow,
  releaseAll,
  smallArena,
} from "../helpers.ts";

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

describe.each(MODES)("revoke: %s", (revoke) => {
  test("who writes over all that .buffer shows takes no block, costs no room and changes no count", () => {
    using arena = smallArena({ revoke, onExhausted: "throw" }, 3);
    const lengths = [1000, 4096, 64, LONGEST_SHORT_BYTES, LONGEST_SHORT_BYTES + 1];
    const leases = [...lengths.map((byteLength) => arena.acquire(byteLength)), ...exhaust(arena, 4096)];
    const before = arena.stats();
    for (const value of [0xff, 0, 0x55]) {
      for (const lease of leases) memoryNow(lease).fill(value);
      expect({ ...arena.stats(), strayWrites: 0 }).toEqual({ ...before, strayWrites: 0 });
      expectSound(arena);
    }
    const live = new LiveLeases();
    for (const lease of leases) live.mark(lease);
    live.releaseAll();
    for (const lease of leases) expectThrow(() => lease.release(), "ERR_LEASE_RELEASED");
    const again = lengths.map((byteLength) => arena.acquire(byteLength));
    expect(again.length + exhaust(arena, 4096).length).toBe(leases.length);
    expectSound(arena);
  });

  test("another module uses a lease's bytes by memory and byteOffset, and harms nothing by what else it writes", () => {
    using arena = smallArena({ revoke });
    const lease = arena.acquire(1000);
    const { exports } = new WebAssembly.Instance(FILLER, { env: { memory: lease.memory as WebAssembly.Memory } });
    const fill = exports["fill"] as (at: number, value: number, length: number) => void;
    fill(lease.byteOffset, 7, 1000);
    expect(isAll(lease.bytes, 7)).toBe(true);
    fill(0, 0xee, memoryNow(lease).length);
    lease.release();
    expectSound(arena);
    arena.trim();
    const next = arena.acquire(1000);
    expect(isZero(next.bytes)).toBe(true);
    next.release();
    expectUsable(arena);
  });

  // Once a lease's class had a static method that gave out the arena's bookkeeping.
  test("who holds a lease reaches no memory but its own, and no module", () => {
    using arena = smallArena({ revoke, trace: "all" });
    const lease = arena.acquire(100);
    const own = lease.memory;
    const given = [lease, lease.pin(), arena.scope(), arena.writer(), arena.pool(8), arena.filler(8), arena];
    const seen = new Set<unknown>([globalThis]);
    const found: string[] = [];
    const walk = (value: unknown, path: string, depth: number): void => {
      if (Object(value) !== value || seen.has(value) || depth > 6) return;
      seen.add(value);
      const kind = Object.prototype.toString.call(value);
      if (/WebAssembly\.(Instance|Module|Memory)/.test(kind) && value !== own) found.push(path);
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
    walk(given, "", 0);
    expect(found).toEqual([]);
    expect(Reflect.ownKeys(lease.constructor).sort().map(String)).toEqual(["length", "name", "prototype"]);
  });

  test("nobody ends a lease through its prototype or an object like it", () => {
    using arena = smallArena({ revoke });
    const victim = arena.acquire(100);
    victim.bytes.fill(7);
    for (const name of ["release", "pin", "resize", "copy", "view"] as const) {
      expect(() => Object.getPrototypeOf(victim)[name].call(Object.create(victim), 10)).toThrow(TypeError);
    }
    expect(isAll(victim.bytes, 7)).toBe(true);
    releaseAll([victim]);
  });
});
