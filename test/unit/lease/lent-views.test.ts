/** What a function that bytes were lent to may not give back. */

import type { Arena } from "cleanslab";
import { expect, test } from "vitest";
import { expectArenaError, MODES, rejectionOf, smallArena, thrownBy } from "../../helpers.ts";

type Give = (bytes: Uint8Array<ArrayBuffer>) => unknown;

test.each<[what: string, give: Give]>([
  ["the bytes", (bytes) => bytes.fill(1)],
  ["a part of them", (bytes) => bytes.subarray(9)],
  ["another view of them", (bytes) => new DataView(bytes.buffer, bytes.byteOffset, 1)],
  ["a view of all of the memory", (bytes) => new Uint8Array(bytes.buffer)],
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
])("use gives back %s", (_, give) => {
  using arena = smallArena();
  let given: unknown;
  const got = arena.use(10, (bytes) => {
    given = give(bytes, arena);
    return given;
  });
  expect(got).toBe(given);
});
