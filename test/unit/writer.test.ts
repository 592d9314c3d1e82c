/**
 * The writer and its lease: growing, taking, wiping, at the cap. What is written is
 * writer-model.test.ts and encoding.test.ts; misuse is test/misuse/writer.test.ts.
 */

import { describe, expect, test } from "vitest";
import {
  exhaust,
  expectBytes,
  expectSound,
  expectThrow,
  isZero,
  MODES,
  releaseAll,
  SEGMENT_BYTES,
  SEGMENT_MEMORY_BYTES,
  smallArena,
} from "../helpers.ts";

describe.each(MODES)("revoke: %s, a writer", (revoke) => {
  test("gives a lease of exactly what was written, which pins, copies and releases as any", async () => {
    using arena = smallArena({ revoke });
    const writer = arena.writer(100);
    writer.writeString("exactly");
    const lease = writer.take();
    expect([writer.released, lease.byteLength, lease.bytes.length]).toEqual([true, 7, 7]);
    expect(arena.stats()).toMatchObject({ liveLeases: 1, liveBytes: 100 });
    expect(Buffer.from(lease.copy()).toString()).toBe("exactly");
    expect(lease.view(DataView).byteLength).toBe(7);
    expectThrow(() => lease.release({ written: 8 }), "ERR_INVALID_ARGUMENT", "from 0 to 7");
    const view = lease.bytes;
    await lease.releaseAfter(Promise.resolve());
    expect(view.length === 0 || isZero(view)).toBe(true);
    arena.assertDrained();
    expectSound(arena);
  });

  test("wipes each block that it leaves behind, and the one it ends with", () => {
    using arena = smallArena({ revoke });
    const writer = arena.writer(64);
    const left: Uint8Array[] = [];
    for (let round = 0; round < 10; round++) {
      left.push(writer.bytes);
      writer.writeBytes(new Uint8Array(64 << round).fill(7));
    }
    const last = writer.bytes;
    // The first was empty; the last is still the writer's.
    for (const view of left.slice(0, -1)) expect(view.length === 0 || isZero(view)).toBe(true);
    writer.release();
    expect(last.length === 0 || isZero(last)).toBe(true);
    arena.assertDrained();
    expectSound(arena);
  });

  test("wipes what it took when the lease is released, behind its end too", () => {
    using arena = smallArena({ revoke });
    const writer = arena.writer(1000);
    writer.writeBytes(new Uint8Array(900).fill(7));
    writer.reset();
    writer.writeUint8(9);
    const lease = writer.take();
    expect(lease.byteLength).toBe(1);
    const { memory, byteOffset } = lease;
    if (memory === undefined) throw new Error("there is room in the arena");
    expect(isZero(new Uint8Array(memory.buffer, byteOffset + 1, 999))).toBe(true);
    lease.release();
    expect(isZero(new Uint8Array(memory.buffer, byteOffset, 1000))).toBe(true);
  });

  test("starts anew in the same block after reset", () => {
    using arena = smallArena({ revoke });
    using writer = arena.writer(100);
    writer.writeString("secret");
    const old = writer.bytes;
    writer.reset();
    expect([writer.byteLength, writer.bytes.length, isZero(old)]).toEqual([0, 0, true]);
    expect(writer.reserve(100)).toBe(0);
    expect(isZero(writer.bytes)).toBe(true);
    expect(arena.stats().acquired).toBe(1);
  });

  test("grows past a segment, where a lease has a memory of its own", () => {
    using arena = smallArena({ revoke }, 8);
    const writer = arena.writer();
    const text = "€uro ".repeat(SEGMENT_BYTES / 4);
    writer.writeString(text);
    const lease = writer.take();
    expectBytes(lease.bytes, Buffer.from(text));
    lease.release();
    arena.assertDrained();
    expectSound(arena);
  });

  test("moves to the heap and on when the cap is reached", () => {
    using arena = smallArena({ revoke }, 1);
    const held = arena.acquire(SEGMENT_BYTES);
    const writer = arena.writer(16);
    for (let each = 0; each < 1000; each++) writer.writeUint32(each);
    const lease = writer.take();
    expect(lease.origin).toBe("heap");
    expect(lease.view(DataView).getUint32(3996)).toBe(999);
    const view = lease.bytes;
    releaseAll([held, lease]);
    expect(view.length === 0 || isZero(view)).toBe(true);
    arena.assertDrained();
  });

  test("keeps what was written when there is no room to grow, and can be written to on", () => {
    using arena = smallArena({ revoke, onExhausted: "throw" }, 1);
    const writer = arena.writer(1000);
    writer.writeString("kept");
    const full = exhaust(arena, 4096);
    const fresh = Buffer.from("kept");
    for (const write of [
      () => writer.writeBytes(new Uint8Array(5000)),
      () => writer.writeString("€".repeat(2000)),
      () => writer.reserve(5000),
    ]) {
      expectThrow(write, "ERR_ARENA_EXHAUSTED", "no room");
      expectBytes(writer.bytes, fresh);
      // Nothing half written shows where zeros are promised.
      writer.reserve(900);
      expect(isZero(writer.bytes.subarray(4))).toBe(true);
      writer.reset();
      writer.writeString("kept");
    }
    releaseAll(full);
    // Resting blocks are room again only once their segment has drained, of the writer's block too.
    if (revoke !== "before-reuse") {
      writer.writeBytes(new Uint8Array(5000));
      expect(writer.byteLength).toBe(5004);
    }
    writer.release();
    arena.assertDrained();
    expectSound(arena);
  });

  test("takes what is just enough where there is no room for twice as much", () => {
    using arena = smallArena({ revoke, onExhausted: "throw" }, 2);
    const half = SEGMENT_MEMORY_BYTES / 2;
    const writer = arena.writer(half);
    writer.writeBytes(new Uint8Array(half).fill(7));
    const held = revoke === "on-release" ? arena.acquire(half) : null;
    writer.writeUint8(8);
    expect(writer.byteLength).toBe(half + 1);
    expect(writer.bytes.at(-1)).toBe(8);
    writer.release();
    held?.release();
    arena.assertDrained();
  });
});
