/** What a function that bytes were lent to may not give back. */

import type { Arena } from "cleanslab";
import { expect, test } from "vitest";
import { expectArenaError, MODES, rejectionOf, smallArena, thrownBy } from "../../helpers.ts";

/** Says that it lies elsewhere, or nothing. */
class Lying extends Uint8Array<ArrayBuffer> {
  override get buffer(): ArrayBuffer {
    return new ArrayBuffer(8);
  }
}
class Throwing extends Uint8Array<ArrayBuffer> {
  override get buffer(): ArrayBuffer {
    throw new Error("mine");
  }
}

function detached(): Uint8Array {
  const bytes = new Uint8Array(3);
  structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
  return bytes;
}

type Give = (bytes: Uint8Array<ArrayBuffer>) => unknown;

test.each<[what: string, give: Give]>([
  ["the bytes", (bytes) => bytes.fill(1)],
  ["a part of them", (bytes) => bytes.subarray(9)],
  ["another view of them", (bytes) => new DataView(bytes.buffer, bytes.byteOffset, 1)],
  ["a view of all of the memory", (bytes) => new Uint8Array(bytes.buffer)],
  ["a view that lies", (bytes) => new Lying(bytes.buffer, bytes.byteOffset, 1)],
  ["a view that throws", (bytes) => new Throwing(bytes.buffer, bytes.byteOffset, 1)],
  ["the buffer under them", (bytes) => bytes.buffer],
])("use refuses %s, which would be stale at once, and releases", async (_, give) => {
  for (const revoke of MODES) {
    using arena = smallArena({ revoke });
    const words = ["what fn returned", "bytes.slice()"];
    expectArenaError(
      thrownBy(() => arena.use(10, give)),
      "ERR_INVALID_ARGUMENT",
      ...words,
    );
    const later = arena.use(10, async (bytes) => give(bytes));
    expectArenaError(await rejectionOf(later), "ERR_INVALID_ARGUMENT", ...words);
    arena.assertDrained();
  }
});

test.each<[what: string, give: (bytes: Uint8Array<ArrayBuffer>, arena: Arena) => unknown]>([
  ["a copy", (bytes) => bytes.slice(2)],
  ["an array of its own", () => new Uint8Array(3)],
  ["bytes of another lease of the same memory", (_, arena) => arena.acquire(10).bytes],
  ["what holds a view", (bytes) => ({ bytes })],
  ["a view that throws", () => new Throwing(new ArrayBuffer(3))],
  ["a view that is detached", detached],
])("use gives back %s", (_, give) => {
  using arena = smallArena();
  let given: unknown;
  const got = arena.use(20, (bytes) => {
    given = give(bytes, arena);
    return given;
  });
  expect(got).toBe(given);
  // The function's own other lease may be out.
  expect([0, 10]).toContain(arena.stats().liveBytes);
});
