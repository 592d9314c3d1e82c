/** How numbers and text are coded, at the edges that random programs seldom meet. */

import type { ByteWriter } from "cleanslab";
import { expect, test } from "vitest";
import { leb128, smallArena } from "../helpers.ts";

test("a writer codes varints around every power of two, as numbers and as bigints", () => {
  using arena = smallArena();
  const expectCode = (write: (writer: ByteWriter) => number, coded: bigint): void => {
    using writer = arena.writer();
    const expected = leb128(coded);
    expect(write(writer), `bytes for ${coded}`).toBe(expected.length);
    expect(expected.equals(writer.bytes), `code of ${coded}`).toBe(true);
  };
  const powers = Array.from({ length: 65 }, (_, bits) => 2n ** BigInt(bits));
  for (const value of powers.flatMap((power) => [power - 1n, power, power + 1n])) {
    const forms = value <= Number.MAX_SAFE_INTEGER ? [value, Number(value)] : [value];
    for (const form of forms) {
      if (value < 2n ** 64n) expectCode((writer) => writer.writeVarint(form), value);
      if (value >= 2n ** 63n) continue;
      expectCode((writer) => writer.writeZigzag(form), 2n * value);
      if (value > 0n) expectCode((writer) => writer.writeZigzag(-form), 2n * value - 1n);
    }
  }
});

test("a writer makes room for all of a text of pairs", () => {
  using arena = smallArena();
  using writer = arena.writer(64);
  const text = "😀".repeat(400);
  expect(writer.writeString(text)).toBe(1600);
  expect(Buffer.from(text).equals(writer.bytes)).toBe(true);
});
