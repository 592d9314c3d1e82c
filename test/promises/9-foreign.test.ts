/** Promise 9: the library never detaches or frees a buffer that it did not make, unless an option says so. */

import { PassThrough, Readable } from "node:stream";
import type { Arena } from "cleanslab";
import { collect } from "cleanslab/node";
import { describe, expect, test } from "vitest";
import { isAll, MODES, smallArena } from "../helpers.ts";

/** Ways to give bytes to the library. */
const GIVING: Record<string, (arena: Arena, bytes: Uint8Array<ArrayBuffer>) => unknown> = {
  copyOf: (arena, bytes) => arena.copyOf(bytes).release(),
  writeBytes: (arena, bytes) => {
    const writer = arena.writer();
    writer.writeBytes(bytes);
    writer.take().release();
  },
  put: (arena, bytes) => {
    const filler = arena.filler(bytes.length);
    filler.put(bytes);
    filler.take().release();
  },
  collect: async (arena, bytes) => (await collect(Readable.from([bytes]), arena, { limit: 1_000_000 })).release(),
};

describe.each(MODES)("revoke: %s, a buffer of the caller's", (revoke) => {
  test.each(Object.entries(GIVING))("that is given to %s stays whole, past trim and dispose", async (_name, give) => {
    const arena = smallArena({ revoke, wipeOnRelease: true });
    for (const byteLength of [10, 5000, 100_000]) {
      const own = new Uint8Array(byteLength).fill(7);
      const part = new Uint8Array(byteLength + 100).fill(7).subarray(50, 50 + byteLength);
      for (const bytes of [own, part]) await give(arena, bytes);
      arena.trim();
      expect([own.buffer.byteLength, part.buffer.byteLength]).toEqual([byteLength, byteLength + 100]);
      expect(isAll(own, 7) && isAll(part, 7)).toBe(true);
    }
    arena[Symbol.dispose]();
  });

  test("that a copy was given to stays whole when the lease ends", () => {
    using arena = smallArena({ revoke, wipeOnRelease: true });
    const lease = arena.acquire(100);
    lease.bytes.fill(7);
    const copy = lease.copy();
    lease.release();
    arena.trim();
    expect(copy.length === 100 && isAll(copy, 7)).toBe(true);
  });

  test("that a stream read is left to whoever else holds it", async () => {
    using arena = smallArena({ revoke });
    const stream = new PassThrough();
    const seen: Buffer[] = [];
    stream.on("data", (chunk: Buffer) => seen.push(chunk));
    const body = collect(stream, arena, { limit: 1_000_000 });
    for (let each = 1; each <= 3; each++) stream.write(Buffer.from(new Uint8Array(50_000).fill(each)));
    stream.end();
    (await body).release();
    arena.trim();
    expect(Buffer.concat(seen).length).toBe(150_000);
    expect(seen.every((chunk) => chunk.length > 0 && chunk[0] !== 0)).toBe(true);
  });
});
